"""Optimizers without finite meta-gradients are refused by name; the others really have them."""

import jax
import jax.numpy as jnp
import optax
import pytest
from optax import contrib

from purejaxrl_suite.core.check import check_derivatives, check_optimizer
from purejaxrl_suite.meta import differentiable
from purejaxrl_suite.ops import optimizers

RATE = 1e-2
REFUSED = {
    "adam": optax.adam(RATE),
    "adamw": optax.adamw(RATE),
    "nadam": optax.nadam(RATE),
    "amsgrad": optax.amsgrad(RATE),
    "lamb": optax.lamb(RATE),
    "adafactor": optax.adafactor(RATE),
    "ademamix": contrib.ademamix(RATE),
    "schedule_free": contrib.schedule_free_adamw(RATE),
    "madgrad": contrib.madgrad(RATE),
    "adopt": contrib.adopt(RATE),
    "adamax": optax.adamax(RATE),
    "radam": optax.radam(RATE),
    "rmsprop": optax.rmsprop(RATE, eps_in_sqrt=False),
    "muon": contrib.muon(RATE),
    "novograd": optax.novograd(RATE),
    "adaptive_grad_clip": optax.adaptive_grad_clip(0.1),
    "clip_by_block_rms": optax.clip_by_block_rms(1.0),
    "clip_by_global_norm": optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(RATE)),
    "normalize_by_update_norm": optax.normalize_by_update_norm(),
    "masked": optax.masked(optax.adam(RATE), True),
}
TAKEN = {
    "sgd": optax.sgd(RATE),
    "momentum": optax.sgd(RATE, momentum=0.9),
    "rmsprop": optax.rmsprop(RATE),
    "adabelief": optax.adabelief(RATE),
    "adam with a root": optax.adam(RATE, eps_root=1e-8),
    "own adam": optimizers.adam(RATE),
    "own radam": optimizers.radam(RATE),
    "own clip": optax.chain(optimizers.clip_by_global_norm(1.0), optax.sgd(RATE)),
    "own detached adam": optimizers.adam_detached(RATE),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    with pytest.raises(ValueError, match="optimizer: expected one with finite meta-gradients, got"):
        differentiable("optimizer", REFUSED[name])


@pytest.mark.parametrize("name", ["adam", "radam", "clip_by_global_norm"])
def test_refused_for_good_reason(name):
    with pytest.raises(AssertionError, match="derivatives are finite"):
        check_optimizer(REFUSED[name])


def test_messages_name_what_to_use():
    with pytest.raises(ValueError, match=r"optax's adam with eps_root=0.*ops.optimizers.adam"):
        differentiable("optimizer", optax.adam(RATE))
    with pytest.raises(ValueError, match=r"optax's radam.*ops.optimizers.radam has"):
        differentiable("optimizer", optax.radam(RATE))
    with pytest.raises(ValueError, match="optimizer: expected a GradientTransformation"):
        differentiable("optimizer", optax.sgd)  # pyright: ignore[reportArgumentType]


FAST = ("sgd", "adam with a root", "own adam", "own clip")


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in TAKEN]
)
def test_taken_and_finite(name):
    assert differentiable("optimizer", TAKEN[name]) is TAKEN[name]
    check_optimizer(TAKEN[name])


def test_detached_adam_has_the_values_of_adam_and_clips_changes():
    params, gradients = jnp.zeros(3), (jnp.array([1.0, 0.1, 0.0]), jnp.array([-2.0, 9.0, 0.5]))
    plain, detached = optimizers.adam(1.0), optimizers.adam_detached(1.0)
    states = plain.init(params), detached.init(params)
    for gradient in gradients:
        expected, first = plain.update(gradient, states[0])
        found, second = detached.update(gradient, states[1])
        states = first, second
        assert jnp.all(jnp.asarray(found) == jnp.clip(jnp.asarray(expected), -1.0, 1.0))


def test_the_checker_finds_what_is_wrong():
    at = {"a": jnp.ones(2), "b": jnp.ones(1)}
    slope = check_derivatives(lambda x: jnp.sum(x["a"] ** 2) + jnp.sum(x["b"]), at)
    assert slope["a"].tolist() == [2.0, 2.0] and slope["b"].tolist() == [1.0]

    def cut(x):
        return jnp.sum(x["a"] * jax.lax.stop_gradient(x["a"])) + jnp.sum(x["b"])

    with pytest.raises(AssertionError, match=r"that of \['a'\] is off by 0.5"):
        check_derivatives(cut, at)
    with pytest.raises(AssertionError, match="is off by"):
        check_derivatives(lambda x: jnp.sum(jnp.sqrt(jnp.abs(x))), jnp.zeros(1))
