"""Is it the experts that let networks grow, or that a feature map is cut into tokens?

Paper: Sokar et al. 2024, Don't flatten, tokenize! Unlocking the key to SoftMoE's efficacy in deep
    RL, arXiv 2410.01930.
Figure: its ablation of Soft MoE part by part, with Rainbow at four times the size; there of 20
    Atari games with 200M frames, here of MinAtar.
Claim: one expert four times as wide does what four experts do; a single dense layer on each token,
    summed over tokens, gains most of it without any expert; where tokens are is what counts.

Networks are three convolutions and one layer of 4 x 512 units, or its replacement: `sum-4` is that
layer on tokens of 16 numbers, `soft-1 of 4` one expert of that width. `extra` is a second dense
layer, back to the size of the encoder's output, which an expert has and a dense baseline does not.
Each of the 5 x 5 tokens sees the whole board (our setting): a sum over tokens that see 3 x 3 cells
does not say where things are, and would fail for another reason than the paper's. `full` trains
Rainbow, and also DQN, for which the paper does not expect its findings: this is measured, not
claimed. `standard` trains PQN with LayerNorm and 4 x 64 units, at a tenth of the cost; the paper
has no PQN, so this asks whether the finding carries over. `quick` is Rainbow on Catch with
Dopamine's encoder and 32 units: it says nothing about games.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.rainbow import RainbowConfig
from purejaxrl_suite.core.types import Environment, Key, Network
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.architectures import (
    BOARD,
    FIELD,
    against_parameters,
    finals,
    gain,
    q_network,
    with_pqn,
    with_replay,
)
from purejaxrl_suite.studies.gates import LEARNT, reaches
from purejaxrl_suite.studies.panels import Intervals, Panel, row
from purejaxrl_suite.studies.protocol import EQUAL, LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.sweeps.experiment import Experiment

UNITS, STANDARD_UNITS, QUICK_UNITS = 512, 64, 32
AGENT = "agent"
SCALE = 4
ATOMS = RainbowConfig().atoms
CHANNELS = 16
"""Channels of the encoder at each cell of the board."""
DENSE, SUM, SOFT, ONE = "dense-4", "sum-4", "soft-4", "soft-1 of 4"
Build = Callable[[Environment], Network]


def networks(units: int, stride: int, **options: Any) -> dict[str, Build]:
    """Return all networks by name; tokens are all cells, or every second row and column."""
    wide, options = SCALE * units, {"encoder": {1: BOARD, 2: FIELD}[stride]} | options

    def finals(bridge: nets.Bridge, units: int = wide) -> Build:
        return q_network(units, bridge, **options)

    def extra(env: Environment) -> Network:
        cells = math.prod(-(-side // stride) for side in env.observation.shape[:2])
        return q_network(wide, hidden=(wide, cells * CHANNELS), **options)(env)

    def tokens(cut: nets.Tokens, reduce: Any = jnp.sum) -> Build:
        return finals(nets.tokenised(reduce, cut))

    def one(**slots: Any) -> Build:
        return finals(nets.mixture(nets.soft(**slots), 1))

    return {
        "dense-1": finals(nets.flatten(), units),
        DENSE: finals(nets.flatten()),
        f"{DENSE} extra": extra,
        "sum-1": finals(nets.tokenised(), units),
        SUM: tokens(nets.per_conv()),
        "mean-4": tokens(nets.per_conv(), jnp.mean),
        f"{SUM} shuffled": tokens(nets.shuffled(nets.per_conv())),
        f"{SUM} PerFeat": tokens(nets.per_feat()),
        f"{SUM} PerPatch": tokens(nets.per_patch()),
        SOFT: finals(nets.mixture(nets.soft(), SCALE), units),
        ONE: one(),
        f"{ONE}, 10 slots": one(slots=10),
        f"{ONE}, 1 slot": one(slots=1),
        "choice-1 of 4": finals(nets.mixture(nets.expert_choice(), 1)),
        "choice-4": finals(nets.mixture(nets.expert_choice(), SCALE), units),
    }


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: Rainbow with the networks of a budget and DQN with two; or only PQN (standard)."""
    if budget == STUDY.standard:
        known = networks(STANDARD_UNITS, 2, layer_norm=True)
        return {AGENT: with_pqn(budget, {name: known[name] for name in budget.treatments})}
    size = (UNITS, 2) if budget == STUDY.full else (QUICK_UNITS, 1)
    known, plain = networks(*size, atoms=ATOMS), networks(*size)
    return {
        AGENT: with_replay(budget, "rainbow", {name: known[name] for name in budget.treatments}),
        "dqn": with_replay(budget, "dqn", {name: plain[name] for name in (DENSE, SUM)}),
    }


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw scores, dormant units and rank against parameters; networks against the dense one."""
    plain = curves[AGENT]
    names = [str(name) for name in plain["network"].values if name != DENSE]
    found = {name: gain(name, DENSE)(key, plain) for name in names}
    if "dqn" in curves:
        found[f"DQN: {SUM}"] = gain(SUM, DENSE)(key, curves["dqn"])
    rows = tuple(row(label, one) for label, one in found.items())
    families = ("dense", "sum")
    return (
        against_parameters(key, "Final score", plain, families),
        against_parameters(
            key, "Dormant units", curves=plain, families=families, metric="block_dormant"
        ),
        against_parameters(
            key, "Srank per unit", curves=plain, families=families, metric="block_srank"
        ),
        Intervals(
            title="Final score less that of dense-4",
            x="95 % interval",
            rows=rows,
            against=0.0,
            smallest=0.05,
        ),
    )


THIS = (AGENT,)
LEARN = ("learns", "tokens learn")
CHOSEN = ("dense-1", DENSE, f"{DENSE} extra", "sum-1", SUM, f"{SUM} shuffled", SOFT, ONE)
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "One expert four times as wide equals four.",
            THIS,
            gain(ONE, SOFT),
            EQUAL,
            gates=("learns", "experts learn"),
        ),
        Claim(
            "A layer on each token, summed, is better than a dense layer as wide.",
            THIS,
            gain(SUM, DENSE),
            MORE,
            gates=(*LEARN, "width fails"),
        ),
        Claim(
            "Tokens of positions are better than shuffled ones.",
            THIS,
            gain(SUM, f"{SUM} shuffled"),
            MORE,
            gates=LEARN,
        ),
        Claim(
            "A second dense layer does not help the dense one.",
            THIS,
            gain(f"{DENSE} extra", DENSE),
            LESS,
            smallest=0.0,
            against=0.05,
            gates=("learns",),
        ),
    ),
    figure,
    gates=(
        reaches(
            "learns",
            "A dense layer learns every game.",
            arm=AGENT,
            bound=LEARNT,
            score=finals("dense-1"),
        ),
        reaches(
            "tokens learn",
            "So does a layer on each token.",
            arm=AGENT,
            bound=LEARNT,
            score=finals("sum-1"),
        ),
        reaches(
            "experts learn", "So do four experts.", arm=AGENT, bound=LEARNT, score=finals(SOFT)
        ),
        Gate(
            "width fails",
            "A dense layer gains nothing by being four times as wide, as the paper begins with.",
            over=THIS,
            measure=gain(DENSE, "dense-1"),
            direction=LESS,
            bound=0.05,
            unit="normalized score",
            remedy="a task or an agent that loses by width",
        ),
    ),
    quick=Budget((minatar.CATCH,), 4, 8_000, CHOSEN),
    standard=Budget(("Breakout-MinAtar",), 8, 3e5, CHOSEN, first_seed=4000),
    full=Budget(minatar.FOUR_GAMES, 16, 1e6, tuple(networks(UNITS, 2)), first_seed=2000),
)
