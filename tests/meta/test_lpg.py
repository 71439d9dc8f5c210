"""LPG: what its rule sees, that it becomes known ones, what judges it, and that it trains."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rlax

import purejaxrl_suite as pjs
from purejaxrl_suite import meta, nets
from purejaxrl_suite.core import tree
from purejaxrl_suite.meta import inner, lpg_rule
from purejaxrl_suite.meta.inner import InnerHypers, Lesson, Rule
from purejaxrl_suite.meta.lpg import LPGConfig, LPGHypers, agent_of, lpg, parts_of
from purejaxrl_suite.meta.lpg_rule import apply_rule, init_rule, prediction_entropy, prediction_loss
from purejaxrl_suite.sweeps.interrupt import Interrupted
from tests.meta.systems import KEY, born, grid, known, learned_rule, room
from tests.shared import compiled_once

LENGTH, BINS = 5, 3
DRAW = np.random.default_rng(0)
REWARD = jnp.asarray(DRAW.normal(size=(LENGTH, 1)), jnp.float32)
CHANCE = jnp.asarray(DRAW.uniform(size=(LENGTH, 1)), jnp.float32)
VALUE, NEXT = (jnp.asarray(DRAW.normal(size=(LENGTH, 1, BINS)), jnp.float32) for _ in range(2))
RULE = init_rule(KEY, BINS, 4)
find = jax.jit(apply_rule)


def steps(reward=REWARD, *, terminated=None, truncated=None):
    """Five made-up steps of one environment with three actions; an episode ends at one of them."""

    def flag(at):
        none = jnp.zeros((LENGTH, 1), bool)
        return none if at is None else none.at[at].set(True)

    return pjs.Transition(
        obs=jnp.arange(LENGTH, dtype=jnp.int32)[:, None, None],
        action=jnp.array([[0], [2], [1], [1], [0]], jnp.int32),
        reward=reward,
        next_obs=jnp.arange(1, LENGTH + 1, dtype=jnp.int32)[:, None, None],
        extras={},
        terminated=flag(terminated),
        truncated=flag(truncated),
    )


def ended(end, reward=REWARD):
    """These steps, the third of which ends an episode in that way."""
    cut = end == "truncated"
    return steps(reward, truncated=2) if cut else steps(reward, terminated=2)


def same(x, y, rows):
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[rows], y[rows]), x, y)


def test_the_rule_sees_nothing_before_a_step():
    found = find(RULE, 0.9, steps(), CHANCE, VALUE, NEXT)
    others = REWARD.at[:2].add(1.0), CHANCE.at[:2].mul(0.5), VALUE.at[:2].add(1.0)
    changed = find(RULE, 0.9, steps(others[0]), *others[1:], NEXT.at[:2].add(1.0))
    same(found, changed, slice(2, None))
    assert np.all(found.weight[:2] != changed.weight[:2])


@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_the_rule_sees_nothing_after_an_episode(end):
    found = find(RULE, 0.9, ended(end), CHANCE, VALUE, NEXT)
    later = REWARD.at[3:].add(1.0), CHANCE.at[3:].mul(0.5), VALUE.at[3:].add(1.0)
    changed = find(RULE, 0.9, ended(end, later[0]), *later[1:], NEXT.at[3:].add(1.0))
    same(found, changed, slice(3))
    assert np.all(found.weight[3:] != changed.weight[3:])
    beyond = find(RULE, 0.9, ended(end), CHANCE, VALUE, NEXT.at[2].add(jnp.arange(3.0)))
    assert np.array_equal(found.weight[2], beyond.weight[2]) is (end == "terminated")


def table(policy, values=BINS):
    """An agent's table of three actions, with these logits in each of six states."""
    box = pjs.Box((1,), "int32", 0, 5, categories=(6,))
    network = nets.tabular(box, pjs.Discrete(3), values=values)
    params = network.init(KEY)
    params["heads"]["policy"]["kernel"] = jnp.tile(jnp.array(policy, jnp.float32)[None], (6, 1))
    return network, params


def test_only_the_chance_of_the_taken_action_is_read():
    """Action 0 is taken: whatever the others' logits, it has the same probability."""
    taken = steps()._replace(action=jnp.zeros((LENGTH, 1), jnp.int32))
    hypers = InnerHypers(1.0, 0.9, 0.0, 0.5, RULE)
    lessons = []
    for logits in ([0.0, 1.0, 2.0], [0.0, 2.0, 1.0]):
        network, params = table(logits)
        look = inner.look_at(network, pjs.Discrete(3), params, taken)
        lessons.append(lpg_rule.teach(True, hypers, (), look))
    np.testing.assert_allclose(lessons[0].weight, lessons[1].weight, rtol=1e-5)
    np.testing.assert_allclose(lessons[0].target, lessons[1].target, rtol=1e-5)


def test_environments_do_not_see_each_other():
    """A permutation of environments permutes what the rule says."""
    many = partial(jnp.concatenate, axis=1)
    made = [jnp.asarray(DRAW.normal(size=(LENGTH, 1)), jnp.float32) for _ in range(3)]
    whole = jax.tree.map(lambda *xs: many(xs), *(steps(reward) for reward in made))
    chance = many([CHANCE, CHANCE / 2, CHANCE / 3])
    value, following = (many([x, x + 1, x * 2]) for x in (VALUE, NEXT))
    found = find(RULE, 0.9, whole, chance, value, following)
    order = np.array([2, 0, 1])
    turned = jax.tree.map(lambda x: x[:, order], (whole, chance, value, following))
    other = find(RULE, 0.9, *turned)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x[:, order], y, rtol=1e-5), found, other)


def learnt(rule, network, params, coefficient=0.5, values=BINS):
    """Parameters of an agent after an update by a rule, from the made-up steps."""
    env = room()._replace(observation=pjs.Box((1,), "int32", 0, 5, categories=(6,)))
    env = env._replace(action=pjs.Discrete(3))
    hypers = LPGHypers(learning_rate=2.0, prediction_coefficient=coefficient, gamma=0.9)
    config = LPGConfig(num_envs=1, rollout_length=LENGTH, bins=values, rate_factors=(1.0,))
    config = config._replace(prediction_factors=(1.0,))
    agent = agent_of(env, rule, parts_of(env, config, network), hypers)
    given = agent.hypers._replace(agent=agent.hypers.agent._replace(rule=RULE))
    given = jax.tree.map(jnp.asarray, given)
    state = agent.init(KEY, given)
    state = state._replace(learner=state.learner._replace(params=params))
    after, metrics = jax.jit(agent.update)(KEY, given, state, steps(terminated=2))
    return after.learner.params["heads"], metrics


def test_a_rule_that_says_nothing_leaves_the_policy_alone():
    network, params = table([0.0, 1.0, 2.0])
    params["heads"]["value"]["kernel"] = jnp.full((6, BINS), 0.3)

    def silent(hypers, memory, look):
        rule = hypers.rule | {
            part: jax.tree.map(jnp.zeros_like, hypers.rule[part]) for part in ("weight", "target")
        }
        return lpg_rule.teach(True, hypers._replace(rule=rule), memory, look)

    after, metrics = learnt(Rule(silent), network, params)
    np.testing.assert_array_equal(after["policy"]["kernel"], params["heads"]["policy"]["kernel"])
    np.testing.assert_allclose(after["value"]["kernel"], 0.3, atol=1e-7)
    assert float(metrics["weight_square"]) == 0.0
    assert float(metrics["target_square"]) == pytest.approx(1 / BINS)


@pytest.mark.filterwarnings("ignore:Rlax softmax:PendingDeprecationWarning")
def test_with_advantages_of_returns_it_is_the_actor_critic():
    """Weights G - v and no loss of predictions: as rlax says, and as the baseline of the suite."""
    network, params = table([0.0, 1.0, 2.0], values=1)
    v = jnp.sin(jnp.arange(6.0))

    def oracle(hypers, memory, look):
        t = look.transition
        weight = inner.sums(t.reward, t.done, hypers.gamma) - v[t.obs[..., 0]]
        return Lesson(weight, look.value, (), {})

    after, _ = learnt(Rule(oracle), network, params, coefficient=0.0, values=1)
    t, before = steps(terminated=2), params["heads"]["policy"]["kernel"]
    returns, later = [], 0.0
    for i in reversed(range(LENGTH)):
        later = float(t.reward[i, 0]) + (0.0 if i == 2 else 0.9 * later)
        returns.insert(0, later)
    advantage = jnp.asarray(returns) - v[:LENGTH]

    def loss(kernel):
        logits = kernel[t.obs[:, 0, 0]]
        return rlax.policy_gradient_loss(logits, t.action[:, 0], advantage, jnp.ones(LENGTH))

    expected = before - 2.0 * jax.grad(loss)(before)
    np.testing.assert_allclose(after["policy"]["kernel"], expected, atol=1e-6)
    hypers = meta.ActorCriticHypers(2.0, 0.9, entropy_coefficient=0.0, value_coefficient=0.0)
    config = meta.ActorCriticConfig(num_envs=1, rollout_length=LENGTH, bootstrap=False)
    env = room()._replace(observation=pjs.Box((1,), "int32", 0, 5, categories=(6,)))
    env = env._replace(action=pjs.Discrete(3))
    plain = meta.actor_critic(env, config, None, hypers)
    start = {"heads": {"policy": {"kernel": before}, "value": {"kernel": v[:, None]}}}
    state = plain.init(KEY, plain.hypers)
    state = state._replace(learner=state.learner._replace(params=start))
    other, _ = jax.jit(plain.update)(KEY, jax.tree.map(jnp.float32, plain.hypers), state, t)
    found = other.learner.params["heads"]["policy"]["kernel"]
    np.testing.assert_allclose(after["policy"]["kernel"], found, atol=1e-6)


def test_predictions_by_hand():
    logits, target = jnp.log(jnp.array([0.5, 0.25, 0.25])), jnp.log(jnp.array([0.25, 0.25, 0.5]))
    by_hand = 0.5 * np.log(2.0) + 0.25 * np.log(0.5)  # of the prediction from the target
    np.testing.assert_allclose(prediction_loss(target, logits), by_hand, rtol=1e-5)
    np.testing.assert_allclose(prediction_entropy(logits), 1.5 * np.log(2.0), rtol=1e-5)
    number = jnp.array([2.0]), jnp.array([-1.0])
    assert float(prediction_loss(*number)) == 4.5 and float(prediction_entropy(number[0])) == 0.0


@pytest.mark.slow
def test_meta_gradients_with_inputs_that_are_constants():
    """They are the same for one update and biased for several, as is known of released code."""
    with jax.enable_x64(True):
        env, gaps = grid(), []
        for updates in (1, 3):
            found = []
            for through in (True, False):
                system, hypers = learned_rule(env, through_inputs=through)
                loss = partial(loss_at, system, hypers._replace(learning_rate=9.0), env, updates)
                found.append(jax.jit(jax.grad(loss))(known(system, hypers)[0]))
            gaps.append(largest(jax.tree.map(jnp.subtract, *found)) / largest(found[0]))
    assert gaps[0] < 1e-12 and gaps[1] > 1e-5


def largest(x):
    return max(float(np.max(np.abs(leaf))) for leaf in jax.tree.leaves(x))


def loss_at(system, hypers, env, updates, rule, **changes):
    """What a window of one lifetime says of a rule."""
    hypers = hypers._replace(**changes)
    agents = system.inner(rule, hypers)
    how = meta.living(system.agent, env, shortest=20)
    one = tree.index(born(how, jax.lax.stop_gradient(agents), env, 1), 0)
    window = meta.advance(how, agents, one, updates)
    return system.objective(rule, hypers, window)[0]


@pytest.mark.slow
def test_agents_that_do_not_learn_leave_the_squares_alone():
    """Without a rate the meta-gradient is that of the rule's own squares."""
    env = grid()
    system, hypers = learned_rule(env)
    rule, still = known(system, hypers)[0], {"learning_rate": 0.0}
    slope = jax.jit(jax.grad(partial(loss_at, system, hypers, env, 2, **still)))
    squares = {"weight_coefficient": 0.0, "target_coefficient": 0.0}
    without = jax.jit(jax.grad(partial(loss_at, system, hypers, env, 2, **still, **squares)))
    assert largest(without(rule)) == 0.0 and largest(slope(rule)) > 0.0


@pytest.mark.slow
def test_a_vmapped_window_equals_a_loop():
    env = grid()
    system, hypers = learned_rule(env)
    _, agents = known(system, hypers)
    how = meta.living(system.agent, env, shortest=3, longest=6)
    lives = born(how, agents, env, 4)
    go = partial(meta.advance, how, agents, updates=3)
    together = jax.jit(jax.vmap(lambda one: go(lifetime=one)))(lives)
    alone = [jax.jit(lambda one: go(lifetime=one))(tree.index(lives, i)) for i in range(4)]
    for found in (lambda x: x.lifetime.run.agent, lambda x: x.rows):
        pair = found(together), found(tree.stack(alone))
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), *pair)


CONFIG = LPGConfig(
    lifetimes=4,
    num_envs=2,
    rollout_length=3,
    updates=2,
    at_once=0,
    shortest=3,
    longest=5,
    bins=3,
    units=3,
    prediction_factors=(1.0,),
)
STEPS = CONFIG.lifetimes * CONFIG.num_envs * CONFIG.rollout_length * CONFIG.updates
GRID = grid()
RATES = LPGHypers(learning_rate=2.0, baseline_learning_rate=0.5)


@pytest.fixture(scope="module", autouse=True)
def programs():
    with compiled_once():
        yield


def train(changes, out=None, **more):
    points = pjs.search.grid(RATES, meta_learning_rate=[1e-3, 1e-2])
    options = {"hypers": points, "config": CONFIG._replace(**changes), "seeds": 2, "segments": 3}
    options |= {"steps": 6 * STEPS, "progress": False, "out": out}
    return pjs.sweep(lpg, GRID, **(options | more))


def test_a_sweep_that_is_killed_goes_on_to_the_same_bits(tmp_path):
    whole = train({})

    def kill(progress):
        if progress.update == 4:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, Interrupted)):
        train({}, tmp_path, on_segment=kill)
    resumed = train({}, tmp_path)
    keep = [one.curves.drop_vars("steps_per_second") for one in (whole, resumed)]
    assert keep[0].assign_attrs(keep[1].attrs).identical(keep[1])
    states = [one.state(0, 0).agent for one in (whole, resumed)]
    jax.tree.map(np.testing.assert_array_equal, *states)
    names = ("meta_loss", "meta_gradient_norm", "updated_prediction_entropy", "baseline_loss")
    assert all(np.all(np.isfinite(whole.curves[name])) for name in names)
    counts = np.asarray(states[0].known.count)
    assert counts.shape[-1] == 3 and np.all(counts.sum(-1) >= 8), "lifetimes ended"
    rates = whole.curves["learning_rate"].values
    assert rates.min() >= 1.0 and rates.max() <= 4.0 and len(np.unique(rates)) > 2


@pytest.mark.slow
def test_parts_of_lifetimes_have_the_gradient_of_all():
    rows = [train({"at_once": n}, steps=2 * STEPS).curves for n in (0, 2)]
    for name in ("meta_gradient_norm", "meta_loss", "step_reward"):
        np.testing.assert_allclose(rows[0][name], rows[1][name], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"bins": 0}, {"bins": 1}, {"normalize_advantages": True}])
def test_ablations_train(changes):
    curves = train(changes, steps=3 * STEPS).curves
    assert np.all(np.isfinite(curves["meta_gradient_norm"]))
    assert ("target_square" in curves) is (changes.get("bins") != 0)


def test_bad_input():
    for changes, message in [
        ({"at_once": 3}, "at_once=3 must divide the 4 lifetimes"),
        ({"bins": -1}, "config.bins"),
        ({"rate_factors": ()}, "config.rate_factors: expected one factor or more"),
        ({"prediction_factors": (0.0,)}, "config.prediction_factors: expected a finite number"),
        ({"optimizer": optax.adam}, "config.optimizer: expected one with finite meta-gradients"),
    ]:
        with pytest.raises(ValueError, match=message):
            lpg(GRID, CONFIG._replace(**changes))
    short = nets.tabular(GRID.observation, GRID.action, values=2)
    with pytest.raises(ValueError, match=r"a policy and a value f\[B, 3\] \(values=3\)"):
        lpg(GRID, CONFIG, short)
    memory = nets.actor_critic(GRID.observation, GRID.action, memory_units=4, values=3)
    with pytest.raises(ValueError, match="network: expected one without a memory"):
        lpg(GRID, CONFIG, memory)
    with pytest.raises(ValueError, match="env.action: expected Discrete"):
        lpg(pjs.make("Pendulum-v1"), CONFIG)
