"""Values in the types of other values: what stands for a parameter of an environment."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.argument import wrong


def like(name: str, given: Any, own: Any) -> Any:
    """A value in shape and dtype of `own`: exact, of floats finite where `own` is not the same.

    Raises ValueError, naming what was expected, for any other.
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
    """The dtype of a value in JAX."""
    dtype = getattr(x, "dtype", None) or _array(x).dtype
    extended = jnp.issubdtype(dtype, jax.dtypes.extended)
    return dtype if extended else jax.dtypes.canonicalize_dtype(dtype)


def _array(given: Any) -> np.ndarray:
    try:
        return np.asarray(given)
    except (TypeError, ValueError):  # ragged, or no numbers
        return np.asarray(None)


def _cast(found: np.ndarray, dtype: Any) -> np.ndarray | None:
    """The array in another dtype; None where that would change what it says."""
    numeric = "b" if dtype.kind == "b" else "iuf"
    if found.dtype.kind not in numeric:
        return None
    with np.errstate(all="ignore"):
        cast = found.astype(dtype)
    exact = np.issubdtype(dtype, np.floating) or np.array_equal(cast, found)
    return cast if exact else None
