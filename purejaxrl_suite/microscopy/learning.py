"""Learn rates from transitions: an ensemble of networks by survival likelihood, and one of them.

Both are a `Train`, an experiment without an environment: members are seeds, each with a bootstrap
sample of the transitions. Loss, optimizer and sizes are those of the released pipeline of arXiv
2311.17894; that each epoch draws one of the six symmetries for each transition, in place of six
copies of all, is our setting.
"""

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core import validate
from purejaxrl_suite.core.types import Array, Clock, Key, Learner, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.engine.train import Train, training
from purejaxrl_suite.microscopy import rate_network
from purejaxrl_suite.microscopy.rate_network import Moments, RateModel
from purejaxrl_suite.microscopy.transitions import Transitions, augmented
from purejaxrl_suite.ops import descent

MOST_SURVIVAL = 1.0 - 1e-6
"""Clip of the probability of no hop, so that a hop is never impossible."""


class RateConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        hidden: units of each hidden layer.
        batch_size: transitions in a gradient step.
    """

    hidden: tuple[int, ...] = (128, 128)
    batch_size: Annotated[int, Range(1)] = 256


class RateHypers(NamedTuple):
    """What may be swept without recompiling.

    Attributes:
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        rate_weight: of the likelihood of a hop.
        class_weight: of the likelihood of its neighbour.
    """

    learning_rate: Annotated[float, Range(0)] = 1e-3
    weight_decay: Annotated[float, Range(0)] = 1e-1
    rate_weight: Annotated[float, Range(0)] = 1.0
    class_weight: Annotated[float, Range(0)] = 0.1


class DistillationHypers(NamedTuple):
    """What may be swept in a distillation without recompiling.

    Attributes:
        learning_rate: of AdamW.
        weight_decay: of AdamW.
    """

    learning_rate: Annotated[float, Range(0)] = 1e-3
    weight_decay: Annotated[float, Range(0)] = 0.0


class RateState(NamedTuple):
    """State of the learner of one network. moments: running ones, of contexts."""

    learner: Learner
    moments: Moments


def survival_loss(
    found: Array, seconds: Array, moved: Array, rate_weight: Any, class_weight: Any
) -> Array:
    """Compute the negative log-likelihood of what happened, f32[].

    Args:
        found: f32[4], outputs of the network.
        seconds: f32[], how long the beam rested.
        moved: i32[], 0 for no hop, else the neighbour 1, 2 or 3.
        rate_weight: of -log(1 - e^-kt) for a hop and kt for none, k the total rate.
        class_weight: of the cross-entropy of the neighbour, for a hop.

    Returns:
        The weighted sum.
    """
    survival = jnp.minimum(jnp.exp(-found[3] * seconds), MOST_SURVIVAL)
    hopped = moved > 0
    rate = jnp.where(hopped, -jnp.log1p(-survival), found[3] * seconds)
    neighbour = -jax.nn.log_softmax(found[:3])[jnp.maximum(moved - 1, 0)]
    return rate_weight * rate + class_weight * jnp.where(hopped, neighbour, 0.0)


def context_of(batch: Transitions) -> Array:
    """Return the contexts f32[B, 2 + c] of transitions."""
    return jnp.concatenate([batch.beam, batch.conditions], axis=-1)


def _adamw(hypers: RateHypers | DistillationHypers) -> optax.GradientTransformation:
    return optax.adamw(hypers.learning_rate, weight_decay=hypers.weight_decay)


def _params(state: Any) -> PyTree:
    return state.learner.params


def rate_learning(config: RateConfig | None = None, updates_per_call: int = 1) -> Train:
    """Make the training of one network on transitions; an update is an epoch.

    Args:
        config: what changes the program; None for the defaults.
        updates_per_call: epochs of one call of `train`.

    Returns:
        The training: `data` are Transitions [n, ...], `hypers` a `RateHypers`. A member learns
        from n draws of them with replacement, the same in every epoch. Rows have the `loss`.

    Raises:
        ValueError: a number is out of range; when traced: there are fewer transitions than a batch
            has.
    """
    config, _ = validate.settings(config, None, (RateConfig(), RateHypers()))

    def init(key: Key, hypers: RateHypers, data: Transitions) -> Any:
        inputs = 2 + data.conditions.shape[1]
        params = rate_network.initial_params(jax.random.fold_in(key, 0), inputs, config.hidden)
        moments = rate_network.initial_moments(inputs)
        return RateState(Learner(params, _adamw(hypers).init(params)), moments)

    def loss(params: PyTree, hypers: RateHypers, batch: Transitions) -> tuple[Array, Moments]:
        context = context_of(batch)
        moments = rate_network.batch_moments(context)
        found = rate_network.outputs(params, moments, context)
        weights = hypers.rate_weight, hypers.class_weight
        each = jax.vmap(lambda o, t, j: survival_loss(o, t, j, *weights))
        return jnp.mean(each(found, batch.seconds, batch.moved)), moments

    def update(key: Key, hypers: RateHypers, data: Transitions, state: Any, clock: Clock):
        n = len(data.seconds)
        validate_batch(config.batch_size, n)
        epoch = jax.random.fold_in(jax.random.fold_in(key, 2), clock.update)
        order_key, symmetry_key = jax.random.split(epoch)
        own = jax.random.randint(jax.random.fold_in(key, 1), (n,), 0, n)
        shuffled = jax.random.permutation(order_key, own)
        steps = n // config.batch_size
        index = jnp.reshape(shuffled[: steps * config.batch_size], (steps, config.batch_size))

        def step(state: RateState, xs: tuple[Array, Key]) -> tuple[RateState, Array]:
            slots, key = xs
            batch = augmented(key, jax.tree.map(lambda x: x[slots], data))
            both = jax.value_and_grad(loss, has_aux=True)
            (error, moments), grads = both(state.learner.params, hypers, batch)
            learner = descent.move(_adamw(hypers), state.learner, grads)
            return RateState(learner, rate_network.followed(state.moments, moments)), error

        state, errors = jax.lax.scan(step, state, (index, jax.random.split(symmetry_key, steps)))
        return state, {"loss": jnp.mean(errors)}

    return training(init, update, updates_per_call, params=_params)


def validate_batch(batch_size: int, count: int) -> None:
    """Raise ValueError unless there are transitions for a batch."""
    if batch_size > count:
        raise ValueError(f"batch_size={batch_size}: expected at most {count}, as transitions are")


class Inputs(NamedTuple):
    """Data of a distillation. models: of the ensemble, leaves [M, ...]. mean, deviation: f32[C]."""

    models: RateModel
    mean: Array
    deviation: Array


def inputs_like(models: RateModel, data: Transitions) -> Inputs:
    """Make the data of a distillation: contexts are drawn with the moments of transitions."""
    context = context_of(data)
    return Inputs(models, jnp.mean(context, axis=0), jnp.std(context, axis=0))


def distillation(
    config: RateConfig | None = None, updates_per_call: int = 1, steps: int = 10
) -> Train:
    """Make the training of one network on the rates of an ensemble; an update makes `steps`.

    Args:
        config: of the network; None for batches of 4096, as released.
        updates_per_call: updates of one call of `train`.
        steps: gradient steps of an update.

    Returns:
        The training: `data` are `Inputs`, contexts are normal numbers with their moments, and the
        `loss` is the mean squared difference of the rates. `hypers` are `DistillationHypers`.

    Raises:
        ValueError: a number is out of range.
    """
    known = RateConfig(batch_size=4096) if config is None else config
    config, _ = validate.settings(known, None, (RateConfig(), DistillationHypers()))

    def draw(key: Key, data: Inputs) -> Array:
        normal = jax.random.normal(key, (config.batch_size, len(data.mean)))
        return data.mean[None] + data.deviation[None] * normal

    def init(key: Key, hypers: DistillationHypers, data: Inputs) -> Any:
        params = rate_network.initial_params(key, len(data.mean), config.hidden)
        moments = Moments(data.mean, jnp.square(data.deviation))
        return RateState(Learner(params, _adamw(hypers).init(params)), moments)

    def loss(params: PyTree, moments: Moments, context: Array, target: Array) -> Array:
        found = rate_network.rates_of(rate_network.outputs(params, moments, context))
        return jnp.mean(jnp.sum(jnp.square(found - target), axis=-1))

    def update(key: Key, hypers: DistillationHypers, data: Inputs, state: Any, clock: Clock):
        def step(learner: Learner, key: Key) -> tuple[Learner, Array]:
            context = draw(key, data)
            target = rate_network.canonical_rates(data.models, context)
            of_params = jax.value_and_grad(loss)
            error, grads = of_params(learner.params, state.moments, context, target)
            return descent.move(_adamw(hypers), learner, grads), error

        keys = jax.random.split(jax.random.fold_in(key, clock.update), steps)
        learner, errors = jax.lax.scan(step, state.learner, keys)
        return state._replace(learner=learner), {"loss": jnp.mean(errors)}

    return training(init, update, updates_per_call, params=_params)


def fit(
    train: Train, data: PyTree, hypers: Any, *, seeds: Sequence[int], updates: int
) -> tuple[RateModel, dict[str, Array]]:
    """Train members of `rate_learning` or `distillation` together, in one program.

    Args:
        train: the training, with `updates_per_call` >= updates or a part of them.
        data: what all members share.
        hypers: of all of them, `RateHypers` or `DistillationHypers`.
        seeds: number of each member.
        updates: of each.

    Returns:
        The networks, leaves [M, ...], and the history {name: f32[M, updates]}.
    """
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    given = jax.tree.map(jnp.float32, hypers)
    begin, go = _of_members(train)
    run, rows = begin(keys, given, data), []
    for done in range(0, updates, train.updates_per_call):
        clock = Clock(jnp.int32(done), jnp.int32(updates))
        run, history = go(keys, given, data, run, clock)
        left = min(train.updates_per_call, updates - done)
        rows.append({name: x[:, :left] for name, x in history.items()})
    history = {name: jnp.concatenate([row[name] for row in rows], axis=1) for name in rows[0]}
    return RateModel(run.learner.params, run.moments), history


@cache
def _of_members(train: Train) -> tuple[Any, Any]:
    """Return init and train of several members, compiled once for each shape of the data."""
    begin = jax.jit(jax.vmap(train.init, (0, None, None)))
    return begin, jax.jit(jax.vmap(train.train, (0, None, None, 0, None)), donate_argnums=3)
