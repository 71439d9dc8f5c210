"""Which parts of BBF let it learn more from each step, and from wider networks?

Paper: Schwarzer et al. 2023, Bigger, better, faster: human-level Atari with human-level efficiency,
    arXiv 2305.19452.
Figure: its ablations at replay ratios 2 and 8 and its curves over the width of the encoder; there
    of 26 Atari games and 100k steps, here of MinAtar and 100k steps (full) or of Catch (quick).
Claim: periodic resets and the annealed n of returns are what makes high replay ratios pay, and
    wider encoders then help, which they do not in SR-SPR.

All arms have one network, Impala's encoder with 16, 32 and 32 channels times the width, pooled once
(the board has 10 x 10 cells), and only differ in settings: SR-SPR is BBF with fixed n = 10 and
discount 0.99, softer resets and no weight decay. Boards are not augmented. All times are the
paper's, as shares of its training of 100k steps. So `quick` resets as often as `full`, but after a
few hundred gradient steps instead of 40,000: it is no evidence on the paper's resets. `standard` is
longer by half, and a gate must say whether members relearn what a reset removes. The encoders of
`quick` and `standard` are narrower than 1 and without residual blocks, to be affordable on a CPU,
and the hidden layer shrinks with them. `full` takes days on one GPU (estimated).
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets, stats
from purejaxrl_suite.agents.bbf import BBFConfig, BBFHypers, bbf
from purejaxrl_suite.core.types import Array, Environment, Key
from purejaxrl_suite.nets import SelfPredictive
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.gates import LEARNT, reaches
from purejaxrl_suite.studies.minatar import CATCH, board
from purejaxrl_suite.studies.panels import Intervals, Line, Lines, Panel, line, row
from purejaxrl_suite.studies.protocol import LESS, MORE, Budget, Claim, Curves, Study
from purejaxrl_suite.studies.scores import estimated, normalized_scores
from purejaxrl_suite.sweeps.axes import Points, fields
from purejaxrl_suite.sweeps.experiment import Experiment

RATIOS = (2, 8)
CHANNELS, HIDDEN = (16, 32, 32), 512
SOFTER = {"shrink": 0.8, "perturb": 0.2}
FIXED = {"n_step": 10.0, "start_n_step": 10.0}
TREATMENTS = {
    "BBF": {},
    "no resets": {"reset_period": 0.0},
    "no harder resets": SOFTER,
    "n = 10": FIXED,
    "SR-SPR": SOFTER | FIXED | {"gamma": 0.99, "start_gamma": 0.99, "weight_decay": 0.0},
}
RANKS = "rank correlation"


def network(width: float) -> Callable[[Environment], SelfPredictive]:
    """Make BBF's network for a board, with an encoder of `width` (see above if below 1)."""
    channels = tuple(round(width * n) for n in CHANNELS)
    hidden = round(HIDDEN * min(width, 1.0))

    def build(env: Environment) -> SelfPredictive:
        encoder = nets.impala(channels, blocks=2 if width >= 1.0 else 0, pooled=1)
        return nets.self_predictive(env.observation, env.action, encoder=encoder, hidden=(hidden,))

    return build


def settings(steps: float, ratio: int) -> Points:
    """Make all treatments at a replay ratio; resets come after equally many gradient steps."""
    base = BBFHypers(
        value_low=-10.0,
        value_high=100.0,
        min_history=0.02 * steps,
        epsilon_decay_steps=0.02 * steps,
        anneal_steps=0.1 * steps,
        reset_period=0.4 * steps / ratio,
        no_resets_after=steps,
    )
    rows = [fields(base._replace(**changes)) for changes in TREATMENTS.values()]
    varied = {name for changes in TREATMENTS.values() for name in changes}
    values = {name: [row[name] for row in rows] for name in fields(base) if name in varied}
    return Points(base, values, {"treatment": list(TREATMENTS)})


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make a sweep for each replay ratio, over treatments and over the widths of a budget."""
    return {
        f"ratio-{ratio}": Experiment(
            bbf,
            [board(id) for id in budget.environments],
            budget.seed_numbers,
            budget.steps,
            settings(budget.steps, ratio),
            BBFConfig(gradient_steps=ratio, group=ratio, capacity=int(budget.steps)),
            {width: network(float(width)) for width in budget.treatments},
        )
        for ratio in RATIOS
    }


def scores(curves: Curves, treatment: str) -> Array:
    """Compute normalized final scores f32[S, environments, widths]."""
    found = normalized_scores(curves.sel(treatment=treatment))  # [S, widths, environments]
    return jnp.moveaxis(found, 1, -1)


def lead(treatment: str) -> Callable[[Key, Curves], Effect]:
    """Make the effect: BBF's lead over a treatment, over all games and widths."""

    def effect(key: Key, curves: Curves) -> Effect:
        pair = scores(curves, "BBF"), scores(curves, treatment)
        return stats.difference(key, *pair, paired=True)

    return effect


def of(treatment: str) -> Callable[[Curves], Array]:
    """Make the function to normalized final scores f32[S, widths, environments]."""
    return lambda curves: normalized_scores(curves.sel(treatment=treatment))


def gains(key: Key, more: Curves, less: Curves) -> Effect:
    """Estimate BBF's gain from the higher replay ratio."""
    return stats.difference(key, scores(more, "BBF"), scores(less, "BBF"), paired=True)


def growth(values: Array) -> Array:
    """Compute the mean rank correlation of f32[S, environments, widths] with the width."""
    return stats.page(jax.random.key(0), values, permutations=1).effect


def over_widths(treatment: str) -> Callable[[Key, Curves], Effect]:
    """Make the effect: the growth of scores with the width."""

    def effect(key: Key, curves: Curves) -> Effect:
        return estimated(key, scores(curves, treatment), growth)

    return effect


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw BBF's leads at both replay ratios, and scores against widths."""
    label = "BBF less this [normalized score], 95 % interval"
    others = [name for name in TREATMENTS if name != "BBF"]
    ahead = tuple(
        Intervals(
            f"Replay ratio {ratio}",
            label,
            tuple(row(name, lead(name)(key, curves[f"ratio-{ratio}"])) for name in others),
            against=0.0,
            smallest=0.05,
        )
        for ratio in RATIOS
    )
    wide = tuple(
        Lines(
            f"Width, replay ratio {ratio}",
            "width of the encoder",
            "normalized score",
            tuple(_by_width(key, name, curves[f"ratio-{ratio}"]) for name in TREATMENTS),
            logarithmic=True,
        )
        for ratio in RATIOS
    )
    return *ahead, *wide


def _by_width(key: Key, treatment: str, curves: Curves) -> Line:
    found = stats.estimate(key, scores(curves, treatment), _iqm_of_widths)
    return line(treatment, [float(width) for width in curves["network"].values], found)


def _iqm_of_widths(values: Array) -> Array:
    """f32[S, environments, widths] -> f32[widths]."""
    return jax.vmap(stats.iqm, in_axes=-1)(values)


HIGH = ("ratio-8",)
STUDY = Study(
    __doc__,
    arms,
    (
        Claim("Resets help at replay ratio 8.", HIGH, lead("no resets"), MORE),
        Claim("Harder resets help at replay ratio 8.", HIGH, lead("no harder resets"), MORE),
        Claim("Annealing n helps at replay ratio 8.", HIGH, lead("n = 10"), MORE),
        Claim(
            "Wider encoders help BBF at replay ratio 8.",
            HIGH,
            over_widths("BBF"),
            MORE,
            smallest=0.3,
            unit=RANKS,
        ),
        Claim(
            "They do not help SR-SPR there: what there is of a trend is below 0.3.",
            HIGH,
            over_widths("SR-SPR"),
            LESS,
            smallest=0.0,
            against=0.3,
            unit=RANKS,
        ),
        Claim(
            "BBF loses nothing at replay ratio 8 against 2: less than 0.05.",
            ("ratio-8", "ratio-2"),
            gains,
            MORE,
            smallest=0.0,
            against=-0.05,
        ),
    ),
    figure,
    gates=(
        reaches(
            "learns",
            "SR-SPR learns at replay ratio 2.",
            arm="ratio-2",
            bound=LEARNT,
            score=of("SR-SPR"),
        ),
        reaches(
            "recovers",
            "BBF learns at replay ratio 8: what its resets throw away is learnt again.",
            arm="ratio-8",
            bound=LEARNT,
            score=of("BBF"),
            remedy="more steps between resets",
        ),
    ),
    quick=Budget((CATCH,), 2, 1000, ("0.125", "0.25")),
    standard=Budget((CATCH,), 8, 1500, ("0.125", "0.25"), first_seed=1000),
    full=Budget(("Asterix-MinAtar", "Breakout-MinAtar"), 8, 1e5, ("1", "2", "4"), first_seed=2000),
)
