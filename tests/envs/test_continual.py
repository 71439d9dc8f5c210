"""Streams of tasks on the engine's clock, and environments whose tasks change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.agents.pqn import PQNConfig, pqn
from purejaxrl_suite.core.check import check_environment
from purejaxrl_suite.core.types import Box, Clock, Discrete, Transition
from purejaxrl_suite.engine.source import enter_phase, leave_phase
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import probes, wrappers
from purejaxrl_suite.envs.continual import continual, label_shuffle

KEY = jax.random.key(0)


def clock(update):
    return Clock(np.int32(update), np.int32(10))


def test_phases_by_hand():
    env = continual([probes.constant_reward(), probes.recall()], 3)
    phase = jax.jit(env.phase)
    found = [phase(env.params, clock(i)) for i in range(8)]
    assert [int(params.task) for params, _ in found] == [0, 0, 0, 1, 1, 1, 0, 0]
    assert [bool(begins) for _, begins in found] == [i in (3, 6) for i in range(8)]
    assert env.name == "continual(constant_reward, recall; 3)" and env.time_limit == 5
    truncated = np.zeros((3, 2), bool)
    leave = jax.jit(lambda rollout, now: leave_phase(env, env.params, rollout, now))
    rollout = Transition(*[truncated] * 4, truncated, truncated, {})
    for update, last in ((1, False), (2, True), (3, False), (5, True)):
        after = np.asarray(leave(rollout, clock(update)).truncated)
        assert not after[:-1].any() and bool(after[-1].all()) == last == bool(after[-1].any())


def test_a_stream_keeps_the_contract_and_pads():
    env = continual([probes.constant_reward(), probes.recall()], 3)
    assert env.observation == Box((2,), "float32", -1.0, 1.0)
    for task in (0, 1):
        played = env._replace(params=env.params._replace(task=np.int32(task)))
        check_environment(played, KEY, steps=12)
    _, obs = env.init(KEY, env.params)
    np.testing.assert_array_equal(obs, [0.0, 0.0])
    shown = continual([probes.constant_reward(), probes.recall()], 3, show_task=True)
    assert shown.observation == Box((4,), "float32", -1.0, 1.0, tasks=2)
    for task in (0, 1):
        played = shown.params._replace(task=np.int32(task))
        _, obs = shown.init(KEY, played)
        np.testing.assert_array_equal(obs[2:], np.eye(2)[task])


def counted(env, executed):
    def step(key, params, state, action):
        jax.debug.callback(lambda: executed.append(env.name))
        return env.step(key, params, state, action)

    return env._replace(step=step)


def small_agent(env):
    network = nets.q_network(
        env.observation, env.action, hidden=(4,), kernel_init=jax.nn.initializers.uniform(1.0)
    )
    config = PQNConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
    return pqn(env, config, network)


def test_a_switch_of_tasks_keeps_all_that_was_learnt():
    env = continual([probes.constant_reward(), probes.recall()], 2)
    agent = small_agent(env)
    init, _, train, *_ = make_train(agent, env, updates_per_call=2)

    @jax.jit
    def both(key):
        first = init(key, agent.hypers, env.params)
        before, _ = train(key, agent.hypers, env.params, first, clock(0))
        params, after = reversed(enter_phase(agent, env, key, env.params, before, clock(2)))
        return first, before, after, params.task

    first, before, after, task = both(KEY)
    assert int(task) == 1, "the other task begins"
    jax.tree.map(np.testing.assert_array_equal, before.agent, after.agent)
    learner, fresh = (jax.tree.leaves(run.agent.learner.params) for run in (after, first))
    assert not all(np.array_equal(x, y) for x, y in zip(learner, fresh, strict=True))
    assert not np.array_equal(before.obs, after.obs), "episodes begin anew"
    assert before.finished_once.all() and not after.finished_once.any()


def test_a_stream_in_training():
    executed = []
    tasks = [probes.constant_reward(), counted(probes.recall(), executed)]
    env = continual(tasks, 2)
    agent = small_agent(env)
    init, _, train, *_ = make_train(agent, env, updates_per_call=7)
    now = Clock(jnp.int32(0), jnp.int32(7))

    @jax.jit
    def fleet(keys):
        run = jax.vmap(init, (0, None, None))(keys, agent.hypers, env.params)
        return jax.vmap(train, (0, None, None, 0, None))(keys, agent.hypers, env.params, run, now)

    _, history = jax.block_until_ready(fleet(jax.random.split(KEY, 2)))
    jax.effects_barrier()
    for rows in np.asarray(history["task"]):
        np.testing.assert_array_equal(rows, [0, 0, 1, 1, 0, 0, 1])
    # Five steps of recall in updates of eight: the first ends in the first update of its phase, two
    # in the second; again so in the next phase, for all episodes begin anew with it.
    for rows in np.asarray(history["episodes"]):
        np.testing.assert_array_equal(rows, [32, 32, 4, 8, 32, 32, 4])
    for rows in np.asarray(history["episode_length"]):
        np.testing.assert_array_equal(rows, [1, 1, 5, 5, 1, 1, 5])
    assert len(executed) == 3 * 8, "a task that is not played is not computed, even in a batch"


def test_labels_change_with_the_phase_and_with_nothing_else():
    env = label_shuffle(2, examples=20, features=3, classes=4)
    check_environment(env, KEY, steps=8)
    assert [int(env.phase(env.params, clock(i))[0].task) for i in range(5)] == [0, 0, 1, 1, 2]

    def rewards(task, example):
        params = env.params._replace(task=task)
        return jnp.stack([env.step(KEY, params, example, a)[1].reward for a in range(4)])

    table = jax.jit(jax.vmap(jax.vmap(rewards, (None, 0)), (0, None)))
    found = np.asarray(table(jnp.arange(2), jnp.arange(20)))
    np.testing.assert_array_equal(found.sum(-1), np.ones((2, 20)))
    assert not np.array_equal(found[0], found[1])
    assert np.all(found.sum(1) > 0), "every class has examples"
    begin = jax.jit(jax.vmap(env.init, (0, None)))
    states, obs = jax.device_get(begin(jax.random.split(KEY, 30), env.params))
    for i, j in ((0, 1), (2, 3)):
        assert np.array_equal(obs[i], obs[j]) == (states[i] == states[j])


def test_permuted_and_remapped_tasks():
    env = probes.recall()
    shown = wrappers.permute_observation(env, 1)
    order = np.random.default_rng(1).permutation(2)
    check_environment(shown, KEY, steps=8)
    np.testing.assert_array_equal(shown.init(KEY, ())[1], env.init(KEY, ())[1][order])
    image = wrappers.transform_observation(
        env, lambda obs: jnp.arange(12.0).reshape(2, 3, 2), Box((2, 3, 2), "float32", 0, 11)
    )
    _, obs = wrappers.permute_observation(image, 0).init(KEY, ())
    assert sorted(obs[..., 0].ravel().tolist()) == [0, 2, 4, 6, 8, 10]
    np.testing.assert_array_equal(obs[..., 1], obs[..., 0] + 1)
    reward = probes.action_reward()
    remapped = next(
        wrappers.remap_actions(reward, seed)
        for seed in range(9)
        if np.random.default_rng(seed).permutation(2)[0] == 1
    )
    state, _ = reward.init(KEY, ())
    assert remapped.step(KEY, (), state, jnp.int32(0))[1].reward == 1.0
    stream = continual([wrappers.permute_observation(env, i) for i in range(3)], 5)
    assert stream.observation.shape == (2,) and "permuted-2" in stream.name


def test_what_makes_no_sense_is_refused():
    one = probes.constant_reward()
    with pytest.raises(ValueError, match="envs: expected a list of 2 or more"):
        continual([one], 3)
    with pytest.raises(ValueError, match="has actions Discrete.2., constant_reward Discrete.3"):
        continual([one, one._replace(action=Discrete(3))], 3)
    image = one._replace(observation=Box((1, 1, 1)))
    with pytest.raises(
        ValueError, match="expected all numbers or all codes, of one dtype and rank"
    ):
        continual([one, image], 3)
    with pytest.raises(ValueError, match="expected Discrete"):
        wrappers.remap_actions(probes.tracking(), 0)
    with pytest.raises(ValueError, match="expected an integer of at least 1"):
        label_shuffle(0)
