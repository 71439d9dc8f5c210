"""What acts at every gradient step, around any optimizer; and copies of parts."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from purejaxrl_suite import nets, plasticity
from purejaxrl_suite.agents.pqn import PQNConfig, pqn
from purejaxrl_suite.core import tree
from purejaxrl_suite.core.check import check_agent
from purejaxrl_suite.core.types import Box, Clock, Discrete, Learner, Network
from purejaxrl_suite.envs import probes
from purejaxrl_suite.plasticity.spectral import spectral_norm
from tests.plasticity.inspections import inspection_of_network, loss_of, outputs

PARAMS = {
    "trunk": {"dense_0": {"kernel": jnp.full((4, 2), 0.5), "bias": jnp.zeros(2)}},
    "norm": {"scale": jnp.ones(2)},
}
BARE = Network(lambda key: PARAMS, lambda *_: None, lambda *_: None, ())
SGD = optax.sgd(1.0)


def step(optimizer, params, grads, state=None):
    state = optimizer.init(params) if state is None else state
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state


def test_l2_init_pulls_to_the_start_by_hand():
    optimizer = plasticity.l2_init(BARE, 0.1).constrain(SGD)
    state = optimizer.init(PARAMS)
    moved = jax.tree.map(lambda x: x + 2.0, PARAMS)
    pulled, _ = step(optimizer, moved, jax.tree.map(jnp.zeros_like, PARAMS), state)
    # d/dx 0.1 (x - x0)^2 = 0.2 (x - x0)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y + 1.6, rtol=1e-6), pulled, PARAMS)
    # What the optimizer remembers of the start is nobody's moment.
    seen = []
    tree.map_moments(lambda m: seen.append(m) or m, state, PARAMS)
    assert not seen
    none, _ = step(plasticity.l2_init(BARE, 0.0).constrain(SGD), moved, PARAMS)
    jax.tree.map(np.testing.assert_array_equal, none, step(SGD, moved, PARAMS)[0])


def test_weight_clipping_by_hand():
    optimizer = plasticity.weight_clipping(BARE, 2.0).constrain(SGD)
    grads = jax.tree.map(lambda x: jnp.full_like(x, -0.7), PARAMS)
    after, _ = step(optimizer, PARAMS, grads)
    # Four inputs: the bound is 2 / sqrt(4).
    np.testing.assert_allclose(after["trunk"]["dense_0"]["kernel"], 1.0)
    np.testing.assert_allclose(after["trunk"]["dense_0"]["bias"], 0.7)
    np.testing.assert_allclose(after["norm"]["scale"], 1.7)
    wide = plasticity.weight_clipping(BARE, 100.0).constrain(SGD)
    jax.tree.map(
        np.testing.assert_array_equal, step(wide, PARAMS, grads)[0], step(SGD, PARAMS, grads)[0]
    )


def test_constraints_stack_and_never_started_anew_changes_nothing():
    counted = plasticity.per_entry_counts(plasticity.weight_clipping(BARE, 2.0))
    adam = optax.adam(1e-2)
    wrapped, plain = counted.constrain(adam), BARE.constrain(adam)
    ours = theirs = PARAMS
    state = other = None
    for _ in range(3):
        ours, state = step(wrapped, ours, PARAMS, state)
        theirs, other = step(plain, theirs, PARAMS, other)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize("shape", [(30, 8), (3, 3, 4, 6)])
def test_spectral_norm_is_numpys(shape):
    kernel = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    exact = np.linalg.norm(kernel.reshape(-1, shape[-1]), 2)
    found = spectral_norm(jnp.asarray(kernel))
    assert 0.93 * exact < found <= exact * (1 + 1e-5)
    assert spectral_norm(jnp.zeros(shape)) == 0


def test_spectral_normalization_divides_the_kernels_it_names():
    network = nets.q_network(Box((3,)), Discrete(2), hidden=(5, 4), layer_norm=False)
    normalised = plasticity.spectral_normalization(network)
    assert [edge.recyclable for edge in normalised.wiring] == [True, False]
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype),
        jax.eval_shape(network.init, jax.random.key(0)),
    )
    kernel = params["trunk"]["dense_1"]["kernel"]
    divided = {**params["trunk"]["dense_1"], "kernel": kernel / spectral_norm(kernel)}
    expected = params | {"trunk": params["trunk"] | {"dense_1": divided}}
    obs = jnp.ones((4, 3))
    np.testing.assert_allclose(
        outputs(normalised, params, obs), outputs(network, expected, obs), rtol=1e-5
    )
    # The scale of a kernel does not matter any more.
    scaled = {**params["trunk"]["dense_1"], "kernel": 7.0 * kernel}
    other = params | {"trunk": params["trunk"] | {"dense_1": scaled}}
    np.testing.assert_allclose(
        outputs(normalised, params, obs), outputs(normalised, other, obs), rtol=1e-4
    )
    with pytest.raises(ValueError, match="layers: expected some of trunk/dense_0.*, got .'tail'"):
        plasticity.spectral_normalization(network, ("tail",))


def test_injection_keeps_outputs_and_moves_what_learns():
    network = nets.q_network(
        Box((4, 4, 2)), Discrete(3), hidden=(6,), encoder=nets.minatar_cnn(3), layer_norm=False
    )
    injectable = plasticity.injectable(network)
    assert [edge.recyclable for edge in injectable.wiring] == [True, False]
    obs = jax.random.normal(jax.random.key(1), (5, 4, 4, 2))
    clock = Clock(jnp.int32(0), jnp.int32(4))

    @jax.jit
    def program(key):
        params = injectable.init(key)
        optimizer = injectable.constrain(optax.adam(1e-2))
        learner = Learner(params, optimizer.init(params))

        def learn(learner):
            grads = jax.grad(lambda p: loss_of(injectable, obs)(p, {})[0])(learner.params)
            updates, state = optimizer.update(grads, learner.opt_state, learner.params)
            return Learner(optax.apply_updates(learner.params, updates), state)

        first = learn(learner)
        cure, inspection = plasticity.inject(), inspection_of_network(injectable, obs)
        woken, *_ = cure.apply(
            jax.random.key(9), clock, cure.init(injectable, first), first, inspection
        )
        again, *_ = cure.apply(key, clock, (), woken, inspection)
        stages = learner, first, woken, learn(woken), again
        return stages, [outputs(injectable, one.params, obs) for one in stages]

    (start, first, woken, learnt, again), shown = program(jax.random.key(0))
    np.testing.assert_allclose(shown[0], outputs(network, start.params, obs), rtol=1e-5)
    np.testing.assert_array_equal(shown[1], shown[2])
    assert not np.array_equal(shown[2], shown[3])
    jax.tree.map(np.testing.assert_array_equal, woken, again)

    def moved(before, after):
        same = jax.tree.map(np.array_equal, before.params, after.params)
        copies = same["aux"]["injection"]
        parts = {name: same[name] for name in ("encoder", "trunk", "heads")} | copies
        return {name for name, part in parts.items() if not all(jax.tree.leaves(part))}

    assert moved(start, first) == {"encoder", "trunk", "heads"}
    assert moved(first, woken) == {"new", "anchor", "on"}
    assert moved(woken, learnt) == {"encoder", "new"}


def test_what_makes_no_sense_is_refused():
    network = nets.q_network(Box((3,)), Discrete(2), hidden=(4,), memory_units=2)
    with pytest.raises(ValueError, match="expected one without a memory"):
        plasticity.injectable(network)
    with pytest.raises(ValueError, match="parts: expected some of .*, got .'tail'"):
        plasticity.injectable(network, ("tail",))
    for wrong in (0, math.nan):
        with pytest.raises(ValueError, match="factor: expected a finite number above 0, got"):
            plasticity.weight_clipping(network, wrong)
    with pytest.raises(ValueError, match="crelu doubles outputs"):
        nets.impala(activation=nets.crelu)


def everything(network):
    for change in (plasticity.l2_init, plasticity.weight_clipping, plasticity.per_entry_counts):
        network = change(network)
    return plasticity.injectable(plasticity.spectral_normalization(network), ("heads",))


@pytest.mark.slow
def test_an_agent_learns_with_all_of_them_at_once():
    """Agents take what is around their optimizer from the network."""
    env = probes.delayed_reward()
    network = nets.q_network(env.observation, env.action, hidden=(8,), activation=nets.crelu)
    config = PQNConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
    check_agent(pqn(env, config, everything(network)), jax.random.key(0))
