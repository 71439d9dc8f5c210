"""Rainbow: its parts by hand, what it is without them, and that it learns known values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.agents.bbf import BBFConfig, BBFHypers, bbf
from purejaxrl_suite.agents.c51 import C51Config, C51Hypers, c51
from purejaxrl_suite.agents.rainbow import RainbowConfig, RainbowHypers, rainbow
from purejaxrl_suite.core.types import Clock, Transition
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import make, probes
from purejaxrl_suite.ops import distributional
from tests.agents.tables import predictive_table, table

GAMMA = 0.5
ONE = {"num_envs": 1, "rollout_length": 4, "capacity": 16, "batch_size": 4}
ATOMS = {"value_low": -1.0, "value_high": 1.0}


def q_network(env, **options):
    options = {"hidden": (16,), "atoms": 5, "layer_norm": False} | options
    return nets.q_network(env.observation, env.action, **options)


def rollout(rewards, terminated=False, obs=1.0):
    """Steps [4, 1] of action 0 between observations of equal value."""
    shape = (4, 1)
    flags = np.full(shape, terminated)
    shown = np.full((*shape, 1), obs, np.float32)
    rewards = np.broadcast_to(np.asarray(rewards, np.float32)[..., None], shape)
    action = np.zeros(shape, np.int32)
    return Transition(shown, action, rewards, flags, np.zeros(shape, bool), shown, {})


@pytest.mark.parametrize("double", [pytest.param(False, marks=pytest.mark.slow), True])
def test_without_its_parts_it_is_c51(double):
    env, both = probes.delayed_reward(), {"double": double, "atoms": 3, "gradient_steps": 3}
    rates = {"learning_rate": 1e-2, "gamma": 0.9, "min_history": 1.0, "target_update_period": 2.0}
    plain = {"n_step": 1.0, "priority_exponent": 0.0, "importance_exponent": 0.0, "epsilon": 1.0}
    hypers = C51Hypers(**rates, **ATOMS), RainbowHypers(**rates, **ATOMS, **plain)
    network = table(np.float32([[0.5, 0.1, 0.0], [0.0, 0.0, 0.1]]))
    ancestor = c51(env, C51Config(**both, **ONE), network, hypers[0])
    ours = rainbow(env, RainbowConfig(**both, **ONE, max_n_step=1), network, hypers[1])

    def learnt(agent):
        state = jax.jit(agent.init)(jax.random.key(0), agent.hypers)
        state.target["heads"]["q"] = network.init(jax.random.key(0))["heads"]["q"][::-1]
        update = jax.jit(agent.update)
        state, _ = update(jax.random.key(1), agent.hypers, state, rollout([0.3]))
        return state.learner.params["heads"]["q"]

    np.testing.assert_allclose(learnt(ours), learnt(ancestor), atol=1e-5)


def test_priorities_are_the_errors_of_what_was_drawn():
    """One step a window, so the error of a slot follows from its reward alone."""
    logits = np.log(np.array([[0.2, 0.2, 0.6], [0.6, 0.2, 0.2]], np.float32))
    hypers = RainbowHypers(0.0, n_step=1.0, epsilon=1.0, min_history=1.0, **ATOMS)
    config = RainbowConfig(**ONE, max_n_step=1, atoms=3)
    agent = rainbow(probes.delayed_reward(), config, table(logits), hypers)
    state, update = jax.jit(agent.init)(jax.random.key(0), hypers), jax.jit(agent.update)
    rewards = [-1.0, -0.5, 0.25, 1.0]
    state, _ = update(jax.random.key(1), hypers, state, rollout(rewards, terminated=True))
    masses = np.ravel(state.replay.masses[0])[:3]  # the newest step starts no window yet
    targets = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.75, 0.25]])
    errors = -targets @ logits[0]
    changed = masses != 1.0
    assert changed.sum() >= 2, "four draws in strata of three windows"
    np.testing.assert_allclose(masses[changed], np.sqrt(errors[changed]), rtol=1e-5)
    np.testing.assert_allclose(state.replay.largest, max(1.0, *errors[changed]), rtol=1e-5)


def test_exploration_ends_by_environment_steps():
    times = {"min_history": 8.0, "epsilon_decay_steps": 16.0}
    hypers = RainbowHypers(**times, epsilon=1.0, final_epsilon=0.2)
    agent = rainbow(
        probes.delayed_reward(), RainbowConfig(**ONE, atoms=3), table(np.zeros((2, 3))), hypers
    )
    state, update = jax.jit(agent.init)(jax.random.key(0), hypers), jax.jit(agent.update)
    found = []
    for i in range(7):
        state, metrics = update(jax.random.key(i), hypers, state, rollout([0.0]))
        found.append(metrics["epsilon"])
    np.testing.assert_allclose(found, [1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.2], rtol=1e-5)
    last = state._replace(updates=jnp.int32(2**31 - 2))  # of four steps each
    assert update(jax.random.key(7), hypers, last, rollout([0.0]))[1]["epsilon"] == pytest.approx(
        0.2
    )


def test_noise_is_all_the_exploration_that_a_noisy_network_has():
    """From the first step on, unless an epsilon is given; without noise there must be one."""
    env = probes.delayed_reward()
    noisy, plain = (q_network(env, noisy=noisy) for noisy in (True, False))
    config = RainbowConfig(**ONE, atoms=5)

    def rate(network, hypers):
        agent = rainbow(env, config, network, hypers)
        state = jax.eval_shape(agent.init, jax.random.key(0), agent.hypers)
        state = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), state)
        # Of all zeros, which are no tie for chance: greedy actions are 0.
        uniform = np.linspace(0.0, 1.0, 1000, endpoint=False, dtype=np.float32)

        @jax.jit
        def explored(key, hypers):
            noise = uniform, agent.noise(key, 1000)[1]
            return agent.act(noise, hypers, state, (), jnp.ones((1000, 1)), True)[1]

        return 2.0 * float(np.mean(explored(jax.random.key(0), agent.hypers)))

    assert rate(noisy, None) == rate(noisy, RainbowHypers(learning_rate=1e-3)) == 0.0
    assert rate(noisy, RainbowHypers(epsilon=0.5)) == pytest.approx(0.5, abs=0.01)
    assert rate(plain, None) == pytest.approx(1.0, abs=0.01)
    chosen = rainbow(env, config, plain).hypers
    assert (chosen.epsilon, chosen.final_epsilon) == (1.0, 0.01)
    with pytest.raises(ValueError, match="explores by epsilon alone: expected .*, got 0 and 0"):
        rainbow(env, config, plain, RainbowHypers())


def test_gradient_steps_are_counted_by_groups():
    env = probes.delayed_reward()
    config = BBFConfig(**ONE, gradient_steps=6, group=3, atoms=3, max_n_step=3, jumps=2)
    hypers = BBFHypers(min_history=8.0, start_n_step=3.0)
    agent = bbf(env, config, predictive_table(np.zeros((2, 3))), hypers)
    state, update = jax.jit(agent.init)(jax.random.key(0), hypers), jax.jit(agent.update)
    for i, expected in enumerate([0, 6, 12]):
        state, metrics = update(jax.random.key(i), hypers, state, rollout([0.0]))
        assert state.steps == metrics["gradient_steps"] == expected
        assert state.learner.opt_state[0].count == expected
        assert np.isnan(metrics["td_loss"]) == (expected == 0)


def test_each_environment_acts_on_noise_of_its_own():
    env = probes.delayed_reward()
    network = q_network(env, noisy=True, dueling=True)
    hypers = RainbowHypers(**ATOMS)
    agent = rainbow(env, RainbowConfig(**ONE, atoms=5), network, hypers)
    state = jax.jit(agent.init)(jax.random.key(0), hypers)
    noise, obs = agent.noise(jax.random.key(2), 200), jnp.ones((200, 1))
    act = jax.jit(agent.act, static_argnums=5)
    actions = act(noise, hypers, state, (), obs, True)[1]
    assert 10 < np.sum(actions) < 190
    greedy = act(noise, hypers, state, (), obs, False)[1]
    assert np.all(greedy == greedy[0])


@pytest.mark.slow
def test_values_are_learnt_with_all_parts():
    env = probes.delayed_reward()
    sizes = {"num_envs": 16, "rollout_length": 4, "gradient_steps": 8, "capacity": 2048}
    network = q_network(env, noisy=True, dueling=True)
    hypers = RainbowHypers(
        2e-2, gamma=GAMMA, n_step=2.0, min_history=256.0, target_update_period=20.0, **ATOMS
    )
    exploration = {"epsilon": 1.0, "final_epsilon": 0.5, "epsilon_decay_steps": 2048.0}
    hypers = hypers._replace(**exploration)  # both actions, also where noise has died away
    agent = rainbow(env, RainbowConfig(atoms=5, **sizes), network, hypers)
    init, _, advance, *_ = make_train(agent, env, updates_per_call=150)
    hypers = jax.tree.map(jnp.float32, agent.hypers)

    @jax.jit
    def program(keys):
        run = jax.vmap(init, (0, None, None))(keys, hypers, env.params)
        clock = Clock(jnp.int32(0), jnp.int32(150))
        train = jax.vmap(advance, (0, None, None, 0, None))
        params = train(keys, hypers, env.params, run, clock)[0].agent.learner.params
        obs = jnp.asarray([[0.0], [1.0]])
        return jax.vmap(lambda params: network.apply(params, obs)[0])(params)

    output = program(jax.random.split(jax.random.key(0), 2))
    values = distributional.expectation(output, distributional.support(-1.0, 1.0, 5))
    np.testing.assert_allclose(values, [[[GAMMA, GAMMA], [1.0, 1.0]]] * 2, atol=0.1)


def test_arguments_that_make_no_sense():
    env = probes.delayed_reward()
    with pytest.raises(ValueError, match="Discrete"):
        rainbow(probes.tracking())
    with pytest.raises(ValueError, match="atoms"):
        rainbow(env, RainbowConfig(atoms=0))
    with pytest.raises(ValueError, match="memory"):
        rainbow(env, network=q_network(env, memory_units=4))
    with pytest.raises(ValueError, match="group=3"):
        bbf(make("Breakout-MinAtar"), BBFConfig(gradient_steps=4, group=3))
    with pytest.raises(ValueError, match="impala"):
        bbf(env)


@pytest.mark.slow
def test_a_fleet_copies_no_replay():
    """Drawing, writing priorities and resetting leave the ring and its masses where they are."""
    members, env = 3, probes.delayed_reward()
    rows = jax.tree.map(lambda x: jnp.full(members, x, jnp.float32), BBFHypers())

    def memory(capacity):
        config = BBFConfig(2, 4, 2, 4, capacity, atoms=3, jumps=2)
        agent = bbf(env, config, predictive_table(np.zeros((2, 3), np.float32)), BBFHypers())
        init, _, advance, *_ = make_train(agent, env, updates_per_call=5)
        keys = jax.random.split(jax.random.key(0), members)
        run = jax.eval_shape(jax.vmap(init, (0, 0, None)), keys, rows, env.params)
        train = jax.jit(jax.vmap(advance, (0, 0, None, 0, None)), donate_argnums=3)
        clock = Clock(jnp.int32(0), jnp.int32(5))
        program = train.lower(keys, rows, env.params, run, clock).compile()
        replay = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(run.agent.replay))
        return replay, program.memory_analysis().temp_size_in_bytes

    (small, beside), (large, now) = memory(4096), memory(16_384)
    assert now - beside < 0.005 * (large - small)
