"""Do several tasks together make wider networks worth it, and is it the critic that needs them?

Paper: McLean et al. 2025, Multi-task reinforcement learning enables parameter scaling,
    arXiv 2503.05126.
Figure: its figures on success against parameters, on scaling actor and critic apart, and on dormant
    neurons against the number of tasks; there of SAC on Meta-World, here of PPO with discrete
    actions on MinAtar (full) or on Catch with its board in four orders (else).
Claim: one agent on several tasks gains from width, mostly from that of the critic, and more than an
    agent on one task does; more tasks keep the units of a critic from falling asleep.

Our setting: actor and critic with two layers each, a head per task, a one-hot task label, 16
environments and equally many steps per task for any number of tasks, advantages normalised task by
task. An agent on one task plays the unchanged task. If there are fewer than four environments, they
are repeated with permuted boards. Gains are of final normalized scores, averaged over tasks,
against networks of 8 units a layer; effects are means over seeds.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets, plasticity
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.core.types import Array, Environment, Key, Network
from purejaxrl_suite.envs import make
from purejaxrl_suite.envs.multi_task import multi_task
from purejaxrl_suite.envs.wrappers import permute_observation
from purejaxrl_suite.nets.bridges import Scale
from purejaxrl_suite.nets.tasks import multi_head
from purejaxrl_suite.stats import REFERENCES, Effect
from purejaxrl_suite.studies import minatar, widening
from purejaxrl_suite.studies.gates import reaches
from purejaxrl_suite.studies.panels import Intervals, Line, Lines, Panel, row
from purejaxrl_suite.studies.protocol import LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import estimated, normalized_scores, scores_of_tasks
from purejaxrl_suite.sweeps.experiment import Experiment

NARROW, MIDDLE, WIDE = WIDTHS = (8, 32, 128)
TASKS = 4
NUM_ENVS, LENGTH = 16, 32
"""Environments of each task, and steps in each between updates."""
HYPERS = PPOHypers(learning_rate=1e-3)
TAU = 0.1
LOOKS = 40
TOGETHER, ALONE = "together", "alone"
RETURN = "episode_return_"
GAIN, SHARE = "normalized score", "share of units"


class Width(NamedTuple):
    """Units in each layer."""

    actor: int
    critic: int


def network(width: Width) -> Callable[[Environment], Network]:
    """Make actor and critic of given widths, with a head per task if there are several."""

    def build(env: Environment) -> Network:
        made = nets.actor_critic(
            env.observation,
            env.action,
            hidden=(NARROW, NARROW),
            activation=jax.nn.relu,
            encoder=nets.flat(),
            scale=Scale(trunk=width.actor / NARROW),
            critic_scale=Scale(trunk=width.critic / NARROW),
        )
        return multi_head(made, env.observation) if env.tasks else made

    return build


def arms(budget: Budget, count: int = TASKS) -> dict[str, Experiment]:
    """Make arms: all tasks together at three widths and with one wide network; tasks alone.

    count: the least number of tasks; if there are fewer environments, they are repeated with
    permuted boards.
    """
    ids = budget.environments
    whole = multi_task(list(tasks(ids, count).values()))
    alone = Experiment(
        ppo,
        [make(id, **_options(id)) for id in ids],
        budget.seed_numbers,
        budget.steps,
        HYPERS,
        _config(1),
        metrics=(plasticity.dormant(TAU),),
        measure_every=max(1, int(budget.steps) // (NUM_ENVS * LENGTH) // LOOKS),
    )
    together = alone._replace(
        env=[whole],
        steps=budget.steps * len(whole.tasks),
        config=_config(len(whole.tasks)),
    )
    found = {}
    for width in WIDTHS:
        both = network(Width(width, width))
        found[f"{TOGETHER}-{width}"] = together._replace(network=both)
        found[f"{ALONE}-{width}"] = alone._replace(network=both)
    found["wide-critic"] = together._replace(network=network(Width(NARROW, WIDE)))
    found["wide-actor"] = together._replace(network=network(Width(WIDE, NARROW)))
    return found


def tasks(ids: tuple[str, ...], count: int = TASKS) -> dict[str, Environment]:
    """Make at least `count` environments by name: the ids, repeated with permuted boards."""
    found = [make(id, **_options(id)) for id in ids]
    rounds = -(-count // len(ids))
    found += [permute_observation(one, i) for i in range(1, rounds) for one in found[: len(ids)]]
    return {env.name: env for env in found[: max(count, len(ids))]}


def _options(id: str) -> dict[str, bool]:
    """Return options that give games of MinAtar all six actions, with equal meanings."""
    return {"use_minimal_action_set": False} if id.endswith("MinAtar") else {}


def _config(count: int) -> PPOConfig:
    """Make the Config: updates equally large for every task, minibatches with steps of all."""
    shares = NUM_ENVS * count, LENGTH
    return PPOConfig(*shares, epochs=4, minibatches=4, normalize_each_task=count > 1)


def scores(curves: Curves) -> Array:
    """Compute final normalized scores f32[S, tasks] of each task that the agents play."""
    if not any(str(name).startswith(RETURN) for name in curves.data_vars):
        return normalized_scores(curves)
    return scores_of_tasks(curves, ends)


def ends(task: str) -> tuple[float, float]:
    """Return the returns of a random policy and of the reference, for permuted boards, too."""
    known = REFERENCES[task.replace("/", "-").split("-permuted-")[0]]
    return known.random.value, known.reference.value


def of_seeds(curves: Curves) -> Array:
    """Average scores over tasks for each seed, f32[S]."""
    return jnp.mean(scores(curves), axis=-1)


asleep = partial(widening.asleep, tau=TAU)
grows = widening.grows(of_seeds)
beyond = partial(widening.beyond, of_seeds)
interacts = widening.interacts(of_seeds)


def sleepers(key: Key, curves: Curves) -> Effect:
    """Estimate the share of dormant units of the critic."""
    return estimated(key, asleep(curves))


def wakes(key: Key, together: Curves, alone: Curves) -> Effect:
    """Estimate dormant units of the critic with tasks together minus those with each alone."""
    return estimated(key, asleep(together) - asleep(alone))


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw scores and dormant units against width, and which network gains."""
    last = "Final score", GAIN, of_seeds
    panels = [
        Lines(title, "units in a layer", label, _by_width(key, curves, measure), logarithmic=True)
        for title, label, measure in (last, ("Dormant units of the critic", SHARE, asleep))
    ]
    base = of_seeds(curves[f"{TOGETHER}-{NARROW}"])
    wide = {"actor": "wide-actor", "critic": "wide-critic", "both": f"{TOGETHER}-{WIDE}"}
    gains = (row(name, estimated(key, of_seeds(curves[arm]) - base)) for name, arm in wide.items())
    label = f"gain of {WIDE} units over {NARROW} [{GAIN}]"
    return *panels, Intervals("Which is wide, tasks together", label, tuple(gains), against=0.0)


def _by_width(
    key: Key, curves: Mapping[str, Curves], measure: Callable[[Curves], Array]
) -> tuple[Line, ...]:
    return tuple(
        widening.against(
            key,
            f"tasks {kind}",
            measure=measure,
            curves=curves,
            arms={f"{kind}-{width}": width for width in WIDTHS},
        )
        for kind in (TOGETHER, ALONE)
    )


ALL = tuple(f"{TOGETHER}-{width}" for width in WIDTHS)
SPLIT = ALL[-1], ALL[0]
PAYS = ("learns", "room", "width pays")
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "With tasks together, wider networks score more.",
            ALL,
            grows,
            MORE,
            smallest=0.3,
            unit="rank correlation",
            gates=("learns", "room"),
        ),
        Claim(
            "A wide critic alone gains more than 70 % of what a wide actor and critic gain.",
            ("wide-critic", *SPLIT),
            beyond(0.7),
            MORE,
            gates=PAYS,
        ),
        Claim(
            "A wide actor alone gains less than 30 % of it.",
            ("wide-actor", *SPLIT),
            beyond(0.3),
            LESS,
            gates=PAYS,
        ),
        Claim(
            "Width gains more with tasks together than with each alone.",
            (*SPLIT, f"{ALONE}-{WIDE}", f"{ALONE}-{NARROW}"),
            interacts,
            MORE,
            gates=("learns", "room", "room alone"),
        ),
        Claim(
            "In a wide critic fewer units are dormant with tasks together than with each alone.",
            (ALL[-1], f"{ALONE}-{WIDE}"),
            wakes,
            LESS,
            unit=SHARE,
            gates=("learns", "dormant"),
        ),
    ),
    figure,
    gates=(
        reaches(
            "learns",
            "PPO learns all tasks with layers of middle width.",
            arm=ALL[1],
            bound=0.1,
            score=scores,
        ),
        widening.room(
            "room",
            "Narrow networks leave room with tasks together.",
            arm=ALL[0],
            measure=of_seeds,
            most=0.8,
        ),
        widening.room(
            "room alone",
            "So they do with each alone.",
            arm=f"{ALONE}-{NARROW}",
            measure=of_seeds,
            most=0.8,
        ),
        Gate(
            "width pays",
            "Wide networks score more than narrow ones: there is a gain to have a share in.",
            over=SPLIT,
            measure=widening.gain(of_seeds),
            direction=MORE,
            bound=0.05,
            unit=GAIN,
            remedy="harder tasks, or narrower networks",
        ),
        Gate(
            "dormant",
            "Wide critics of tasks alone have dormant units.",
            over=(f"{ALONE}-{WIDE}",),
            measure=sleepers,
            direction=MORE,
            bound=0.05,
            unit=SHARE,
            remedy="longer runs, or a task on which units are lost",
        ),
    ),
    quick=Budget(("Catch-bsuite",), 8, 3e4),
    standard=Budget(("Catch-bsuite",), 8, 6e4, first_seed=1000),
    full=Budget(minatar.FOUR_GAMES, 10, 2e6, first_seed=2000),
)
