"""Reset whole layers, or move parameters towards fresh ones."""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import instances, number
from purejaxrl_suite.core.types import Array, Clock, Inspection, Intervention, Key, Learner, Network
from purejaxrl_suite.ops import perturb
from purejaxrl_suite.ops.perturb import Factors
from purejaxrl_suite.plasticity import surgery
from purejaxrl_suite.plasticity.surgery import Draw


def reset_layers(
    parts: tuple[str, ...] = ("heads",),
    *,
    draw: Draw = surgery.own_initializer,
    reset_count: bool = False,
) -> Intervention:
    """Reset parts of the network to fresh parameters (primacy bias: arXiv 2205.07802).

    Moments of these parts become zero; put it inside `every`.

    Args:
        parts: namespaces or paths in the parameters, such as `trunk/dense_0`.
        draw: fresh parameters.
        reset_count: set the optimizer's count of steps to zero.

    Returns:
        The intervention.

    Raises:
        ValueError: the network lacks a part (when it is initialised).
    """
    parts, options = instances("parts", parts, str), {"draw": draw, "reset_count": reset_count}
    return _towards_fresh(f"reset_layers({', '.join(parts)})", Factors(0.0, 1.0), parts, **options)


def shrink_and_perturb(
    shrink: float = 0.8,
    perturb: float = 0.2,
    parts: tuple[str, ...] | None = None,
    *,
    draw: Draw = surgery.own_initializer,
    reset_count: bool = True,
) -> Intervention:
    """Set parameters to shrink * parameters + perturb * fresh ones.

    Ash and Adams 2020, arXiv 1910.08475. Default factors are those of SR-SPR's encoder. Moments of
    the parts become zero; put it inside `every`.

    Args:
        shrink: factor of the parameters.
        perturb: factor of fresh ones.
        parts: as in `reset_layers`; None is all.
        draw: fresh parameters.
        reset_count: set the optimizer's count of steps to zero.

    Returns:
        The intervention.

    Raises:
        ValueError: a factor is out of range, or (when it is initialised) the network lacks a part.
    """
    number("shrink", shrink, 0, high=1)
    number("perturb", perturb, 0)
    parts = None if parts is None else instances("parts", parts, str)
    where = "" if parts is None else f", {', '.join(parts)}"
    name = f"shrink_and_perturb({shrink:g}, {perturb:g}{where})"
    return _towards_fresh(name, Factors(shrink, perturb), parts, draw=draw, reset_count=reset_count)


def _towards_fresh(
    name: str, factors: Factors, parts: tuple[str, ...] | None, *, draw: Draw, reset_count: bool
) -> Intervention:
    surgery.check_draw(draw, reset_count)

    def init(network: Network, learner: Learner) -> Factors:
        chosen = learner.params if parts is None else parts
        for part in chosen:
            _check_part(learner.params, part)
        return Factors(*map(jnp.float32, factors))

    def apply(key: Key, clock: Clock, state: Factors, learner: Learner, inspection: Inspection):
        chosen = learner.params if parts is None else parts
        rules = dict.fromkeys(learner.params, perturb.KEEP) | dict.fromkeys(chosen, state)
        fresh = draw(key, inspection.network)
        params = perturb.shrink_and_perturb(learner.params, fresh, rules)

        def touched(path: tuple, leaf: Array) -> Array:
            name = "/".join(str(part.key) for part in path)
            inside = any(f"{name}/".startswith(f"{part}/") for part in chosen)
            return jnp.full(leaf.shape, inside)

        masks = jax.tree.map_with_path(touched, params)
        learner = tree.forget(learner._replace(params=params), masks, reset_count=reset_count)
        return learner, state, {}

    return Intervention(name, init, apply)


def _check_part(params: dict, part: str) -> None:
    node = params
    for name in part.split("/"):
        if not isinstance(node, dict) or name not in node:
            raise ValueError(f"parts: the network has no {part!r}; it has {', '.join(params)}")
        node = node[name]
