"""Do mixtures of experts make larger networks worth it, where wider layers do not?

Paper: Obando-Ceron et al. 2024, Mixtures of experts unlock parameter scaling for deep RL,
    arXiv 2402.08609.
Figure: its figures on returns of Rainbow and DQN against the number of experts, with kinds of
    tokens and a random router beside; there of 20 Atari games with 200M frames, here of MinAtar.
Claim: with Soft MoE in place of the penultimate layer Rainbow and DQN gain with every expert, a
    layer as many times as wide loses, top-1 routing does not scale; PPO on vectors gains nothing.

Networks are Dopamine's encoder for MinAtar, one layer or mixture of 512 units (of each expert), and
a linear head: `dense-8` is a layer of 8 x 512 units, `soft-8` has eight experts on tokens of 16
numbers, with far fewer parameters than `dense-1`. Scores are normalized by game. A slope is the
score gained per doubling, of each member. PPO has two layers of 64 units on the flat board, the
second one a mixture of experts with a single token, and ten times as many steps; the paper's PPO
learns continuous control. `quick` and `standard` are Catch with 32 units and fewer sizes, for 8,000
steps, in which a dense layer learns most of the game, and 16,000: they say nothing about games.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.rainbow import RainbowConfig
from purejaxrl_suite.core.types import Environment, Key, Network
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.architectures import (
    SCORE,
    against_parameters,
    finals,
    gain,
    less_of,
    q_network,
    slope,
    steeper,
    with_ppo,
    with_replay,
)
from purejaxrl_suite.studies.gates import reaches
from purejaxrl_suite.studies.panels import Intervals, Panel, row
from purejaxrl_suite.studies.protocol import EQUAL, LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.sweeps.experiment import Experiment

SIZES = (1, 2, 4, 8)
UNITS, QUICK_UNITS = 512, 32
FAMILIES = ("dense", "soft", "top1")
ATOMS = RainbowConfig().atoms
Build = Callable[[Environment], Network]


def networks(units: int, **options: Any) -> dict[str, Build]:
    """Return all networks by name."""
    soft, top = nets.soft, nets.top_k

    def mixed(router: nets.Router, size: int, tokens: nets.Tokens | None = None) -> Build:
        return q_network(units, nets.mixture(router, size, tokens), **options)

    families = {f"dense-{n}": q_network(n * units, **options) for n in SIZES}
    families |= {f"soft-{n}": mixed(soft(), n) for n in SIZES}
    families |= {f"top1-{n}": mixed(top(1), n) for n in SIZES}
    return families | {
        "soft-8 PerFeat": mixed(soft(), 8, nets.per_feat()),
        "soft-8 PerSamp": mixed(soft(), 8, nets.per_samp()),
        "soft-8 PerPatch": mixed(soft(), 8, nets.per_patch()),
        "soft-8 random Phi": mixed(soft(learned=False), 8),
        "soft-8 of 1/8": q_network(units // 8, nets.mixture(soft(), 8), **options),
    }


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: Rainbow with all networks, DQN without variants, PPO with and without experts."""
    small = budget.environments == (minatar.CATCH,)
    units = QUICK_UNITS if small else UNITS
    chosen = {n: x for n, x in networks(units, atoms=ATOMS).items() if n in budget.treatments}
    few = {n: x for n, x in networks(units).items() if n in chosen and " " not in n}
    few = {n: few[n] for n in ("dense-8", "soft-8")} if small else few
    return {
        "rainbow": with_replay(budget, "rainbow", chosen),
        "dqn": with_replay(budget, "dqn", few),
        "ppo": with_ppo(
            budget._replace(steps=10 * budget.steps),
            {"dense-1": _actor_critic(None), "soft-8": _actor_critic(8)},
        ),
    }


def _actor_critic(experts: int | None) -> Build:
    bridge = nets.penultimate(nets.soft(), experts) if experts else nets.flatten()

    def build(env: Environment) -> Network:
        options = {"hidden": (64, 64), "activation": jax.nn.relu, "encoder": nets.flat()}
        return nets.actor_critic(env.observation, env.action, bridge=bridge, **options)

    return build


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw scores, dormant units and rank against parameters; direct comparisons."""
    of_rainbow, of_dqn = curves["rainbow"], curves["dqn"]
    panels: list[Panel] = [
        against_parameters(key, "Rainbow: final score", of_rainbow, FAMILIES),
        against_parameters(
            key,
            "Rainbow: dormant units",
            curves=of_rainbow,
            families=FAMILIES,
            metric="block_dormant",
        ),
        against_parameters(
            key,
            "Rainbow: srank per unit",
            curves=of_rainbow,
            families=FAMILIES,
            metric="block_srank",
        ),
        against_parameters(key, "DQN: final score", of_dqn, FAMILIES),
    ]
    pairs = {
        "Rainbow: soft-8, dense-8": gain("soft-8", "dense-8")(key, of_rainbow),
        "Rainbow: soft-8, random Phi": gain("soft-8", "soft-8 random Phi")(key, of_rainbow),
        "Rainbow: soft-8, PerSamp": gain("soft-8", "soft-8 PerSamp")(key, of_rainbow),
        "DQN: soft-8, dense-8": gain("soft-8", "dense-8")(key, of_dqn),
        "PPO: soft-8, dense-1": gain("soft-8", "dense-1")(key, curves["ppo"]),
    }
    rows = tuple(row(label, found) for label, found in pairs.items())
    label = "first less second, 95 % interval"
    return *panels, Intervals(
        title="Differences of final scores", x=label, rows=rows, against=0.0, smallest=0.05
    )


PER_DOUBLING = f"{SCORE} per doubling"
RAINBOW, DQN, PPO = ("rainbow",), ("dqn",), ("ppo",)
CHOSEN = (
    "dense-1",
    "dense-8",
    "soft-1",
    "soft-8",
    "top1-1",
    "top1-8",
    "soft-8 PerSamp",
    "soft-8 random Phi",
)
LEARN = ("learns", "experts learn")
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "Rainbow scores more with eight soft experts than with a layer eight times as wide.",
            RAINBOW,
            gain("soft-8", "dense-8"),
            MORE,
            gates=(*LEARN, "width fails"),
        ),
        Claim(
            "Rainbow gains with every doubling of soft experts.",
            RAINBOW,
            slope("soft"),
            MORE,
            smallest=0.01,
            unit=PER_DOUBLING,
            gates=(*LEARN, "width fails"),
        ),
        Claim(
            "It gains more than with every doubling of a layer's width.",
            RAINBOW,
            steeper("soft", "dense"),
            MORE,
            smallest=0.01,
            unit=PER_DOUBLING,
            gates=(*LEARN, "width fails"),
        ),
        Claim(
            "Fewer units of eight experts are dormant than of the wide layer (D1, tau 0.1).",
            RAINBOW,
            less_of("block_dormant", "soft-8", "dense-8"),
            LESS,
            unit="share of units",
            gates=LEARN,
        ),
        Claim(
            "Top-1 routing does not scale better than Soft MoE.",
            RAINBOW,
            steeper("soft", "top1"),
            MORE,
            smallest=0.0,
            against=-0.01,
            unit=PER_DOUBLING,
            gates=LEARN,
        ),
        Claim(
            "A learnt Phi is better than a random one.",
            RAINBOW,
            gain("soft-8", "soft-8 random Phi"),
            MORE,
            gates=LEARN,
        ),
        Claim(
            "Tokens of positions are better than one of all.",
            RAINBOW,
            gain("soft-8", "soft-8 PerSamp"),
            MORE,
            gates=LEARN,
        ),
        Claim(
            "So it is with DQN and eight experts.",
            DQN,
            gain("soft-8", "dense-8"),
            MORE,
            gates=(*LEARN, "dqn learns"),
        ),
        Claim(
            "PPO on vectors gains and loses nothing.",
            PPO,
            gain("soft-8", "dense-1"),
            EQUAL,
            gates=("ppo learns",),
        ),
    ),
    figure,
    gates=(
        reaches(
            "learns",
            "Rainbow's dense layer learns every game.",
            arm="rainbow",
            bound=0.1,
            score=finals("dense-1"),
        ),
        reaches(
            "experts learn",
            "So does one soft expert.",
            arm="rainbow",
            bound=0.1,
            score=finals("soft-1"),
        ),
        Gate(
            "width fails",
            "A wider layer gains nothing by each doubling, as the paper begins with.",
            over=RAINBOW,
            measure=slope("dense"),
            direction=LESS,
            bound=0.01,
            unit=PER_DOUBLING,
            remedy="a task that networks lose on by growing",
        ),
        reaches(
            "dqn learns",
            "DQN's wide layer learns every game.",
            arm="dqn",
            bound=0.1,
            score=finals("dense-8"),
        ),
        reaches(
            "ppo learns",
            "PPO learns every game.",
            arm="ppo",
            bound=0.1,
            score=finals("dense-1"),
        ),
    ),
    quick=Budget((minatar.CATCH,), 4, 8_000, CHOSEN),
    standard=Budget((minatar.CATCH,), 8, 1.6e4, CHOSEN, first_seed=1000),
    full=Budget(minatar.FOUR_GAMES, 16, 1e6, tuple(networks(UNITS)), first_seed=2000),
)
