"""A term that users add to a loss: its gradient, its names; a weight of 0 changes no bit.

That holds as these tests compile, without the fusions in which XLA rounds otherwise.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import extra_losses
from purejaxrl_suite.core import check
from tests.contract.agents import AGENTS


def each(quick):
    """All agents, but for one by `make test-all` alone."""
    slow = [n if n == quick else pytest.param(n, marks=pytest.mark.slow) for n in AGENTS]
    return pytest.mark.parametrize("name", slow)


def build(name, extra_loss=None):
    make_agent, make_env = AGENTS[name]
    return make_agent(make_env(), extra_loss=extra_loss)


def numbers(inputs):
    """All floats that an extra loss could use."""
    seen = inputs.params, inputs.internals.features, inputs.output, inputs.batch.obs
    return [x for x in jax.tree.leaves(seen) if jnp.issubdtype(x.dtype, jnp.floating)]


def nothing(inputs):
    total = sum(jnp.mean(jnp.square(x)) for x in numbers(inputs))
    total += jnp.mean(inputs.batch.reward) * jax.random.normal(inputs.key)
    return 0.0 * total, {"total": total}


def updated(agent, updates=3):
    """The state after updates on made-up experience, and the metrics of the last."""

    @jax.jit
    def start(key):
        hypers = jax.tree.map(jnp.float32, agent.hypers)
        state = agent.init(key, hypers)
        return hypers, state, check.experience(agent, key, hypers, state)

    hypers, state, transition = start(jax.random.key(0))
    update, metrics = jax.jit(agent.update), {}
    for key in jax.random.split(jax.random.key(1), updates):
        state, metrics = update(key, hypers, state, transition)
    return jax.device_get((state, metrics))


@each("pqn")
def test_a_weight_of_0_changes_no_bit(name):
    state, metrics = updated(build(name))
    same, more = updated(build(name, nothing))
    assert more.keys() - metrics.keys() == {"extra_loss", "total"} - metrics.keys()
    assert more["extra_loss"] == metrics.get("extra_loss", 0.0)
    jax.tree.map(
        np.testing.assert_array_equal, (same, {n: more[n] for n in metrics}), (state, metrics)
    )


@each("sac")
def test_every_parameter_has_its_gradient_once(name):
    def squares(inputs):
        return 0.5 * sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(inputs.params)), {}

    plain, more = build(name), build(name, squares)

    @jax.jit
    def gradients(key):
        hypers = jax.tree.map(jnp.float32, plain.hypers)
        state = plain.init(key, hypers)
        transition = check.experience(plain, key, hypers, state)
        found = [agent.probe(key, hypers, state, transition).grads for agent in (plain, more)]
        return state.learner.params, jax.tree.map(jnp.subtract, *found[::-1])

    params, added = gradients(jax.random.key(2))
    # IMPALA sums losses over the steps, and the term is added to the mean loss of one.
    steps = plain.num_envs * plain.rollout_length if plain.name.startswith("impala") else 1
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x / steps, y, 1e-4, 1e-4), added, params)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda x: x, "extra_loss: expected a pair"),
        (lambda x: (x, [x]), "extra_loss: expected a pair"),
        (lambda x: (x[None], {}), r"extra_loss: expected f32\[\], got float32\[1\]"),
        (lambda x: (x > 0, {}), r"extra_loss: expected f32\[\], got bool\[\]"),
        (lambda x: ("x", {}), "extra_loss: expected f32"),
        (lambda x: (x, {"a": x.astype(jnp.int32)}), r"metric 'a': expected f32\[\], got int32\[\]"),
        (lambda x: (x, {"td_loss": x}), "one name: td_loss, by the agent and by its extra_loss"),
        (lambda x: (x, {"gradient_norm": x}), "one name: gradient_norm, by the agent and by"),
        (lambda x: (x, {"epsilon": x}), "one name: epsilon, by the agent and by"),
        (lambda x: (x, {"extra_loss": x}), "one name: extra_loss, by"),
    ],
)
def test_what_is_no_term_is_refused_before_anything_is_compiled(returned, said):
    agent = build("pqn", lambda inputs: returned(jnp.mean(inputs.output)))
    hypers = jax.tree.map(jnp.float32, agent.hypers)

    def update(key):
        state = agent.init(key, hypers)
        return agent.update(key, hypers, state, check.experience(agent, key, hypers, state))

    with pytest.raises(ValueError, match=said):
        jax.eval_shape(update, jax.random.key(0))


def test_what_is_no_function_is_refused_by_every_loop():
    for name in ("ppo", "pqn", "dqn", "rainbow", "sac", "td3"):
        for given in (3, lambda inputs, key: (0.0, {})):
            with pytest.raises(ValueError, match="extra_loss: expected a function LossInputs ->"):
                build(name, given)


def test_a_batch_of_rollouts_is_what_was_experienced():
    """PPO's whole rollout as one minibatch: rewards, ends and successors stay with their steps."""

    def look(inputs):
        batch = inputs.batch
        order = jnp.argsort(batch.reward[0])
        numbers = batch.reward[0][order], batch.next_obs[0, order, 0], batch.obs[0, order, 0]
        return jnp.float32(0.0), {"x": sum(jnp.vdot(jnp.arange(32.0), n) for n in numbers)}

    config = pjs.PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=1)
    env = AGENTS["ppo"][1]()
    network = nets.actor_critic(env.observation, env.action, hidden=(4,))
    agent = pjs.ppo(env, config, network, extra_loss=look)
    hypers = jax.tree.map(jnp.float32, agent.hypers)

    @jax.jit
    def update(key):
        state = agent.init(key, hypers)
        transition = check.experience(agent, key, hypers, state)
        return transition, agent.update(key, hypers, state, transition)[1]

    transition, metrics = update(jax.random.key(0))
    order = np.argsort(np.ravel(transition.reward))
    fields = transition.reward, transition.next_obs[..., 0], transition.obs[..., 0]
    expected = sum(np.vdot(np.arange(32.0), np.ravel(x)[order]) for x in fields)
    np.testing.assert_allclose(metrics["x"], expected, rtol=1e-5)


INPUTS: Any = None


def test_two_terms_do_not_share_a_name():
    term = extra_losses.both(lambda inputs: (1.0, {"x": 2.0}), lambda inputs: (3.0, {"y": 4.0}))
    assert term is not None and term(INPUTS) == (4.0, {"x": 2.0, "y": 4.0})
    twice = extra_losses.both(term, lambda inputs: (0.0, {"x": 0.0}))
    with pytest.raises(ValueError, match="one name: x, by a term of the loss and by another"):
        assert twice is not None and twice(INPUTS)


def test_names_of_the_engine_are_refused_too():
    agent = build("pqn", lambda inputs: (jnp.float32(0.0), {"episode_return": jnp.float32(0.0)}))
    env, key = AGENTS["pqn"][1](), jax.eval_shape(jax.random.key, 0)
    train, hypers = pjs.make_train(agent, env), jax.tree.map(jnp.float32, agent.hypers)
    run = jax.eval_shape(train.init, key, hypers, env.params)
    with pytest.raises(
        ValueError, match="one name: episode_return, by the engine and by the agent"
    ):
        jax.eval_shape(
            train.update, key, hypers, env.params, run, pjs.Clock(np.int32(0), np.int32(1))
        )
