"""Discounts of single steps: from the environment through rollout and replay to targets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import datasets, nets
from purejaxrl_suite.agents.dqn import dqn
from purejaxrl_suite.agents.fma_pg import FMAPGConfig, fma_pg
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.agents.sac import SACConfig, SACHypers, sac
from purejaxrl_suite.agents.shared import normalize
from purejaxrl_suite.agents.td3 import TD3Config, TD3Hypers, td3
from purejaxrl_suite.core.check import check_agent
from purejaxrl_suite.core.types import Box, Discrete, Transition
from purejaxrl_suite.engine.source import dataset, idle, online
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import probes
from purejaxrl_suite.envs.multi_task import multi_task
from purejaxrl_suite.ops import returns
from tests.agents.test_normalize import telling
from tests.buffers import histories

ROLLOUT = {"num_envs": 4, "rollout_length": 8, "epochs": 2, "minibatches": 2}
REPLAY = {"num_envs": 2, "rollout_length": 4, "batch_size": 8, "capacity": 64, "probe_size": 8}


def discounted(env, discount):
    """The environment, whose steps have a discount: a number, or a function of the observation."""
    of = discount if callable(discount) else lambda obs: discount

    def step(key, params, state, action):
        state, now = env.step(key, params, state, action)
        return state, now._replace(discount=jnp.float32(of(now.final_obs)))

    return env._replace(step=step, discounted=True)


def small_ppo(env, gamma, build=ppo, config=PPOConfig, **more):
    network = nets.actor_critic(env.observation, env.action, hidden=(8,))
    made = build(env, config(**ROLLOUT, **more), network)
    return made._replace(hypers=made.hypers._replace(gamma=gamma))


def small_sac(env, gamma, **more):
    hypers = SACHypers(min_history=8.0, gamma=gamma)
    network = nets.actor_critics(env.observation, env.action, hidden=(8,))
    return sac(env, SACConfig(**REPLAY, **more), network, hypers)


def small_td3(env, gamma):
    network = nets.actor_critics(env.observation, env.action, hidden=(8,), deterministic=True)
    config = TD3Config(**REPLAY, normalize_observations=True)
    return td3(env, config, network, TD3Hypers(min_history=8.0, gamma=gamma))


def trained(agent, env, updates=6):
    """Parameters after some updates."""
    train = make_train(agent, env, updates_per_call=updates)
    hypers = jax.tree.map(jnp.float32, agent.hypers)
    clock = pjs.Clock(jnp.int32(0), jnp.int32(updates))
    key = jax.random.key(0)
    run = jax.jit(train.init)(key, hypers, env.params)
    run, _ = jax.jit(train.train)(key, hypers, env.params, run, clock)
    return jax.tree.leaves(run.agent.learner.params)


AGENTS = {
    "ppo": (small_ppo, probes.delayed_reward),
    "ppo-normalized": (
        lambda env, gamma: small_ppo(env, gamma, normalize_rewards=True),
        probes.delayed_reward,
    ),
    "fma-pg": (lambda env, g: small_ppo(env, g, fma_pg, FMAPGConfig), probes.delayed_reward),
    "sac": (small_sac, lambda: pjs.make("Pendulum-v1")),
    "td3": (small_td3, lambda: pjs.make("Pendulum-v1")),
}


@pytest.mark.parametrize(
    "name", ["ppo", *(pytest.param(n, marks=pytest.mark.slow) for n in list(AGENTS)[1:4])]
)
def test_a_constant_discount_is_one_of_the_agent(name):
    """Discounts of 0.5 with gamma 1 are gamma 0.5 without; products by powers of 2 are exact."""
    build, make_env = AGENTS[name]
    plain = make_env()
    other = discounted(plain, 0.5)
    there, here = trained(build(plain, 0.5), plain), trained(build(other, 1.0), other)
    for one, two in zip(there, here, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) for n in AGENTS])
def test_agents_with_discounts_keep_the_contract(name):
    build, make_env = AGENTS[name]
    agent = build(discounted(make_env(), 0.9), 0.99)
    assert agent.discounted
    check_agent(agent, jax.random.key(0))


# --- Formulas ---


def test_advantages_and_returns_by_hand():
    """Discounts 0.5, 0.25 and 1 with gamma 0.8: 0.4, 0.2, 0.8; the third step terminates."""
    gamma = 0.8 * jnp.array([0.5, 0.25, 1.0])
    rewards, values = jnp.array([1.0, 2.0, 4.0]), jnp.array([0.5, 1.0, 2.0])
    following, no = jnp.array([1.0, 2.0, 9.0]), jnp.zeros(3, bool)
    end = no.at[2].set(True)
    # Errors 1 + .4 - .5 = .9, 2 + .4 - 1 = 1.4, 4 - 2 = 2; lambda 0.5.
    found = returns.gae(rewards, values, following, end, end, gamma, 0.5)
    np.testing.assert_allclose(found, [0.9 + 0.2 * (1.4 + 0.1 * 2.0), 1.4 + 0.1 * 2.0, 2.0])
    # Two steps: 1 + .4 (2 + .2 * 2) and 2 + .2 * 4.
    found = returns.n_step_returns(rewards, following, end, end, gamma, 2)
    np.testing.assert_allclose(found, [1.0 + 0.4 * 2.4, 2.8, 4.0], rtol=1e-6)
    # lambda 0.5: 4, then 2 + .2 (.5 * 2 + .5 * 4), then 1 + .4 (.5 * 1 + .5 * 2.6).
    found = returns.lambda_returns(rewards, following, end, end, gamma, 0.5)
    np.testing.assert_allclose(found, [1.0 + 0.4 * 1.8, 2.6, 4.0], rtol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_windows_of_the_replay_by_hand(n):
    """Rewards 1, 2, 4 .. and discounts 1/2, 1/3, 1/4 .., gamma 0.5; the fourth step terminates."""
    sizes = {"capacity": 24, "num_envs": 1, "rollout_length": 6, "max_n": 3}
    replay = histories.compiled(**sizes, discounted=True)
    ends = np.zeros((2, 6, 1), bool)
    ends[0, 3] = True
    steps = histories.rollout(0, *ends)
    discount = 1.0 / np.arange(2.0, 8.0)
    reward = jnp.asarray(2.0 ** np.arange(6)[:, None], jnp.float32)
    steps = steps._replace(reward=reward, discount=jnp.float32(discount[:, None]))
    ring = replay.add(replay.init(), steps)
    batch = jax.device_get(replay.read(ring, np.array([0, 3], np.int32), n, 0.5))
    factors = np.cumprod(np.concatenate([[1.0], 0.5 * discount]))
    expected = np.sum(factors[:n] * 2.0 ** np.arange(n))
    np.testing.assert_allclose(batch.reward, [expected, 8.0], rtol=1e-6)
    np.testing.assert_allclose(batch.discount, [factors[n], 0.5 / 5.0], rtol=1e-6)
    np.testing.assert_array_equal(batch.terminated, [False, True])


def test_rewards_are_normalized_by_returns_with_discounts_of_steps():
    agent, rng = normalize.normalize_rewards(telling()), np.random.default_rng(1)
    state, found, carry = agent.init(None, agent.hypers), [], np.zeros(2)
    shape = (4, 2)
    for _ in range(2):
        done = rng.random((2, *shape)) < 0.2
        obs, reward, discount = np.zeros((*shape, 2)), *rng.random((2, *shape))
        steps = Transition(obs, np.zeros(shape, int), reward, *done, obs, {}, None, discount)
        state, _ = agent.update(None, agent.hypers, state, jax.tree.map(jnp.asarray, steps))
        for r, over, d in zip(reward, done[0] | done[1], discount, strict=True):
            total = 0.9 * carry + r
            found.append(total)
            carry = np.where(over, 0.0, d * total)
        expected = reward / np.std(found)
        np.testing.assert_allclose(state.learner.params.reward, expected, rtol=1e-4)


# --- Who may not act there ---


def test_other_agents_are_refused():
    env = discounted(probes.delayed_reward(), 0.5)
    for build in (dqn, pjs.pqn, pjs.impala, pjs.daac):
        with pytest.raises(ValueError, match="discounts of their own .*expected an agent that lea"):
            online(build(env), env)
    with pytest.raises(ValueError, match="agent 'dqn': steps of 'delayed_reward' have discounts"):
        pjs.run(dqn, env, seeds=1, steps=100)
    plain = probes.delayed_reward()
    with pytest.raises(ValueError, match="have discounts of their own"):
        online(ppo(plain), env)
    with pytest.raises(ValueError, match="have no discounts .*got discounted=True"):
        online(ppo(env), plain)


def test_what_keeps_no_discounts_is_refused():
    env = discounted(probes.delayed_reward(), 0.5)
    agent = ppo(env)
    with pytest.raises(ValueError, match="data sets keep none"):
        idle(agent, env)
    empty = jnp.zeros((4, 1))
    steps = Transition(empty, jnp.zeros(4, int), *[jnp.zeros(4)] * 3, empty, {})
    with pytest.raises(ValueError, match="data sets keep none"):
        dataset(agent, env, steps)
    with pytest.raises(ValueError, match="which data sets do not keep"):
        datasets.random(env, 10)
    with pytest.raises(ValueError, match="steps of delayed_reward have discounts"):
        multi_task([env, probes.recall()])


def test_a_critic_bootstraps_by_the_discount_of_its_step():
    """One step, then a value that the discount of the step, 0 or 1, lets through or not."""
    box = Box((1,), "float32", -1.0, 1.0)
    replay = pjs.buffers.uniform(
        box, Discrete(2), capacity=8, num_envs=1, rollout_length=2, discounted=True
    )
    zeros, no = jnp.zeros((2, 1, 1)), jnp.zeros((2, 1), bool)
    discount = jnp.array([[0.0], [1.0]])
    steps = Transition(zeros, jnp.zeros((2, 1), jnp.int32), jnp.ones((2, 1)), no, no, zeros, {})
    ring = replay.add(replay.init(), steps._replace(discount=discount))
    batch = replay.read(ring, jnp.array([0, 1], jnp.int32), 1, 0.9)
    np.testing.assert_allclose(batch.discount, [0.0, 0.9])
