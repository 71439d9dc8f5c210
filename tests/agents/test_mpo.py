"""MPO and V-MPO: improved policies, temperatures and multipliers by hand, and what they learn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import mpo_learning, multipliers
from purejaxrl_suite.agents.shared.muesli_learning import Steps
from purejaxrl_suite.agents.vmpo import weighed
from purejaxrl_suite.core.check import experience
from purejaxrl_suite.envs import make, probes
from purejaxrl_suite.ops import policy_targets

KEY = jax.random.key(0)


def test_the_improved_policy_by_hand():
    """Prior (1/2, 1/2), q = (0, log 9), eta = 2: weights 1 and 3, so 1/4 and 3/4."""
    prior, q = jnp.log(jnp.full(2, 0.5)), jnp.log(jnp.array([1.0, 9.0]))
    found = policy_targets.cmpo_policy(prior, q / 2.0, jnp.inf)
    np.testing.assert_allclose(jnp.exp(found), [0.25, 0.75], rtol=1e-6)


def test_the_best_temperature_meets_the_bound():
    """Where the dual is least, KL(improved || prior) is the bound; its value there by scipy."""
    draw = np.random.default_rng(0)
    prior = special.log_softmax(draw.normal(size=4)).astype(np.float32)
    q, bound = draw.normal(size=4).astype(np.float32), 0.1

    def apart(eta):
        improved = special.log_softmax(prior + q / eta)
        return np.exp(improved) @ (improved - prior)

    best = optimize.brentq(lambda eta: apart(eta) - bound, 0.05, 50.0)
    slope = jax.grad(policy_targets.temperature_loss)
    np.testing.assert_allclose(slope(jnp.float32(best), prior, q, bound), 0.0, atol=1e-5)
    for eta in (0.5 * best, 2.0 * best):
        np.testing.assert_allclose(
            slope(jnp.float32(eta), prior, q, bound), bound - apart(eta), atol=1e-5
        )


def test_the_multiplier_rises_while_the_bound_is_exceeded():
    """By hand: multiplier 3, divergence 0.5, bound 0.2: gradients 0.2 - 0.5, and 3."""
    found = jax.grad(policy_targets.constrained, (0, 1))(jnp.float32(3.0), jnp.float32(0.5), 0.2)
    np.testing.assert_allclose(found, (-0.3, 3.0), rtol=1e-6)


def test_the_better_half_is_weighed_by_hand():
    """Of -1, 0, log 2 and log 6 the latter two, with eta = 1: weights 2 / 8 and 6 / 8."""
    advantages = jnp.array([0.0, np.log(6.0), -1.0, np.log(2.0)], jnp.float32)
    weights, dual = weighed(jnp.float32(1.0), advantages, 0.1)
    np.testing.assert_allclose(weights, [0.0, 0.75, 0.0, 0.25], atol=1e-6)
    # 0.1 + log of the mean of 2 and 6.
    np.testing.assert_allclose(dual, 0.1 + np.log(4.0), rtol=1e-6)
    slope = jax.grad(lambda eta: weighed(eta, advantages, 0.1)[1])(jnp.float32(1.0))
    apart = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    np.testing.assert_allclose(slope, 0.1 - apart, rtol=1e-4)
    gradient = jax.grad(lambda x: weighed(jnp.float32(1.0), x, 0.1)[1])(advantages)
    np.testing.assert_array_equal(gradient, 0.0)


def steps(mask):
    """Sequences [2, 1] of two actions, of which some are learnt from."""
    none = jnp.zeros((2, 1), bool)
    return Steps(
        obs=jnp.zeros((2, 1, 1)), action=jnp.array([[0], [1]]), reward=jnp.zeros((2, 1)),
        terminated=none, truncated=none, next_obs=jnp.zeros((2, 1, 1)), log_prob=jnp.zeros((2, 1)),
        mask=jnp.asarray(mask, jnp.float32)[:, None], last=none,
        starts=jnp.zeros((3, 1), bool),
    )  # fmt: skip


def test_terms_of_the_loss_by_hand():
    """The second step is masked; multipliers are eta = 2 and alpha = 3."""
    params = {
        "aux": {multipliers.NAME: {"temperature": jnp.log(2.0), "kl_multiplier": jnp.log(3.0)}}
    }
    even, skewed = jnp.log(jnp.full(2, 0.5)), jnp.log(jnp.array([0.25, 0.75]))
    rows = (2, 1, 2)
    targets = mpo_learning.Improved(
        log_prior=jnp.broadcast_to(even, rows),
        advantages=jnp.broadcast_to(jnp.log(jnp.array([1.0, 9.0])), rows),
        log_target=jnp.broadcast_to(skewed, rows),
        returns=jnp.array([[2.0], [100.0]]),
    )
    output = nets.ActorCritic(jnp.broadcast_to(even, rows), jnp.full(rows, 0.5))
    hypers = pjs.MPOHypers(temperature_bound=0.1, kl_bound=0.2)
    found = mpo_learning.terms(hypers, params, output, steps([1, 0]), targets)
    fit = 0.25 * np.log(0.5) + 0.75 * np.log(1.5)
    expected = {
        "policy_loss": fit,
        "value_loss": 0.5 * 1.5**2,
        "temperature_loss": 2.0 * (0.1 + np.log(2.0)),  # the mean of exp(q / 2) is (1 + 3) / 2
        "trust_loss": 3.0 * 0.2,
        "divergence": 0.0,
        "temperature": 2.0,
        "kl_multiplier": 3.0,
    }
    assert {name: float(x) for name, x in found.items()} == pytest.approx(expected, abs=1e-5)


@functools.cache
def small(kind, continuous=False, **hypers):
    env = make("Pendulum-v1") if continuous else probes.observation_action_reward()
    options = {"hidden": (8,)} | ({"values": env.action.n} if kind == "mpo" else {})
    network = nets.actor_critic(env.observation, env.action, **options)
    if kind == "mpo":
        sizes = {"num_envs": 4, "rollout_length": 8, "gradient_steps": 2, "batch_size": 8}
        config = pjs.MPOConfig(**sizes, sequence_length=4, capacity=64)
        return pjs.mpo(env, config, network, pjs.MPOHypers(**hypers))
    config = pjs.VMPOConfig(num_envs=4, rollout_length=8, epochs=2, minibatches=2)
    return pjs.vmpo(env, config, network, pjs.VMPOHypers(**hypers))


@pytest.mark.parametrize("kind", ["mpo", "vmpo"])
def test_an_update_moves_policy_and_multipliers(kind):
    agent = small(kind)

    @jax.jit
    def updated(key, hypers):
        state = agent.init(key, hypers)
        after, metrics = state, {}
        for _ in range(2):
            after, metrics = agent.update(key, hypers, after, experience(agent, key, hypers, after))
        return state.learner.params, after.learner.params, metrics

    before, after, metrics = updated(KEY, jax.tree.map(jnp.float32, agent.hypers))
    moved = jax.tree.map(lambda x, y: bool(jnp.any(x != y)), before, after)
    assert all(moved["aux"][multipliers.NAME].values())
    assert moved["heads"]["policy"]["kernel"] and moved["heads"]["value"]["kernel"]
    assert metrics["divergence"] >= 0.0 and np.isfinite(metrics["gradient_norm"])
    learnt = {name: jnp.log(metrics[name]) for name in ("temperature", "kl_multiplier")}
    assert all(np.isfinite(x) for x in learnt.values())


def test_equal_values_leave_the_policy_where_it_is():
    """MPO's target is then the prior, and the first step has no gradient for the policy."""
    agent = small("mpo")
    state = jax.jit(agent.init)(KEY, agent.hypers)
    flat = jax.tree.map(jnp.zeros_like, state.target["heads"]["value"])
    state.target["heads"]["value"] = flat
    state.learner.params["heads"]["value"] = flat

    @jax.jit
    def gradients(state):
        transition = experience(agent, KEY, agent.hypers, state)
        state, _ = agent.update(KEY, agent.hypers._replace(learning_rate=0.0), state, transition)
        return agent.probe(KEY, agent.hypers, state, transition).grads

    grads = gradients(state)
    np.testing.assert_allclose(grads["heads"]["policy"]["kernel"], 0.0, atol=1e-7)
    assert np.any(grads["heads"]["value"]["bias"] != 0.0)


def test_what_is_refused():
    env = make("Pendulum-v1")
    with pytest.raises(ValueError, match="mpo needs Discrete actions"):
        pjs.mpo(env)
    bare = probes.action_reward()
    with pytest.raises(ValueError, match="values=2"):
        pjs.mpo(bare, network=nets.actor_critic(bare.observation, bare.action))
    with pytest.raises(ValueError, match="without a memory"):
        network = nets.actor_critic(bare.observation, bare.action, memory_units=4, values=2)
        pjs.mpo(bare, network=network)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mpo", "vmpo", "boxed"])
def test_probes_are_learnt(kind):
    env = probes.tracking() if kind == "boxed" else probes.observation_action_reward()
    least = -0.05 if kind == "boxed" else 1.0
    options = {"hidden": (16,)} | ({"values": env.action.n} if kind == "mpo" else {})
    network = nets.actor_critic(env.observation, env.action, **options)
    if kind == "mpo":
        sizes = {"num_envs": 16, "rollout_length": 16, "sequence_length": 8, "capacity": 4096}
        agent = pjs.mpo(env, pjs.MPOConfig(**sizes), network, pjs.MPOHypers(gamma=0.5))
    else:
        sizes = {"num_envs": 16, "rollout_length": 16}
        hypers = pjs.VMPOHypers(learning_rate=1e-2, gamma=0.5, kl_bound=0.1)
        agent = pjs.vmpo(env, pjs.VMPOConfig(**sizes), network, hypers)
    result = pjs.run(agent, env, seeds=2, steps=200 * 256, progress=False)
    assert result.evaluate(64).episode_return.min() >= least
