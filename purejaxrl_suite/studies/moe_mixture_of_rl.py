"""Do mixtures of experts help an agent most where what it learns changes?

Paper: Willi et al. 2024, Mixture of experts in a mixture of RL settings, arXiv 2406.18420.
Figure: its figures of PPO on SpaceInvaders, Breakout and Asterix at once (multi-task) and in turn
    (continual), with mixtures at several places of actor and critic; here of these games (full), or
    of Catch with its board in three orders (quick, standard).
Claim: experts that are whole networks, one for each task, keep an agent from losing what it had
    learnt when tasks follow each other; learnt soft routing does so in part, and keeps fewer units
    dormant; the order of tasks matters; on tasks at once the gain is partial.

Our setting: PPO on the board as a vector, two layers for actor and critic each, three experts. One
token is routed, so Soft MoE is a learnt gate over experts with equal inputs. Observations tell the
task, one-hot, to every network; routing by task reads it there. Each task is played equally long in
both settings; in turn, tasks come twice. The learning rate is constant, the optimizer is kept
across tasks, and advantages of tasks at once are normalised task by task. The score in turn is that
at the end of each phase. `wide` is the baseline with a wider first layer, so that it has as many
parameters as three experts. The text of the paper was not available: its numbers are not known to
us.
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import nets, plasticity, stats
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.core.spaces import task_of
from purejaxrl_suite.core.types import Array, Environment, Key, Network
from purejaxrl_suite.envs.continual import continual
from purejaxrl_suite.envs.multi_task import multi_task
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.gates import reaches
from purejaxrl_suite.studies.multitask_scaling import HYPERS, SHARE, TAU, ends, tasks
from purejaxrl_suite.studies.panels import Line, Lines, Panel
from purejaxrl_suite.studies.plasticity_panels import over_time, ranking
from purejaxrl_suite.studies.protocol import LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import (
    estimated,
    late,
    lost,
    lowest,
    measured,
    scaled,
    scores_of_tasks,
)
from purejaxrl_suite.sweeps.experiment import Experiment

TASKS, CYCLES = 3, 2
PHASES = TASKS * CYCLES
NUM_ENVS, LENGTH = 16, 32
"""Environments of each task, and steps in each between updates."""
UNITS = 32
LOOKS = 60
AT_ONCE, IN_TURN = "at-once", "in-turn"
SHUFFLES = 2000
SCORE = "normalized score"
CHOSEN = ("baseline", "big-soft", "big-task")
"""The networks of a small budget, in two orders of tasks."""


def networks() -> dict[str, Callable[[Environment], Network]]:
    """Return every network by name; soft: Soft MoE, top1: one expert of three, task: by task."""
    soft = nets.soft()
    whole = nets.big(soft, TASKS)
    plain = nets.flatten()
    return {
        "baseline": _with(),
        "wide": _wide,
        "middle-soft": _with(nets.penultimate(soft, TASKS)),
        "final-soft": _with(nets.final(soft, TASKS)),
        "all-soft": _with(nets.everywhere(soft, TASKS)),
        "big-soft": _with(whole),
        "big-top1": _with(nets.big(nets.top_k(1), TASKS)),
        "big-task": _by_task,
        "big-soft-actor": _with(whole, critic=plain),
        "big-soft-critic": _with(plain, critic=whole),
    }


def _with(
    bridge: nets.Bridge | None = None, critic: nets.Bridge | None = None, first: int = UNITS
) -> Callable[[Environment], Network]:
    def build(env: Environment) -> Network:
        return nets.actor_critic(
            env.observation,
            env.action,
            hidden=(first, UNITS),
            activation=jax.nn.relu,
            encoder=nets.flat(),
            bridge=bridge,
            critic_bridge=critic,
        )

    return build


def _by_task(env: Environment) -> Network:
    router = nets.by_task(partial(task_of, env.observation))
    return _with(nets.big(router, TASKS))(env)


def _wide(env: Environment) -> Network:
    size = nets.parameter_count(_by_task(env))[""]
    return nets.matching(lambda first: _with(first=first)(env), size)[1]


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: the same networks on all tasks at once, and on tasks in turn in every order."""
    envs = list(tasks(budget.environments, TASKS).values())
    chosen = budget.treatments or tuple(networks())
    phase = max(1, int(budget.steps) // PHASES // (NUM_ENVS * LENGTH))
    orders = list(permutations(envs))
    if budget.treatments:
        orders = [orders[0], orders[-1]]
    in_turn = Experiment(
        ppo,
        [continual(order, phase, show_task=True) for order in orders],
        budget.seed_numbers,
        PHASES * phase * NUM_ENVS * LENGTH,
        HYPERS,
        _config(1),
        {name: networks()[name] for name in chosen},
        metrics=(plasticity.dormant(TAU),),
        measure_every=max(1, PHASES * phase // LOOKS),
    )
    at_once = in_turn._replace(
        env=[multi_task(envs)], steps=TASKS * in_turn.steps, config=_config(TASKS)
    )
    return {AT_ONCE: at_once, IN_TURN: in_turn}


def _config(count: int) -> PPOConfig:
    """Make the Config; the learning rate is constant, as annealing would hurt the last tasks."""
    return PPOConfig(
        NUM_ENVS * count,
        LENGTH,
        epochs=4,
        minibatches=4,
        anneal_learning_rate=False,
        normalize_each_task=count > 1,
    )


def order(name: str) -> list[str]:
    """Return the tasks of a stream, by its name."""
    return name.removeprefix("continual(").rpartition(";")[0].split(", ")


def phases(curves: Curves, name: str) -> Array:
    """Compute normalized scores at the end of each phase, f32[S, orders, PHASES], of one network.

    The mean over the episodes of the last quarter of a phase; a member that diverged has the worst
    score of its order and phase over all networks, and at most 0.
    """
    one = curves.sel(network=name)
    last = measured(one, measure=_of_phases)  # [S, orders, PHASES]
    streams = [str(stream) for stream in one["environment"].values]
    places = [(stream, p) for stream in streams for p in range(PHASES)]
    known = [ends(order(stream)[p % TASKS]) for stream, p in places]
    gone, worst = np.repeat(lost(one), PHASES, axis=1), lowest(one, _by_phase, places)
    return jnp.reshape(scaled(jnp.reshape(last, gone.shape), gone, known, worst), last.shape)


def _by_phase(curves: Curves) -> dict[tuple[str, int], Array]:
    """Return {(stream, phase): returns of all members}."""
    last = measured(curves, measure=_of_phases)
    streams = enumerate(map(str, curves["environment"].values))
    return {(name, p): last[..., i, p] for i, name in streams for p in range(PHASES)}


def _of_phases(values: np.ndarray, episodes: np.ndarray | None) -> Array:
    """Average the end of each phase, f32[S, orders, T] -> f32[S, orders, PHASES]."""
    assert episodes is not None
    length = values.shape[-1] // PHASES
    shape = (*values.shape[:-1], PHASES, length)
    parts = (np.reshape(x[..., : PHASES * length], shape) for x in (values, episodes))
    return stats.final_score(*parts, share=0.25)


def finals(curves: Curves, name: str) -> Array:
    """Compute final normalized scores f32[S, TASKS] of one network on all tasks at once."""
    return scores_of_tasks(curves.sel(network=name), ends)


def dormant(curves: Curves, name: str) -> Array:
    """Compute the share of dormant units in the last tenth of training, f32[S, environments]."""
    one = curves.sel(network=name)
    return late(one, one[f"dormant_{TAU:g}"], 0.1)


Measure = Callable[[Curves, str], Array]


def gain(measure: Measure, name: str) -> Callable[[Key, Curves], Effect]:
    """Make the effect: a measure of a network minus that of the baseline, paired by seed."""

    def effect(key: Key, curves: Curves) -> Effect:
        return stats.difference(key, measure(curves, name), measure(curves, CHOSEN[0]), paired=True)

    return effect


def order_matters(key: Key, curves: Curves) -> Effect:
    """Estimate the variance of the baseline's mean scores between orders, minus that of shuffles.

    Orders are shuffled within each seed; 99 % of the shuffles lie below (or above) the ends.
    """
    scores = np.mean(phases(curves, CHOSEN[0]), axis=-1)
    scores = jnp.asarray(scores[~np.isnan(scores).any(axis=1)])  # seeds that have all

    def variance(scores: Array) -> Array:
        return jnp.var(jnp.mean(scores, axis=0))

    def shuffled(key: Key) -> Array:
        return variance(jax.random.permutation(key, scores, axis=1, independent=True))

    null = jax.vmap(shuffled)(jax.random.split(key, SHUFFLES))
    low, high = jnp.quantile(null, jnp.array([0.01, 0.99]))
    found = variance(scores)
    ends = found - jnp.mean(null), found - high, found - low
    return Effect(*ends, jnp.int32(scores.shape[0]))


def later_less_from_scratch(key: Key, curves: Curves) -> Effect:
    """Estimate the baseline's score on a stream's third task minus that on it as a first task."""
    streams = [order(str(stream)) for stream in curves["environment"].values]
    scores = phases(curves, CHOSEN[0])
    first = {stream[0]: o for o, stream in enumerate(streams)}
    pairs = [(o, first[s[2]]) for o, s in enumerate(streams) if s[2] in first]
    each = [scores[:, later, 2] - scores[:, fresh, 0] for later, fresh in pairs]
    values = jnp.mean(jnp.stack(each), axis=0)
    return estimated(key, values)


def in_turn_less_at_once(key: Key, in_turn: Curves, at_once: Curves) -> Effect:
    """Estimate the baseline's mean score in the last cycle of streams minus that at once."""
    last = jnp.mean(phases(in_turn, CHOSEN[0])[..., -TASKS:], axis=(1, 2))
    together = jnp.mean(finals(at_once, CHOSEN[0]), axis=-1)
    return estimated(key, last - together)


def of(measure: Measure) -> Callable[[Curves], Array]:
    """Make the measure of the baseline."""
    return lambda curves: measure(curves, CHOSEN[0])


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw the gains of networks in both settings; dormant units and returns over time, in turn."""
    names = [str(name) for name in curves[IN_TURN]["network"].values if name != CHOSEN[0]]
    gains = [
        ranking(
            title,
            f"gain over the baseline [{SCORE}]",
            {name: gain(measure, name)(key, curves[arm]) for name in names},
            against=0.0,
            smallest=0.05,
        )
        for title, arm, measure in (
            ("Tasks in turn", IN_TURN, phases),
            ("Tasks at once", AT_ONCE, finals),
        )
    ]
    metrics = (
        ("Dormant units, tasks in turn", SHARE, f"dormant_{TAU:g}"),
        ("Return, tasks in turn, all orders", "episode return", "episode_return"),
    )
    shown = {name: curves[IN_TURN].sel(network=name) for name in CHOSEN}

    def lines(metric: str) -> tuple[Line, ...]:
        return tuple(over_time(key, name, one, metric) for name, one in shown.items())

    time = [
        Lines(title, "environment steps", unit, lines(metric)) for title, unit, metric in metrics
    ]
    return *gains, *time


CHANGING = ("learns in turn", "change costs")
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "With tasks in turn, a network for each task scores more than one for all.",
            (IN_TURN,),
            gain(phases, "big-task"),
            MORE,
            gates=CHANGING,
        ),
        Claim(
            "So do whole networks as experts of a learnt soft router.",
            (IN_TURN,),
            gain(phases, "big-soft"),
            MORE,
            gates=CHANGING,
        ),
        Claim(
            "Fewer of their units are dormant at the end.",
            (IN_TURN,),
            gain(dormant, "big-soft"),
            LESS,
            unit=SHARE,
            gates=("learns in turn",),
        ),
        Claim(
            "The order of tasks changes the baseline's mean score, beyond chance (p < 0.01).",
            (IN_TURN,),
            order_matters,
            MORE,
            smallest=0.0,
            unit="variance of scores",
            counted="",
            gates=("learns in turn",),
        ),
        Claim(
            "The baseline learns its third task less well than from scratch.",
            (IN_TURN,),
            later_less_from_scratch,
            LESS,
            gates=("learns in turn",),
        ),
        Claim(
            "With tasks at once, experts of a soft router that are whole networks score more, too.",
            (AT_ONCE,),
            gain(finals, "big-soft"),
            MORE,
            gates=("learns at once",),
        ),
    ),
    figure,
    gates=(
        reaches(
            "learns in turn",
            "The baseline learns in every phase.",
            arm=IN_TURN,
            bound=0.1,
            score=of(phases),
        ),
        reaches(
            "learns at once",
            "It learns every task at once.",
            arm=AT_ONCE,
            bound=0.1,
            score=of(finals),
        ),
        Gate(
            "change costs",
            "The baseline scores less with tasks in turn than with the same tasks at once.",
            over=(IN_TURN, AT_ONCE),
            measure=in_turn_less_at_once,
            direction=LESS,
            bound=0.0,
            unit="normalized score",
            remedy="tasks that disturb each other more, or more of them",
        ),
    ),
    quick=Budget(("Catch-bsuite",), 6, 6e4, CHOSEN),
    standard=Budget(("Catch-bsuite",), 8, 3e5, CHOSEN, first_seed=1000),
    full=Budget(minatar.THREE_GAMES, 16, 3e6, first_seed=2000),
)
