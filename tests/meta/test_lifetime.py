"""Lifetimes and their derivatives: equal to differences, to loops, and to nothing after the end."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import envs, meta
from purejaxrl_suite.agents.impala import ImpalaConfig
from purejaxrl_suite.core import tree
from purejaxrl_suite.core.check import check_derivatives
from purejaxrl_suite.meta import lifetime
from purejaxrl_suite.ops import optimizers
from tests.meta.systems import (
    BUILDERS,
    KEY,
    bandit,
    born,
    known,
    learned_reward,
    learned_targets,
    loss_of,
    room,
    summed,
)

slow = pytest.mark.slow
each_system = pytest.mark.parametrize("name", BUILDERS)


def largest(x):
    return max(float(np.max(np.abs(leaf))) for leaf in jax.tree.leaves(x))


def equal(x, y, tolerance=0.0):
    def close(x, y):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)

    jax.tree.map(close, x, y)


ADAM = partial(optimizers.adam, eps=1e-2)
"""With a smaller epsilon its first step is the sign of the gradient, which has no derivative. With
this one it bends where a gradient is 0, as it is where the rule gives a weight of 0: differences
across such a bend are none of its derivative, so their step is small there."""
OPTIMIZERS = {"sgd": optax.sgd, "adam": ADAM}
SOON = [("reward", "sgd", 2), ("targets", "sgd", 2)]
CASES = [
    pytest.param(name, kind, updates, marks=() if (name, kind, updates) in SOON else slow)
    for name in BUILDERS
    for kind in OPTIMIZERS
    for updates in (1, 2, 5)
]


@pytest.mark.parametrize(("name", "kind", "updates"), CASES)
def test_meta_gradients_equal_central_differences(name, kind, updates):
    """Of whole windows, rollouts included; rollouts are the same wherever no action changes."""
    build, make_env = BUILDERS[name]
    with jax.enable_x64(True):
        env = make_env()
        system, hypers = build(env, OPTIMIZERS[kind])
        loss, (rule, _) = loss_of(system, hypers, env, updates), known(system, hypers)
    step = 1e-5 if (name, kind) == ("rule", "adam") else 1e-3
    found = check_derivatives(loss, rule, step=step)
    assert largest(found) > 1e-5, "something of the rule acts"


@slow
def test_meta_gradients_with_values_that_targets_read_as_constants():
    """They are the same for one update and biased for several, as is known of released code."""
    with jax.enable_x64(True):
        env = room()
        gaps = []
        for updates in (1, 3):
            found = []
            for through in (True, False):
                system, hypers = learned_targets(env, through_inputs=through)
                loss = loss_of(system, hypers._replace(learning_rate=5.0), env, updates)
                found.append(jax.jit(jax.grad(loss))(known(system, hypers)[0]))
            gaps.append(largest(jax.tree.map(jnp.subtract, *found)) / largest(found[0]))
    assert gaps[0] < 1e-12 and gaps[1] > 1e-5


@slow
@each_system
def test_memory_and_order_of_computing_change_no_derivative(name):
    build, make_env = BUILDERS[name]
    env = make_env()
    system, hypers = build(env)
    rule, _ = known(system, hypers)
    kept, again = (
        jax.jit(jax.grad(loss_of(system, hypers, env, 3, remat=remat)))(rule)
        for remat in (False, True)
    )
    assert largest(kept) > 0
    equal(kept, again, 1e-5)


@slow
@pytest.mark.parametrize("collect_first", [False, True])
def test_lifetimes_side_by_side_equal_a_loop(collect_first):
    env = room()
    system, hypers = learned_reward(env)
    _, inner = known(system, hypers)
    how = meta.living(system.agent, env, shortest=3, longest=6)
    lives = born(how, inner, env, 4)
    lives = lives._replace(length=jnp.array([3, 5, 4, 6], jnp.int32))
    go = partial(meta.advance, how, inner, updates=4, collect_first=collect_first)
    together = jax.jit(jax.vmap(lambda one: go(lifetime=one)))(lives)
    alone = [jax.jit(lambda one: go(lifetime=one))(tree.index(lives, i)) for i in range(4)]
    equal(together, tree.stack(alone), 1e-5)
    np.testing.assert_array_equal(together.lifetime.age, [2, 4, 3, 4])
    np.testing.assert_array_equal(jnp.sum(together.alive, axis=1), [2, 4, 3, 4])
    np.testing.assert_array_equal(together.lifetime.over, [True, True, True, False])


@pytest.mark.parametrize(
    ("name", "collect_first"),
    [
        ("reward", False),
        *(
            pytest.param(*x, marks=slow)
            for x in [("reward", True), ("targets", False), ("rule", False)]
        ),
    ],
)
def test_nothing_happens_after_the_end_of_a_lifetime(name, collect_first):
    build, make_env = BUILDERS[name]
    env = make_env()
    system, hypers = build(env)
    _, inner = known(system, hypers)
    how = meta.living(system.agent, env, shortest=3)
    (one,) = [tree.index(born(how, inner, env, 1), 0)]
    whole, cut = (
        jax.jit(partial(meta.advance, how, updates=n, collect_first=collect_first))(
            inner, lifetime=one
        )
        for n in (5, 2)
    )
    equal(whole.lifetime, cut.lifetime)
    equal(whole.transition, cut.transition)
    later = jax.jit(partial(meta.advance, how, updates=2))(inner, lifetime=whole.lifetime)
    equal(later.lifetime, whole.lifetime)
    assert not np.any(later.alive)


def test_the_rollout_that_judges_a_window_is_the_first_of_the_next():
    env = room()
    system, hypers = learned_reward(env)
    _, inner = known(system, hypers)
    how = meta.living(system.agent, env)
    go = jax.jit(partial(meta.advance, how, updates=2))
    window = go(inner, lifetime=tree.index(born(how, inner, env, 1), 0))
    after = go(inner, lifetime=window.lifetime)
    np.testing.assert_allclose(after.rows["step_reward"][0], jnp.mean(window.transition.reward))
    seen = window.transition.extras, window.seen.shape
    assert seen == ({}, (2, 1))


@slow
def test_lifetimes_that_are_over_begin_anew_and_others_go_on():
    env = room()
    system, hypers = learned_reward(env)
    _, inner = known(system, hypers)
    how = meta.living(system.agent, env, shortest=4)
    lives = born(how, inner, env, 3)
    old = jax.jit(jax.vmap(lambda one: meta.advance(how, inner, one, 2)))(lives).lifetime
    old = old._replace(age=jnp.array([2, 3, 2], jnp.int32))
    new = jax.jit(partial(lifetime.renew, how))(inner, env.params, old)
    np.testing.assert_array_equal(new.number, [0, 1, 0])
    np.testing.assert_array_equal(new.age, [2, 0, 2])
    for i in (0, 2):
        equal(tree.index(new, i), tree.index(old, i))
    assert not np.any(np.all(new.task.rewards == lives.task.rewards, axis=1) & (new.number == 1))
    memory = new.run.agent.memory.reward
    assert not np.any(memory.hidden[1]) and np.all(memory.hidden[0] != 0)


def test_agents_of_one_task_are_born_different():
    env = bandit()._replace(sample_task=None)
    system, hypers = learned_reward(env)
    how = meta.living(system.agent, env)
    lives = born(how, known(system, hypers)[1], env, 2)
    policy = lives.run.agent.learner.params["heads"]["policy"]["kernel"]
    assert not np.any(policy[0] == policy[1])
    np.testing.assert_array_equal(lives.task.rewards[0], lives.task.rewards[1])


@slow
@each_system
def test_rollouts_that_are_collected_first(name):
    """Derivatives equal differences; where nothing is learnt both orders are the same."""
    build, make_env = BUILDERS[name]
    with jax.enable_x64(True):
        env = make_env()
        system, hypers = build(env)
        rule, _ = known(system, hypers)
        loss = loss_of(system, hypers, env, 2, collect_first=True)
        check_derivatives(loss, rule)
    system, hypers = build(env)
    rates = {name: 0.0 for name in hypers._fields if name.endswith("learning_rate")}
    rule, inner = known(system, hypers._replace(**rates))
    how = meta.living(system.agent, env)
    one = tree.index(born(how, inner, env, 1), 0)
    found = [
        jax.jit(partial(meta.advance, how, updates=3, collect_first=first))(inner, lifetime=one)
        for first in (False, True)
    ]
    equal(found[0], found[1], 1e-6)


@slow
def test_any_agent_of_the_suite_lives():
    """Meta-gradients of IMPALA's own hyper-parameters, through its rollouts and updates."""
    env = envs.make("Catch-bsuite")
    config = ImpalaConfig(num_envs=2, rollout_length=4, minibatches=1, anneal_learning_rate=False)
    agent = pjs.impala(env, config)
    how = meta.living(agent, env, shortest=9)
    hypers = jax.tree.map(jnp.float32, agent.hypers)
    one = tree.index(born(how, hypers, env, 1), 0)

    def loss(hypers):
        window = meta.advance(how, hypers, one, 3)
        return summed(window.lifetime.run.agent.learner.params)

    found = jax.jit(jax.grad(loss))(hypers)
    assert all(np.isfinite(x) for x in found)
    assert found.learning_rate != 0 and found.entropy_coefficient != 0


@slow
def test_fresh_agents_live_and_learn():
    env = bandit()._replace(sample_task=None)
    config = meta.ActorCriticConfig(num_envs=4, rollout_length=4)
    agent = meta.actor_critic(env, config, None, meta.ActorCriticHypers(learning_rate=1.0))
    rows = meta.live(agent, env, KEY, lifetimes=3, updates=30, at_once=2)
    assert rows["step_reward"].shape == (3, 30)
    assert np.all(np.mean(rows["step_reward"][:, -10:], axis=1) > 0.8)


def test_what_cannot_live_is_refused():
    env = room()
    system, _ = learned_reward(env)
    with pytest.raises(ValueError, match="shortest: expected an integer in 2"):
        meta.living(system.agent, env, shortest=1)
    with pytest.raises(ValueError, match="longest: expected an integer in 5"):
        meta.living(system.agent, env, shortest=5, longest=4)
    with pytest.raises(ValueError, match="was built for"):
        meta.living(system.agent, bandit())
    with pytest.raises(ValueError, match="acts in environments itself"):
        meta.living(pjs.frodo(env), env)
    with pytest.raises(ValueError, match="updates: expected an integer"):
        meta.live(system.agent, env, KEY, lifetimes=1, updates=0)
