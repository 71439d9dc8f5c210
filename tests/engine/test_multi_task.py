"""Training on several tasks: shares, returns and evaluation of each; one task is none."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.agents.c51 import c51
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.agents.pqn import PQNConfig, pqn
from purejaxrl_suite.core.types import Clock, Discrete
from purejaxrl_suite.engine import parallel as grouped
from purejaxrl_suite.engine.evaluate import make_evaluate
from purejaxrl_suite.engine.rollout import rollout, start
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import make, probes
from purejaxrl_suite.envs.multi_task import family, multi_task, only
from purejaxrl_suite.nets.tasks import multi_head
from purejaxrl_suite.sweeps.run import run

KEY = jax.random.key(0)
PPO = PPOConfig(num_envs=6, rollout_length=10, epochs=2, minibatches=2)


def three():
    """One step and return 1; two steps and return 1; five steps, and one action more."""
    recall = probes.recall()._replace(action=Discrete(3))
    return multi_task([probes.constant_reward(), probes.delayed_reward(), recall])


def small(env, **options):
    return nets.actor_critic(env.observation, env.action, hidden=(8,), **options)


def small_q(env):
    return nets.q_network(env.observation, env.action, hidden=(8,), layer_norm=False)


@functools.cache
def agents():
    """Their environment, and agents by name."""
    env = three()
    replay = DQNConfig(6, 10, gradient_steps=2, batch_size=8, capacity=180, probe_size=8)
    soon = DQNHypers(min_history=60.0, epsilon_decay=0.5)
    return env, {
        "ppo": ppo(env, PPO._replace(normalize_each_task=True), multi_head(small(env), env[1])),
        "pqn": pqn(env, PQNConfig(6, 10, 1, 2), multi_head(small_q(env), env[1])),
        "dqn": dqn(env, replay, small_q(env), soon),
    }


def trained(agent, env, updates=3):
    """Members by their seeds, after their training: (state, history)."""
    init, _, train, *_ = make_train(agent, env, updates_per_call=updates)
    now = Clock(jnp.int32(0), jnp.int32(updates))

    @jax.jit
    def program(keys):
        state = jax.vmap(init, (0, None, None))(keys, agent.hypers, env.params)
        axes = (0, None, None, 0, None)
        return jax.vmap(train, axes)(keys, agent.hypers, env.params, state, now)

    return lambda *seeds: program(jax.vmap(jax.random.key)(np.uint32(seeds)))


@pytest.mark.parametrize(
    "name", ["ppo", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pqn", "dqn"))]
)
def test_returns_of_each_task_and_members_by_themselves(name):
    """Known lengths and returns; the neighbour of a member does not matter."""
    env, known = agents()
    fleet = trained(known[name], env)
    state, history = jax.device_get(fleet(3, 4))
    for task, length in zip(env.tasks, (1, 2, 5), strict=True):
        np.testing.assert_array_equal(history[f"episode_length_{task}"], length)
    for task in env.tasks[:2]:
        np.testing.assert_array_equal(history[f"episode_return_{task}"], 1.0)
    # Two environments of ten steps each: 10, 5 and 2 episodes in both of them.
    np.testing.assert_array_equal(history["episodes"], 34.0)
    for task, count in zip(env.tasks, (20, 10, 4), strict=True):
        np.testing.assert_array_equal(history[f"episodes_{task}"], count)
    assert np.all(np.abs(history["episode_return_recall"]) <= 3.0)  # its third action counts 3
    beside = jax.device_get(fleet(3, 9))
    first, again = (jax.tree.map(lambda x: x[0], x) for x in ((state, history), beside))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(history["episode_return_recall"][0], beside[1]["episode_return"][1])


def played(agent, env, pool):
    """A rollout from the start: states of environments at first, transitions, metrics."""

    @jax.jit
    def program():
        state = start(agent, env, KEY, env.params, agent.init(KEY, agent.hypers))
        act = rollout(agent, env, KEY, agent.hypers, env.params, state, reset_pool=pool)
        return state.env, *act[1:]

    return program()


@pytest.mark.parametrize("name", ["ppo", "pqn", "dqn"])
def test_actions_that_a_task_has_not_are_never_taken(name):
    env, known = agents()
    transition = jax.device_get(played(known[name], env, pool=2)[1])
    actions = np.asarray(transition.action)
    assert set(actions[:, 2::3].ravel()) == {0, 1, 2}
    assert set(actions[:, 0::3].ravel()) | set(actions[:, 1::3].ravel()) == {0, 1}
    np.testing.assert_array_equal(np.argmax(transition.obs[..., -3:], -1), [[0, 1, 2] * 2] * 10)


def test_one_task_is_the_environment_itself():
    """Bit for bit, in training and in evaluation: with one task nothing is added or rearranged."""
    alone = probes.recall()
    env = multi_task([alone], show_task=False)
    assert env.observation == alone.observation and env.action == alone.action
    made = []
    for one in (alone, env):
        agent = ppo(one, PPO, small(one))
        state, history = trained(agent, one)(0)
        evaluate = make_evaluate(agent, one, episodes=4)
        member = jax.tree.map(lambda x: x[0], state.agent)
        found = jax.jit(evaluate)(KEY, agent.hypers, one.params, member)
        made.append((state.agent, state.obs, dict(history), found))
    both = made[1][2]
    for name in ("episode_return", "episode_length", "episodes", "finished_once"):
        np.testing.assert_array_equal(both.pop(f"{name}_recall"), both[name])
    jax.tree.map(np.testing.assert_array_equal, *made)


@pytest.mark.parametrize("pool", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_resets_of_each_task_come_from_its_own_pool(pool):
    """Whatever the pool, every environment begins where its own dynamics do."""
    cart = make("CartPole-v1", max_steps_in_episode=3)
    members = family(cart, [cart.params.replace(gravity=g) for g in (5.0, 20.0)])
    env = multi_task([*members, make("Acrobot-v1", max_steps_in_episode=2)])
    agent = ppo(env, PPO, small(env))
    states, transition, found = jax.device_get(played(agent, env, pool))
    assert len(states) == 2, "the family is one batch"
    assert [jax.tree.leaves(x)[0].shape[0] for x in states] == [4, 2]
    done = np.asarray(transition.done)
    np.testing.assert_array_equal(done[:, 2], np.arange(10) % 2 == 1)
    np.testing.assert_array_equal(done[:, 0], np.arange(10) % 3 == 2)
    begins = np.asarray(transition.obs)[1:][done[:-1]]
    carts = begins[:, 3 + 3 + 2] == 0.0
    assert np.all(np.abs(begins[carts][:, :4]) <= 0.05) and np.all(begins[carts][:, 4:6] == 0)
    assert found["episode_length_CartPole-v1-1"] == 3.0
    # A family member's steps are those of the environment with its parameters.
    envs, keys = grouped.parallel(env), jax.random.split(KEY, 6)
    actions = np.int32([0, 1, 2, 1, 0, 0])

    def first(dynamics, params, keys, actions):
        state, _ = dynamics.init(keys, params)
        return dynamics.step(keys, params, state, actions)[1].obs

    obs = np.asarray(jax.jit(lambda: first(envs, env.params, keys, actions))())
    for task in range(3):
        one, mine = only(env, task), np.arange(6) % 3 == task
        each = jax.jit(jax.vmap(lambda key, action, one=one: first(one, one.params, key, action)))
        expected = each(keys[mine], actions[mine])
        np.testing.assert_allclose(obs[mine], expected, rtol=1e-6)


def test_evaluation_of_all_and_of_each():
    env = multi_task([probes.action_reward(), probes.recall()])
    agent = ppo(env, PPO, small(env), PPOHypers(learning_rate=1e-2))
    result = run(agent, env, seeds=1, steps=6000)
    assert {"episode_return_action_reward", "episode_return_recall"} <= set(result.curves)
    policy = result.policy(seed=0)
    found = policy.evaluate(8)
    np.testing.assert_array_equal(found.episode_length, [1, 5] * 4)
    np.testing.assert_array_equal(found.episode_return[0::2], 1.0)
    one = policy.of_task(0).evaluate(5)
    np.testing.assert_array_equal(one.episode_return, 1.0)
    assert one.completed.all() and one.episode_length.shape == (5,)


def test_what_makes_no_sense_is_refused():
    env = three()
    with pytest.raises(ValueError, match="num_envs=4 must be a multiple of the 3 tasks"):
        make_train(ppo(env, PPO._replace(num_envs=4)), env, updates_per_call=1)
    with pytest.raises(ValueError, match="episodes=4 must be a multiple of the 3 tasks"):
        make_evaluate(ppo(env, PPO), env, episodes=4)
    with pytest.raises(ValueError, match="c51: the tasks of .* differ in actions"):
        c51(env)
    alone = probes.recall()
    with pytest.raises(ValueError, match="has no tasks"):
        ppo(alone, PPO._replace(normalize_each_task=True))
