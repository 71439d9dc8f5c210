"""Which remedy keeps networks able to learn, of all that are known, on streams of tasks?

Paper: none that compares them all; each remedy's own is named where it is made, in `plasticity`.
    Streams of MinAtar games follow Abbas et al. 2023, Loss of plasticity in continual deep
    reinforcement learning, arXiv 2303.07507.
Figure: none; a ranking of remedies by the return in the last cycle of a stream.
Claim: networks that have learnt many tasks learn worse than fresh ones; remedies close the gap, and
    cost nothing where the task stays.

Agents are PPO, PQN and DQN, each with two dense layers of 64 ReLUs on the board, and with constant
learning rates and exploration, so that all phases are equal. A stream plays its tasks in turn, in
three cycles; a task alone is played as long as a stream. A score is the mean return over a phase of
the last cycle, normalized by task; for a task alone, over the last third of training. "fresh" is
the control of streams: all parameters and the optimizer are reset where a phase begins (the replay
is kept). On a task alone, remedies are compared with none.
Remedies that act on whole layers do so where a phase begins, which favours them; units are recycled
every 1,000 gradient steps, or four times in a phase if that is more often. Settings are those of
the papers: nothing was tuned. `quick` and `standard` compare three remedies, `full` all.
"""

import itertools
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import nets, plasticity, stats
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.agents.pqn import PQNConfig, PQNHypers, pqn
from purejaxrl_suite.core.types import Array, Environment, Intervention, Key, Network
from purejaxrl_suite.envs import make
from purejaxrl_suite.envs.continual import continual
from purejaxrl_suite.envs.wrappers import transform_observation
from purejaxrl_suite.stats import Effect, Estimate, Reference, Score
from purejaxrl_suite.studies.gates import LEARNT, reaches, recycles
from purejaxrl_suite.studies.panels import Lines, Panel, line
from purejaxrl_suite.studies.plasticity_panels import layer_map, over_time, ranking
from purejaxrl_suite.studies.protocol import EQUAL, LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import lost, lowest, scaled
from purejaxrl_suite.sweeps.experiment import Experiment

CYCLES = 3
GRADIENT_STEPS = 1000
HIDDEN = (64, 64)
ALONE = ("Breakout-MinAtar", "Navix-DoorKey-5x5-v0")
"""Tasks of a budget that are also played alone."""
GRIDS = ("Navix-Empty-Random-5x5-v0", "Navix-DoorKey-5x5-v0", "Navix-FourRooms-7x7-v0")
_NONE = Score(0.0, "an episode that never reaches the goal", "navix 4", True)
_ALL = Score(1.0, "the reward of the goal", "navix 4", True)
REFERENCES = stats.REFERENCES | dict.fromkeys(GRIDS, Reference(_NONE, _ALL))
"""References of MinAtar were measured with each game's own actions; here all games have six."""
MINATAR, NAVIX, SINGLE = "minatar", "navix", "alone"
REGIMES = (MINATAR, NAVIX, SINGLE)
STREAMS = (MINATAR, NAVIX)
AGENTS = ("ppo", "pqn", "dqn")
TAU = 0.1
LOOKS = 60


class Times(NamedTuple):
    """Numbers of updates. phase: in one. last: before the last cycle. recycle: per recycling."""

    phase: int
    last: int
    recycle: int


def _nothing(times: Times) -> None:
    return None


class Remedy(NamedTuple):
    """A remedy. act: its intervention. options: of the network. change: wraps the network."""

    act: Callable[[Times], Intervention | None] = _nothing
    options: Mapping[str, Any] = {}
    change: Callable[[Network], Network] = lambda network: network


def _units(cure: Intervention) -> Callable[[Times], Intervention]:
    return lambda times: plasticity.every(times.recycle, cure)


def _layers(cure: Intervention) -> Callable[[Times], Intervention]:
    return lambda times: plasticity.every(times.phase, cure)


def remedies() -> dict[str, Remedy]:
    """Return all remedies by name, with the controls "none" and "fresh"."""
    redo = _units(plasticity.redo(TAU))
    injected = Remedy(
        lambda times: plasticity.once(times.last, plasticity.inject()),
        change=lambda network: plasticity.injectable(network, ("trunk", "heads")),
    )
    return {
        "none": Remedy(),
        "fresh": Remedy(_layers(plasticity.shrink_and_perturb(0.0, 1.0))),
        "redo": Remedy(redo),
        "redo-per-entry-counts": Remedy(redo, change=plasticity.per_entry_counts),
        "random-recycling": Remedy(_units(plasticity.random_recycling(TAU))),
        "regrama": Remedy(_units(plasticity.regrama())),
        "regrama-as-released": Remedy(_units(plasticity.regrama_as_released())),
        "reset-layers": Remedy(_layers(plasticity.reset_layers(("heads",)))),
        "shrink-and-perturb": Remedy(_layers(plasticity.shrink_and_perturb())),
        "continual-backprop": Remedy(lambda times: plasticity.continual_backprop()),
        "injection": injected,
        "l2-init": Remedy(change=plasticity.l2_init),
        "weight-clipping": Remedy(change=plasticity.weight_clipping),
        "spectral-normalization": Remedy(change=plasticity.spectral_normalization),
        "layer-norm": Remedy(options={"layer_norm": True}),
        "crelu": Remedy(options={"activation": nets.crelu}),
    }


class Base(NamedTuple):
    """An agent and its settings. steps: gradient steps in an update."""

    builder: Callable[..., Any]
    hypers: Any
    config: Any
    network: Callable[..., Network]
    steps: int


def bases() -> dict[str, Base]:
    """Return the agents, without annealing."""
    of_ppo = PPOConfig(16, 32, epochs=4, minibatches=8, anneal_learning_rate=False)
    of_pqn = PQNConfig(16, 32, epochs=2, minibatches=16, anneal_learning_rate=False)
    of_dqn = DQNConfig(8, 4, gradient_steps=8)
    q_network = partial(nets.q_network, layer_norm=False)
    actor_critic = partial(nets.actor_critic, activation=jax.nn.relu)
    steady = {"epsilon": 0.05, "final_epsilon": 0.05}
    return {
        "ppo": Base(ppo, PPOHypers(learning_rate=5e-4), of_ppo, actor_critic, 32),
        "pqn": Base(pqn, PQNHypers(**steady), of_pqn, q_network, 32),
        "dqn": Base(dqn, DQNHypers(**steady), of_dqn, q_network, 8),
    }


def task(id: str) -> Environment:
    """Make a task: games with all six actions; grids as one-hot cells around the agent."""
    if "MinAtar" in id:
        return make(id, use_minimal_action_set=False)
    env = make(id, observation="categorical_first_person")
    (codes,) = env.observation.categories
    shape = (*env.observation.shape[:2], codes)
    space = env.observation._replace(shape=shape, low=0.0, high=1.0, categories=())
    return transform_observation(
        env, lambda obs: jax.nn.one_hot(obs[..., 0], codes, dtype=obs.dtype), space
    )


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make an arm for each agent, kind of environment and remedy, named `pqn-minatar-redo`."""
    every = remedies()
    tasks = {id: task(id) for id in budget.environments}
    games = [id for id in tasks if "MinAtar" in id]
    ids = {MINATAR: games, NAVIX: [id for id in tasks if id not in games]}
    ids[SINGLE] = [id for id in tasks if id in ALONE]
    made = {}
    for (agent, base), regime in itertools.product(bases().items(), REGIMES):
        count = len(ids[MINATAR if regime == SINGLE else regime])
        phase = int(budget.steps) // (CYCLES * count * _per_update(base))
        environments = [tasks[id] for id in ids[regime]]
        if regime in STREAMS:
            environments = [continual(environments, phase)]
        size = budget.seed_numbers, CYCLES * count * phase * _per_update(base)
        plain = Experiment(base.builder, environments, *size, base.hypers, base.config)
        for name in budget.treatments:
            if (regime, name) == (SINGLE, "fresh"):
                continue
            treated = _treated(plain, base, every[name], phase, CYCLES * count)
            made[f"{agent}-{regime}-{name}"] = treated
    return made


def _per_update(base: Base) -> int:
    return base.config.num_envs * base.config.rollout_length


def _treated(plain: Experiment, base: Base, remedy: Remedy, phase: int, phases: int) -> Experiment:
    """Make an arm with a remedy, measured LOOKS times."""
    recycle = max(1, min(GRADIENT_STEPS // base.steps, phase // 4))
    times = Times(phase, phase * (phases - phases // CYCLES), recycle)

    def network(env: Environment) -> Network:
        options = {"hidden": HIDDEN, "encoder": nets.flat(), **remedy.options}
        return remedy.change(base.network(env.observation, env.action, **options))

    return plain._replace(
        network=network,
        intervention=remedy.act(times),
        metrics=(plasticity.dormant(TAU), plasticity.weight_norm),
        measure_every=max(1, phase * phases // LOOKS),
    )


def scores(curves: Curves, cycle: int = CYCLES - 1) -> Array:
    """Compute normalized scores of every task in a cycle, f32[S, tasks].

    Means over the episodes of a phase; members that diverged have the worst score of the task in
    all arms with the same tasks, and at most 0.
    """
    found = _by_place(curves, cycle)
    known = [(REFERENCES[id].random.value, REFERENCES[id].reference.value) for _, _, id in found]
    streams = [str(name) for name in curves["environment"].values]
    gone = lost(curves)[:, [streams.index(stream) for stream, _, _ in found]]
    worst = lowest(curves, partial(_by_place, cycle=cycle), [*found])
    return scaled(jnp.stack([*found.values()], axis=1), gone, known, worst)


def _by_place(curves: Curves, cycle: int) -> dict[tuple[str, int, str], Array]:
    """Return {(stream, place in it, task): mean returns f32[S] in a cycle}."""
    _, values, episodes = stats.curves(curves.transpose("seed", "environment", "step"))
    assert episodes is not None
    found = {}
    for i, name in enumerate(map(str, curves["environment"].values)):
        ids = [id for id in re.split(r"[(),; ]+", name) if id in REFERENCES]
        shape = len(values), CYCLES, len(ids), -1
        phases = (np.reshape(x[:, i], shape)[:, cycle] for x in (values, episodes))
        scores = stats.final_score(*phases, share=1.0)
        found |= {(name, place, id): scores[:, place] for place, id in enumerate(ids)}
    return found


def names(
    regimes: tuple[str, ...], *remedy: str, agents: tuple[str, ...] = AGENTS
) -> tuple[str, ...]:
    """Name the arms of these agents with these remedies, one remedy after the other."""
    return tuple(f"{a}-{regime}-{x}" for x in remedy for regime in regimes for a in agents)


def gain(key: Key, *curves: Curves) -> Effect:
    """Estimate scores of the first half of the arms minus those of the second half."""
    half = len(curves) // 2
    x, y = (
        jnp.concatenate([scores(one) for one in part], axis=1)
        for part in (curves[:half], curves[half:])
    )
    return stats.difference(key, x, y, paired=True)


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw rankings of remedies by kind of environment and by agent; units of PQN over time."""
    first = f"{AGENTS[0]}-{MINATAR}-"
    known = [label.removeprefix(first) for label in curves if label.startswith(first)]

    def ranked(title: str, regimes: tuple[str, ...], control: str, *agents: str) -> Panel:
        found = {
            name: gain(key, *(curves[arm] for arm in names(regimes, name, control, agents=agents)))
            for name in known
            if name not in (control, "fresh")
        }
        label = f"score less that of {control}, 95 % interval"
        return ranking(title, label, found=found, against=0.0, smallest=0.05)

    panels: list[Panel] = [
        ranked("MinAtar stream, last cycle", (MINATAR,), "fresh", *AGENTS),
        ranked("Navix stream, last cycle", (NAVIX,), "fresh", *AGENTS),
        *(ranked(f"{one.upper()}, both streams", STREAMS, "fresh", one) for one in AGENTS),
        ranked("Single tasks, last third", (SINGLE,), "none", *AGENTS),
    ]
    few = [name for name in ("none", "fresh", "redo") if name in known]
    lines = tuple(line(x, range(1, CYCLES + 1), _by_cycle(key, curves, x)) for x in few)
    panels.append(Lines("All agents, both streams", "cycle", "normalized score", lines))
    pqn_arms = {name: curves[f"pqn-{MINATAR}-{name}"] for name in few}
    metric, share = f"dormant_{TAU:g}", "share of units"
    dormant = tuple(over_time(key, name, one, metric) for name, one in pqn_arms.items())
    title = "PQN, MinAtar stream: dormant units"
    panels.append(Lines(title, "environment steps", share, dormant))
    maps = (name for name in pqn_arms if name != "fresh")
    panels += [layer_map(f"{title}, {x}", pqn_arms[x], metric, share) for x in maps]
    return tuple(panels)


def _by_cycle(key: Key, curves: Mapping[str, Curves], remedy: str) -> Estimate:
    arms_of_it = [curves[arm] for arm in names(STREAMS, remedy)]
    found = [
        stats.estimate(key, jnp.concatenate([scores(one, c) for one in arms_of_it], axis=1))
        for c in range(CYCLES)
    ]
    return Estimate(*(jnp.stack([one[i] for one in found]) for i in range(3)))


LEARNERS = tuple(f"{agent} learns" for agent in AGENTS)
COUNTER = "redo_recycled"
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "In the last cycle, networks without a remedy score less than fresh ones.",
            names(STREAMS, "none", "fresh"),
            gain,
            LESS,
            gates=LEARNERS,
        ),
        Claim(
            "So they do on the MinAtar stream.",
            names((MINATAR,), "none", "fresh"),
            gain,
            LESS,
            gates=LEARNERS,
        ),
        Claim(
            "ReDo scores more in the last cycle than no remedy.",
            names(STREAMS, "redo", "none"),
            gain,
            MORE,
            gates=(*LEARNERS, "loses plasticity", "ReDo acts"),
        ),
        Claim(
            "On single tasks ReDo changes nothing.",
            names((SINGLE,), "redo", "none"),
            gain,
            EQUAL,
            gates=("learns alone", "ReDo acts alone"),
        ),
    ),
    figure,
    gates=(
        *(
            reaches(
                f"{agent} learns",
                f"{agent.upper()} learns every game at first.",
                arm=f"{agent}-{MINATAR}-none",
                bound=LEARNT,
                score=partial(scores, cycle=0),
            )
            for agent in AGENTS
        ),
        reaches(
            "learns alone",
            "PQN learns tasks that stay.",
            arm=f"pqn-{SINGLE}-none",
            bound=LEARNT,
            score=scores,
        ),
        Gate(
            "loses plasticity",
            "In the last cycle, networks without a remedy score less than fresh ones.",
            over=names(STREAMS, "none", "fresh"),
            measure=gain,
            direction=LESS,
            bound=0.0,
            unit="normalized score",
            remedy="longer phases, more of them, or more gradient steps in each",
        ),
        recycles(
            "ReDo acts",
            "ReDo recycles units of PQN.",
            arm=f"pqn-{MINATAR}-redo",
            counter=COUNTER,
            bound=5.0,
        ),
        recycles(
            "ReDo acts alone",
            "So it does where the task stays.",
            arm=f"pqn-{SINGLE}-redo",
            counter=COUNTER,
            bound=5.0,
        ),
    ),
    quick=Budget(
        ("Breakout-MinAtar", "SpaceInvaders-MinAtar", *GRIDS[::2]),
        5,
        36_864,
        ("none", "fresh", "redo"),
    ),
    standard=Budget(
        ("Breakout-MinAtar", "SpaceInvaders-MinAtar", *GRIDS[::2]),
        8,
        147_456,
        ("none", "fresh", "redo"),
        first_seed=1000,
    ),
    full=Budget(
        ("Breakout-MinAtar", "Asterix-MinAtar", "SpaceInvaders-MinAtar", *GRIDS),
        32,
        9e6,
        tuple(remedies()),
        first_seed=2000,
    ),
)
