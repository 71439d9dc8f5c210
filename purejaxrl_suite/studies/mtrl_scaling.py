"""Does SAC gain from width where it has many tasks, and is it the critic that has to be wide?

Paper: McLean et al. 2025, Multi-task reinforcement learning enables parameter scaling,
    arXiv 2503.05126.
Figure: its figures on success against parameters, on scaling actor and critic apart, and on dormant
    neurons against the number of tasks; there on Meta-World, here on tasks of one environment that
    differ in a parameter: a halfcheetah at ten speeds (full), a pendulum under four gravities
    (quick, standard).
Claim: multi-task SAC gains from width, mostly from that of the critic, and more than SAC on one
    task does; the more tasks there are, the fewer units of the critic are dormant.

As in the paper, both networks have layers of one width and a head per task, observations have a
one-hot task label, each task has its own temperature, and batches and environments grow with the
number of tasks. Our setting: two layers instead of three, and batches in which tasks have equal
shares only on average. An agent on one task is plain SAC. Scores are final returns, averaged over
tasks. Pendulums are normalized by the references of the standard pendulum; a cheetah scores 0 if it
stands still and 1 at its target speed without control cost. Effects are means over seeds.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp

from purejaxrl_suite import nets, plasticity
from purejaxrl_suite.agents.sac import SACConfig, SACHypers, sac
from purejaxrl_suite.core.types import Array, Environment, Key, Network
from purejaxrl_suite.envs import make
from purejaxrl_suite.envs.multi_task import family, multi_task
from purejaxrl_suite.nets.tasks import multi_head
from purejaxrl_suite.stats import REFERENCES, Effect
from purejaxrl_suite.studies import widening
from purejaxrl_suite.studies.gates import reaches
from purejaxrl_suite.studies.panels import Intervals, Lines, Panel, row
from purejaxrl_suite.studies.protocol import LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import (
    by_task,
    estimated,
    lost,
    lowest,
    measured,
    scaled,
    scores_of_tasks,
)
from purejaxrl_suite.sweeps import axes
from purejaxrl_suite.sweeps.experiment import Experiment

TAU = 0.1
LOOKS = 40
RETURN = "episode_return_"
GAIN, SHARE = "normalized score", "share of units"


class Family(NamedTuple):
    """Tasks that differ in one parameter, and the sizes of their agents.

    parameter: of the environment. values: of the parameter, one per task. widths: of layers, the
    narrow, the middle and the wide. config: of an agent on one task. hypers: of all agents.
    """

    parameter: str
    values: tuple[float, ...]
    widths: tuple[int, int, int]
    config: SACConfig
    hypers: SACHypers


FAMILIES = {
    "Pendulum-v1": Family(
        parameter="g",
        values=(10.0, 4.0, 8.0, 6.0),
        widths=(4, 16, 64),
        config=SACConfig(2, 4, 4, batch_size=64, probe_size=64),
        hypers=SACHypers(1e-3, 1e-3, 1e-3, gamma=0.98, target_update_rate=0.01, min_history=500.0),
    ),
    "Brax-halfcheetah": Family(
        parameter="speed",
        values=(1.0, 5.0, 2.0, 4.0, 3.0, 0.5, 4.5, 1.5, 3.5, 2.5),
        widths=(64, 256, 1024),
        config=SACConfig(16, 1, 4, batch_size=128),
        hypers=SACHypers(min_history=4000.0),
    ),
}
EPISODE = 1000
"""Steps of a cheetah."""
LARGEST_REPLAY = 100_000
"""Capacity of the replay of one task."""


class Width(NamedTuple):
    """Units in each layer."""

    actor: int
    critic: int


def network(width: Width) -> Callable[[Environment], Network]:
    """Make actor and critics of given widths, with a head per task if there are several."""

    def build(env: Environment) -> Network:
        both: Any = {"hidden": (width.actor,) * 2, "critic_hidden": (width.critic,) * 2}
        made = nets.actor_critics(env.observation, env.action, **both)
        return multi_head(made, env.observation) if env.tasks else made

    return build


def tasks(id: str) -> tuple[Environment, ...]:
    """Make the environments of a family."""
    env, known = make(id), FAMILIES[id]
    return family(env, [axes.replace(env.params, {known.parameter: x}) for x in known.values])


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: all tasks at three widths and with one wide network; two tasks; one at a time."""
    (id,) = budget.environments
    every, known = tasks(id), FAMILIES[id]
    played = {n: [multi_task(every[:n])] for n in (2, len(every))} | {1: list(every)}
    narrow, middle, wide = known.widths

    def arm(count: int, actor: int, critic: int) -> Experiment:
        config = _config(known.config, count, budget.steps)
        updates = int(budget.steps) * count // (config.num_envs * config.rollout_length)
        hypers = known.hypers._replace(min_history=known.hypers.min_history * count)
        return Experiment(
            sac,
            played[count],
            budget.seed_numbers,
            budget.steps * count,
            hypers,
            config,
            network(Width(actor, critic)),
            metrics=(plasticity.dormant(TAU),),
            measure_every=max(1, updates // LOOKS),
        )

    return {
        "all-narrow": arm(len(every), narrow, narrow),
        "all-middle": arm(len(every), middle, middle),
        "all-wide": arm(len(every), wide, wide),
        "wide-critic": arm(len(every), narrow, wide),
        "wide-actor": arm(len(every), wide, narrow),
        "two-wide": arm(2, wide, wide),
        "one-narrow": arm(1, narrow, narrow),
        "one-wide": arm(1, wide, wide),
    }


def _config(one: SACConfig, count: int, steps: float) -> SACConfig:
    """Scale the Config of one task to several."""
    return one._replace(
        num_envs=one.num_envs * count,
        batch_size=one.batch_size * count,
        probe_size=one.probe_size * count,
        capacity=min(int(steps), LARGEST_REPLAY) * count,
        temperature_of_each_task=count > 1,
    )


def _ends(task: str) -> tuple[float, float]:
    """Return the returns that are scaled to 0 and 1 in a task of a family."""
    id, _, number = task.rpartition("-")
    if id in REFERENCES:
        known = REFERENCES[id]
        return known.random.value, known.reference.value
    return -EPISODE * FAMILIES[id].values[int(number)], 0.0


def scores(curves: Curves) -> Array:
    """Compute final normalized scores f32[S, tasks]; diverged members have the worst, at most 0."""
    if any(str(name).startswith(RETURN) for name in curves.data_vars):
        return scores_of_tasks(curves, _ends)
    names = [str(name) for name in curves["environment"].values]
    worst = lowest(curves, by_task, names)
    return scaled(measured(curves), lost(curves), [*map(_ends, names)], worst)


def of_seeds(curves: Curves) -> Array:
    """Average scores over tasks for each seed, f32[S]."""
    return jnp.mean(scores(curves), axis=-1)


asleep = partial(widening.asleep, tau=TAU)


def sleepers(key: Key, curves: Curves) -> Effect:
    """Estimate the share of dormant units of the critics."""
    return estimated(key, asleep(curves))


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw scores against width, which network gains, and dormant units against tasks."""
    name = str(curves["one-wide"]["environment"].values[0])
    known = FAMILIES[name.rpartition("-")[0]]
    narrow, middle, wide = known.widths
    several = {"all-narrow": narrow, "all-middle": middle, "all-wide": wide}
    by_width = tuple(
        widening.against(key, label, measure=of_seeds, curves=curves, arms=places)
        for label, places in (
            (f"{len(known.values)} tasks", several),
            ("one task", {"one-narrow": narrow, "one-wide": wide}),
        )
    )
    counts = {"one-wide": 1, "two-wide": 2, "all-wide": len(known.values)}
    units = widening.against(key, f"{wide} units", measure=asleep, curves=curves, arms=counts)
    base = of_seeds(curves["all-narrow"])
    rows = tuple(
        row(label, estimated(key, of_seeds(curves[arm]) - base))
        for label, arm in (("actor", "wide-actor"), ("critic", "wide-critic"), ("both", "all-wide"))
    )
    gain = f"gain of {wide} units over {narrow} [{GAIN}]"
    return (
        Lines("Final score", "units in a layer", GAIN, by_width, logarithmic=True),
        Intervals("Which is wide, all tasks", gain, rows, against=0.0),
        Lines("Dormant units of the critics", "tasks", SHARE, (units,)),
    )


PAYS = ("learns", "room", "width pays")
ALL: Any = ("all-narrow", "all-middle", "all-wide")
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "With all tasks, wider networks score more.",
            ALL,
            widening.grows(of_seeds),
            MORE,
            smallest=0.3,
            unit="rank correlation",
            gates=("learns", "room"),
        ),
        Claim(
            "Wide critics alone gain more than 70 % of what a wide actor and wide critics gain.",
            ("wide-critic", "all-wide", "all-narrow"),
            widening.beyond(of_seeds, 0.7),
            MORE,
            gates=PAYS,
        ),
        Claim(
            "A wide actor alone gains less than 30 % of it.",
            ("wide-actor", "all-wide", "all-narrow"),
            widening.beyond(of_seeds, 0.3),
            LESS,
            gates=PAYS,
        ),
        Claim(
            "Width gains more with all tasks than with one.",
            ("all-wide", "all-narrow", "one-wide", "one-narrow"),
            widening.interacts(of_seeds),
            MORE,
            gates=("learns", "room", "room alone"),
        ),
        Claim(
            "The more tasks, the fewer units of wide critics are dormant.",
            ("one-wide", "two-wide", "all-wide"),
            widening.grows(asleep),
            LESS,
            smallest=0.3,
            unit="rank correlation",
            gates=("learns", "dormant"),
        ),
    ),
    figure,
    gates=(
        reaches(
            "learns",
            "SAC learns all tasks with layers of middle width.",
            arm="all-middle",
            bound=0.1,
            score=scores,
        ),
        widening.room(
            "room",
            "Narrow networks leave room with all tasks.",
            arm="all-narrow",
            measure=of_seeds,
            most=0.8,
        ),
        widening.room(
            "room alone", "So they do with one task.", arm="one-narrow", measure=of_seeds, most=0.8
        ),
        Gate(
            "width pays",
            "Wide networks score more than narrow ones: there is a gain to have a share in.",
            over=("all-wide", "all-narrow"),
            measure=widening.gain(of_seeds),
            direction=MORE,
            bound=0.05,
            unit=GAIN,
            remedy="harder tasks, or narrower networks",
        ),
        Gate(
            "dormant",
            "Wide critics of one task have dormant units.",
            over=("one-wide",),
            measure=sleepers,
            direction=MORE,
            bound=0.02,
            unit=SHARE,
            remedy="longer runs, or a task on which units are lost",
        ),
    ),
    quick=Budget(("Pendulum-v1",), 8, 1e4),
    standard=Budget(("Pendulum-v1",), 8, 2e4, first_seed=1000),
    full=Budget(("Brax-halfcheetah",), 10, 1e6, first_seed=2000),
)
