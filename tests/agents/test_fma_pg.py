"""FMA-PG: its loss by hand, divergences by oracles, first steps and limits that are PPO's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.core.check import experience
from purejaxrl_suite.core.types import Box, Discrete
from purejaxrl_suite.envs import make, probes
from purejaxrl_suite.ops import losses

SIZES = {"num_envs": 4, "rollout_length": 8}
KINDS = {
    "sppo": {"softmax": True, "reverse": False},
    "mdpo": {"softmax": False, "reverse": True},
    "trpo": {"softmax": False, "reverse": False},
}


def test_the_loss_by_hand():
    """Ratio 1.2, A = 2, D = 0.1, eta = 0.5: 0.2 - 2.4, and by logits 0.2 - 2 log 1.2."""
    given = jnp.log(jnp.float32(1.2)), jnp.float32(2.0), jnp.float32(0.1), 0.5
    direct, softmax = (losses.mirror_surrogate(*given, softmax) for softmax in (False, True))
    np.testing.assert_allclose([direct, softmax], [-2.2, -0.16464], rtol=1e-4)


def test_divergences_are_scipys():
    first, second = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    p, q = special.softmax(first, axis=1), special.softmax(second, axis=1)
    found = nets.divergence(Discrete(3))(first, second)
    np.testing.assert_allclose(found, special.rel_entr(p, q).sum(1), rtol=1e-4)

    of_box = nets.divergence(Box((2,), "float32", -1.0, 1.0))
    one = nets.Gaussian(np.float32([[0.3, -1.0]]), np.float32([[-0.5, 0.2]]))
    other = nets.Gaussian(np.float32([[1.0, 0.5]]), np.float32([[0.4, -0.3]]))
    expected = 0.0
    for i in range(2):
        a, b = (stats.norm(x.mean[0, i], np.exp(x.log_std[0, i])) for x in (one, other))
        expected += integrate.quad(
            lambda x, a=a, b=b: a.pdf(x) * (a.logpdf(x) - b.logpdf(x)), -9, 9
        )[0]
    np.testing.assert_allclose(of_box(one, other), [expected], rtol=1e-5)
    np.testing.assert_array_equal(of_box(one, one), [0.0])


@functools.cache
def world(continuous):
    env = make("Pendulum-v1") if continuous else probes.observation_action_reward()
    return env, nets.actor_critic(env.observation, env.action, hidden=(8,))


def agent_of(name, continuous, epochs=1, **hypers):
    """One of KINDS, or PPO without a clip of the value."""
    env, network = world(continuous)
    sizes = SIZES | {"epochs": epochs, "minibatches": 1}
    if name == "ppo":
        config = pjs.PPOConfig(**sizes, clip_value_loss=False)
        return pjs.ppo(env, config, network, pjs.PPOHypers(**hypers))
    config = pjs.FMAPGConfig(**sizes, **KINDS[name])
    return pjs.fma_pg(env, config, network, pjs.FMAPGHypers(**hypers))


def learnt(agents):
    """The parameters after an update of each, as vectors, and metrics; of equal experience."""

    def update(agent, key, hypers):
        state = agent.init(key, hypers)
        transition = experience(agent, key, hypers, state)
        after, metrics = agent.update(key, hypers, state, transition)
        return jax.flatten_util.ravel_pytree(after.learner.params)[0], metrics

    @jax.jit
    def all_of_them(key, hypers):
        return [update(a, key, h) for a, h in zip(agents, hypers, strict=True)]

    hypers = [jax.tree.map(jnp.float32, agent.hypers) for agent in agents]
    return jax.device_get(all_of_them(jax.random.key(0), hypers))


@pytest.mark.parametrize("continuous", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_first_step_is_the_same_for_all_surrogates(continuous):
    """The divergence and its gradient are 0 there, and the ratio is 1; a later step differs."""
    names = "ppo", *KINDS
    once = learnt([agent_of(name, continuous) for name in names])
    for params, metrics in once[1:]:
        np.testing.assert_allclose(params, once[0][0], atol=1e-6)
        assert abs(metrics["divergence"]) < 1e-6
    fast = {"epochs": 4, "eta": 0.1, "learning_rate": 1e-2}
    more = learnt([agent_of(name, continuous, **fast) for name in KINDS])
    for (params, metrics), (other, _) in zip(more, more[1:] + more[:1], strict=True):
        assert np.abs(params - other).max() > 1e-6 and metrics["divergence"] > 0.0


@pytest.mark.slow
def test_without_a_divergence_mdpo_is_ppo_without_a_clip():
    mdpo = agent_of("mdpo", False, epochs=4, eta=1e30)
    trpo = agent_of("trpo", False, epochs=4, eta=1e30)
    plain = agent_of("ppo", False, epochs=4, clip_range=1e30)
    (ppo, _), *others = learnt([plain, mdpo, trpo])
    for params, metrics in others:
        np.testing.assert_allclose(params, ppo, atol=1e-6)
        assert metrics["divergence"] > 0.0


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_probes_are_learnt(name):
    sizes = {"num_envs": 16, "rollout_length": 16, "epochs": 4, "minibatches": 4}
    for make_env, steps, least in (
        (probes.observation_action_reward, 100, 1.0),
        (probes.tracking, 200, -0.05),
    ):
        env = make_env()
        network = nets.actor_critic(env.observation, env.action, hidden=(16,))
        hypers = pjs.FMAPGHypers(learning_rate=1e-2, gamma=0.5, entropy_coefficient=0.0)
        agent = pjs.fma_pg(env, pjs.FMAPGConfig(**sizes, **KINDS[name]), network, hypers)
        result = pjs.run(agent, env, seeds=2, steps=steps * 256, progress=False)
        assert result.evaluate(64).episode_return.min() >= least
