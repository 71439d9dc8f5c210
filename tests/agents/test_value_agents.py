"""C51, QR-DQN, IQN and Munchausen: known values and distributions, and what they reduce to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.agents.c51 import C51Config, C51Hypers, c51
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.iqn import IQNConfig, IQNHypers, iqn
from purejaxrl_suite.agents.munchausen import MunchausenConfig, MunchausenHypers, munchausen
from purejaxrl_suite.agents.qr_dqn import QRDQNConfig, QRDQNHypers, qr_dqn
from purejaxrl_suite.core.types import Clock, Internals, Network, Transition
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import probes
from purejaxrl_suite.ops import distributional

GAMMA = 0.5
SIZES = {"num_envs": 16, "rollout_length": 4, "gradient_steps": 8, "capacity": 2048}
FIXED = {"gamma": GAMMA, "min_history": 256.0, "target_update_period": 20.0, "final_epsilon": 0.5}
QUANTILES = {"quantiles": 8, "target_quantiles": 8, "policy_quantiles": 8}
C51 = C51Config(atoms=5, **SIZES), C51Hypers(2e-2, value_low=-1.0, value_high=1.0, **FIXED)
QR = QRDQNConfig(quantiles=4, **SIZES), QRDQNHypers(1e-2, **FIXED)
IQN = IQNConfig(**QUANTILES, **SIZES), IQNHypers(1e-2, **FIXED)
M_DQN = MunchausenConfig(**SIZES), MunchausenHypers(1e-2, **FIXED)
M_IQN = M_DQN[0]._replace(distributional=True, **QUANTILES), M_DQN[1]


def q_network(env, atoms=0):
    return nets.q_network(env.observation, env.action, hidden=(16,), atoms=atoms, layer_norm=False)


def implicit(env):
    # Without a bias, ReLU would map the observation 0 to features 0, which no fraction can change.
    shape = {"hidden": (16,), "mixed": (16,), "cosines": 8, "quantiles": 8, "activation": jnp.tanh}
    return nets.implicit_quantile_network(env.observation, env.action, **shape)


# name: (builder of the agent, config, hypers, builder of the network)
AGENTS = {
    "c51": (c51, *C51, lambda env: q_network(env, 5)),
    "qr_dqn": (qr_dqn, *QR, lambda env: q_network(env, 4)),
    "iqn": (iqn, *IQN, implicit),
    "m_dqn": (munchausen, *M_DQN, q_network),
    "m_iqn": (munchausen, *M_IQN, implicit),
}


def learnt(name, env, updates, **changes):
    """What two members put out for observations -1, 0 and 1: f32[2, 3, A, ...]."""
    build, config, hypers, make_network = AGENTS[name]
    network = make_network(env)
    agent = build(env, config, network, hypers._replace(**changes))
    init, _, advance, *_ = make_train(agent, env, updates_per_call=updates)
    hypers = jax.tree.map(jnp.float32, agent.hypers)

    @jax.jit
    def program(keys):
        run = jax.vmap(init, (0, None, None))(keys, hypers, env.params)
        clock = Clock(jnp.int32(0), jnp.int32(updates))
        train = jax.vmap(advance, (0, None, None, 0, None))
        run, _ = train(keys, hypers, env.params, run, clock)
        obs = jnp.asarray([[-1.0], [0.0], [1.0]])
        params = run.agent.learner.params
        return jax.vmap(lambda params: network.apply(params, obs)[0])(params)

    return np.asarray(program(jax.random.split(jax.random.key(0), 2)))


def values(name, output):
    if name == "c51":
        return distributional.expectation(output, distributional.support(-1.0, 1.0, 5))
    return output if name == "m_dqn" else np.mean(output, axis=-1)


def test_bootstrapped_values_are_learnt():
    found = values("iqn", learnt("iqn", probes.delayed_reward(), 150))
    np.testing.assert_allclose(found[:, 1:], [[[GAMMA, GAMMA], [1.0, 1.0]]] * 2, atol=0.06)


@functools.cache
def learnt_of_choice_and_chance(name):
    """Both by one program.

    One step, o = -1, 0 or 1: reward o for action 1 and -o for action 0, at 0 a coin of 1."""
    env = probes.observation_action_reward()

    def init(key, params):
        obs = jax.random.randint(key, (1,), -1, 2).astype(jnp.float32)
        return obs, obs

    def step(key, params, state, action):
        coin = jax.random.rademacher(key, (), jnp.float32)
        after, now = env.step(key, params, state, action)
        return after, now._replace(reward=jnp.where(state[0] == 0, coin, now.reward))

    changes = {} if name == "c51" else {"kappa": 0.1}
    return learnt(name, env._replace(init=init, step=step), 250, **changes)


@pytest.mark.parametrize("name", ["c51", "qr_dqn"])
def test_values_of_actions_are_learnt(name):
    found = values(name, learnt_of_choice_and_chance(name))
    np.testing.assert_allclose(found[:, ::2], [[[1.0, -1.0], [-1.0, 1.0]]] * 2, atol=0.1)


def coin():
    """One step, observation 0, reward -1 or 1 by chance."""
    env = probes.constant_reward()

    def step(key, params, state, action):
        state, now = env.step(key, params, state, action)
        return state, now._replace(reward=jax.random.rademacher(key, (), jnp.float32))

    return env._replace(step=step)


def test_a_categorical_distribution_is_learnt():
    found = jax.nn.softmax(learnt("c51", coin(), 150)[:, 1])
    expected = np.broadcast_to([0.5, 0.0, 0.0, 0.0, 0.5], found.shape)
    np.testing.assert_allclose(found, expected, atol=0.1)


@pytest.mark.parametrize("name", ["qr_dqn", pytest.param("iqn", marks=pytest.mark.slow)])
def test_quantiles_are_learnt(name):
    found = learnt_of_choice_and_chance(name)[:, 1]
    half = found.shape[-1] // 2
    np.testing.assert_allclose(np.mean(found[..., :half], -1), -1.0, atol=0.2)
    np.testing.assert_allclose(np.mean(found[..., half:], -1), 1.0, atol=0.2)


@pytest.mark.parametrize("name", ["m_dqn", pytest.param("m_iqn", marks=pytest.mark.slow)])
def test_munchausen_learns_its_fixed_point(name):
    """Rewards -1 and 1 at one state, at temperature 1: q(a) = r(a) + alpha * log pi(a).

    The clip at -1 holds the worse action at -1 - alpha; the better one solves its own equation.
    """
    changes = {"alpha": 0.5, "temperature": 1.0, "learning_rate": 5e-3}
    found = values(name, learnt(name, probes.action_reward(), 250, **changes))[:, 1]
    q = np.array([-1.0, 1.0])
    for _ in range(200):
        q = np.array([-1.0, 1.0]) + 0.5 * np.maximum(q - np.log(np.sum(np.exp(q))), -1.0)
    assert q[0] == -1.5
    np.testing.assert_allclose(found, [q] * 2, atol=0.1)


def same_steps(reward, terminated):
    """A rollout [4, 1] of one transition again and again, so that every batch is the same."""
    flags = np.full((4, 1), terminated)
    obs = np.ones((4, 1, 1), np.float32)
    return Transition(obs, np.zeros((4, 1), np.int32), np.full((4, 1), reward, np.float32), flags,
                      np.zeros((4, 1), bool), obs, {})  # fmt: skip


ONE = {"num_envs": 1, "rollout_length": 4, "gradient_steps": 3, "capacity": 16, "batch_size": 4}
DQN = DQNConfig(huber=True, **ONE)  # the loss that QR-DQN and Munchausen generalise
RATES = {"gamma": 0.9, "min_history": 1.0, "target_update_period": 2.0}


def updated(build, config, hypers, network):
    env = probes.delayed_reward()
    agent = build(env, config, network, hypers)
    state = jax.jit(agent.init)(jax.random.key(0), hypers)
    state, _ = jax.jit(agent.update)(jax.random.key(1), hypers, state, same_steps(0.3, False))
    return jax.tree.map(np.ravel, state.learner.params)


@pytest.mark.parametrize("double", [pytest.param(False, marks=pytest.mark.slow), True])
def test_one_quantile_is_dqn(double):
    """The median's tilt halves every gradient, which Adam does not see if epsilon halves too."""
    env = probes.delayed_reward()
    hypers = DQNHypers(1e-2, 1e-3, **RATES), QRDQNHypers(1e-2, 5e-4, **RATES)
    expected = updated(dqn, DQN._replace(double=double), hypers[0], q_network(env))
    config = QRDQNConfig(quantiles=1, double=double, **ONE)
    found = updated(qr_dqn, config, hypers[1], q_network(env, 1))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), found, expected)


def test_munchausen_without_its_parts_is_dqn():
    env = probes.delayed_reward()
    expected = updated(dqn, DQN, DQNHypers(1e-2, 1e-3, **RATES), q_network(env))
    hypers = MunchausenHypers(1e-2, 1e-3, alpha=0.0, temperature=1e-5, **RATES)
    found = updated(munchausen, MunchausenConfig(**ONE), hypers, q_network(env))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), found, expected)
    with_bonus = updated(
        munchausen, MunchausenConfig(**ONE), hypers._replace(alpha=0.9, temperature=1.0),
        q_network(env),
    )  # fmt: skip
    assert not np.allclose(with_bonus["heads"]["q"]["bias"], found["heads"]["q"]["bias"])


def table(output):
    """A network that puts out its one parameter, whatever it sees."""

    def apply(params, obs, memory=(), taps=None):
        return jnp.broadcast_to(params["q"][None], (len(obs), *output.shape)), Internals(
            {}, (), {}, 0.0
        )

    return Network(lambda key: {"q": output}, apply, apply, ())


@pytest.mark.parametrize(("double", "best"), [(False, 1), (True, 0)])
def test_a_target_of_c51_by_hand(double, best):
    """Atoms -1, 0, 1; the target network prefers action 1, the online network action 0."""
    online = jnp.log(jnp.array([[0.2, 0.2, 0.6], [0.6, 0.2, 0.2]]))
    target = jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]]))
    hypers = C51Hypers(gamma=0.5, min_history=1.0, value_low=-1.0, value_high=1.0)
    config = C51Config(atoms=3, double=double, **ONE | {"gradient_steps": 1})
    agent = c51(probes.delayed_reward(), config, table(online), hypers)
    state = jax.jit(agent.init)(jax.random.key(0), hypers)._replace(target={"q": target})
    steps = same_steps(0.25, False)
    _, metrics = jax.jit(agent.update)(jax.random.key(1), hypers, state, steps)
    # Atoms land at -0.25, 0.25, 0.75: shared by (-1, 0), (0, 1) and (0, 1).
    p = np.exp(target[best])
    projected = [0.25 * p[0], 0.75 * p[0] + 0.75 * p[1] + 0.25 * p[2], 0.25 * p[1] + 0.75 * p[2]]
    expected = -np.sum(np.array(projected) * np.asarray(online[0]))
    np.testing.assert_allclose(metrics["td_loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["q_value"], 0.4, rtol=1e-5)


@pytest.mark.parametrize("name", ["iqn", "m_iqn"])
def test_the_noise_of_acting_holds_fractions(name):
    build, config, hypers, make_network = AGENTS[name]
    env = probes.delayed_reward()
    agent = build(env, config, make_network(env), hypers)
    uniforms, taus = agent.noise(jax.random.key(0), 16)
    assert uniforms.shape == (16,) and taus.shape == (16, config.policy_quantiles)
    assert 0.0 <= np.min(taus) < 0.1 and 0.9 < np.max(taus) < 1.0


@pytest.mark.parametrize("name", AGENTS)
def test_arguments_that_make_no_sense(name):
    build, config, *_ = AGENTS[name]
    with pytest.raises(ValueError, match="Discrete"):
        build(probes.tracking())
    with pytest.raises(ValueError, match="batch_size"):
        build(probes.delayed_reward(), config._replace(batch_size=0))
