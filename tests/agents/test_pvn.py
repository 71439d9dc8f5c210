"""PVN: tasks by random networks and hashes, warm-up, dead tasks; linear agents on features."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import mdps, nets
from purejaxrl_suite.agents.shared import indicators
from purejaxrl_suite.core import check
from purejaxrl_suite.core.types import Network

BOARD = pjs.Box((3, 4), "uint8", 0, 255)
RATES = {"learning_rate": 1e-2, "quantile_learning_rate": 1e-2, "warm_up": 4.0, "gamma": 0.9}


def small(**config):
    sizes = {"num_envs": 8, "rollout_length": 8, "minibatches": 2, "tasks": 6}
    return pjs.PVNConfig(**sizes, tasks_per_network=3, **config)


ENV = pjs.make("CartPole-v1")


@functools.cache
def network():
    spaces = ENV.observation, ENV.action
    return nets.q_network(*spaces, hidden=(8,), layer_norm=False, atoms=6)


@functools.cache
def states():
    """The agent's states, at first and after each of four updates, and the metrics of each."""
    agent = pjs.pvn(ENV, small(), network(), pjs.PVNHypers(**RATES, activation=0.25))
    hypers, state, rollout = started(agent, jax.tree.map(jnp.float32, agent.hypers))
    update, found, told = jax.jit(agent.update), [state], []
    for i in range(4):
        state, metrics = update(jax.random.key(9 + i), hypers, state, rollout)
        found.append(state)
        told.append(metrics)
    return jax.device_get((found, told))


def started(agent, hypers):
    @jax.jit
    def start(key):
        state = agent.init(key, hypers)
        return state, check.experience(agent, key, hypers, state)

    return hypers, *start(jax.random.key(0))


def same(one, other):
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, one, other)))


def test_nothing_but_biases_is_learnt_in_the_warm_up_and_nothing_of_them_after():
    found, told = states()
    assert same(found[0].learner, found[2].learner) and same(found[0].target, found[2].target)
    assert not np.array_equal(found[1].tasks.bias, found[2].tasks.bias)
    assert not same(found[2].learner.params, found[3].learner.params)
    assert same(found[2].tasks, found[4].tasks)
    assert told[-1]["gradient_steps"] == 8.0


def test_random_networks_are_never_learnt():
    found, told = states()
    assert told[-1]["redrawn_tasks"] == 0.0 or not same(
        found[0].tasks.params, found[-1].tasks.params
    )
    assert same(found[1].tasks.params, found[-1].tasks.params)
    moments = jax.tree.leaves(found[0].tasks.opt_state)
    assert {np.shape(x) for x in moments} == {(), (6,)}


def test_the_target_follows_the_parameters_before_the_step():
    agent = pjs.pvn(ENV, small()._replace(minibatches=1), network(), pjs.PVNHypers(warm_up=0.0))

    @jax.jit
    def program():
        hypers = jax.tree.map(jnp.float32, agent.hypers)
        state = agent.init(jax.random.key(0), hypers)
        other = jax.tree.map(lambda x: x + 1.0, state.learner.params)
        state = state._replace(target=other)
        rollout = check.experience(agent, jax.random.key(1), hypers, state)
        return state, agent.update(jax.random.key(2), hypers, state, rollout)[0]

    before, after = jax.device_get(program())
    jax.tree.map(
        lambda new, old, own: np.testing.assert_allclose(new, 0.99 * old + 0.01 * own, rtol=1e-5),
        after.target,
        before.target,
        before.learner.params,
    )


def test_quantiles_are_the_fixed_point_of_their_gradient():
    outputs = jnp.asarray(np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32))
    bias = indicators.quantiles(outputs, 0.1)
    share = jnp.mean((outputs + bias[None] > 0.0).astype(jnp.float32), axis=0)
    np.testing.assert_allclose(share, 0.1, atol=2e-3)
    gradient = indicators.quantile_gradient(bias, outputs, 0.1)
    np.testing.assert_allclose(gradient, 0.0, atol=2e-3)
    # Too many are above 0 with a larger bias, and descent lowers it.
    assert np.all(indicators.quantile_gradient(bias + 1.0, outputs, 0.1) > 0.0)
    state = indicators.Indicators((), bias, (), None, None)
    assert np.all(jax.grad(lambda x: indicators.rewards(state, x).sum())(outputs) == 0.0)


def test_dead_tasks_are_drawn_anew_one_by_one_and_dead_networks_as_a_whole():
    tasks = indicators.random_networks(indicators.default_network(ENV, 3), 6, 3)
    params = tasks.init(jax.random.key(0))
    dead = jnp.array([False, True, False, True, True, True])
    again = tasks.redraw(jax.random.key(1), params, dead)
    kernel, new = (x["heads"]["q"]["kernel"] for x in (params, again))
    changed = np.any(np.asarray(kernel != new), axis=1).ravel()
    np.testing.assert_array_equal(changed, dead)
    trunk, other = (x["trunk"]["dense_0"]["kernel"] for x in (params, again))
    assert np.array_equal(trunk[0], other[0]) and not np.array_equal(trunk[1], other[1])


def test_dead_tasks_are_counted_until_they_live():
    """A network whose outputs are never above 0, until its head is drawn again."""
    inside = indicators.default_network(ENV, 3)

    def init(key):
        params = inside.init(key)
        heads = jax.tree.map(lambda x: -jnp.abs(x), params["heads"])
        return params | {"heads": heads}

    broken = inside._replace(init=init)
    agent = pjs.pvn(ENV, small(), network(), pjs.PVNHypers(**RATES), indicator=broken)

    @jax.jit
    def program():
        hypers = jax.tree.map(jnp.float32, agent.hypers)
        state = agent.init(jax.random.key(0), hypers)
        rollout = check.experience(agent, jax.random.key(1), hypers, state)
        return agent.update(jax.random.key(2), hypers, state, rollout)[1]

    told = jax.device_get(program())
    assert told["redrawn_tasks"] == 6.0 and told["dead_tasks"] == 6.0
    assert told["activation"] == 0.0 and told["activated"] == 0.0


def test_hashes_have_their_share_and_depend_on_every_number():
    tasks = indicators.hashes(BOARD, 5, 20)
    obs = jax.random.randint(jax.random.key(0), (4000, 3, 4), 0, 256).astype(jnp.uint8)
    params = tasks.init(jax.random.key(1))
    found = jax.jit(tasks.outputs)(params, obs)
    np.testing.assert_allclose(jnp.mean(found, axis=0), 0.05, atol=0.02)
    x, a = np.asarray(obs[0]).ravel().astype(int), np.asarray(params).astype(int)
    by_hand = [(a[0, i] + np.sum(a[1:, i] * x % 8191)) % 8191 % 20 == 0 for i in range(5)]
    np.testing.assert_array_equal(found[0], np.float32(by_hand))
    with pytest.raises(ValueError, match="hash_buckets: expected 0 for observations"):
        pjs.pvn(ENV, small(hash_buckets=10))


@pytest.mark.slow
def test_values_of_all_tasks_become_the_visits_of_a_random_walk():
    """On a corridor whose tasks are its cells, with a table as the network."""
    walk = mdps.chain(4, gamma=0.8)
    env = mdps.environment(walk, "corridor")
    cells = env.observation.shape[0]

    def identity(params, obs, memory=(), taps=None):
        return obs.astype(jnp.float32), None

    shows = Network(lambda key: {"heads": jnp.zeros((1, cells))}, identity, identity, ())
    table = nets.q_network(env.observation, env.action, hidden=(), layer_norm=False, atoms=cells)
    config = pjs.PVNConfig(
        num_envs=8, rollout_length=16, minibatches=2, tasks=cells, tasks_per_network=cells
    )
    hypers = pjs.PVNHypers(
        learning_rate=1e-2,
        quantile_learning_rate=0.0,
        gamma=0.8,
        warm_up=0.0,
        activation=0.01,
        target_update_rate=0.1,
    )
    agent = pjs.pvn(env, config, table, hypers, indicator=shows)
    # A share p of all: the quantile of an indicator of a cell is 1, unless the bias is set.
    agent = agent._replace(init=_with_bias(agent.init, -0.5))
    result = pjs.run(agent, env, seeds=2, steps=1200 * 128)
    expected = mdps.in_float64(mdps.successor_measure)(walk, mdps.uniform_policy(walk))
    for seed in range(2):
        params = jax.tree.map(lambda x, i=seed: x[i], result.state().agent.learner.params)
        psi = np.mean(table.apply(params, jnp.eye(cells))[0], axis=1)
        inner = slice(0, cells - 1)  # nothing acts in the last cell
        np.testing.assert_allclose(psi[inner, inner], expected[inner, inner], atol=0.2)


def _with_bias(init, bias):
    """An agent's `init`, past the first step, whose quantiles it would begin with."""

    def made(key, hypers):
        state = init(key, hypers)
        tasks = state.tasks._replace(bias=jnp.full_like(state.tasks.bias, bias))
        return state._replace(tasks=tasks, steps=jnp.int32(1))

    return made


def test_a_linear_agent_keeps_features_and_learns_as_on_the_features_themselves():
    inside = nets.q_network(ENV.observation, ENV.action, hidden=(8,), layer_norm=False)
    network = nets.frozen(inside)
    features = pjs.Box((8,), "float32")
    linear = nets.q_network(features, ENV.action, hidden=(), layer_norm=False)
    params = network.init(jax.random.key(0))
    obs = jnp.asarray(np.random.default_rng(1).normal(size=(16, 4)).astype(np.float32))
    q, internals = network.apply(params, obs)
    seen = internals.features["trunk/dense_0"]
    again, _ = linear.apply({"heads": params["heads"]}, seen)
    np.testing.assert_array_equal(q, again)

    config = pjs.DQNConfig(num_envs=2, rollout_length=8, batch_size=8, capacity=64)
    agent = pjs.dqn(ENV, config, network, pjs.DQNHypers(min_history=8.0, learning_rate=1e-2))

    @jax.jit
    def program():
        hypers = jax.tree.map(jnp.float32, agent.hypers)
        state = agent.init(jax.random.key(0), hypers)
        rollout = check.experience(agent, jax.random.key(1), hypers, state)
        return state, agent.update(jax.random.key(2), hypers, state, rollout)[0]

    before, after = (x.learner.params for x in jax.device_get(program()))
    assert same(before["trunk"], after["trunk"]) and not same(before["heads"], after["heads"])
    with pytest.raises(ValueError, match="expected one with heads"):
        nets.frozen(inside._replace(init=lambda key: {"trunk": jnp.zeros(1)}))
