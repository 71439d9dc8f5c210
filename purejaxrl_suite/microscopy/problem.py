"""Learn rates as an experiment: transitions of a simulated microscope, a network for each seed.

All members see the same transitions, each a bootstrap sample of them (`rate_learning`): a run of
several seeds is an ensemble. As the microscope is simulated, curves say how far from the true rates
a member is. For transitions of one's own make a `Problem` of `rate_learning` and these as its data.
"""

from collections.abc import Callable
from functools import cache, partial
from math import ceil
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import validate
from purejaxrl_suite.core.argument import function, instance, wrong
from purejaxrl_suite.core.types import Array, Clock, Key, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.engine.problem import Problem, on_the_clock
from purejaxrl_suite.engine.train import training
from purejaxrl_suite.envs.silicon_rates import Rates, prior
from purejaxrl_suite.microscopy import controllers, learning, transitions
from purejaxrl_suite.microscopy.learning import RateConfig, RateHypers, RateState
from purejaxrl_suite.microscopy.rate_network import RateModel, learned
from purejaxrl_suite.microscopy.transitions import Transitions

EXPERIMENTS = 50
"""Microscopes that are simulated side by side."""
REJECTED = 0.1
"""The share of transitions that filters may reject before more are simulated."""


class HopRatesConfig(NamedTuple):
    """Settings that change the program, or what members learn from.

    Attributes:
        rates: () -> the true rates, which are the same in all experiments.
        transitions: how many are observed.
        reach: angstrom around the silicon within which the beam rests at random.
        seconds: that it rests.
        data_seed: of the transitions.
        hidden: units of each hidden layer.
        batch_size: transitions in a gradient step.
        look_every: epochs from one comparison with the true rates to the next.
    """

    rates: Callable[[], Rates] = prior
    transitions: Annotated[int, Range(1)] = 5000
    reach: Annotated[float, Range(above=0)] = 2.0
    seconds: Annotated[float, Range(above=0)] = 3.0
    data_seed: Annotated[int, Range(0)] = 0
    hidden: tuple[int, ...] = (128, 128)
    batch_size: Annotated[int, Range(1)] = 256
    look_every: Annotated[int, Range(1)] = 10


class Compared(NamedTuple):
    """Learned rates beside true ones.

    error: f32[], of the rates in the L2 norm, relative. offset: f32[2], the best one with learned
    rates. apart: f32[], angstrom from there to the true one.
    """

    error: Array
    offset: Array
    apart: Array


def hop_rates(config: HopRatesConfig | None = None, hypers: RateHypers | None = None) -> Problem:
    """Make the problem of learning the rates of hops from transitions; an update is an epoch.

    Rows have the `loss`, `rate_error`, relative to the true rates where the beam has been, and
    `offset_error`, how many angstrom the best offset of the beam is off.

    Args:
        config: settings that change the program, or the transitions.
        hypers: settings that may be swept.

    Returns:
        The problem, whose data are the transitions.

    Raises:
        ValueError: a setting is out of range, rates differ between experiments, or there are fewer
            transitions than a batch has.
    """
    known, given = validate.settings(config, hypers, (HopRatesConfig(), RateHypers()))
    learning.validate_batch(known.batch_size, known.transitions)
    made = function("config.rates", known.rates, 0, "()")()
    rates = instance("config.rates()", made, Rates)
    if not jax.tree.leaves(rates.params):
        raise wrong("config.rates", "rates that are the same in all experiments", rates.name)
    train = learning.rate_learning(RateConfig(known.hidden, known.batch_size))

    def look(data: Transitions, state: RateState) -> dict[str, Array]:
        one = RateModel(state.learner.params, state.moments)
        found = compared(rates, jax.tree.map(lambda x: x[None], one), data.beam, known.reach)
        return {"rate_error": found.error, "offset_error": found.apart}

    def update(key: Key, hypers: Any, data: PyTree, state: Any, clock: Clock) -> tuple[Any, Any]:
        state, row = train.update(key, hypers, data, state, clock)
        return state, {**row, **on_the_clock(partial(look, data, state), known.look_every, clock)}

    data = _once(known.rates, *known[1:5])
    watched = training(train.init, update, params=train.params)
    return Problem("hop_rates", given, watched, data, known)


@cache
def _once(
    rates: Callable[[], Rates], count: int, reach: float, seconds: float, seed: int
) -> Transitions:
    """Observe transitions, on the host; the same ones are simulated once in a process."""
    found = observed(jax.random.key(seed), rates(), count, reach=reach, seconds=seconds)
    return jax.device_get(found)


def observed(key: Key, rates: Rates, count: int, *, reach: float, seconds: float) -> Transitions:
    """Simulate microscopes, and keep the first `count` transitions that pass the filters.

    Args:
        key: of the simulation.
        rates: of hops.
        count: n.
        reach: as in `transitions.simulate`.
        seconds: as in `transitions.simulate`.

    Returns:
        Leaves [n, ...].

    Raises:
        ValueError: a number is out of range, or no transition passes.
    """
    steps, parts, found = ceil((1.0 + REJECTED) * count / EXPERIMENTS), [], 0
    while found < count:
        part = jax.random.fold_in(key, len(parts))
        seen = transitions.simulate(
            part, rates, steps, experiments=EXPERIMENTS, reach=reach, seconds=seconds
        )
        pairs = jax.vmap(partial(transitions.pairs, control_before=False))(seen)
        flat = jax.tree.map(lambda x: jnp.reshape(x, (-1, *x.shape[2:])), pairs)
        parts.append(transitions.transitions(flat))
        found += len(parts[-1].seconds)
    return jax.tree.map(lambda *xs: jnp.concatenate(xs)[:count], *parts)


def compared(true: Rates, models: RateModel, beams: Array, reach: float) -> Compared:
    """Compare learned rates with the true ones.

    Args:
        true: the same in all experiments.
        models: networks, leaves [M, ...]; their mean is compared.
        beams: f32[n, 2], where the beam has been in the canonical frame.
        reach: angstrom, as in `controllers.best_offset`.

    Returns:
        The comparison.
    """
    found, bonds = learned(models), jnp.asarray(controllers.CANONICAL)
    known, other = (
        jax.vmap(lambda beam, one=one: one.rate(one.params, beam, bonds))(beams)
        for one in (true, found)
    )
    error = jnp.sqrt(jnp.sum(jnp.square(other - known)) / jnp.sum(jnp.square(known)))
    best, own = (controllers.best_offset(one.rate, one.params, reach) for one in (true, found))
    return Compared(error, own, jnp.sqrt(jnp.sum(jnp.square(best - own))))
