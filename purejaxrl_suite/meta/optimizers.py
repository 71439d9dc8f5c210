"""Which optimizers of optax an inner update may use: those whose derivatives are finite.

A meta-gradient goes through the optimizer's own arithmetic. Several optimizers divide by a root
that is 0 where a gradient is 0, as those of dead units and of states never visited are; the
meta-gradient is then NaN. They are refused by name, before anything is compiled. The suite's own
(`ops.optimizers`) are finite everywhere: `adam` is exactly that of optax.
"""

import types
from collections.abc import Iterator, Mapping
from typing import Any

import optax

from purejaxrl_suite.core.argument import instance

INSTEAD = "ops.optimizers.adam or optax.sgd"
ROOTED = {
    "scale_by_adam": "adam",
    "scale_by_amsgrad": "amsgrad",
    "scale_by_ademamix": "ademamix",
}
"""{part of an optimizer: its name}, finite with an `eps_root` above 0."""
NEVER = {
    "scale_by_radam": "radam",
    "scale_by_factored_rms": "adafactor",
    "scale_by_madgrad": "madgrad",
    "scale_by_adopt": "adopt",
    "scale_by_adamax": "adamax",
    "scale_by_muon": "muon",
    "scale_by_novograd": "novograd",
    "scale_by_dog": "dog",
    "schedule_free": "schedule_free",
    "adaptive_grad_clip": "adaptive_grad_clip",
    "clip_by_block_rms": "clip_by_block_rms",
    "clip_by_global_norm": "clip_by_global_norm",
    "normalize_by_update_norm": "normalize_by_update_norm",
}
"""{part of an optimizer: its name}, whose derivatives are NaN at some gradient with zeros."""
BETTER = {
    "radam": "ops.optimizers.radam",
    "clip_by_global_norm": "ops.optimizers.clip_by_global_norm",
}


def differentiable(
    name: str, optimizer: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Return an optimizer if meta-gradients through it are finite, as far as its parts are known.

    Args:
        name: of the argument, for the message.
        optimizer: of the inner updates.

    Returns:
        The optimizer.

    Raises:
        ValueError: it is no optimizer, or a part of it is one of optax's whose derivatives are NaN
            where gradients are 0; the message names the part, and what to use instead.

    Example:
        >>> from purejaxrl_suite import meta
        >>> from purejaxrl_suite.ops import optimizers
        >>> adam = meta.differentiable("optimizer", optimizers.adam(1e-3))
    """
    instance(name, optimizer, optax.GradientTransformation)
    for part, settings in _parts(optimizer.update, set()):
        wrong = _broken(part, settings)
        if wrong is not None:
            better = BETTER.get(wrong.partition(" ")[0], INSTEAD)
            raise ValueError(
                f"{name}: expected one with finite meta-gradients, got optax's {wrong}, whose "
                f"derivatives are NaN at gradients of 0; {better} has finite ones"
            )
    return optimizer


def _broken(part: str, settings: Mapping[str, Any]) -> str | None:
    """Describe a part whose derivatives are not finite; None for all others."""
    if part in NEVER:
        return NEVER[part]
    if part in ROOTED and _is_zero(settings.get("eps_root")):
        return f"{ROOTED[part]} with eps_root=0"
    if part == "scale_by_rms" and settings.get("eps_in_sqrt") is False:
        return "rmsprop with eps_in_sqrt=False"
    return None


def _is_zero(value: Any) -> bool:
    return isinstance(value, int | float) and value == 0


def _parts(x: Any, seen: set[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """List optax's functions within an update function: (the name of its maker, its settings)."""
    if id(x) in seen:
        return
    seen.add(id(x))
    if isinstance(x, types.FunctionType):
        cells = [cell.cell_contents for cell in x.__closure__ or ()]
        if x.__module__.partition(".")[0] == "optax":
            settings = dict(zip(x.__code__.co_freevars, cells, strict=True))
            yield x.__qualname__.partition(".")[0], settings
        found: Any = cells
    elif isinstance(x, Mapping):
        found = list(x.values())
    elif isinstance(x, tuple | list):
        found = x
    else:
        found = (x.func, *x.args) if hasattr(x, "func") and hasattr(x, "args") else ()
    for one in found:
        yield from _parts(one, seen)
