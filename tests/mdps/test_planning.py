"""Planning against loops over states, by hand, and by reductions to exact backups and TD(0)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import mdps

LAYERED = mdps.in_float64(partial(mdps.bipartite, layers=(3, 2)))(jax.random.key(0))
ONE_HOT = 1.0 - LAYERED.terminal
NAMES = {"c_bw": (True, True), "p_bw": (True, False), "c_fw": (False, True), "p_fw": (False, False)}
each = pytest.mark.parametrize("name", NAMES)


def softmax(x):
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def stream(steps=12, seed=1):
    policy = jnp.ones((len(ONE_HOT), 1))
    return mdps.experience(jax.random.key(seed), LAYERED, policy, policy, steps)


def learnt(rule, hypers, steps, features=ONE_HOT, **state):
    """The state after learning from all steps, its weights at first zero."""
    features = jnp.asarray(features, jnp.float32)
    weights = state.pop("weights", jnp.zeros(features.shape[-1]))

    @jax.jit
    def run(hypers, steps, state):
        begun = rule.init(features, jnp.asarray(weights, jnp.float32))._replace(**state)
        return mdps.learn(rule, hypers, features, weights, steps, state=begun)[0]

    return run(jax.tree.map(jnp.float32, hypers), steps, state)


def predicted_by_loops(backward, current, model_free, steps, hypers):
    """The rule of the paper's code, state by state, with v of the reference state frozen."""
    size = len(ONE_HOT)
    v, table, reward = np.zeros(size), np.zeros((size, size)), np.zeros((size, size))
    for episode, now in enumerate(zip(*map(np.asarray, steps), strict=True)):
        s, _, r, discount, after, *_ = now
        left = 1.0 - episode / hypers.episodes
        row, outcome = (after, s) if backward else (s, after)
        table[row] += left * hypers.model_step_size * (np.eye(size)[outcome] - softmax(table[row]))
        reward[row, outcome] += left * hypers.model_step_size * (r - reward[row, outcome])
        if model_free:
            v[s] += left * hypers.step_size * (r + discount * v[after] - v[s])
        x = after if current else s
        p, rate, own = softmax(table[x]), left * hypers.planning_step_size, v[x]
        if backward:
            for i in np.flatnonzero(ONE_HOT):
                v[i] += rate * p[i] * (reward[x, i] + hypers.gamma * own - v[i])
        elif ONE_HOT[x]:
            v[x] += rate * (p @ (reward[x] + hypers.gamma * v) - own)
    return v, table, reward


@each
@pytest.mark.parametrize("model_free", [True, False])
def test_prediction_is_that_of_loops(name, model_free):
    hypers = mdps.PlanningHypers(0.7, 0.6, 0.5, episodes=20.0)
    rule, steps = mdps.planned_td(*NAMES[name], model_free=model_free), stream()
    found = learnt(rule, hypers, steps)
    v, table, reward = predicted_by_loops(*NAMES[name], model_free, steps, hypers)
    # By planning alone the other two learn nothing: no state leads to a first one, and terminal
    # ones have no value.
    assert np.ptp(v) > 1.0 or not (model_free or name in ("c_bw", "p_fw"))
    np.testing.assert_allclose(found.weights, v, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.table, table, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.reward, reward, rtol=1e-5, atol=1e-5)
    assert np.all(found.weights[LAYERED.terminal] == 0)


@each
def test_linear_features_that_are_one_hot_change_nothing(name):
    steps, hypers = stream(), mdps.PlanningHypers(0.7, 0.6, 0.5)
    rule = mdps.planned_td(*NAMES[name])
    compact = learnt(rule, hypers, steps)
    full = learnt(rule, hypers, steps, features=np.diag(ONE_HOT))
    np.testing.assert_allclose(full.weights, compact.weights, rtol=1e-5, atol=1e-5)


def true_model(backward):
    """Probabilities and rewards of the true model by rows, of the states that are not terminal."""
    p, r = LAYERED.transition[:, 0], LAYERED.reward[:, 0]
    if backward:
        joint = (LAYERED.start[:, None] * p).T * LAYERED.terminal[:, None]
        return joint / np.maximum(joint.sum(1, keepdims=True), 1e-9), r.T
    return p, r


def test_forward_with_the_true_model_is_exact_after_one_visit():
    table, reward = (jnp.asarray(x, jnp.float32) for x in true_model(False))
    rule = mdps.planned_td(False, False, model=mdps.given(), model_free=False)
    hypers = mdps.PlanningHypers(model_step_size=0.0)
    steps = stream(1)
    v = learnt(rule, hypers, steps, table=table, reward=reward).weights
    exact = mdps.in_float64(mdps.state_values)(LAYERED, np.ones((5, 1)))
    s = int(steps.state[0])
    np.testing.assert_allclose(v[s], exact[s], rtol=1e-5)
    np.testing.assert_array_equal(np.delete(v, s), 0.0)


def test_backward_with_the_true_model_has_the_exact_values_as_its_mean():
    """Each planning moves a cause by its probability; step sizes of 0 keep all else."""
    table, reward = (jnp.asarray(x, jnp.float32) for x in true_model(True))
    np.testing.assert_allclose(table[3:].sum(1), 1.0, rtol=1e-5)
    exact = mdps.in_float64(mdps.state_values)(LAYERED, np.ones((5, 1)))
    rule = mdps.planned_td(True, True, model=mdps.given(), model_free=False)
    hypers = mdps.PlanningHypers(planning_step_size=0.01, model_step_size=0.0)
    v = learnt(rule, hypers, stream(8000), table=table, reward=reward).weights
    np.testing.assert_allclose(v[:3], exact[:3], rtol=0.1)


def test_backward_from_a_certain_cause_is_td():
    """P(s | x) = 1 for the state before: mb_c_bw moves it as TD(0) does."""
    steps = stream(1)
    s, x = int(steps.state[0]), int(steps.next_state[0])
    table = jnp.zeros((5, 5)).at[x, s].set(1.0)
    weights = jnp.array([1.0, 2.0, 3.0, 0.0, 0.0])
    planning = mdps.planned_td(True, True, model=mdps.given(), model_free=False)
    hypers = mdps.PlanningHypers(0.0, 0.3, 1.0)
    found = learnt(planning, hypers, steps, table=table, weights=weights).weights
    plain = learnt(mdps.td(), mdps.TDHypers(0.3), steps, features=np.diag(ONE_HOT), weights=weights)
    np.testing.assert_allclose(found, plain.weights, rtol=1e-6)


def test_without_planning_it_is_td():
    hypers = mdps.PlanningHypers(0.3, planning_step_size=0.0)
    found = learnt(mdps.planned_td(True, True), hypers, stream())
    plain = learnt(mdps.td(), mdps.TDHypers(0.3), stream(), features=np.diag(ONE_HOT))
    np.testing.assert_allclose(found.weights, plain.weights, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backward", [True, False])
def test_a_sampled_model_plans_as_the_expected_one_on_average(backward):
    """The same for one certain outcome, and on average over noise for others."""
    table = jnp.asarray(np.random.default_rng(0).dirichlet(np.ones(5), 5), jnp.float32)
    hypers = mdps.PlanningHypers(0.0, 0.1, 0.0)
    expected, sampled = (
        mdps.planned_td(backward, False, model=mdps.given(), model_free=False, sampled=sampled)
        for sampled in (False, True)
    )
    weights, one = jnp.array([1.0, 2.0, 3.0, 0.0, 0.0]), stream(1)
    known = learnt(expected, hypers, one, table=table, weights=weights).weights
    noise = (jnp.arange(2000) + 0.5)[:, None] / 2000
    many = jax.vmap(lambda u: one._replace(noise=u))(noise)
    found = jax.vmap(lambda steps: learnt(sampled, hypers, steps, table=table, weights=weights))
    np.testing.assert_allclose(found(many).weights.mean(0), known, atol=1e-3)


def test_models_learn_frequencies():
    """Softmax and plain frequencies of 3,000 transitions; rows are distributions."""
    steps, p = stream(3000), LAYERED.transition[:3, 0, 3:]
    for model, size in ((mdps.likelihood(), 0.05), (mdps.squared(), 0.04)):
        rule = mdps.planned_td(False, False, model=model)
        table = learnt(rule, mdps.PlanningHypers(model_step_size=size), steps).table
        found = jax.vmap(model.probabilities)(table)
        np.testing.assert_allclose(found[:3].sum(1), 1.0, atol=0.01)
        np.testing.assert_allclose(found[:3, 3:], p, atol=0.2)


def test_a_planner_aware_model_by_hand():
    """Two outcomes with aims 1 and 3: d/dlogit of (p - aim)^2 / 2 is p1 p2 (1 - 3) (mean - aim)."""
    model = mdps.planner_aware()
    planned = partial(jnp.dot, jnp.array([1.0, 3.0]))
    found = model.direction(jnp.zeros(2), jnp.int32(1), lambda p: planned(p)[None])
    np.testing.assert_allclose(found, [-0.5, 0.5])  # -(2 - 3) * 0.25 * (1 - 3), and its negative
    np.testing.assert_allclose(model.probabilities(jnp.zeros(2)), 0.5)


def test_a_planner_aware_model_learns_what_planning_needs():
    """Its expected backup becomes that of the true model, whatever its probabilities are."""
    rule = mdps.planned_td(False, False, model=mdps.planner_aware(), model_free=False)
    hypers = mdps.PlanningHypers(planning_step_size=0.0, model_step_size=2e-3)
    found = learnt(rule, hypers, stream(3000), reward=jnp.asarray(LAYERED.reward[:, 0]))
    p, r = LAYERED.transition[:3, 0], LAYERED.reward[:3, 0]
    backups = (jax.vmap(rule_probabilities)(found.table)[:3] * r).sum(1)
    np.testing.assert_allclose(backups, (p * r).sum(1), atol=0.15 * np.abs(r).max())


rule_probabilities = mdps.planner_aware().probabilities


def test_models_of_several_steps_end_with_episodes():
    """From 0 by 1 to the terminal state 2: rewards 1 and 10, gamma 0.5; then a cut after 0."""
    steps = mdps.Step(
        state=jnp.array([0, 1, 0, 1]),
        action=jnp.zeros(4, jnp.int32),
        reward=jnp.array([1.0, 10.0, 1.0, 10.0]),
        discount=jnp.array([0.5, 0.0, 0.5, 0.0]),
        next_state=jnp.array([1, 2, 1, 2]),
        ratio=jnp.ones(4),
        interest=jnp.ones(4),
        noise=jnp.zeros(4),
        last=jnp.array([False, True, True, True]),
    )

    def reach(window):
        return [float(x) for x in mdps.planning.ahead(jax.tree.map(lambda x: x[window], steps))]

    assert reach(slice(0, 2)) == [2.0, 6.0, 1.0]
    assert reach(slice(0, 3)) == [2.0, 6.0, 1.0]
    assert reach(slice(1, 3)) == [2.0, 10.0, 1.0]
    assert reach(slice(2, 4)) == [1.0, 1.0, 0.0]
    rule, hypers = mdps.planned_td(True, True, steps=2), mdps.PlanningHypers(0.0, gamma=0.5)
    found = learnt(rule, hypers, steps, features=np.array([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(found.reward[2, :2], [6.0, 10.0])
    np.testing.assert_array_equal(found.reward[1], 0.0)


# --- Control ---

MAZE = mdps.grid(("S.", "XG"))


def acted(steps=60):
    q = mdps.uniform_policy(MAZE)
    return mdps.experience(jax.random.key(0), MAZE, q, q, steps)


def controlled_by_loops(backward, current, model_free, steps, hypers):
    """The rule of the paper's code, pair by pair; actions of one state plan at once."""
    states, actions, alive = 3, 4, ~MAZE.terminal
    q, reward, ends = np.zeros((states, actions)), np.zeros(states), np.zeros((states, 2))
    pairs = states * actions
    table = np.zeros((states, pairs) if backward else (pairs, states))
    episode, fresh = 0, True

    def plan(x):
        if backward:
            p, aim = softmax(table[x]), reward[x] + hypers.gamma * q[x].max()
            for i in range(pairs):
                s, a = divmod(i, actions)
                if alive[s]:
                    q[s, a] += rate * p[i] * (aim - q[s, a])
        elif alive[x]:
            aims = reward + ends.argmax(1) * hypers.gamma * q.max(1)
            for a in range(actions):
                q[x, a] += rate * (softmax(table[x * actions + a]) @ aims - q[x, a])

    for s, a, r, discount, after, _, _, _, last in zip(*map(np.asarray, steps), strict=True):
        left = 1.0 - episode / hypers.episodes
        learning, rate = left * hypers.model_step_size, left * hypers.planning_step_size
        row, outcome = (after, s * actions + a) if backward else (s * actions + a, after)
        table[row] += learning * (np.eye(table.shape[1])[outcome] - softmax(table[row]))
        reward[after] += learning * (r - reward[after])
        ends[after] += learning * (np.eye(2)[int(discount > 0)] - softmax(ends[after]))
        if model_free:
            aim = r + discount * q[after].max()
            q[s, a] += left * hypers.step_size * (aim - q[s, a])
        if not model_free and backward and not current and discount == 0:
            plan(after)
        if not model_free and not backward and current and fresh:
            plan(s)
        plan(after if current else s)
        episode, fresh = episode + last, last
    return q


@each
@pytest.mark.parametrize("model_free", [True, False])
def test_control_is_that_of_loops(name, model_free):
    hypers = mdps.PlanningHypers(0.7, 0.6, 0.5, gamma=0.9, episodes=50.0)
    steps, features = acted(), np.repeat(1.0 - MAZE.terminal, 4)
    rule = mdps.planned_q(4, *NAMES[name], model_free=model_free)
    found = learnt(rule, hypers, steps, features=features).weights
    known = controlled_by_loops(*NAMES[name], model_free, steps, hypers)
    assert np.ptp(known) > 0.1
    np.testing.assert_allclose(found.reshape(3, 4), known, atol=1e-4)


def test_only_the_most_probable_pairs_move():
    steps = acted(1)
    rule = mdps.planned_q(4, True, True, model_free=False, most_probable=1)
    found = learnt(rule, mdps.PlanningHypers(), steps._replace(reward=jnp.ones(1)),
                   features=np.ones(12)).weights  # fmt: skip
    pair = int(steps.state[0] * 4 + steps.action[0])
    assert found[pair] > 0 and np.all(np.delete(found, pair) == 0)


@pytest.mark.parametrize(
    "wrong, says",
    [
        (lambda: mdps.planned_td(1, True), "backward: expected True or False"),
        (lambda: mdps.planned_td(True, True, steps=0), "steps: expected an integer of at least 1"),
        (lambda: mdps.planned_td(True, True, model=3), "model: expected a Model"),
        (lambda: mdps.planned_q(0, True, True), "actions: expected an integer of at least 1"),
        (lambda: mdps.planned_q(2, False, True, most_probable=1), "most_probable: expected None"),
        (
            lambda: mdps.planned_q(2, True, True, most_probable=9).init(jnp.eye(8), jnp.zeros(8)),
            "most_probable: expected an integer in 1 .. 8, got 9",
        ),
        (
            lambda: mdps.planned_q(3, True, True).init(jnp.eye(8), jnp.zeros(8)),
            "features: expected rows of pairs, a multiple of 3 actions, got 8",
        ),
        (
            lambda: mdps.experience(jax.random.key(0), LAYERED, jnp.ones((4, 1)), jnp.ones(5), 3),
            r"behaviour: expected probabilities .5, 1., got .4, 1.",
        ),
        (lambda: mdps.expected_updates(mdps.collision(), 1), "one: expected no terminal state"),
    ],
)
def test_bad_arguments_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        wrong()
