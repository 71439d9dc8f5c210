"""Does the flattened feature map keep networks from growing, and does averaging it cure that?

Paper: Sokar & Castro 2025, Mind the GAP! The challenges of scale in pixel-based deep reinforcement
    learning, arXiv 2505.17749.
Figure: its figures on returns of Rainbow with Impala against the scale of the network, flattened or
    averaged over all positions; there of 20 Atari games with 100M frames, here of MinAtar.
Claim: with global average pooling (GAP) networks gain with scale where flattened ones lose, fewer
    units of the first dense layer are dormant, and they are no slower.

A scale multiplies the channels of the encoder and the units of the dense layer; `bottleneck` only
the latter. The encoder is residual and each of its positions sees the whole board: with a single 3
x 3 convolution GAP could not know where things are, and would fail for another reason than the
paper's. GAP still loses positions, so `coordinates` adds two planes of them to the board; the
losses of GAP on a game are shown, not tuned away. The paper's pruned bottlenecks need sparse
training, which this suite does not have yet. `quick` and `standard` are Catch with narrow networks
and two scales, 8,000 and 40,000 steps: they say nothing about games.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import nets, stats
from purejaxrl_suite.agents.rainbow import RainbowConfig
from purejaxrl_suite.core.types import Array, Box, Environment, Key, Network
from purejaxrl_suite.envs.wrappers import transform_observation
from purejaxrl_suite.nets.bridges import Scale
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.architectures import (
    against_parameters,
    finals,
    gain,
    less_of,
    q_network,
    scores,
    slope,
    steeper,
    with_replay,
)
from purejaxrl_suite.studies.gates import reaches
from purejaxrl_suite.studies.panels import Intervals, Panel, row
from purejaxrl_suite.studies.protocol import LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.sweeps.experiment import Experiment

SCALES = (1, 2, 4, 8)
ATOMS = RainbowConfig().atoms
FAMILIES = ("flat", "gap", "pool2", "sum", "soft")
SEGMENTS = 10
Build = Callable[[Environment], Network]


def networks(units: int, channels: tuple[int, ...]) -> dict[str, Build]:
    """Return all networks by name."""
    encoder = nets.impala(channels, blocks=1)

    def build(bridge: nets.Bridge, **scale: Any) -> Build:
        return q_network(units, bridge, encoder, atoms=ATOMS, scale=Scale(**scale))

    bridges = {
        "flat": nets.flatten(),
        "gap": nets.pool(1),
        "pool2": nets.pool(2),
        "sum": nets.tokenised(),
        "soft": nets.mixture(nets.soft(), 1),
    }
    scaled = {
        f"{name}-{n}": build(bridge, encoder=n, trunk=n)
        for name, bridge in bridges.items()
        for n in SCALES
    }
    narrow = {
        f"{name}-4 bottleneck": build(bridges[name], bottleneck=4) for name in ("flat", "gap")
    }
    return scaled | narrow


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: Rainbow with the networks of a budget; GAP also on boards with coordinates."""
    small = budget.environments == (minatar.CATCH,)
    every = networks(32, (4, 4)) if small else networks(512, (16, 32))
    chosen = {name: x for name, x in every.items() if name in budget.treatments}
    plain = with_replay(budget, "rainbow", chosen)
    seen = [with_coordinates(env) for env in map(minatar.board, budget.environments)]
    coordinates = plain._replace(env=seen, network={"gap-4": every["gap-4"]})
    return {"rainbow": plain, "coordinates": coordinates}


def with_coordinates(env: Environment) -> Environment:
    """Add two planes to observations: row and column, from -1 to 1."""
    height, width, channels = env.observation.shape
    rows, columns = np.meshgrid(
        np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij"
    )
    planes = np.stack([rows, columns], axis=-1).astype(np.float32)

    def show(obs: Array) -> Array:
        return jnp.concatenate([obs.astype(jnp.float32), jnp.asarray(planes)], axis=-1)

    return transform_observation(env, show, Box((height, width, channels + 2), "float32", -1, 1))


def speed(name: str, over: str) -> Callable[[Key, Curves], Effect]:
    """Make the effect: the speed of one network over that of another, from training segments."""

    def effect(key: Key, curves: Curves) -> Effect:
        x, y = (_of_segments(curves.sel(network=each)) for each in (name, over))
        return stats.compare(key, x, y, faster, paired=False)

    return effect


def faster(x: Array, y: Array) -> Array:
    """Compute the ratio of speeds, f32[segments, environments] of each -> f32[]."""
    return jnp.mean(stats.median(x, axis=0) / stats.median(y, axis=0))


def _of_segments(curves: Curves) -> Array:
    rates = curves["steps_per_second"].transpose("step", "environment").values
    return jnp.stack([jnp.nanmedian(x, axis=0) for x in jnp.array_split(rates, SEGMENTS)])


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw scores, dormant units and rank against parameters; GAP against flattening by game."""
    plain, planes = curves["rainbow"], curves["coordinates"]
    flat = scores(plain, "flat-4")
    kinds = {"gap-4": scores(plain, "gap-4"), "with coordinates": scores(planes, "gap-4")}
    rows = [
        row(
            f"{game}: {kind}",
            stats.difference(key, x[:, i : i + 1], flat[:, i : i + 1], paired=True),
        )
        for i, game in enumerate(str(x) for x in plain["environment"].values)
        for kind, x in kinds.items()
    ]
    return (
        against_parameters(key, "Rainbow: final score", plain, FAMILIES),
        against_parameters(
            key, "Rainbow: dormant units", curves=plain, families=FAMILIES, metric="block_dormant"
        ),
        against_parameters(
            key, "Rainbow: srank per unit", curves=plain, families=FAMILIES, metric="block_srank"
        ),
        Intervals(
            title="Final score less that of flat-4",
            x="95 % interval",
            rows=tuple(rows),
            against=0.0,
            smallest=0.05,
        ),
    )


RAINBOW = ("rainbow",)
CHOSEN = ("flat-1", "flat-4", "gap-1", "gap-4")
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "With GAP, networks gain more by each doubling of their scale.",
            RAINBOW,
            steeper("gap", "flat"),
            MORE,
            smallest=0.01,
            unit="normalized score per doubling",
        ),
        Claim(
            "At scale 4 fewer units of the dense layer are dormant with it (D1, tau 0.1).",
            RAINBOW,
            less_of("block_dormant", "gap-4", "flat-4"),
            LESS,
            unit="share of units",
        ),
        Claim("At scale 4 it scores more.", RAINBOW, gain("gap-4", "flat-4"), MORE),
        Claim(
            "At scale 4 it is no slower.",
            RAINBOW,
            speed("gap-4", "flat-4"),
            MORE,
            smallest=0.0,
            against=1.0,
            unit="times as fast",
            counted="segments",
            gates=(),
        ),
    ),
    figure,
    gates=(
        reaches(
            "learns",
            "The flattened network learns every game.",
            arm="rainbow",
            bound=0.1,
            score=finals("flat-1"),
        ),
        reaches(
            "GAP learns",
            "So does GAP: where things are is not all that matters.",
            arm="rainbow",
            bound=0.1,
            score=finals("gap-1"),
            remedy="games or encoders with which averages tell enough",
        ),
        Gate(
            "scale fails",
            "Flattened networks gain nothing by each doubling, as the paper begins with.",
            over=RAINBOW,
            measure=slope("flat"),
            direction=LESS,
            bound=0.01,
            unit="normalized score per doubling",
            remedy="a task that networks lose on by growing",
        ),
    ),
    quick=Budget((minatar.CATCH,), 4, 8_000, CHOSEN),
    standard=Budget((minatar.CATCH,), 8, 4e4, CHOSEN, first_seed=1000),
    full=Budget(minatar.FOUR_GAMES, 16, 1e6, tuple(networks(512, (16, 32))), first_seed=2000),
)
