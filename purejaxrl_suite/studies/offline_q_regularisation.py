"""Does the behaviour's Q-function keep offline TD3 as near the data as cloning does?

Paper: Shi et al. 2023, Offline reinforcement learning with on-policy Q-function regularization,
    arXiv 2307.13824.
Figure: its first figure, TD3 with the behaviour's Q-function, TD3 and TD3+BC; there on D4RL's data
    of MuJoCo, here on data sets of our own of brax (full) and of Pendulum (else).
Claim: TD3 fails on a data set; regularised towards the behaviour's Q-function, which SARSA has
    learnt, it scores about what TD3+BC does.

The data are those of four agents of TD3: of random actions, of agents that are stopped early
(medium), of their replay, and half of medium agents, half of those that trained on
(medium-expert). All learners of a data set share it; seeds are those of learners. Scores are of
greedy evaluations in the last quarter of training; 0 are the returns of the random actions with
which the agents began, 1 those of the agents that trained on. Qsarsa-AC regularises critics and
actor, Qsarsa-AC2 the critics alone: that, the form of the terms, and the weight of 1 that is
judged, are our reading. All weights are one program. Rates and sizes are our setting.
"""

from collections.abc import Callable, Mapping
from functools import partial

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import datasets, nets, search, stats
from purejaxrl_suite.agents.behaviour import BehaviourConfig, BehaviourHypers, behaviour
from purejaxrl_suite.agents.qsarsa import QSarsaConfig, QSarsaHypers, qsarsa, with_behaviour
from purejaxrl_suite.agents.td3 import TD3Config, TD3Hypers, td3
from purejaxrl_suite.agents.td3_bc import TD3BCConfig, TD3BCHypers, td3_bc
from purejaxrl_suite.core.types import Array, Environment, Key, Network
from purejaxrl_suite.datasets import Experience
from purejaxrl_suite.engine.evaluate import RETURN, Evaluating
from purejaxrl_suite.envs import make
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.gates import LEARNT, smallest_mean
from purejaxrl_suite.studies.panels import Intervals, Line, Lines, Panel, line, row
from purejaxrl_suite.studies.protocol import (
    LESS,
    MORE,
    Arm,
    Budget,
    Claim,
    Continuation,
    Curves,
    Gate,
    Study,
)
from purejaxrl_suite.studies.scores import RETURN as TRAINING
from purejaxrl_suite.studies.scores import estimated, late, measured
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.reincarnate import go_on
from purejaxrl_suite.sweeps.result import Result
from purejaxrl_suite.sweeps.stages import Stage

MEDIUM, EXPERT = "medium agents", "expert agents"
DATA = "random", "medium", "medium-replay", "medium-expert"
ACTING = TD3Config(num_envs=2, rollout_length=4, gradient_steps=8, batch_size=64)
HYPERS = TD3Hypers(1e-3, 1e-3, gamma=0.98, target_update_rate=0.01)
RATES = {
    "actor_learning_rate": 1e-3,
    "critic_learning_rate": 1e-3,
    "gamma": 0.98,
    "target_update_rate": 0.02,
}
GROUP = 20
"""Gradient steps of an update of learners."""
AGENTS, LONGER = 4, 4
"""Agents whose experience the data are, and steps until they are experts, in those to medium."""
UNIFORM = 0.25
"""The part of a medium agent's training in which it acts at random, as TD3 begins."""
GRADIENTS = 1.0
"""Gradient steps on a data set for each step of a medium agent."""
LOOKS, EPISODES = 5, 8
"""Evaluations in a run, and episodes in each."""
LATE = 0.25
"""The last part of training, over which evaluations are averaged."""
WEIGHTS, PENALTIES = (0.0, 1.0, 3.0), (0.0, 1.0)
"""lambda, of the critics' distance from the behaviour's values; and of these in the actor's aim."""
UNIT = "score of experts"
Select = Callable[[Curves], Curves]


def network(env: Environment, units: int) -> Network:
    """Make a deterministic policy and critics, with two hidden layers each."""
    return nets.actor_critics(
        env.observation, env.action, hidden=(units, units), deterministic=True
    )


def arms(budget: Budget) -> dict[str, Arm]:
    """Make arms: agents whose experience the data are, and two learners from each data set."""
    environments = [make(id) for id in budget.environments]
    on_brax = all(id.startswith("Brax-") for id in budget.environments)
    units, batch = (256, 256) if on_brax else (32, 32)
    of = partial(network, units=units)
    hypers = HYPERS._replace(min_history=float(int(UNIFORM * budget.steps)))
    medium = Experiment(
        td3,
        environments,
        budget.seed_numbers,
        budget.steps,
        hypers,
        ACTING._replace(batch_size=2 * batch, capacity=int(LONGER * budget.steps)),
        of,
        evaluate_every=_looks(budget.steps / (ACTING.num_envs * ACTING.rollout_length)),
    )
    sizes = budget.seed_numbers, budget.environments
    rest = (LONGER - 1) * budget.steps
    made: dict[str, Arm] = {
        MEDIUM: medium,
        EXPERT: Continuation((MEDIUM,), partial(further, medium=medium, steps=rest), *sizes, rest),
    }
    updates = round(GRADIENTS * budget.steps / GROUP)
    steps = updates * GROUP * batch
    offline = medium._replace(steps=steps, evaluate_every=_looks(updates))
    count = int(AGENTS * budget.steps)
    for name in DATA:
        for label, learn in (("td3_bc", with_td3), ("qsarsa", with_qsarsa)):
            learning = partial(learn, offline, batch)
            how = partial(learners, name=name, count=count, learn=learning)
            made[f"{name}-{label}"] = Continuation((MEDIUM, EXPERT), how, *sizes, steps)
    return made


def _looks(updates: float) -> Evaluating:
    return Evaluating(max(1, int(updates) // LOOKS), EPISODES)


def further(before: Result, *, medium: Experiment, steps: float) -> tuple[Stage, ...]:
    """Make the stages of agents that train on."""
    looks = _looks(steps / (ACTING.num_envs * ACTING.rollout_length))
    same = medium._replace(env=before.env, steps=steps, evaluate_every=looks)
    return Stage("medium", before), Stage("expert", same, go_on)


def learners(
    medium: Result,
    expert: Result,
    *,
    name: str,
    count: int,
    learn: Callable[[Environment, Experience], tuple[Stage, ...]],
) -> tuple[Stage, ...]:
    """Make the stages of learners from a data set of so many steps."""
    return learn(medium.env, data(name, medium, expert, count))


def data(name: str, medium: Result, expert: Result, steps: int) -> Experience:
    """Collect a data set of the first few agents."""
    agents, experts = (
        [one.policy(seed=seed) for seed in one.layout.seeds[:AGENTS]] for one in (medium, expert)
    )
    if name == "random":
        return datasets.random(medium.env, steps)
    if name == "medium":
        return datasets.collect(agents, steps, seed=1)
    if name == "medium-replay":
        return datasets.from_replay(agents)
    halves = (
        datasets.collect(agents, steps // 2, seed=1),
        datasets.collect(experts, steps // 2, seed=2),
    )
    return datasets.concatenate(halves, name=name)


def with_td3(
    offline: Experiment, batch: int, env: Environment, known: Experience
) -> tuple[Stage, ...]:
    """Make the one stage of TD3 and TD3+BC, which are one program."""
    hypers = search.grid(TD3BCHypers(**RATES), cloning_weight=[0.0, 1.0])
    config = TD3BCConfig(GROUP, batch_size=batch)
    given = {"env": env, "source": known.source}
    return (
        Stage("policy", offline._replace(builder=td3_bc, hypers=hypers, config=config, **given)),
    )


def with_qsarsa(
    offline: Experiment, batch: int, env: Environment, known: Experience
) -> tuple[Stage, ...]:
    """Make the stages of Qsarsa: the behaviour's Q-function, and policies with all weights."""
    offline = offline._replace(env=env, source=known.source)
    first = offline._replace(
        builder=behaviour,
        steps=2 * offline.steps,  # it is given pairs of steps
        hypers=BehaviourHypers(**RATES),
        config=BehaviourConfig(GROUP, batch),
        evaluate_every=None,
    )
    hypers = search.grid(QSarsaHypers(**RATES), critic_weight=[*WEIGHTS], actor_weight=[*PENALTIES])
    last = offline._replace(
        builder=qsarsa, hypers=hypers, config=QSarsaConfig(GROUP, batch_size=batch)
    )
    return Stage("behaviour", first), Stage("policy", last, with_behaviour)


def plain_td3(curves: Curves) -> Curves:
    """Select the curves of TD3."""
    return curves.sel(cloning_weight=0.0)


def td3_with_cloning(curves: Curves) -> Curves:
    """Select the curves of TD3+BC."""
    return curves.sel(cloning_weight=1.0)


def ac(curves: Curves, weight: float = 1.0) -> Curves:
    """Select the curves of Qsarsa-AC."""
    return curves.sel(critic_weight=weight, actor_weight=1.0)


def ac2(curves: Curves, weight: float = 1.0) -> Curves:
    """Select the curves of Qsarsa-AC2."""
    return curves.sel(critic_weight=weight, actor_weight=0.0)


def at_random(medium: Curves) -> Array:
    """Average the returns of agents while they act at random, f32[1, environments]."""
    until = UNIFORM * float(medium["step"].values[-1])
    begun = medium.isel(step=np.flatnonzero(medium["step"].values <= until))
    every = partial(stats.final_score, share=1.0)
    return jnp.nanmean(measured(begun, TRAINING, every), axis=0, keepdims=True)


def scores(curves: Curves, medium: Curves, expert: Curves) -> Array:
    """Compute scores f32[S, environments]: 0 are random actions, 1 the mean of the experts.

    A member that diverged scores as random actions do.
    """
    low = at_random(medium)
    high = jnp.nanmean(late(expert, expert[RETURN], LATE), axis=0, keepdims=True)
    found = (late(curves, curves[RETURN], LATE) - low) / (high - low)
    gone = np.asarray(curves["diverged"].transpose("seed", "environment").values, bool)
    return jnp.where(high > low, jnp.where(gone, 0.0, found), jnp.nan)


def over_data(select: Select, each: tuple[Curves, ...], agents: tuple[Curves, ...]) -> Array:
    """Compute scores f32[S, data sets * environments] of one learner on all data sets."""
    return jnp.concatenate([scores(select(one), *agents) for one in each], axis=-1)


def ahead(x: Select, y: Select) -> Callable[..., Effect]:
    """Make the effect: the IQM of scores of one learner minus that of another."""

    def effect(key: Key, *curves: Curves) -> Effect:
        agents, count = curves[:2], len(DATA)
        ours, theirs = curves[2 : 2 + count], curves[-count:]
        found = (over_data(x, ours, agents), over_data(y, theirs, agents))
        return stats.difference(key, *found, paired=True)

    return effect


def reached(select: Select) -> Callable[..., Effect]:
    """Make the measure: the IQM of scores of one learner on these data sets."""

    def effect(key: Key, *curves: Curves) -> Effect:
        return estimated(key, over_data(select, curves[2:], curves[:2]), stats.iqm)

    return effect


def worst(key: Key, *curves: Curves) -> Effect:
    """Estimate the smallest mean score of TD3+BC on any of these data sets."""
    return estimated(key, over_data(td3_with_cloning, curves[2:], curves[:2]), smallest_mean)


def of_medium(key: Key, medium: Curves, expert: Curves) -> Effect:
    """Estimate the mean score of medium agents."""
    return estimated(key, scores(medium, medium, expert))


def knows(key: Key, medium: Curves, expert: Curves) -> Effect:
    """Estimate by how much experts are better than chance, in standard deviations of seeds."""
    gained = late(expert, expert[RETURN], LATE) - at_random(medium)
    return estimated(key, gained / jnp.nanstd(gained, axis=0, ddof=1, keepdims=True), smallest_mean)


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw scores against lambda, and those of all learners on each data set."""
    agents = curves[MEDIUM], curves[EXPERT]
    of = {label: tuple(curves[f"{x}-{label}"] for x in DATA) for label in ("td3_bc", "qsarsa")}

    def along(label: str, select: Callable[..., Curves]) -> Line:
        each = [reached(partial(select, weight=x))(key, *agents, *of["qsarsa"]) for x in WEIGHTS]
        ends = (jnp.stack(part) for part in zip(*(one[:3] for one in each), strict=True))
        return line(label, WEIGHTS, stats.Estimate(*ends))

    level = float(stats.iqm(over_data(td3_with_cloning, of["td3_bc"], agents)))
    shown: dict[str, tuple[str, Select]] = {
        "TD3": ("td3_bc", plain_td3),
        "TD3+BC": ("td3_bc", td3_with_cloning),
        "Qsarsa-AC": ("qsarsa", ac),
        "Qsarsa-AC2": ("qsarsa", ac2),
    }
    rows = tuple(
        row(f"{name}: {label}", reached(select)(key, *agents, curves[f"{name}-{arm}"]))
        for name in DATA
        for label, (arm, select) in shown.items()
    )
    lines = along("Qsarsa-AC", ac), along("Qsarsa-AC2", ac2)
    text = "score of experts, IQM"
    return (
        Lines("All data sets (line: TD3+BC)", "lambda", text, lines, against=level),
        Intervals("Each data set", f"{text}, 95 % interval", rows, against=1.0),
    )


BOTH = MEDIUM, EXPERT
OF_TD3, OF_QSARSA = (tuple(f"{x}-{label}" for x in DATA) for label in ("td3_bc", "qsarsa"))
GATES = "experts", "medium is better", "medium is worse", "cloning"
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "TD3 scores less on the data than TD3+BC.",
            (*BOTH, *OF_TD3),
            ahead(plain_td3, td3_with_cloning),
            LESS,
            unit=UNIT,
            gates=GATES,
        ),
        Claim(
            "Qsarsa-AC scores more than TD3.",
            (*BOTH, *OF_QSARSA, *OF_TD3),
            ahead(ac, plain_td3),
            MORE,
            unit=UNIT,
            gates=(*GATES, "TD3 fails"),
        ),
        Claim(
            "So does Qsarsa-AC2.",
            (*BOTH, *OF_QSARSA, *OF_TD3),
            ahead(ac2, plain_td3),
            MORE,
            unit=UNIT,
            gates=(*GATES, "TD3 fails"),
        ),
        Claim(
            "Qsarsa-AC scores no less than TD3+BC, but for 0.1.",
            (*BOTH, *OF_QSARSA, *OF_TD3),
            ahead(ac, td3_with_cloning),
            MORE,
            smallest=0.0,
            against=-0.1,
            unit=UNIT,
            gates=GATES,
        ),
    ),
    figure,
    gates=(
        Gate(
            "experts",
            "Agents that train on are better than random ones by more than luck makes.",
            BOTH,
            knows,
            MORE,
            2.0,
            "standard deviations of seeds",
            "more steps",
        ),
        Gate(
            "medium is better",
            "Agents that are stopped early have learnt something.",
            BOTH,
            of_medium,
            MORE,
            LEARNT,
            UNIT,
            "more steps",
        ),
        Gate(
            "medium is worse",
            "They are not experts.",
            BOTH,
            of_medium,
            LESS,
            0.9,
            UNIT,
            "fewer steps until agents are medium",
        ),
        Gate(
            "cloning",
            "TD3+BC learns from each data set but that of random actions.",
            (*BOTH, *OF_TD3[1:]),
            worst,
            MORE,
            LEARNT,
            UNIT,
            "more gradient steps",
        ),
        Gate(
            "TD3 fails",
            "TD3 does not do on the data what experts do: there is something to gain.",
            (*BOTH, *OF_TD3),
            reached(plain_td3),
            LESS,
            0.9,
            UNIT,
            "data sets that are narrower",
        ),
    ),
    quick=Budget(("Pendulum-v1",), 4, 2e3),
    standard=Budget(("Pendulum-v1",), 16, 4e3, first_seed=1000),
    full=Budget(("Brax-halfcheetah", "Brax-hopper", "Brax-walker2d"), 16, 2.5e5, first_seed=2000),
)
