"""Shared parts of studies that compare networks: agents on MinAtar, metrics, effects, panels.

An arm is an agent with many networks by name, each a compiled program; curves have an axis
`network`. A family is a bridge at several sizes, named `FAMILY-SIZE`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import nets, plasticity, stats
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.agents.pqn import PQNConfig, pqn
from purejaxrl_suite.agents.rainbow import RainbowConfig, RainbowHypers, rainbow
from purejaxrl_suite.core.types import Array, Environment, Key, Learner, Network, Probe
from purejaxrl_suite.core.types import Inspection as Look  # so results know `block`
from purejaxrl_suite.nets.encoders import Encoder
from purejaxrl_suite.ops import rank
from purejaxrl_suite.plasticity import scores as unit_scores
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.minatar import CATCH, PQN_HYPERS, board
from purejaxrl_suite.studies.panels import Line, Lines
from purejaxrl_suite.studies.protocol import Budget, Curves
from purejaxrl_suite.studies.scores import estimated, late, normalized_scores
from purejaxrl_suite.sweeps.experiment import Experiment

NUM_ENVS, LENGTH = 8, 4
"""Environments and rollout length with replay; 8 gradient steps per update: a ratio of 0.25."""
EXPLORATION = 0.1
"""Share of training over which exploration decays."""
TAU = 0.1
LOOKS = 20
BOARD = nets.cnn((nets.ConvLayer(16, padding="SAME"),))
"""Dopamine's encoder for MinAtar: 10 x 10 positions of 16 channels."""
FIELD = nets.cnn(
    (
        nets.ConvLayer(16, strides=(2, 2), padding="SAME"),
        nets.ConvLayer(16, padding="SAME"),
        nets.ConvLayer(16, padding="SAME"),
    )
)
"""5 x 5 positions of 16 channels, each of which sees the whole board (our setting)."""
SCORE = "normalized score"
UNITS = {"block_dormant": "share of units that are dormant", "block_srank": "srank / units"}
"""Names of the metrics of the block in figures."""
Networks = Mapping[str, Callable[[Environment], Network]]


def q_network(
    units: int, bridge: nets.Bridge | None = None, encoder: Encoder = BOARD, **options: Any
) -> Callable[[Environment], Network]:
    """Make a Q-network with a dense layer or a bridge in its place, and Dopamine's initializer."""

    def build(env: Environment) -> Network:
        draw = jax.nn.initializers.xavier_uniform()
        fixed = {"hidden": (units,), "encoder": encoder, "bridge": bridge, "layer_norm": False}
        fixed |= {"kernel_init": draw}
        return nets.q_network(env.observation, env.action, **fixed | options)

    return build


def with_replay(budget: Budget, agent: str, networks: Networks) -> Experiment:
    """Make an arm of Rainbow or DQN with Dopamine's settings for MinAtar, but several environments.

    On Catch, where returns are -1 or 1, Rainbow's atoms lie between these, not between -100 and
    100.
    """
    shape: Any = {"num_envs": NUM_ENVS, "rollout_length": LENGTH, "gradient_steps": 8}
    common = _common(budget, networks, NUM_ENVS * LENGTH)
    if agent == "dqn":
        hypers = DQNHypers(epsilon_decay=EXPLORATION)
        return common._replace(builder=dqn, config=DQNConfig(**shape), hypers=hypers)
    atoms = RainbowConfig(**shape, double=False)
    exploration = {"epsilon": 1.0, "final_epsilon": 0.01}
    hypers = RainbowHypers(**exploration, epsilon_decay_steps=EXPLORATION * budget.steps)
    if budget.environments == (CATCH,):
        hypers = hypers._replace(value_low=-1.0, value_high=1.0)
    return common._replace(builder=rainbow, config=atoms, hypers=hypers)


def with_pqn(budget: Budget, networks: Networks) -> Experiment:
    """Make an arm of PQN with 16 environments."""
    config = PQNConfig(num_envs=16, rollout_length=32, epochs=2, minibatches=8)
    common = _common(budget, networks, 16 * 32)
    return common._replace(builder=pqn, config=config, hypers=PQN_HYPERS)


def with_ppo(budget: Budget, networks: Networks) -> Experiment:
    """Make an arm of PPO with 16 environments."""
    config = PPOConfig(num_envs=16, rollout_length=32, epochs=4, minibatches=4)
    hypers = PPOHypers(learning_rate=5e-4)
    common = _common(budget, networks, 16 * 32)
    return common._replace(builder=ppo, config=config, hypers=hypers)


def _common(budget: Budget, networks: Networks, steps: int) -> Experiment:
    return Experiment(
        rainbow,
        [board(id) for id in budget.environments],
        budget.seed_numbers,
        budget.steps,
        network=networks,
        metrics=(block,),
        measure_every=max(1, int(budget.steps) // steps // LOOKS),
    )


def block(learner: Learner, probe: Probe, look: Look) -> dict[str, Array]:
    """Measure the block between encoder and heads: dormant units (D1) and srank, as unit shares.

    The units of an expert are its hidden ones, over its slots; its linear output is not counted.
    Also counts the parameters of this block and of the network.
    """
    layers = [
        edge.layer
        for edge in look.network.wiring
        if edge.recyclable and edge.layer.split("/")[0] in ("bridge", "trunk")
    ]
    units = sum(probe.features[layer].shape[-1] for layer in layers)
    asleep = unit_scores.below(unit_scores.activation(learner, probe, look), TAU)
    ranks = (rank.srank(rank.singular_values(_rows(probe.features[x]))) for x in layers)
    sizes = plasticity.parameters(learner, probe, look)
    between = (sizes.get(f"parameters.{x}", jnp.zeros(())) for x in ("bridge", "trunk"))
    return {
        "block_dormant": sum((jnp.sum(asleep[x]) for x in layers), jnp.zeros(())) / units,
        "block_srank": sum(ranks, jnp.zeros(())) / units,
        "block_parameters": sum(between, jnp.zeros(())),
        "parameters": sizes["parameters"],
    }


def _rows(x: Array) -> Array:
    return jnp.reshape(x, (-1, x.shape[-1]))


def scores(curves: Curves, name: str) -> Array:
    """Compute the final normalized scores of one network, f32[S, environments]."""
    return normalized_scores(curves.sel(network=name))


def finals(name: str) -> Callable[[Curves], Array]:
    """Make `scores` of one network as a function of curves."""
    return partial(scores, name=name)


def in_last_quarter(curves: Curves, name: str, metric: str) -> Array:
    """Average a metric of one network over the last quarter of training, f32[S, environments]."""
    one = curves.sel(network=name)
    return late(one, one[metric], 0.25)


def gain(name: str, over: str) -> Callable[[Key, Curves], Effect]:
    """Make the effect: final score of one network minus that of another."""

    def effect(key: Key, curves: Curves) -> Effect:
        return stats.difference(key, scores(curves, name), scores(curves, over), paired=True)

    return effect


def less_of(metric: str, name: str, over: str) -> Callable[[Key, Curves], Effect]:
    """Make the effect: a metric of one network minus that of another, where less is better."""

    def effect(key: Key, curves: Curves) -> Effect:
        x, y = (in_last_quarter(curves, one, metric) for one in (name, over))
        return stats.difference(key, x, y, paired=True)

    return effect


def slopes(curves: Curves, family: str) -> Array:
    """Fit the score gained per doubling of a family's size, f32[S, environments], least squares."""
    names = sizes_of(curves, family)
    x = np.log2(list(names.values()))
    weight = (x - x.mean()) / np.sum(np.square(x - x.mean()))
    each = jnp.stack([scores(curves, name) for name in names], axis=-1)
    return each @ jnp.asarray(weight, jnp.float32)


def slope(family: str) -> Callable[[Key, Curves], Effect]:
    """Make the effect: the mean slope of a family."""

    def effect(key: Key, curves: Curves) -> Effect:
        values = slopes(curves, family)
        return estimated(key, values)

    return effect


def steeper(family: str, than: str) -> Callable[[Key, Curves], Effect]:
    """Make the effect: the slope of one family minus that of another."""

    def effect(key: Key, curves: Curves) -> Effect:
        values = slopes(curves, family) - slopes(curves, than)
        return estimated(key, values)

    return effect


def sizes_of(curves: Curves, family: str) -> dict[str, int]:
    """Return {network: size} of networks named FAMILY-SIZE, the smallest first."""
    names = [str(name) for name in curves["network"].values]
    found = {n: int(n.removeprefix(f"{family}-")) for n in names if _is_of(n, family)}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _is_of(name: str, family: str) -> bool:
    return name.startswith(f"{family}-") and name.removeprefix(f"{family}-").isdecimal()


def against_parameters(
    key: Key, title: str, curves: Curves, families: Sequence[str], metric: str | None = None
) -> Lines:
    """Draw a line for each family, and a point for every other network, against parameters.

    metric: drawn late in training; None is the final score. Interquartile means over all members,
    95 % intervals.
    """
    names = [str(name) for name in curves["network"].values]
    groups = {family: list(sizes_of(curves, family)) for family in families}
    known = {name for group in groups.values() for name in group}
    groups |= {name: [name] for name in names if name not in known}
    lines = []
    for label, group in groups.items():
        if not group:
            continue
        found = [
            stats.estimate(
                key, scores(curves, n) if metric is None else in_last_quarter(curves, n, metric)
            )
            for n in group
        ]
        x = tuple(parameters(curves, name) for name in group)
        value, low, high = (tuple(float(one[i]) for one in found) for i in range(3))
        lines.append(Line(label=label, x=x, value=value, low=low, high=high))
    return Lines(
        title, "parameters", UNITS[metric] if metric else SCORE, tuple(lines), logarithmic=True
    )


def parameters(curves: Curves, name: str) -> float:
    """Count the parameters of a network, averaged over environments, which differ in actions."""
    return float(np.nanmean(curves.sel(network=name)["parameters"].values))
