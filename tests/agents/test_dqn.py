"""DQN: known values are learnt, targets are what the papers say, gradient steps are counted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.pqn import pqn
from purejaxrl_suite.agents.shared import replay_learning
from purejaxrl_suite.agents.shared.replay_learning import ReplayState, Target
from purejaxrl_suite.core.types import (
    ENDED,
    Box,
    Clock,
    Internals,
    Learner,
    Network,
    Transition,
)
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import make, probes

GAMMA = 0.5


def train(agent, env, updates, seeds=2):
    """(Run, history) of members that differ in their seed only."""
    init, _, advance, *_ = make_train(agent, env, updates_per_call=updates)
    hypers = jax.tree.map(jnp.float32, agent.hypers)

    @jax.jit
    def program(keys):
        run = jax.vmap(init, (0, None, None))(keys, hypers, env.params)
        clock = Clock(jnp.int32(0), jnp.int32(updates))
        return jax.vmap(advance, (0, None, None, 0, None))(keys, hypers, env.params, run, clock)

    return program(jax.random.split(jax.random.key(0), seeds))


def small(env, updates, config, hypers):
    """Values of both actions at observations -1, 0 and 1 that two members have learnt."""
    network = nets.q_network(env.observation, env.action, hidden=(16,), layer_norm=False)
    sizes = {"num_envs": 16, "rollout_length": 4, "gradient_steps": 8, "capacity": 2048}
    fixed = {"gamma": GAMMA, "min_history": 256.0, "target_update_period": 20.0}
    hypers = hypers._replace(learning_rate=1e-2, final_epsilon=0.5, **fixed)
    agent = dqn(env, config._replace(**sizes), network, hypers)
    params = train(agent, env, updates)[0].agent.learner.params
    obs = jnp.asarray([[-1.0], [0.0], [1.0]])
    return jax.jit(jax.vmap(lambda params: network.apply(params, obs)[0]))(params)


@pytest.mark.slow
def test_bootstrapped_values_are_learnt():
    values = small(probes.delayed_reward(), 150, DQNConfig(), DQNHypers())
    np.testing.assert_allclose(values[:, 1:], [[[GAMMA, GAMMA], [1.0, 1.0]]] * 2, atol=0.05)


def test_values_of_actions_are_learnt():
    config, hypers = DQNConfig(max_n_step=3, double=True, huber=True), DQNHypers(n_step=2.0)
    values = small(probes.observation_action_reward(), 150, config, hypers)
    expected = [[[1.0, -1.0], [-1.0, 1.0]]] * 2
    np.testing.assert_allclose(values[:, ::2], expected, atol=0.05)


def test_a_time_limit_is_not_an_end():
    """Reward 1 for ever, cut every 3 steps: worth 1 / (1 - gamma) = 2, and not less."""
    one_step = probes.constant_reward()

    def init(key, params):
        state, obs = one_step.init(key, params)
        return (jnp.int32(0), state), obs

    def step(key, params, state, action):
        time = state[0] + 1
        _, now = one_step.step(key, params, state[1], action)
        now = now._replace(terminated=jnp.zeros((), bool), truncated=time == 3)
        return (time, state[1]), now

    env = one_step._replace(init=init, step=step, time_limit=3)
    values = small(env, 200, DQNConfig(max_n_step=2), DQNHypers(n_step=2.0))
    np.testing.assert_allclose(values[:, 1], [[2.0, 2.0]] * 2, atol=0.05)


@pytest.mark.parametrize(("length", "gradient_steps"), [(4, 1), (2, 6)])
def test_gradient_steps_are_counted(length, gradient_steps):
    """Ratios below and above 1: none before min_history, then so many in every update."""
    env = probes.delayed_reward()
    config = DQNConfig(1, length, gradient_steps, batch_size=4, capacity=64)
    hypers = DQNHypers(min_history=10.0)
    agent = dqn(env, config, table(1.0, 2.0), hypers)
    state, update = jax.jit(agent.init)(jax.random.key(0), hypers), jax.jit(agent.update)
    warm_up = -(-10 // length) - 1  # the update that brings step 10 learns
    for i in range(1, 9):
        state, metrics = update(jax.random.key(i), hypers, state, steps_of([0.0] * length, 1.0))
        expected = gradient_steps * max(i - warm_up, 0)
        assert state.steps == metrics["gradient_steps"] == expected
        assert state.learner.opt_state[0].count == expected
        assert np.isnan(metrics["td_loss"]) == (expected == 0)
        assert metrics["epsilon"] == 1.0
    final = agent.anneal(hypers, Clock(50, 100))
    later = update(jax.random.key(9), final, state, steps_of([0.0] * length, 1.0))
    np.testing.assert_allclose(later[1]["epsilon"], hypers.final_epsilon, 1e-6)


def test_a_count_at_its_largest_stays_and_the_target_follows_as_before():
    def step(x, state):
        return Learner(state.learner.params + 1.0, ()), {"q": x}, state.target

    start = 2**31 - 4
    state = ReplayState(Learner(jnp.float32(1), ()), jnp.float32(0), jnp.int32(start), ())
    follow = Target(3.0, 1.0)

    @jax.jit
    def learn(state):
        return replay_learning.learn(jnp.zeros(12), state, jnp.bool(True), follow, step)

    state, _, targets = learn(state)
    # The parameters are the step, less a multiple of 3; every third is copied.
    wanted = [0, 0, 3, 3, 3, 6, 6, 6, 9, 9, 9, 12]
    np.testing.assert_array_equal(targets, wanted)
    assert 2**31 - 4 <= state.steps <= 2**31 - 1 and state.steps % 3 == (start + 12) % 3


def test_nothing_moves_before_there_is_enough_history():
    env = probes.delayed_reward()
    hypers = DQNHypers(min_history=1e9, target_update_period=1.0)
    agent = dqn(env, DQNConfig(capacity=4096, batch_size=4), table(1.0, 2.0), hypers)
    state, update = jax.jit(agent.init)(jax.random.key(0), hypers), jax.jit(agent.update)
    state = state._replace(target={"q": jnp.asarray([3.0, 4.0])})
    after, metrics = update(jax.random.key(1), hypers, state, steps_of([1.0] * 4, 1.0))
    jax.tree.map(
        np.testing.assert_array_equal, after._replace(replay=()), state._replace(replay=())
    )
    assert after.replay.filled == 4 and metrics["epsilon"] == 1.0
    # Actions are then uniform: greedy would always be action 1.
    noise = agent.noise(jax.random.key(2), 1000)
    act = jax.jit(agent.act, static_argnums=5)
    actions = act(noise, final_hypers(agent), after, (), jnp.ones((1000, 1)), True)[1]
    assert 400 < np.sum(actions) < 600
    greedy = act(noise, final_hypers(agent), after, (), jnp.ones((1000, 1)), False)[1]
    np.testing.assert_array_equal(greedy, 1)


def final_hypers(agent):
    return agent.anneal(agent.hypers, Clock(99, 100))


def test_epsilon_decays_from_where_learning_begins():
    """100 updates of 4 steps: from step 10 on over 0.25 of 400, by 0.99 / 100 a step."""
    env, hypers = probes.delayed_reward(), DQNHypers(min_history=10.0, epsilon_decay=0.25)
    agent = dqn(env, DQNConfig(capacity=64), table(1.0, 2.0), hypers)
    anneal = jax.jit(agent.anneal)
    found = [anneal(hypers, Clock(i, 100)).epsilon for i in (0, 2, 3, 15, 27, 28, 99)]
    expected = [1.0, 1.0, 1.0 - 2 * 0.0099, 1.0 - 50 * 0.0099, 1.0 - 98 * 0.0099, 0.01, 0.01]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(agent.anneal(hypers, ENDED).epsilon, 0.01, rtol=1e-5)


def test_the_target_follows_its_schedule():
    target, params = {"w": np.zeros(3, np.float32)}, {"w": np.float32([1.0, 2.0, 1e-7])}
    follow = jax.jit(replay_learning.follow)

    def after(steps, period, tau):
        return follow(target, params, np.int32(steps), Target(period, tau))["w"]

    np.testing.assert_array_equal(after(7, 8.0, 1.0), target["w"])
    np.testing.assert_array_equal(after(8, 8.0, 1.0), params["w"])
    np.testing.assert_allclose(after(5, 1.0, 0.25), 0.25 * params["w"])


def test_the_counter_of_gradient_steps_may_be_restarted():
    """Copies are counted from where `steps` was set to 0, in the middle of a run."""
    env = probes.delayed_reward()
    hypers = DQNHypers(1e-2, min_history=4.0, target_update_period=3.0)
    agent = dqn(env, DQNConfig(capacity=64, batch_size=4), hypers=hypers)
    state, update = jax.jit(agent.init)(jax.random.key(0), hypers), jax.jit(agent.update)
    copied = []
    for i in range(8):
        if i == 2:
            state = state._replace(steps=jnp.int32(0))
        state, _ = update(jax.random.key(i), hypers, state, steps_of([0.0] * 4, 1.0))
        same = jax.tree.map(np.array_equal, state.target, state.learner.params)
        copied.append(all(jax.tree.leaves(same)))
    assert copied == [False, False, False, False, True, False, False, True]


def steps_of(observations, reward, truncated=False):
    """A rollout [T, 1] of action 0; the successor of an observation is the next one."""
    obs = np.asarray(observations, np.float32)[:, None, None]
    flags = np.zeros((len(observations), 1), bool)
    rewards = np.full(flags.shape, reward, np.float32)
    following = np.concatenate([obs[1:], obs[-1:]])
    fields = flags.astype(np.int32), rewards, flags, flags | truncated, following
    return Transition(obs, *fields, {})


def table(first, second):
    """A network with two parameters vectors: the values of any observation are obs * q."""

    def apply(params, obs, memory=(), taps=None):
        return obs * params["q"][None], Internals({}, (), {}, 0.0)

    return Network(lambda key: {"q": jnp.asarray([first, second])}, apply, apply, ())


@pytest.mark.parametrize(("double", "value"), [(False, 5.0), (True, 3.0)])
def test_targets_by_hand(double, value):
    """Online values (1, 2), target values (5, 3); reward 10, gamma 0.5, two steps.

    The target network alone takes 5, with `double` the online network's choice is worth 3.
    """
    env = probes.delayed_reward()
    config = DQNConfig(capacity=16, batch_size=4, max_n_step=2, double=double)
    hypers = DQNHypers(gamma=0.5, n_step=2.0, min_history=1.0)
    agent = dqn(env, config, table(1.0, 2.0), hypers)
    state = jax.jit(agent.init)(jax.random.key(0), hypers)._replace(
        target={"q": jnp.asarray([5.0, 3.0])}
    )
    steps = steps_of([1.0] * 4, 10.0)
    _, metrics = jax.jit(agent.update)(jax.random.key(1), hypers, state, steps)
    target = 10.0 + 0.5 * 10.0 + 0.25 * value
    np.testing.assert_allclose(metrics["td_loss"], (1.0 - target) ** 2, 1e-6)
    np.testing.assert_allclose(metrics["gradient_norm"], 2.0 * (target - 1.0), 1e-6)


def test_clipped_errors_count_linearly():
    env = probes.delayed_reward()
    hypers = DQNHypers(gamma=0.0, min_history=1.0)
    agent = dqn(env, DQNConfig(capacity=16, batch_size=4, huber=True), table(1.0, 2.0), hypers)
    state = jax.jit(agent.init)(jax.random.key(0), hypers)
    steps = steps_of([1.0] * 4, 10.0)
    _, metrics = jax.jit(agent.update)(jax.random.key(1), hypers, state, steps)
    np.testing.assert_allclose(metrics["td_loss"], 9.0 - 0.5, 1e-6)
    np.testing.assert_allclose(metrics["gradient_norm"], 1.0, 1e-6)


def test_arguments_that_make_no_sense():
    env = probes.delayed_reward()
    with pytest.raises(ValueError, match="Discrete"):
        dqn(probes.tracking())
    with pytest.raises(ValueError, match="batch_size"):
        dqn(env, DQNConfig(batch_size=0))
    with pytest.raises(ValueError, match="capacity=4"):
        dqn(env, DQNConfig(capacity=4))
    recurrent = nets.q_network(env.observation, env.action, memory_units=4)
    with pytest.raises(ValueError, match="memory"):
        dqn(env, network=recurrent)
    noisy = nets.q_network(env.observation, env.action, noisy=True)
    for build in (dqn, pqn):
        with pytest.raises(ValueError, match=f"without noisy layers, {build.__name__} draws no"):
            build(env, network=noisy)


def test_a_minatar_frame_takes_fifty_bytes():
    agent = dqn(make("Breakout-MinAtar"))
    state = jax.eval_shape(agent.init, jax.random.key(0), agent.hypers)
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state.replay))
    assert size < 58 * 100_000


def test_what_is_learnt_from_is_augmented_where_it_is_pixels():
    """The value of an image is its brightness: without augmentation no chance is left."""

    def apply(params, obs, memory=(), taps=None):
        brightness = jnp.mean(jnp.reshape(obs.astype(jnp.float32), (len(obs), -1)), axis=1)
        return brightness[:, None] * params["q"][None], Internals({}, (), {}, 0.0)

    network = Network(lambda key: {"q": jnp.ones(2)}, apply, apply, ())
    hypers = DQNHypers(gamma=0.5, min_history=1.0, learning_rate=0.0)

    def losses(augment, side):
        box = Box((side, side, 1), "uint8", 0, 255)
        env = probes.delayed_reward()._replace(observation=box)
        config = DQNConfig(capacity=16, batch_size=4, augment=augment)
        agent = dqn(env, config, network, hypers)
        image = np.full((4, 1, side, side, 1), 100, np.uint8)
        steps = steps_of([0.0] * 4, 0.0)._replace(obs=image, next_obs=image)
        state = jax.jit(agent.init)(jax.random.key(0), hypers)
        keys = jax.random.split(jax.random.key(1), 3)
        return jax.jit(jax.vmap(agent.update, (0, None, None, None)))(keys, hypers, state, steps)[
            1
        ]["td_loss"]

    np.testing.assert_allclose(losses(False, 36), 2500.0)
    np.testing.assert_array_equal(losses(True, 12), losses(False, 12))
    found = losses(True, 36)
    assert len(np.unique(found)) == 3
    np.testing.assert_allclose(found, 2500.0, rtol=0.4)
