"""Names of metrics: `dormant_0.1` of all layers, `dormant_0.1.trunk.dense_0` of one layer."""

from collections.abc import Iterable, Mapping

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Metric


def named(metric: Metric, name: str) -> Metric:
    """Set the name of a metric in messages and run folders."""
    metric.__name__ = metric.__qualname__ = name  # pyright: ignore[reportFunctionMemberAccess]
    return metric


def fractions(
    name: str, units: Mapping[str, Array], judged_by: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """Compute the share of units for which bool[H] is True, in each layer and in all.

    Args:
        name: of the metric.
        units: by layer, bool[H].
        judged_by: by layer, the numbers that decided it, of any shape. If one is NaN, so is the
            share, since a comparison with NaN means nothing.

    Returns:
        {name of the metric: f32[]}; NaN without units.

    Raises:
        ValueError: something is not bool[H], for example has an entry for each sample and unit.
    """
    for layer, x in units.items():
        if jnp.ndim(x) != 1 or jnp.asarray(x).dtype != bool:
            raise ValueError(f"{name}: expected bool[H], one of each unit of {layer}, {_got(x)}")
    counts = {layer: jnp.sum(x).astype(jnp.float32) for layer, x in units.items()}
    for layer, x in (judged_by or {}).items():
        counts[layer] = jnp.where(jnp.any(jnp.isnan(x)), jnp.nan, counts[layer])
    sizes = {layer: x.shape[0] for layer, x in units.items()}
    shares = {layer: count / sizes[layer] for layer, count in counts.items()}
    total = sum(sizes.values())
    return by_layer(name, shares, _sum(counts) / total if total else jnp.full((), jnp.nan))


def sums(name: str, values: Mapping[str, Array]) -> dict[str, Array]:
    """Name f32[] of each layer, and add their sum."""
    return by_layer(name, values, _sum(values))


def by_layer(name: str, values: Mapping[str, Array], total: Array) -> dict[str, Array]:
    """Name f32[] of each layer and of all; ValueError for an array with axes."""
    for layer, x in {**values, "all layers": total}.items():
        if jnp.shape(x) != ():
            raise ValueError(f"{name}: expected one number, f32[], of {layer}, {_got(x)}")
    each = {f"{name}.{layer.replace('/', '.')}": x for layer, x in values.items()}
    return {name: total, **each}


def check_scores(name: str, layer: str, score: Array, units: int) -> Array:
    """Return the score; ValueError unless it is one number for each unit of a layer."""
    if jnp.shape(score) != (units,):
        raise ValueError(f"{name}: expected a score f32[{units}] of {layer}, {_got(score)}")
    return score


def layers_of(metric: str, names: Iterable[str]) -> dict[str, str]:
    """Find the measurements of single layers among `names`: {layer: name}, sorted."""
    start = f"{metric}."
    found = {name[len(start) :]: name for name in sorted(names) if name.startswith(start)}
    return {layer: name for layer, name in found.items() if not layer[0].isdigit()}  # dormant_0.1


def _got(x: Array) -> str:
    return f"got {jnp.asarray(x).dtype}{list(jnp.shape(x))}"


def _sum(values: Mapping[str, Array]) -> Array:
    return sum(values.values(), jnp.zeros(()))
