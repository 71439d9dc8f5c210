"""Learned intrinsic rewards: what the inner step sees, what the outer one counts, and that they
train, stop and go on like any agent."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import envs, meta, nets
from purejaxrl_suite.core import tree
from purejaxrl_suite.meta import intrinsic_rewards
from purejaxrl_suite.meta.intrinsic_rewards import LIRConfig, LIRHypers, intrinsic_reward
from purejaxrl_suite.sweeps.interrupt import Interrupted
from tests.meta.systems import KEY, bandit, born, known, learned_reward, room
from tests.shared import compiled_once

CONFIG = LIRConfig(
    lifetimes=4, num_envs=1, rollout_length=3, updates=2, shortest=5, longest=7, units=3
)
STEPS = CONFIG.lifetimes * CONFIG.rollout_length * CONFIG.updates
ROOM = room()


def window_of(env, updates=2, **sizes):
    system, hypers = learned_reward(env, **sizes)
    rule, agents = known(system, hypers)
    how = meta.living(system.agent, env, shortest=20)
    one = tree.index(born(how, agents, env, 1), 0)
    window = jax.jit(partial(meta.advance, how, updates=updates))(agents, lifetime=one)
    return system, hypers, rule, window


def test_the_agent_never_sees_the_reward_of_the_task():
    """With a reward that does not read it, ten times the task's reward changes no parameter."""
    env = room()
    system, hypers = learned_reward(env)
    rule, _ = known(system, hypers)
    kernel = rule["reward"]["lstm"]["input"].at[-2].set(0.0)
    rule["reward"]["lstm"]["input"] = kernel
    agents = system.inner(rule, hypers)
    how = meta.living(system.agent, env, shortest=20)
    one = tree.index(born(how, agents, env, 1), 0)
    scaled = one._replace(task=jax.tree.map(lambda x: 10.0 * x, one.task))
    go = jax.jit(partial(meta.advance, how, updates=3))
    found, other = (go(agents, lifetime=life).lifetime.run.agent.learner for life in (one, scaled))
    jax.tree.map(np.testing.assert_array_equal, found, other)
    start = one.run.agent.learner.params["heads"]["policy"]["kernel"]
    assert np.any(found.params["heads"]["policy"]["kernel"] != start)


@pytest.mark.parametrize("whole", [False, True])
def test_with_the_reward_of_the_task_it_is_reinforce(whole):
    """Of one rollout, by hand: the gradient of mean(G log pi), for returns of both kinds."""
    env = bandit()._replace(sample_task=None)
    config = meta.ReinforceConfig(num_envs=2, rollout_length=4, lifetime_return=whole)
    rates = meta.ReinforceHypers(learning_rate=0.5, gamma=0.8, entropy_coefficient=0.0)
    agent = meta.reinforce(env, config, None, rates)
    hypers = jax.tree.map(jnp.float32, agent.hypers)
    state = agent.init(KEY, hypers)
    steps = Steps.of(slice(4))
    after, _ = jax.jit(agent.update)(KEY, hypers, state, steps)
    before = state.learner.params["heads"]["policy"]["kernel"][0]
    chance, slope = jax.nn.softmax(before), jnp.zeros(2)
    for env_number in range(2):
        for t in range(4):
            later = steps.reward[t:, env_number] * 0.8 ** jnp.arange(4 - t)
            weight = jnp.sum(later) if whole else steps.reward[t, env_number]
            chosen = jax.nn.one_hot(steps.action[t, env_number], 2)
            slope += weight * (chosen - chance) / 8
    found = after.learner.params["heads"]["policy"]["kernel"][0]
    np.testing.assert_allclose(found, before + 0.5 * slope, rtol=1e-4)


def returns_of(config, rewards, done, over, critic=0.0):
    """The advantages of the outer loss in one environment whose critic always says `critic`."""
    env = room()
    system, hypers, rule, window = window_of(env, rollout_length=len(rewards), num_envs=1, **config)
    hypers = hypers._replace(gae_lambda=1.0, gamma=0.5, critic_coefficient=1.0)
    rule["critic"] = jax.tree.map(jnp.zeros_like, rule["critic"])
    rule["critic"]["head"]["bias"] = jnp.full(1, critic)
    steps = window.transition._replace(
        reward=jnp.array(rewards)[:, None],
        terminated=jnp.array(done)[:, None],
        truncated=jnp.zeros((len(done), 1), bool),
    )
    length = window.lifetime.age + (1 if over else 5)
    window = window._replace(
        transition=steps, lifetime=window.lifetime._replace(length=jnp.int32(length))
    )
    metrics = system.objective(rule, hypers, window)[1]
    return float(metrics["critic_loss"])


def loss_by_hand(advantages):
    return 0.5 * np.mean(np.square(advantages))


def test_returns_of_lifetimes_cross_the_ends_of_episodes():
    """Two episodes of one step, rewards 0 and 1: with a discount of 0.5 they are 0.5 and 1."""
    known = {"rewards": [0.0, 1.0], "done": [True, True], "over": True}
    assert returns_of({}, **known) == pytest.approx(loss_by_hand([0.5, 1.0]))
    episodic = returns_of({"lifetime_return": False}, **known)
    assert episodic == pytest.approx(loss_by_hand([0.0, 1.0]))


def test_the_critic_has_no_value_after_the_end_of_a_lifetime():
    steps = {"rewards": [0.0, 1.0], "done": [False, False], "critic": 2.0}
    ends = returns_of({}, over=True, **steps)
    assert ends == pytest.approx(loss_by_hand([0.5 - 2.0, 1.0 - 2.0]))
    goes_on = returns_of({}, over=False, **steps)
    assert goes_on == pytest.approx(loss_by_hand([0.5 + 0.25 * 2 - 2.0, 1.0 + 0.5 * 2 - 2.0]))


def test_the_history_goes_on_across_episodes_and_rollouts():
    """One rollout of six steps leaves the memory that two of three leave."""
    env = bandit()
    memories = []
    for length, updates in ((6, 1), (3, 2)):
        system, hypers = learned_reward(env, rollout_length=length)
        rule, agents = known(system, hypers)
        memory = system.agent.init(KEY, agents).memory
        for i in range(updates):
            part = slice(i * length, (i + 1) * length)
            steps = Steps.of(part)
            state = system.agent.init(KEY, agents)._replace(memory=memory)
            memory = jax.jit(system.agent.update)(KEY, agents, state, steps)[0].memory
        memories.append(memory)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), *memories)
    assert np.all(memories[0].reward.hidden != 0)


class Steps:
    """Six made-up steps of two bandits."""

    reward = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    action = np.random.default_rng(1).integers(0, 2, (6, 2)).astype(np.int32)

    @classmethod
    def of(cls, part):
        count = len(cls.reward[part])
        return pjs.Transition(
            obs=jnp.zeros((count, 2, 1), jnp.int32),
            action=jnp.asarray(cls.action[part]),
            reward=jnp.asarray(cls.reward[part]),
            terminated=jnp.ones((count, 2), bool),
            truncated=jnp.zeros((count, 2), bool),
            next_obs=jnp.zeros((count, 2, 1), jnp.int32),
            extras={},
        )


@pytest.mark.slow
def test_a_reward_without_actions_is_the_same_for_all_of_them():
    env = bandit()
    for sees in (True, False):
        system, hypers = learned_reward(env, sees_action=sees, rollout_length=6)
        _, agents = known(system, hypers)
        state = system.agent.init(KEY, agents)
        steps = Steps.of(slice(None))
        rewards = [
            float(system.agent.update(KEY, agents, state, steps._replace(action=x))[1][name])
            for x in (steps.action, 1 - steps.action)
            for name in ("intrinsic_reward",)
        ]
        assert (rewards[0] == rewards[1]) is not sees


@pytest.fixture(scope="module", autouse=True)
def programs():
    with compiled_once():
        yield


def train(changes, out=None, **more):
    points = pjs.search.grid(LIRHypers(), meta_learning_rate=[1e-3, 1e-2])
    options = {"hypers": points, "config": CONFIG._replace(**changes), "seeds": 2, "segments": 3}
    options |= {"steps": 6 * STEPS, "progress": False, "out": out}
    return pjs.sweep(intrinsic_reward, ROOM, **(options | more))


def same(a, b):
    keep = a.curves.drop_vars("steps_per_second"), b.curves.drop_vars("steps_per_second")
    assert keep[0].assign_attrs(keep[1].attrs).identical(keep[1])
    jax.tree.map(np.testing.assert_array_equal, a.state(0, 0).agent, b.state(0, 0).agent)


def test_a_sweep_that_is_killed_goes_on_to_the_same_bits(tmp_path):
    whole = train({})

    def kill(progress):
        if progress.update == 4:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, Interrupted)):
        train({}, tmp_path, on_segment=kill)
    resumed = train({}, tmp_path)
    same(whole, resumed)
    curves = whole.curves
    assert {"meta_loss", "critic_loss", "meta_gradient_norm", "episode_return"} <= set(curves)
    for name in ("meta_loss", "intrinsic_reward", "meta_gradient_norm", "step_reward"):
        assert np.all(np.isfinite(curves[name]))
    norms = curves["meta_gradient_norm"].values
    assert np.all(norms[0, :, 1:] != norms[1, :, 1:]), "rates differ"
    assert np.all(norms[0, :, 0] == norms[1, :, 0])
    assert curves.step.values[-1] == 6 * STEPS


@pytest.mark.slow
def test_parts_of_lifetimes_have_the_gradient_of_all():
    rows = [train({"at_once": n}, steps=2 * STEPS).curves for n in (0, 2)]
    for name in ("meta_gradient_norm", "meta_loss", "episode_return"):
        np.testing.assert_allclose(rows[0][name], rows[1][name], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_reward_of_single_steps_trains():
    curves = train({"recurrent": False}, steps=2 * STEPS).curves
    assert np.all(np.isfinite(curves["meta_gradient_norm"]))


def test_bad_input():
    env = room()
    for changes, message in [
        ({"at_once": 3}, "at_once=3 must divide the 4 lifetimes"),
        ({"shortest": 1}, "shortest: expected an integer in 2"),
        ({"longest": 3}, "longest: expected an integer in 5"),
        ({"lifetimes": 0}, "config.lifetimes"),
        ({"optimizer": optax.adam}, "config.optimizer: expected one with finite meta-gradients"),
    ]:
        with pytest.raises(ValueError, match=message):
            intrinsic_reward(env, CONFIG._replace(**changes))
    recurrent = nets.actor_critic(env.observation, env.action, memory_units=4)
    with pytest.raises(ValueError, match="network: expected one without a memory"):
        intrinsic_reward(env, CONFIG, recurrent)
    with pytest.raises(ValueError, match="expected Discrete"):
        intrinsic_reward(envs.make("Pendulum-v1"), CONFIG)
    with pytest.raises(ValueError, match="no network, so there is nothing to measure"):
        agent = intrinsic_reward(env, CONFIG)
        pjs.run(agent, env, seeds=1, steps=STEPS, metrics=[lambda *_: {}], progress=False)


@pytest.mark.slow
def test_agents_that_live_by_a_learned_reward_find_the_better_arm():
    env = bandit()
    config = LIRConfig(lifetimes=64, rollout_length=4, updates=5, shortest=26, units=16)
    rates = LIRHypers(learning_rate=1.0, meta_learning_rate=3e-3)
    learner = intrinsic_reward(env, config, None, rates)
    result = pjs.run(learner, env, seeds=1, steps=200 * 64 * 4 * 5, progress=False)
    learned = jax.tree.map(lambda x: jnp.asarray(x[0]), result.state(0, 0).agent.learner.params)
    made = intrinsic_rewards.system(env, config, None, rates)
    rewards = []
    for reward in (learned, made.init(KEY, rates)):
        hypers = made.inner(reward, rates)
        rows = meta.live(made.agent, env, KEY, lifetimes=256, updates=25, hypers=hypers)
        rewards.append(np.mean(rows["step_reward"], axis=1))
    gap = rewards[0] - rewards[1]
    assert np.mean(gap) > 3.0 * np.std(gap) / np.sqrt(len(gap)) and np.mean(rewards[0]) > 0.1
