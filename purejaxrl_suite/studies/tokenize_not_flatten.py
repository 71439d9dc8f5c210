"""Is it the experts that let networks grow, or that a feature map is cut into tokens?

Paper: Sokar et al. 2024, Don't flatten, tokenize! Unlocking the key to SoftMoE's efficacy in deep
    RL, arXiv 2410.01930.
Figure: its ablation of Soft MoE part by part, with Rainbow at four times the size; there of 20
    Atari games with 200M frames, here of MinAtar.
Claim: one expert four times as wide does what four experts do; a single dense layer on each token,
    summed over tokens, gains most of it without any expert; where tokens are is what counts.

Networks are Dopamine's encoder for MinAtar and one layer of 4 x 512 units, or what stands in its
place: `sum-4` is that layer on tokens of 16 numbers, `soft-1 of 4` one expert that wide. `extra` is
a second dense layer, back to the size of the encoder's output, which an expert has and a dense
baseline has not. The paper does not expect its findings of DQN; that is measured, not claimed.
`quick` is Catch with 32 units, fewer networks and 8,000 steps, in which a dense layer learns most
of it: it says nothing of games.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.rainbow import RainbowConfig
from purejaxrl_suite.core.types import Environment, Key, Network
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.architectures import against_parameters, gain, q_network, with_replay
from purejaxrl_suite.studies.protocol import (
    EQUAL,
    LESS,
    MORE,
    Arm,
    Budget,
    Claim,
    Curves,
    Intervals,
    Panel,
    Study,
    row,
)

UNITS, QUICK_UNITS = 512, 32
SCALE = 4
ATOMS = RainbowConfig().atoms
CHANNELS = 16
"""Of the encoder, at each cell of the board."""
DENSE, SUM, SOFT, ONE = "dense-4", "sum-4", "soft-4", "soft-1 of 4"
Build = Callable[[Environment], Network]


def networks(units: int, **options: Any) -> dict[str, Build]:
    """All networks by name."""
    wide = SCALE * units

    def of(bridge: nets.Bridge, units: int = wide) -> Build:
        return q_network(units, bridge, **options)

    def extra(env: Environment) -> Network:
        cells = env.observation.shape[0] * env.observation.shape[1]
        return q_network(wide, hidden=(wide, cells * CHANNELS), **options)(env)

    def tokens(cut: nets.Tokens, reduce: Any = jnp.sum) -> Build:
        return of(nets.tokenised(reduce, cut))

    def one(**slots: Any) -> Build:
        return of(nets.mixture(nets.soft(**slots), 1))

    return {
        "dense-1": of(nets.flatten(), units),
        DENSE: of(nets.flatten()),
        f"{DENSE} extra": extra,
        "sum-1": of(nets.tokenised(), units),
        SUM: tokens(nets.per_conv()),
        "mean-4": tokens(nets.per_conv(), jnp.mean),
        f"{SUM} shuffled": tokens(nets.shuffled(nets.per_conv())),
        f"{SUM} PerFeat": tokens(nets.per_feat()),
        f"{SUM} PerPatch": tokens(nets.per_patch()),
        SOFT: of(nets.mixture(nets.soft(), SCALE), units),
        ONE: one(),
        f"{ONE}, 10 slots": one(slots=10),
        f"{ONE}, 1 slot": one(slots=1),
        "choice-1 of 4": of(nets.mixture(nets.expert_choice(), 1)),
        "choice-4": of(nets.mixture(nets.expert_choice(), SCALE), units),
    }


def arms(budget: Budget) -> dict[str, Arm]:
    """Rainbow with the networks of a budget, DQN with those that the claims are about."""
    units = UNITS if budget == STUDY.full else QUICK_UNITS
    chosen = {n: x for n, x in networks(units, atoms=ATOMS).items() if n in budget.treatments}
    few = {n: x for n, x in networks(units).items() if n in (DENSE, SUM)}
    return {
        "rainbow": with_replay(budget, "rainbow", chosen),
        "dqn": with_replay(budget, "dqn", few),
    }


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Scores, dormant units and rank against parameters; every network against the dense one."""
    of_rainbow = curves["rainbow"]
    names = [str(name) for name in of_rainbow["network"].values if name != DENSE]
    found = {f"Rainbow: {name}": gain(name, DENSE)(key, of_rainbow) for name in names}
    found[f"DQN: {SUM}"] = gain(SUM, DENSE)(key, curves["dqn"])
    rows = tuple(row(label, one) for label, one in found.items())
    families = ("dense", "sum")
    return (
        against_parameters(key, "Rainbow: final score", of_rainbow, families),
        against_parameters(key, "Rainbow: dormant units", of_rainbow, families, "block_dormant"),
        against_parameters(key, "Rainbow: srank per unit", of_rainbow, families, "block_srank"),
        Intervals("Final score less that of dense-4", "95 % interval", rows, 0.0, 0.05),
    )


RAINBOW = ("rainbow",)
STUDY = Study(
    __doc__,
    arms,
    (
        Claim("One expert four times as wide equals four.", RAINBOW, gain(ONE, SOFT), EQUAL),
        Claim(
            "A layer on each token, summed, is better than a dense layer as wide.",
            RAINBOW,
            gain(SUM, DENSE),
            MORE,
        ),
        Claim(
            "Tokens of positions are better than shuffled ones.",
            RAINBOW,
            gain(SUM, f"{SUM} shuffled"),
            MORE,
        ),
        Claim(
            "A second dense layer does not help the dense one.",
            RAINBOW,
            gain(f"{DENSE} extra", DENSE),
            LESS,
            smallest=0.0,
            against=0.05,
        ),
    ),
    figure,
    quick=Budget(
        (minatar.CATCH,),
        4,
        8_000,
        (DENSE, f"{DENSE} extra", SUM, f"{SUM} shuffled", SOFT, ONE),
    ),
    full=Budget(minatar.FOUR_GAMES, 16, 1e6, tuple(networks(UNITS))),
)
