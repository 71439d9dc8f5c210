"""MODAC: what manager, options and subgoals see, learn from and are judged by; and that it runs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import envs, meta, nets
from purejaxrl_suite.core import tree
from purejaxrl_suite.core.check import check_derivatives
from purejaxrl_suite.meta import options
from purejaxrl_suite.meta.modac import MODACConfig, MODACHypers, modac
from purejaxrl_suite.meta.modac import system as modac_system
from tests.meta.systems import KEY, born, known, learned_options, room
from tests.shared import drawn

slow = pytest.mark.slow
CONFIG = MODACConfig(options=2, num_envs=2, rollout_length=4, updates=2, units=3)
STEPS = CONFIG.num_envs * CONFIG.rollout_length * CONFIG.updates
ALWAYS, NEVER = 50.0, -50.0
"""Logits of terminations."""


def taxi():
    return envs.make("Meta-Taxi", time_limit=6)


def rooms():
    return envs.make("Meta-FourRooms", time_limit=6)


def small(env, count=2):
    """A network of a manager."""
    many = pjs.Discrete(count + env.action.n)
    return drawn(nets.actor_critic(env.observation, many, hidden=(4,)))


def lived(env, updates=2, logit=None, **sizes):
    """A system, its hypers and rule, and a window of a lifetime; options end with this logit."""
    system, hypers = learned_options(env, **sizes)
    rule, _ = known(system, hypers)
    if logit is not None:
        head = jax.tree.map(jnp.zeros_like, rule["terminations"]["head"])
        rule["terminations"]["head"] = head | {"bias": head["bias"] + logit}
    how = meta.living(system.agent, env, shortest=20)
    agents = system.inner(rule, hypers)
    one = tree.index(born(how, agents, env, 1), 0)
    window = jax.jit(partial(meta.advance, how, updates=updates))(agents, lifetime=one)
    return system, hypers, rule, window


def parts_of(env, count=2, goal_entries=1):
    return options.parts_of(env, count, goal_entries)


def learner(window):
    return window.lifetime.run.agent.learner.params


def same(x, y):
    jax.tree.map(np.testing.assert_array_equal, x, y)


def differ(x, y):
    return any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (x, y)), strict=True))


@pytest.mark.parametrize(("make_env", "units"), [(rooms, 3), pytest.param(taxi, 0, marks=slow)])
def test_options_and_their_subgoals_never_see_the_goal(make_env, units):
    """With another goal in every observation they are bitwise the same; the manager is not."""
    env = make_env()
    manager = small(env)
    config = CONFIG._replace(units=units, optimizer=optax.sgd)
    system, hypers = modac_system(env, config, manager), MODACHypers()
    parts = options.parts_of(env, 2, 1, manager)
    rule, agents = known(system, hypers)
    how = meta.living(system.agent, env, shortest=20)
    one = tree.index(born(how, agents, env, 1), 0)
    goals = env.observation.categories[-1]

    @jax.jit
    def seen(shift):
        window = meta.advance(how, agents, one, 1)
        params, steps = learner(window), window.transition
        obs, next_obs = (
            x.at[..., -1].set((x[..., -1] + shift) % goals) for x in (steps.obs, steps.next_obs)
        )
        steps = steps._replace(obs=obs, next_obs=next_obs)
        own = options.look_of_options(parts, params["options"], steps)
        returns = options.option_returns(parts, agents, steps, own.next_value)
        look = options.look_of_manager(parts, hypers, params["manager"], steps)
        return (own, returns), look.policy

    (mine, choices), (theirs, others) = seen(jnp.int32(0)), seen(jnp.int32(5))
    same(mine, theirs)
    assert differ(choices, others)


def test_rewards_of_the_task_teach_the_manager_alone():
    env = room()
    system, hypers, rule, window = lived(env)
    state, steps = window.lifetime.run.agent, window.transition
    go = jax.jit(partial(system.agent.update, KEY, system.inner(rule, hypers)))
    changed = steps._replace(reward=10.0 * steps.reward + 1.0)
    found, other = (go(state, x)[0].learner.params for x in (steps, changed))
    same(found["options"], other["options"])
    assert differ(found["manager"], other["manager"])
    assert differ(found["options"], state.learner.params["options"])


def test_subgoals_teach_options_alone():
    env = room()
    system, hypers, rule, window = lived(env)
    state, steps = window.lifetime.run.agent, window.transition
    go = jax.jit(partial(system.agent.update, KEY))
    other = jax.tree.map(lambda x: x + 0.5, rule)
    found, other = (
        go(system.inner(x, hypers), state, steps)[0].learner.params for x in (rule, other)
    )
    same(found["manager"], other["manager"])
    assert differ(found["options"], other["options"])


@pytest.mark.parametrize("logit", [ALWAYS, NEVER])
def test_options_that_always_or_never_end(logit):
    """Always: the manager chooses at every step. Never: once in an episode, at its start."""
    *_, window = lived(room(), logit=logit, rollout_length=12)
    option, before, chosen = (np.asarray(x) for x in options.choices_of(window.transition))
    inside = option < 2
    assert inside.any() and not inside.all()
    if logit == ALWAYS:
        assert chosen.all()
    else:
        assert np.array_equal(chosen, before >= 2)
        stays = ~chosen[1:]
        np.testing.assert_array_equal(option[1:][stays], option[:-1][stays])
    done = np.asarray(window.transition.done)
    np.testing.assert_array_equal(before[1:], np.where(done[:-1], 2, option[:-1]))
    # An action of the environment lasts a step, and is the action itself.
    action = np.asarray(window.transition.action)
    np.testing.assert_array_equal(action[~inside], option[~inside] - 2)
    assert chosen[1:][~inside[:-1]].all()


def made_up(env, option, chosen, reward, **flags):
    """Four steps in one environment."""
    count = len(option)
    column = partial(np.reshape, shape=(-1, 1))
    no = np.zeros(count, bool)
    obs = np.arange(count + 1, dtype=np.int32)[:, None, None]
    before = np.array([2, *option[:-1]], np.int32)
    return pjs.Transition(
        obs=jnp.asarray(obs[:-1]),
        action=jnp.asarray(column(np.arange(count) % 4)).astype(jnp.int32),
        reward=jnp.asarray(column(reward), jnp.float32),
        terminated=jnp.asarray(column(flags.get("terminated", no))),
        truncated=jnp.asarray(column(flags.get("truncated", no))),
        next_obs=jnp.asarray(obs[1:]),
        extras={
            "option": jnp.asarray(column(option), jnp.int32),
            "before": jnp.asarray(column(before), jnp.int32),
            "chosen": jnp.asarray(column(chosen)),
        },
    )


def hypers_of(rule=(), **changed):
    hypers = options.OptionHypers(0.0, 0.0, 0.5, 0.0, 1.0, 0.0, rule)
    return jax.tree.map(jnp.float32, hypers._replace(**changed))


def test_returns_of_options_by_hand():
    """Option 1 for three steps, then option 0 until the rollout ends; half of all steps end one."""
    env = room()
    parts = parts_of(env, goal_entries=0)
    reward = jnp.arange(8.0)[None, None] / 8 + jnp.zeros((4, 1, 8))
    parts = parts._replace(
        rewards=lambda rule, obs: jnp.reshape(reward, (4, 1, 2, 4)),
        terminations=lambda rule, obs, batch: jnp.zeros((4, 1, 2)),
    )
    option, chosen = [1, 1, 1, 0], [True, False, False, True]
    value = jnp.array([[1.0], [2.0], [3.0], [4.0]])
    steps = made_up(env, option, chosen, np.zeros(4))
    find = partial(options.option_returns, parts, hypers_of())
    own = [(4 + 0) / 8, (4 + 1) / 8, (4 + 2) / 8, 3 / 8]  # of actions 0 .. 3
    last = own[3] + 0.25 * 4.0
    third = own[2] + 0.25 * 3.0
    second = own[1] + 0.25 * third
    expected = [own[0] + 0.25 * second, second, third, last]
    np.testing.assert_allclose(find(steps, value)[:, 0], expected, rtol=1e-6)
    ended = made_up(env, option, chosen, np.zeros(4), terminated=np.arange(4) == 1)
    expected[:2] = [own[0] + 0.25 * own[1], own[1]]
    np.testing.assert_allclose(find(ended, value)[:, 0], expected, rtol=1e-6)
    cut = made_up(env, option, chosen, np.zeros(4), truncated=np.arange(4) == 1)
    second = own[1] + 0.25 * 2.0
    expected[:2] = [own[0] + 0.25 * second, second]
    np.testing.assert_allclose(find(cut, value)[:, 0], expected, rtol=1e-6)


def test_returns_of_the_manager_are_those_of_its_choices():
    """R_i = sum of k discounted rewards less the cost, G_i = R_i + gamma^k G_{i + 1}."""
    env = room()
    parts = parts_of(env, goal_entries=0)
    params = jax.tree.map(jnp.zeros_like, parts.manager.init(KEY))
    steps = made_up(env, [1, 1, 4, 0], [True, False, True, True], [1.0, 2.0, 4.0, 8.0])
    params["heads"]["value"]["kernel"] = jnp.arange(9.0)[:, None]
    hypers = hypers_of(switching_cost=0.25)
    lesson = options.lessons_of(
        parts,
        hypers._replace(rule=options.init_rule(env, 2, 0, 0, KEY)),
        *learnt(params, parts),
        steps,
    )
    last = 8.0 - 0.25 + 0.5 * 4.0  # the value of state 4 after the rollout
    third = 4.0 - 0.25 + 0.5 * last
    first = 1.0 + 0.5 * 2.0 - 0.25 + 0.25 * third
    target = lesson.manager[1][:, 0]
    np.testing.assert_allclose(target[jnp.array([0, 2, 3])], [first, third, last], rtol=1e-6)
    np.testing.assert_allclose(lesson.manager[0][0, 0], first - 0.0, rtol=1e-6)
    np.testing.assert_allclose(lesson.manager[0][2, 0], third - 2.0, rtol=1e-6)


def learnt(manager, parts):
    own = jax.vmap(parts.policy.init)(jax.random.split(KEY, parts.options))
    return ({"manager": manager, "options": own},)


def test_without_options_it_is_the_actor_critic_bit_for_bit():
    env = room()
    sizes = {"num_envs": 2, "rollout_length": 5}
    rates = meta.ActorCriticHypers(learning_rate=0.5, gae_lambda=1.0)
    plain = meta.actor_critic(env, meta.ActorCriticConfig(**sizes), None, rates)
    parts = parts_of(env, 0, 0)
    own = options.OptionHypers(0.5, 0.5, rates.gamma, 0.01, 0.5, 0.0)
    agent = options.options_agent(env, parts, name="none", hypers=own, optimizer=optax.sgd, **sizes)
    state = agent.init(KEY, own)
    start = plain.init(KEY, rates)
    start = start._replace(learner=start.learner._replace(params=state.learner.params["manager"]))
    how = meta.living(agent, env, shortest=9)
    window = jax.jit(partial(meta.advance, how, updates=1))(
        jax.tree.map(jnp.float32, own), lifetime=tree.index(born(how, own, env, 1), 0)
    )
    steps = window.transition
    assert np.all(steps.extras["chosen"]) and np.array_equal(steps.action, steps.extras["option"])
    one, other = state, start
    go = jax.jit(agent.update), jax.jit(plain.update)
    for _ in range(3):
        one, found = go[0](KEY, jax.tree.map(jnp.float32, own), one, steps)
        other, theirs = go[1](KEY, jax.tree.map(jnp.float32, rates), other, steps)
        same(one.learner.params["manager"], other.learner.params)
        for name in ("policy_loss", "value_loss", "entropy"):
            np.testing.assert_allclose(found[name], theirs[name], rtol=1e-5)
    assert differ(one.learner.params["manager"], state.learner.params["manager"])


def judgement(updates=2):
    """The outer loss of a window as a function of the rule, rate of options and whether any act."""
    env = room()
    system, hypers = learned_options(env)
    rule, agents = known(system, hypers)
    how = meta.living(system.agent, env, shortest=20)
    one = tree.index(born(how, agents, env, 1), 0)

    def loss(rule, rate, act):
        rates = hypers._replace(option_learning_rate=rate)
        window = meta.advance(how, system.inner(rule, rates), one, updates)
        extras = dict(window.transition.extras)
        extras |= {name: jnp.where(act, extras[name], 3) for name in ("option", "before")}
        window = window._replace(transition=window.transition._replace(extras=extras))
        return system.objective(rule, rates, window)[0]

    return loss, rule


def test_what_the_meta_gradient_is_zero_without():
    """Rewards act through what options learn; all is 0 if no option was in force."""
    loss, rule = judgement()
    slope = jax.jit(jax.grad(loss))
    assert all(np.any(x) for x in jax.tree.leaves(slope(rule, 0.5, True)))
    still = slope(rule, 0.0, True)
    assert not any(np.any(x) for x in jax.tree.leaves(still["rewards"]))
    assert any(np.any(x) for x in jax.tree.leaves(still["terminations"]))
    assert not any(np.any(x) for x in jax.tree.leaves(slope(rule, 0.5, False)))


@slow
@pytest.mark.parametrize("updates", [1, 2])
def test_meta_gradients_of_the_judgement_equal_central_differences(updates):
    with jax.enable_x64(True):
        loss, rule = judgement(updates)
    check_derivatives(lambda rule: loss(rule, 0.5, True), rule)


@slow
def test_agents_side_by_side_equal_a_loop():
    env = taxi()
    system, hypers = learned_options(env, goal_entries=1)
    _, agents = known(system, hypers)
    how = meta.living(system.agent, env, shortest=3, longest=5)
    lives = born(how, agents, env, 3)._replace(length=jnp.array([3, 5, 4], jnp.int32))
    go = partial(meta.advance, how, agents, updates=3)
    together = jax.jit(jax.vmap(lambda one: go(lifetime=one)))(lives)
    alone = [jax.jit(lambda one: go(lifetime=one))(tree.index(lives, i)) for i in range(3)]
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, together.lifetime.run.agent, tree.stack(alone).lifetime.run.agent)
    np.testing.assert_array_equal(together.lifetime.age, [2, 3, 3])


def train(out=None, **more):
    points = pjs.search.grid(MODACHypers(), meta_learning_rate=[1e-3, 1e-2])
    how = {"hypers": points, "config": CONFIG, "seeds": 2, "segments": 3, "steps": 6 * STEPS}
    return pjs.sweep(modac, taxi(), progress=False, out=out, **(how | more))


@slow
def test_a_sweep_that_is_killed_goes_on_to_the_same_bits(tmp_path):
    whole = train(evaluate_every=3)

    def kill(progress):
        if progress.update == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, on_segment=kill, evaluate_every=3)
    resumed = train(tmp_path, evaluate_every=3)
    keep = [x.curves.drop_vars("steps_per_second") for x in (whole, resumed)]
    assert keep[0].assign_attrs(keep[1].attrs).identical(keep[1])
    same(whole.state(0, 0).agent, resumed.state(0, 0).agent)
    curves = whole.curves
    for name in ("meta_loss", "meta_termination_loss", "option_share", "meta_gradient_norm"):
        assert np.all(np.isfinite(curves[name]))
    norms = curves["meta_gradient_norm"].values
    assert np.all(norms[0, :, 1:] != norms[1, :, 1:]), "rates differ"
    assert curves.step.values[-1] == 6 * STEPS


def test_one_agent_learns_all_tasks():
    """Tasks of lifetimes are not drawn: each episode has a goal of its own."""
    env = rooms()
    agent = modac(env, CONFIG._replace(num_envs=8), small(env))
    train = pjs.make_train(agent, env)
    hypers = jax.tree.map(jnp.float32, agent.hypers)
    run = jax.jit(train.init)(KEY, hypers, env.params)
    assert len(set(np.asarray(run.env.run.obs[..., -1]).ravel().tolist())) > 2


def test_bad_input():
    env = taxi()
    with pytest.raises(ValueError, match="config.optimizer: expected one with finite"):
        modac(env, CONFIG._replace(optimizer=optax.adam))
    with pytest.raises(ValueError, match="config.options"):
        modac(env, CONFIG._replace(options=0))
    with pytest.raises(ValueError, match="goal_entries: expected an integer in 0 .. 2, got 3"):
        modac(env, CONFIG._replace(goal_entries=3))
    with pytest.raises(ValueError, match="network: expected one without a memory"):
        many = pjs.Discrete(6)
        modac(env, CONFIG, nets.actor_critic(env.observation, many, memory_units=4))
    with pytest.raises(ValueError, match="expected Discrete"):
        modac(envs.make("Pendulum-v1"), CONFIG)
    with pytest.raises(ValueError, match="switching_cost"):
        agent = modac(env, CONFIG, None, MODACHypers(switching_cost=-1.0))
        pjs.run(agent, env, seeds=1, steps=STEPS, progress=False)
