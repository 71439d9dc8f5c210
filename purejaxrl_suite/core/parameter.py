"""Convert values given for parameters of an environment to the types of those parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.argument import wrong


def like(name: str, given: Any, own: Any) -> Any:
    """Convert a value to the shape and dtype of `own`, exactly.

    A float must be finite unless it equals `own`.

    Raises:
        ValueError: the value does not fit; the message says what was expected.
    """
    dtype, shape = _dtype(own), np.shape(own)
    if jnp.issubdtype(dtype, jax.dtypes.extended):  # keys
        cast = given if (_dtype(given), np.shape(given)) == (dtype, shape) else None
    else:
        found = _array(given)
        cast = _cast(found, dtype) if found.shape == shape else None
        if np.issubdtype(dtype, np.inexact) and cast is not None:
            usual = np.isfinite(cast) | (cast == np.asarray(own))
            cast = cast if np.all(usual) else None
    if cast is None:
        finite = "finite " if jnp.issubdtype(dtype, np.floating) else ""
        size = f"[{', '.join(map(str, shape))}]" if shape else ""
        raise wrong(name, f"a {finite}value of type {dtype}{size}", given)
    if hasattr(given, "dtype") and jax.typeof(given) == jax.typeof(own):
        return given
    return type(own)(given) if isinstance(own, bool | int | float) else cast


def _dtype(x: Any) -> Any:
    """Return the dtype that a value has in JAX."""
    dtype = getattr(x, "dtype", None) or _array(x).dtype
    extended = jnp.issubdtype(dtype, jax.dtypes.extended)
    return dtype if extended else jax.dtypes.canonicalize_dtype(dtype)


def _array(given: Any) -> np.ndarray:
    try:
        return np.asarray(given)
    except (TypeError, ValueError):  # ragged, or no numbers
        return np.asarray(None)


def _cast(found: np.ndarray, dtype: Any) -> np.ndarray | None:
    """Cast an array; None where that would change a value."""
    numeric = "b" if dtype.kind == "b" else "iuf"
    if found.dtype.kind not in numeric:
        return None
    with np.errstate(all="ignore"):
        cast = found.astype(dtype)
    exact = np.issubdtype(dtype, np.floating) or np.array_equal(cast, found)
    return cast if exact else None
