"""Learners whose training is heard and seen (Castro 2021, arXiv 2111.05128): a cubic, and knots.

`cubic` fits y = a x^3 + b x^2 + c x + d, `lissajous` the phases of the curve (cos(n_x t + a),
cos(n_y t + b), cos(n_z t + c)). Rows have the signed mean error, which detunes the partials of
`report.sonify`, and the first three derivatives, which displace colours.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core import validate
from purejaxrl_suite.core.types import Array, Clock, Key, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.engine.problem import Examples, Problem, collected, fitting

TIMES = 1001
"""t is one of 0, 0.1 ... 100."""
MOST = 8
"""The frequencies of a knot are whole numbers from 0 to 8."""


class CurveConfig(NamedTuple):
    """Settings that change the program.

    Attributes:
        batch: points that an update sees; of the cubic they are the same in all updates.
    """

    batch: Annotated[int, Range(1)] = 100


class CurveHypers(NamedTuple):
    """Settings that may be swept.

    Attributes:
        learning_rate: of gradient descent.
        tolerance: loss below which nothing moves any more.
    """

    learning_rate: Annotated[float, Range(0)] = 0.01
    tolerance: Annotated[float, Range(0)] = 1e-3


class Knot(NamedTuple):
    """A curve to be learnt: its frequencies f[3], whole numbers, and its phases f[3]."""

    frequencies: Array
    phases: Array


def cubic(config: CurveConfig | None = None, hypers: CurveHypers | None = None) -> Problem:
    """Make the problem of fitting a random cubic to its values at random points of [-1, 1].

    Args:
        config: settings that change the program.
        hypers: settings that may be swept.

    Returns:
        The problem.

    Raises:
        ValueError: a setting is out of range.
    """
    known, given = validate.settings(config, hypers, (CurveConfig(), CurveHypers()))

    def value(coefficients: Array, x: Array) -> Array:
        powers = jnp.stack([x**3, x**2, x, jnp.ones_like(x)])
        return coefficients @ powers

    def init(key: Key, given: Any, data: PyTree) -> PyTree:
        return {"coefficients": jax.random.uniform(key, (4,), minval=-1.0)}

    def collect(key: Key, given: Any, data: PyTree, params: PyTree) -> tuple[Array, Array]:
        of_points, of_truth = jax.random.split(key)
        x = jax.random.uniform(of_points, (known.batch,), minval=-1.0)
        return x, value(jax.random.uniform(of_truth, (4,), minval=-1.0), x)

    def loss(key: Key, given: Any, params: PyTree, batch: Any) -> tuple[Array, dict[str, Array]]:
        x, y = batch
        return _squared(value(params["coefficients"], x) - y, 1.0, given.tolerance)

    return _fitting("cubic", init, collected(collect), loss, known, given)


def lissajous(config: CurveConfig | None = None, hypers: CurveHypers | None = None) -> Problem:
    """Make the problem of finding the phases of a random knot, whose frequencies are known.

    A component of frequency 0 is a constant, the cosine of its phase.

    Args:
        config: settings that change the program; by default 64 points in an update.
        hypers: settings that may be swept; by default a rate of 0.025 and a tolerance of 1e-6.

    Returns:
        The problem.

    Raises:
        ValueError: a setting is out of range.
    """
    defaults = CurveConfig(64), CurveHypers(0.025, 1e-6)
    known, given = validate.settings(config, hypers, defaults)

    def init(key: Key, given: Any, data: PyTree) -> PyTree:
        return {"phases": jax.random.uniform(key, (3,))}

    def start(key: Key, given: Any, data: PyTree, params: PyTree) -> Knot:
        of_frequencies, of_phases = jax.random.split(key)
        whole = jax.random.randint(of_frequencies, (3,), 0, MOST + 1).astype(jnp.float32)
        return Knot(whole, jax.random.uniform(of_phases, (3,)))

    def draw(key: Key, given: Any, data: PyTree, carry: Knot, clock: Clock) -> Any:
        times = 0.1 * jax.random.randint(key, (known.batch,), 0, TIMES)
        return carry, (times, carry)

    def loss(key: Key, given: Any, params: PyTree, batch: Any) -> tuple[Array, dict[str, Array]]:
        times, knot = batch
        error = places(knot._replace(phases=params["phases"]), times) - places(knot, times)
        return _squared(error, 3.0, given.tolerance)

    return _fitting("lissajous", init, Examples((), start, draw), loss, known, given)


def places(knot: Knot, times: Array) -> Array:
    """Compute the places f[T, 3] of a knot at times f[T]."""
    return jnp.cos(times[:, None] * knot.frequencies[None] + knot.phases[None])


def _squared(error: Array, parts: float, tolerance: Array) -> tuple[Array, dict[str, Array]]:
    """Compute half the mean square of errors, times `parts`; no gradient below the tolerance."""
    value = 0.5 * parts * jnp.mean(jnp.square(error))
    value = jnp.where(value > tolerance, value, jax.lax.stop_gradient(value))
    return value, {"signed_error": jnp.mean(error)}


def _fitting(
    name: str, init: Any, examples: Examples, loss: Any, config: CurveConfig, hypers: CurveHypers
) -> Problem:
    """Make the problem of gradient descent, with the first three derivatives in its rows."""

    def notes(gradient: PyTree) -> dict[str, Array]:
        (found,) = jax.tree.leaves(gradient)
        return {f"derivative_{i + 1}": found[i] for i in range(3)}

    return fitting(
        name,
        init=init,
        examples=examples,
        loss=loss,
        optimizer=lambda given: optax.sgd(given.learning_rate),
        hypers=hypers,
        config=config,
        notes=notes,
    )
