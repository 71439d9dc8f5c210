"""FRODO: targets see the future of their own episode alone, agree with themselves, and learn."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import envs, meta, nets
from purejaxrl_suite.core import tree
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.meta import lifetime
from purejaxrl_suite.meta.frodo import FRODOConfig, FRODOHypers, consistency, frodo, targets
from purejaxrl_suite.meta.learner import Lives, meta_learner
from tests.meta.systems import KEY, known, learned_targets, room

CONFIG = FRODOConfig(num_envs=2, rollout_length=3, updates=2, units=3)
STEPS = CONFIG.num_envs * CONFIG.rollout_length * CONFIG.updates
LENGTH = 5


def steps(**changes):
    """Five made-up steps of one environment."""
    draw = np.random.default_rng(0)
    fields = {
        "obs": jnp.zeros((LENGTH, 1, 1), jnp.int32),
        "action": jnp.zeros((LENGTH, 1), jnp.int32),
        "reward": jnp.asarray(draw.normal(size=(LENGTH, 1)), jnp.float32),
        "terminated": jnp.zeros((LENGTH, 1), bool),
        "truncated": jnp.zeros((LENGTH, 1), bool),
        "next_obs": jnp.zeros((LENGTH, 1, 1), jnp.int32),
        "extras": {},
    }
    return pjs.Transition(**(fields | changes))


def rule():
    system, hypers = learned_targets(room())
    return known(system, hypers)[0]


def flags(*at):
    return jnp.zeros((LENGTH, 1), bool).at[jnp.array(at)].set(True)


VALUES = jnp.asarray(np.random.default_rng(1).normal(size=(LENGTH, 1)), jnp.float32)
find = jax.jit(targets)


def test_a_target_sees_nothing_before_its_step():
    found = find(rule(), 0.9, steps(), VALUES)
    other = steps().reward.at[:2].add(1.0)
    changed = find(rule(), 0.9, steps(reward=other), VALUES.at[:2].add(1.0))
    np.testing.assert_array_equal(found[2:], changed[2:])
    assert np.all(found[:2] != changed[:2])


@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_a_target_sees_nothing_after_its_episode(end):
    ends = {end: flags(2)}
    found = find(rule(), 0.9, steps(**ends), VALUES)
    other = steps().reward.at[3:].add(1.0)
    changed = find(rule(), 0.9, steps(reward=other, **ends), VALUES.at[3:].add(1.0))
    np.testing.assert_array_equal(found[:3], changed[:3])
    assert np.all(found[3:] != changed[3:])
    beyond = find(rule(), 0.9, steps(**ends), VALUES.at[2].add(1.0))
    assert np.array_equal(found[2], beyond[2]) is (end == "terminated")


def test_consistency_by_hand(monkeypatch):
    """Returns of an episode that terminated have none; the last step of a cut one is left out."""
    import sys

    module = sys.modules["purejaxrl_suite.meta.frodo"]
    gamma, reward = 0.5, steps().reward
    whole = jnp.zeros_like(reward)
    later = jnp.zeros((1,))
    for t in reversed(range(LENGTH)):
        later = reward[t] + gamma * later
        whole = whole.at[t].set(later)
    monkeypatch.setattr(module, "targets", lambda *_: whole)
    ended = steps(terminated=flags(LENGTH - 1))
    assert float(consistency((), jnp.float32(gamma), ended, VALUES)) < 1e-12
    wrong = whole.at[LENGTH - 1].add(2.0)
    monkeypatch.setattr(module, "targets", lambda *_: wrong)
    # The last is off by 2, and the one before it by gamma times that.
    by_hand = (2.0**2 + 1.0**2) / LENGTH
    found = consistency((), jnp.float32(gamma), ended, VALUES)
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)
    cut = consistency((), jnp.float32(gamma), steps(), VALUES)
    np.testing.assert_allclose(cut, 1.0 / (LENGTH - 1), rtol=1e-5)
    both = consistency((), jnp.float32(gamma), steps(truncated=flags(LENGTH - 2)), VALUES)
    np.testing.assert_allclose(both, 0.0, atol=1e-10)


@pytest.mark.slow
def test_targets_that_are_lambda_returns_are_the_actor_critic():
    env = room()
    system, hypers = learned_targets(env)
    config = meta.ActorCriticConfig(num_envs=CONFIG.num_envs, rollout_length=CONFIG.rollout_length)
    plain = meta.actor_critic(env, config)
    hard = system._replace(
        agent=plain, inner=lambda rule, hypers: jax.tree.map(jnp.float32, plain.hypers)
    )
    learner = meta_learner(env, hard, Lives(1, CONFIG.updates), hypers=hypers)
    clock = partial(pjs.Clock, updates=np.int32(3))
    with_rule, defaults = make_train(learner, env), jax.tree.map(jnp.float32, hypers)
    run = with_rule.init(KEY, defaults, env.params)
    go = jax.jit(with_rule.update)
    for i in range(3):
        run, _ = go(KEY, defaults, env.params, run, clock(np.int32(i)))
    one = tree.index(run.env, 0)
    alone, own = make_train(plain, env), jax.tree.map(jnp.float32, plain.hypers)
    key = lifetime.life_key(one.key, one.number)
    other = alone.init(key, own, one.task)
    step = jax.jit(alone.update)
    for i in range(3 * CONFIG.updates):
        now = pjs.Clock(np.int32(i), np.int32(lifetime.ENDLESS))
        other, _ = step(key, own, one.task, other, now)
    same = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7)  # of another program
    jax.tree.map(same, one.run.agent.learner, other.agent.learner)
    assert int(one.age) == 6


@pytest.mark.slow
def test_agents_that_do_not_learn_leave_consistency_alone():
    env = room()
    system, hypers = learned_targets(env)
    hypers = hypers._replace(learning_rate=0.0)
    rule, agents = known(system, hypers)
    how = meta.living(system.agent, env)
    one = lifetime.begin(how, agents, env.params, KEY, jnp.int32(0))

    def loss(rule, weight):
        weighted = hypers._replace(consistency_coefficient=weight)
        window = meta.advance(how, system.inner(rule, weighted), one, 2)
        return system.objective(rule, weighted, window)[0]

    slope = jax.jit(jax.grad(loss))
    assert all(not np.any(x) for x in jax.tree.leaves(slope(rule, 0.0)))
    assert any(np.any(x) for x in jax.tree.leaves(slope(rule, 1.0)))


def test_consistency_alone_leads_to_returns():
    """On a rollout that terminates, targets trained to agree with themselves become its returns."""
    gamma, ended = jnp.float32(0.5), steps(terminated=flags(LENGTH - 1))
    optimizer = optax.adam(1e-2)

    def step(carry, _):
        rule, state = carry
        slope = jax.grad(consistency)(rule, gamma, ended, VALUES)
        change, state = optimizer.update(slope, state)
        return (optax.apply_updates(rule, change), state), None

    system, hypers = learned_targets(room(), units=16)
    start = known(system, hypers)[0]
    carry = start, optimizer.init(start)
    rule, _ = jax.jit(lambda carry: jax.lax.scan(step, carry, None, length=1500))(carry)[0]
    expected, later = [], 0.0
    for reward in np.asarray(ended.reward)[::-1, 0]:
        later = reward + 0.5 * later
        expected.insert(0, later)
    np.testing.assert_allclose(find(rule, gamma, ended, VALUES)[:, 0], expected, atol=0.05)


@pytest.mark.slow
def test_it_runs_is_evaluated_and_goes_on(tmp_path):
    env = room()
    options = {"seeds": 2, "segments": 2, "evaluate_every": 2, "progress": False}
    agent = frodo(env, CONFIG)
    whole = pjs.run(agent, env, steps=4 * STEPS, **options)

    def kill(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pjs.run(agent, env, steps=4 * STEPS, out=tmp_path, on_segment=kill, **options)
    resumed = pjs.run(agent, env, steps=4 * STEPS, out=tmp_path, **options)
    for name in ("consistency", "target", "evaluation_return", "meta_gradient_norm"):
        np.testing.assert_array_equal(whole.curves[name], resumed.curves[name])
        assert np.isfinite(whole.curves[name].values[:, 1]).all()


def test_bad_input():
    env = room()
    with pytest.raises(ValueError, match="config.optimizer: expected one with finite"):
        frodo(env, CONFIG._replace(optimizer=optax.radam))
    with pytest.raises(ValueError, match="config.updates"):
        frodo(env, CONFIG._replace(updates=0))
    with pytest.raises(ValueError, match="network: expected one without a memory"):
        frodo(env, CONFIG, nets.actor_critic(env.observation, env.action, memory_units=4))
    with pytest.raises(ValueError, match="gamma"):
        pjs.run(frodo(env, CONFIG, None, FRODOHypers(gamma=2.0)), env, seeds=1, steps=STEPS)


@pytest.mark.slow
def test_it_learns_to_catch_what_one_rollout_cannot_teach():
    """Beyond the 0.455 that rewards within rollouts of two steps can teach."""
    env = envs.make("Meta-Catch")
    rates = FRODOHypers(learning_rate=20.0, meta_learning_rate=3e-3, gae_lambda=1.0)
    agent = frodo(env, FRODOConfig(num_envs=16, rollout_length=2, updates=3), None, rates)
    result = pjs.run(agent, env, seeds=4, steps=5e4, evaluate_every=50, progress=False)
    success = result.curves["evaluation_success"].values
    last = [row[np.isfinite(row)][-1] for row in success]
    assert np.mean(last) > 0.8
