"""Selection rules: successive halving and population-based training, pure functions on the host.

A population has C configurations; the unit is a configuration with all its seeds. At a rung a
function

    select(key, scores f32[C], hypers {name: f32[C]}) -> Selection

decides. Larger scores are better; -inf is a configuration that cannot continue (`Standing`). It may
be any function whose number of configurations C' depends on C only; arrays are numpy's.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite.core.argument import number, wrong
from purejaxrl_suite.core.types import Key
from purejaxrl_suite.search import Quantile
from purejaxrl_suite.stats import final_score, iqm, with_diverged


class Selection(NamedTuple):
    """A decision: C' <= C configurations in place of C.

    source: i32[C'], the configuration whose state each one continues. hypers: {name: f32[C']}, in
    force from now on. fresh: bool[C'], which ones start from scratch, so that `source` is ignored.
    """

    source: Any
    hypers: Mapping[str, Any]
    fresh: Any


Select = Callable[[Key, np.ndarray, Mapping[str, np.ndarray]], Selection]


def successive_halving(keep: float = 0.5, sample: Mapping[str, Quantile] | None = None) -> Select:
    """Make the rule that keeps the best share: Jamieson and Talwalkar 2015 (arXiv 1502.07943).

    Args:
        keep: the share, in (0, 1), rounded down to whole configurations, at least one.
        sample: None drops the others. Ranges by hyper-parameter, as in `search.random`, replace
            them (and all that diverged) by new configurations; hyper-parameters without a range
            keep the values of the slot.

    Returns:
        The rule, for `evolve(select=...)`.

    Raises:
        ValueError: the share or a range is invalid.

    Example:
        >>> rule = pjs.successive_halving(keep=0.5)
        >>> scores, rates = np.array([3.0, 1.0]), np.array([1e-3, 1e-2])
        >>> rule(jax.random.key(0), scores, {"learning_rate": rates}).source
        array([0])
    """
    if not 0.0 < number("keep", keep) < 1.0:
        raise ValueError(f"keep: expected a share in (0, 1), got {keep}")
    if sample is not None and not isinstance(sample, Mapping):
        raise wrong("sample", "{hyper-parameter: uniform(...) or another range}", sample)
    ranges = dict(sample or {})
    for name, quantile in ranges.items():
        if not callable(quantile):
            raise ValueError(f"sample: {name}: expected such as uniform(...), got {quantile!r}")

    def select(key: Key, scores: np.ndarray, hypers: Mapping[str, np.ndarray]) -> Selection:
        count = len(scores)
        best = np.sort(ranking(scores)[: max(1, _part(keep, count))])
        if not ranges:
            kept = {name: values[best] for name, values in hypers.items()}
            return Selection(best, kept, np.zeros(len(best), bool))
        fresh = ~np.isin(np.arange(count), best) | ~np.isfinite(scores)
        unit = np.asarray(jax.random.uniform(key, (len(ranges), count)), np.float64)
        drawn = {name: range_(unit[i]) for i, (name, range_) in enumerate(ranges.items())}
        new = {name: np.where(fresh, drawn.get(name, x), x) for name, x in hypers.items()}
        return Selection(np.arange(count), new | _unknown(drawn, hypers), fresh)

    return select


def population_based_training(
    bounds: Mapping[str, tuple[float, float]],
    *,
    exploit: float = 0.25,
    perturb: tuple[float, ...] = (0.8, 1.25),
) -> Select:
    """Make the rule of population-based training: Jaderberg et al. 2017 (arXiv 1711.09846).

    Truncation selection: each of the worst share `exploit` (and all that diverged) copies state and
    hyper-parameters of one of the best share, drawn uniformly. Then each hyper-parameter with
    bounds is multiplied by one of `perturb`, drawn uniformly, and clipped to its bounds. The share
    and the factors are our setting.

    Args:
        bounds: {hyper-parameter: (low, high)}; all others are copied unperturbed.
        exploit: a share in (0, 1/2], rounded down to whole configurations, at least one.
        perturb: factors.

    Returns:
        The rule, for `evolve(select=...)`.

    Raises:
        ValueError: bounds, share or factors are invalid.
    """
    if not 0.0 < number("exploit", exploit) <= 0.5:
        raise ValueError(f"exploit: expected a share in (0, 0.5], got {exploit}")
    if not isinstance(perturb, list | tuple) or not perturb:
        raise wrong("perturb", "positive factors, at least one", perturb)
    for i, factor in enumerate(perturb):
        if number(f"perturb[{i}]", factor) <= 0:
            raise wrong(f"perturb[{i}]", "a positive factor", factor)
    if not isinstance(bounds, Mapping) or not bounds:
        raise wrong("bounds", "{hyper-parameter: (low, high)}, at least one to perturb", bounds)
    for name, ends in bounds.items():
        if not isinstance(ends, list | tuple) or len(ends) != 2:
            raise wrong(f"bounds: {name}", "(low, high)", ends)
        low, high = (number(f"bounds: {name}", end) for end in ends)
        if not low < high:
            raise ValueError(f"bounds: {name}: expected low < high, got {low} and {high}")
    factors, limits = np.asarray(perturb, np.float32), dict(bounds)

    def select(key: Key, scores: np.ndarray, hypers: Mapping[str, np.ndarray]) -> Selection:
        count, alive, order = len(scores), np.isfinite(scores), ranking(scores)
        few = min(max(1, _part(exploit, count)), count // 2)
        best = order[:few][alive[order[:few]]]
        source, lost = np.arange(count), ~alive | np.isin(np.arange(count), order[count - few :])
        if len(best) == 0:  # no configuration to copy
            return Selection(source, dict(hypers), np.zeros(count, bool))
        pick_key, factor_key = jax.random.split(key)
        pick = np.asarray(jax.random.randint(pick_key, (count,), 0, len(best)))
        source = np.where(lost, best[pick], source)
        new = {name: values[source] for name, values in hypers.items()}
        chosen = np.asarray(jax.random.randint(factor_key, (len(limits), count), 0, len(factors)))
        for i, (name, (low, high)) in enumerate(limits.items()):
            if name in new:
                perturbed = np.clip(new[name] * factors[chosen[i]], low, high)
                new[name] = np.where(lost, perturbed, new[name])
        return Selection(source, new | _unknown(limits, hypers), np.zeros(count, bool))

    return select


class Rules(NamedTuple):
    """How configurations are selected.

    rungs: after which segments. window: segments before a rung over which `metric` is averaged.
    seed: random numbers depend on it and on the rung.
    """

    select: Select
    rungs: tuple[int, ...]
    metric: str
    window: int
    seed: int

    def choose(self, rung: int, scores: np.ndarray, hypers: dict[str, np.ndarray]) -> Selection:
        """Decide at a rung, counted from 1; raises ValueError for an invalid Selection."""
        key = jax.random.fold_in(jax.random.key(self.seed), rung)
        return checked(self.select(key, scores, dict(hypers)), hypers, len(scores))


def ranking(scores: np.ndarray) -> np.ndarray:
    """Return indices i32[C] from the best to the worst; ties in their order, NaN last."""
    return np.argsort(-np.asarray(scores), kind="stable")


def _part(share: float, count: int) -> int:
    return int(share * count + 1e-9)  # 0.29 * 100 is less than 29


def _unknown(given: Mapping[str, Any], hypers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyper-parameters that the agent lacks, kept so that `checked` can name them."""
    return {name: np.zeros(0) for name in given if name not in hypers}


def checked(selection: Any, hypers: Mapping[str, np.ndarray], count: int) -> Selection:
    """Convert the arrays of a selection to their types; ValueError if it is invalid.

    hypers: {name: f32[C]} before it. count: C.
    """
    if not isinstance(selection, Selection):
        raise ValueError(f"select must return a Selection, got {type(selection).__name__}")
    source, fresh = np.asarray(selection.source), np.asarray(selection.fresh)
    if not (source.ndim == 1 and 1 <= len(source) <= count and fresh.shape == source.shape):
        raise ValueError(
            f"select: source and fresh must have 1 to {count} configurations, "
            f"got {source.shape} and {fresh.shape}"
        )
    if not (np.all(source >= 0) and np.all(source < count)):
        raise ValueError(f"select: source must be in 0 .. {count - 1}, got {source.tolist()}")
    differing = sorted(set(selection.hypers) ^ set(hypers))
    if differing:
        raise ValueError(
            f"select: hypers must be {', '.join(hypers)}; differing: {', '.join(differing)}"
        )
    new = {name: np.asarray(selection.hypers[name], np.float32) for name in hypers}
    for name, values in new.items():
        if values.shape != source.shape or not np.all(np.isfinite(values)):
            raise ValueError(f"select: hypers.{name} must be {len(source)} finite numbers")
    return Selection(source.astype(np.int32), new, fresh.astype(bool))


def identities(ids: np.ndarray, selection: Selection, unused: int) -> np.ndarray:
    """Assign ids i32[C'] to the configurations after a selection among those with `ids` i32[C].

    One configuration continues under the id of each source: the one in the same place, or else the
    first. Another copy takes the id of the configuration that was dropped from its place, like a
    worker of a population. Fresh ones, and copies without such a place, get new ids, from `unused`
    on.
    """
    heirs: dict[int, int] = {}
    for place, (source, fresh) in enumerate(zip(selection.source, selection.fresh, strict=True)):
        if not fresh and (source not in heirs or source == place):
            heirs[int(source)] = place
    found = np.full(len(selection.source), -1, np.int32)
    for source, place in heirs.items():
        found[place] = ids[source]
    for place in np.flatnonzero(found < 0):
        if selection.fresh[place] or int(place) in heirs:
            found[place], unused = unused, unused + 1
        else:
            found[place] = ids[place]
    return found


class Standing(NamedTuple):
    """Scores of configurations at a rung.

    scores: f32[C], NaN if unknown. out: bool[C], which cannot continue: configurations without a
    score, or with a member that diverged, as its state would be copied.
    """

    scores: np.ndarray
    out: np.ndarray

    @property
    def told(self) -> np.ndarray:
        """Return the scores f32[C] for `Select`, -inf for configurations that cannot continue."""
        return np.where(self.out, np.float32(-np.inf), self.scores)


def standing(
    values: np.ndarray, episodes: np.ndarray | None, diverged: np.ndarray, random: float = np.nan
) -> Standing:
    """Score each configuration: the interquartile mean over seeds of `final_score` in a window.

    A member that diverged has the worst score of all (`stats.with_diverged`).

    Args:
        values: f32[C, S, U], in the updates of the window, as in `final_score`.
        episodes: f32[C, S, U], as in `final_score`.
        diverged: bool[C, S].
        random: score of a random policy, NaN if unknown.

    Returns:
        The scores.

    Raises:
        ValueError: no configuration without diverged members has a score.
    """
    members = final_score(values, episodes, share=1.0)
    whole = with_diverged(members[..., None], diverged[..., None], random)[..., 0]
    found, lost = np.asarray(iqm(whole, axis=1)), np.any(diverged, axis=1)
    unknown = np.all(np.isnan(np.asarray(members)), axis=1)
    if not np.all(lost) and np.all(lost | unknown):
        raise ValueError(f"expected a value before a rung, got none in {values.shape[-1]} updates")
    return Standing(found, lost | unknown)
