"""BBF: what a reset keeps and loses, its schedules, self-prediction, and what is as released."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.agents.bbf import BBFConfig, BBFHypers, bbf
from purejaxrl_suite.agents.rainbow import RainbowConfig, RainbowHypers, rainbow
from purejaxrl_suite.agents.shared import bbf_released
from purejaxrl_suite.agents.shared.bbf_released import AsReleased
from purejaxrl_suite.core.types import Clock, Transition
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import probes
from purejaxrl_suite.ops import distributional, self_prediction
from tests.agents.tables import predictive_matrices, predictive_table
from tests.buffers import histories
from tests.contract.agents import board, on_a_board

SIZES = {"num_envs": 2, "rollout_length": 4, "capacity": 64, "batch_size": 4, "max_n_step": 3}
CONFIG = BBFConfig(**SIZES, atoms=3, jumps=2, group=1)
HYPERS = BBFHypers(
    learning_rate=1e-2, min_history=8.0, value_low=-1.0, value_high=1.0, start_n_step=3.0
)
START = 1  # the row that windows of the 12-row trajectory start at
ENV = on_a_board(probes.delayed_reward())
MATRICES = predictive_matrices()


def model(env=ENV, **options):
    options = {"hidden": (4,), "encoder": nets.cnn((nets.ConvLayer(2),)), "atoms": 3} | options
    return nets.self_predictive(env.observation, env.action, **options)


def rollout(seed, terminated=0.2, truncated=0.0):
    """Random steps [4, 2] on the board."""
    rng = np.random.default_rng(seed)
    shape = 4, 2
    obs = rng.uniform(-1.0, 1.0, (2, *shape, 4, 4, 1)).astype(np.float32)
    ends = rng.random((2, *shape)) < np.array([terminated, truncated])[:, None, None]
    reward = rng.uniform(-1.0, 1.0, shape).astype(np.float32)
    steps = obs[0], rng.integers(0, 2, shape, np.int32), reward, *ends, obs[1]
    return Transition(*map(jnp.asarray, steps), {})


@functools.cache
def program():
    """The agent and its compiled update."""
    agent = bbf(ENV, CONFIG, MATRICES, HYPERS)
    return agent, jax.jit(agent.update)


def started(hypers, seed=0):
    """A state after one update, with moments and errors of its own."""
    agent, update = program()
    state = jax.jit(agent.init)(jax.random.key(seed), hypers)
    return update(jax.random.key(seed + 1), hypers, state, rollout(seed))[0]


def softened(params):
    return params["encoder"], params["aux"]["transition"]


def replaced(params):
    return params["trunk"], params["heads"], params["aux"]["predictor"]


def test_a_reset_blends_the_encoder_and_starts_the_rest_anew():
    """The second update ends with a reset; a huge min_history keeps it from learning before."""
    _, update = program()
    hypers = HYPERS._replace(reset_period=16.0, shrink=0.5, perturb=0.25)
    state = started(hypers)._replace(steps=jnp.int32(7))
    assert state.updates == 1 and state.learner.opt_state[0].count == 2
    still = hypers._replace(min_history=1e6, no_resets_after=32.0)
    # The ring must not be full, or it would be ready.
    key = jax.random.key(9)
    after, _ = update(key, still, state, rollout(3))
    starts = jax.random.split(jax.random.split(key)[1])
    before, now = (state.learner.params, state.target), (after.learner.params, after.target)
    starts = jax.jit(jax.vmap(MATRICES.network.init))(starts)
    for i, (old, new) in enumerate(zip(before, now, strict=True)):
        fresh = jax.tree.map(lambda x, i=i: x[i], starts)
        blend = jax.tree.map(lambda x, y: 0.5 * x + 0.25 * y, softened(old), softened(fresh))
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), softened(new), blend)
        jax.tree.map(np.testing.assert_array_equal, replaced(new), replaced(fresh))
    online, target = (x["heads"]["q"] for x in (after.learner.params, after.target))
    assert not np.any(online == target)
    assert not any(np.any(x) for x in jax.tree.leaves(after.learner.opt_state))
    assert after.steps == 0 and after.updates == 2
    # No reset: where fewer than 16 steps would be left, or never; the replay is the same.
    for times in ({"no_resets_after": 31.0}, {"reset_period": 0.0}):
        kept, _ = update(key, still._replace(**times), state, rollout(3))
        ours = kept.learner, kept.target, kept.steps
        jax.tree.map(
            np.testing.assert_array_equal, ours, (state.learner, state.target, state.steps)
        )
        jax.tree.map(np.testing.assert_array_equal, kept.replay, after.replay)


def test_n_and_the_discount_follow_the_clock_that_resets_restart():
    _, update = program()
    state = started(HYPERS)
    found = []
    for step in (0, 5000, 10_000, 10**6):
        now = state._replace(steps=jnp.int32(step))
        _, metrics = update(jax.random.key(0), HYPERS, now, rollout(1))
        found.append([metrics["gamma"], metrics["n_step"], metrics["gradient_steps"] - step])
    # By equal factors from 3 to 3, and 1 - gamma from 0.03 to 0.003.
    expected = [[0.97, 3, 2], [0.99051, 3, 2], [0.997, 3, 2], [0.997, 3, 2]]
    np.testing.assert_allclose(found, expected, atol=5e-6)
    full = state._replace(steps=jnp.int32(2**31 - 2), updates=jnp.int32(2**31 - 2))
    after, metrics = update(jax.random.key(0), HYPERS, full, rollout(1))
    assert after.steps == 2**31 - 1 and metrics["gradient_steps"] == 2.0**31
    np.testing.assert_allclose([metrics["gamma"], metrics["epsilon"]], [0.997, 0.0], atol=5e-6)
    shorter = HYPERS._replace(n_step=1.0, anneal_steps=10.0)
    _, metrics = update(jax.random.key(0), shorter, state._replace(steps=jnp.int32(5)), rollout(1))
    assert metrics["n_step"] == 2.0  # 3 / sqrt(3), rounded


def test_the_target_network_acts():
    agent, _ = program()
    state = started(HYPERS)
    latent = jnp.ones((1, 2)) @ state.target["encoder"]["kernel"] @ state.target["trunk"]["kernel"]
    best = jnp.zeros((2, 3)).at[1, 2].set(50.0).ravel()[None]
    state.target["heads"]["q"] = latent.T @ best
    act = jax.jit(agent.act, static_argnums=5)
    noise, obs = agent.noise(jax.random.key(0), 6), jnp.ones((6, 4, 4, 1))
    np.testing.assert_array_equal(act(noise, HYPERS, state, (), obs, False)[1], 1)
    state.target["heads"]["q"] = latent.T @ -best
    np.testing.assert_array_equal(act(noise, HYPERS, state, (), obs, False)[1], 0)


def test_no_gradient_reaches_the_target_network():
    """It moves by its average alone: at rate 0 not at all, whatever is learnt."""
    _, update = program()
    state = started(HYPERS)
    still = HYPERS._replace(target_update_rate=0.0, spr_weight=50.0)
    after, _ = update(jax.random.key(2), still, state, rollout(1))
    jax.tree.map(np.testing.assert_array_equal, after.target, state.target)
    old, new = state.learner.params["aux"], after.learner.params["aux"]
    assert np.any(old["predictor"]["kernel"] != new["predictor"]["kernel"])


@pytest.mark.parametrize("terminal", range(START - 1, START + 6))
def test_self_prediction_is_masked_behind_the_end_for_every_sample_alike(terminal):
    """m_k = 0 where a terminal lies in rows t .. t + k - 1, wherever in the batch t stands."""
    replay = histories.compiled(capacity=24, num_envs=1, rollout_length=12, max_n=10)
    ends = np.zeros((2, 12, 1), bool)
    ends[0, terminal] = True
    ring = replay.add(replay.init(), histories.rollout(0, *ends))
    expected = {}
    for starts in ([START, 0, 6], [6, START, 0], [0, 6, START]):
        seen = replay.sequences(ring, np.asarray(starts), 5)
        found = jax.vmap(self_prediction.mask)(self_prediction.ended(seen.terminated, seen.mask))
        for row, first in zip(np.asarray(found), starts, strict=True):
            inside = [first <= terminal < first + k for k in range(1, 6)]
            np.testing.assert_array_equal(row, 1.0 - np.asarray(inside))
            np.testing.assert_array_equal(row, expected.setdefault(first, row))


def test_only_what_a_loss_is_about_has_a_gradient():
    """The value's reaches the projection, self-prediction's everything but the heads."""
    agent = bbf(ENV, CONFIG, model(), HYPERS)
    state = jax.jit(agent.init)(jax.random.key(0), HYPERS)
    state = state._replace(replay=started(HYPERS).replay)
    probe = jax.jit(agent.probe)

    def reached(**hypers):
        found = probe(jax.random.key(0), HYPERS._replace(**hypers), state, rollout(0)).grads
        parts = found | found["aux"]
        return {name: any(np.any(x) for x in jax.tree.leaves(parts[name])) for name in parts}

    without = reached(spr_weight=0.0)
    assert without["encoder"] and without["trunk"] and without["heads"] and not without["aux"]
    both = reached()
    assert both["transition"] and both["predictor"]


@functools.cache
def tabled(released):
    """An agent without layers, in groups of two batches, and its compiled update."""
    released = AsReleased(mask=released, priorities=released)
    agent = bbf(
        ENV, GROUPS._replace(as_released=released), predictive_table(np.zeros((2, 3))), HYPERS
    )
    return agent, jax.jit(agent.update)


GROUPS = BBFConfig(1, 16, 2, 4, 32, 3, atoms=3, jumps=2, group=2)


def sixteen(seed, terminated):
    """Random steps [16, 1] on the board."""
    steps = [rollout(seed + i, terminated) for i in (0, 1)]
    return jax.tree.map(lambda *x: jnp.reshape(jnp.stack(x), (16, 1, *x[0].shape[2:])), *steps)


def updated(released, terminated):
    """What one update makes of an agent that learns nothing."""
    agent, update = tabled(released)
    still = HYPERS._replace(min_history=1.0, learning_rate=0.0)
    state = jax.jit(agent.init)(jax.random.key(0), still)
    return update(jax.random.key(1), still, state, sixteen(0, terminated))


@pytest.mark.parametrize(
    ("terminated", "released", "expected"),
    [(0.0, False, 10.0), (1.0, False, 0.0), (0.0, True, 10.0), (1.0, True, 2.5)],
)
def test_self_prediction_by_hand(terminated, released, expected):
    """Every distance is 2: 5 * 2, or nothing where each step is the last of its episode.

    As released the first of four samples is never masked.
    """
    _, metrics = updated(released, terminated)
    np.testing.assert_allclose(metrics["auxiliary_loss"], expected, rtol=1e-5)


@pytest.mark.parametrize("released", [False, True])
def test_priorities_of_a_group(released):
    """Zeros as logits: every error is log 3, so only which slots change can differ."""
    state, _ = updated(released, 0.2)
    masses = np.ravel(state.replay.masses[0])[:13]  # three steps start no window yet
    changed = masses != 1.0
    np.testing.assert_allclose(masses[changed], np.sqrt(np.log(3.0)), rtol=1e-5)
    # Eight strata of thirteen equal windows; as released, the first of each batch only.
    if released:
        assert 1 <= changed.sum() <= 2 and not changed[4:].any()
    else:
        assert changed.sum() >= 4


def probabilities_of(logits):
    e = np.exp(logits - logits.max())
    return e / e.sum()


def target_of(reward, discount, p):
    """C51's projection on -1, 0 and 1: each mass goes to both neighbours."""
    found = np.zeros(3)
    for atom, mass in zip((-1.0, 0.0, 1.0), p, strict=True):
        at = 1.0 + np.clip(reward + discount * atom, -1.0, 1.0)
        below = int(min(at, 1.0))
        found[below] += mass * (below + 1 - at)
        found[below + 1] += mass * (at - below)
    return found


def test_an_update_with_priorities_in_double_precision():
    """Draw, weigh by the group, two steps of AdamW with a moving target, write priorities."""
    agent, update = tabled(False)
    hypers = HYPERS._replace(min_history=1.0, target_update_rate=0.25, spr_weight=0.0)
    hypers = hypers._replace(gamma=0.9, start_gamma=0.9, n_step=2.0, start_n_step=2.0)
    steps = sixteen(0, 0.3), sixteen(2, 0.3)
    state, _ = update(
        jax.random.key(1), hypers, jax.jit(agent.init)(jax.random.key(0), hypers), steps[0]
    )
    after, _ = update(jax.random.key(2), hypers, state, steps[1])
    # What is drawn: slots of 29 windows, whose newest 16 have the largest priority so far.
    masses = np.zeros(32)
    masses[:13] = np.ravel(state.replay.masses[0])[:13]
    masses[13:29] = np.sqrt(np.float64(state.replay.largest))
    draw_key, _ = jax.random.split(jax.random.split(jax.random.split(jax.random.key(2))[0], 1)[0])
    shares = (np.arange(8) + np.float64(jax.random.uniform(draw_key, (8,)))) / 8
    slots = np.searchsorted(np.cumsum(masses) / masses.sum(), shares, side="right")
    weights = (masses[slots].min() / masses[slots]) ** 0.5
    assert len(np.unique(np.round(weights, 6))) > 2, "priorities differ"
    # What is learnt from it, in two batches that are dealt out in turn.
    reward, action, over = (
        np.concatenate([np.asarray(getattr(x, name))[:, 0] for x in steps])
        for name in ("reward", "action", "terminated")
    )
    params, target = (
        np.float64(state.learner.params["heads"]["q"]),
        np.float64(state.target["heads"]["q"]),
    )
    adam = state.learner.opt_state[0]
    count, m, v = int(adam.count), *(np.float64(x["heads"]["q"]) for x in (adam.mu, adam.nu))
    errors = np.zeros(8)
    for batch in (range(0, 8, 2), range(1, 8, 2)):
        gradient = np.zeros((2, 3))
        best = np.argmax([probabilities_of(x) @ (-1.0, 0.0, 1.0) for x in params])
        for i in batch:
            slot, ends = slots[i], over[slots[i]]
            total = reward[slot] + (0.0 if ends else 0.9 * reward[slot + 1])
            discount = 0.0 if ends or over[slot + 1] else 0.81
            wanted = target_of(total, discount, probabilities_of(target[best]))
            p = probabilities_of(params[action[slot]])
            errors[i] = -wanted @ np.log(p)
            gradient[action[slot]] += weights[i] * (p - wanted) / 4
        count, m, v = count + 1, 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        moved = (m / (1 - 0.9**count)) / (np.sqrt(v / (1 - 0.999**count)) + 1.5e-4)
        params = params - 1e-2 * (moved + 0.1 * params)
        target = 0.75 * target + 0.25 * params
    np.testing.assert_allclose(after.learner.params["heads"]["q"], params, atol=1e-5)
    np.testing.assert_allclose(after.target["heads"]["q"], target, atol=1e-5)
    for slot in set(slots):
        masses[slot] = np.sqrt(errors[slots == slot].max() + 1e-10)
    np.testing.assert_allclose(np.ravel(after.replay.masses[0])[:32], masses, rtol=1e-4)
    largest = max(float(state.replay.largest), errors.max())
    np.testing.assert_allclose(after.replay.largest, largest, rtol=1e-5)


@functools.cache
def released_window():
    replay = histories.compiled(capacity=24, num_envs=1, rollout_length=12, max_n=10)
    return replay, jax.jit(bbf_released.window(replay.read, 10))


@pytest.mark.parametrize("n", range(3, 11))
def test_the_released_window_is_bootstrapped_a_step_early(n):
    """Rewards 2^row of n rows, the state after n - 1 of them, terminals of n - 1 rows only."""
    replay, read = released_window()
    for kind in (0, 1):
        for row in range(START - 1, START + n + 1):
            ends = np.zeros((2, 12, 1), bool)
            ends[kind, row] = True
            steps = histories.rollout(0, *ends)
            steps = steps._replace(reward=jnp.float32(2.0) ** jnp.arange(12.0)[:, None])
            batch = read(replay.add(replay.init(), steps), np.array([START]), n, 1.0)
            inside = START <= row < START + n
            if kind == 1:
                assert batch.weight[0] == (not START <= row < START + 10)
                continue
            assert batch.weight[0] == 1.0
            assert batch.terminated[0] == (inside and row < START + n - 1)
            steps_in = row - START + 1 if inside else n
            assert batch.reward[0] == 2.0 ** (START + steps_in) - 2.0
            assert batch.terminated[0] or batch.next_obs[0, 0] == START + n - 1


def test_without_its_parts_it_is_rainbow():
    """The same loop and the same draws, so equal on any experience; AdamW's decay is apart."""
    rates = {"learning_rate": 1e-2, "min_history": 8.0, "value_low": -1.0, "value_high": 1.0}
    off = {"gamma": 0.99, "start_gamma": 0.99, "n_step": 3.0, "start_n_step": 3.0}
    off |= {"spr_weight": 0.0, "weight_decay": 0.0, "reset_period": 0.0}
    follow = {"target_update_period": 1.0, "target_update_rate": 0.005}
    ancestor = rainbow(
        ENV,
        RainbowConfig(**SIZES, gradient_steps=2, atoms=3),
        MATRICES.network,
        RainbowHypers(**rates, **follow, adam_epsilon=1.5e-4, epsilon=1.0),
    )

    def learnt(agent, update, hypers):
        state = jax.jit(agent.init)(jax.random.key(0), hypers)
        state.learner.params["aux"]["predictor"]["bias"] += 1.0
        for i in range(3):
            state, _ = update(jax.random.key(i), hypers, state, rollout(i))
        return state.learner.params

    descendant, update = program()
    hypers = BBFHypers(**rates, **off)
    found = learnt(descendant, update, hypers)
    expected = learnt(ancestor, jax.jit(ancestor.update), ancestor.hypers)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), found, expected)
    # Without a gradient decay is all there is: 6 steps, and none for biases.
    decayed = learnt(descendant, update, hypers._replace(weight_decay=0.5))
    ours, theirs = decayed["aux"]["predictor"], expected["aux"]["predictor"]
    np.testing.assert_allclose(ours["kernel"], theirs["kernel"] * (1 - 5e-3) ** 6, rtol=1e-5)
    np.testing.assert_array_equal(ours["bias"], theirs["bias"])


@pytest.mark.slow
def test_values_are_learnt_across_resets():
    """Two resets, the last of them half-way; the boards of -1 and 1 ask for other actions."""
    env = on_a_board(probes.observation_action_reward())
    sizes = {"num_envs": 16, "rollout_length": 4, "gradient_steps": 8, "capacity": 2048}
    config = BBFConfig(**sizes, max_n_step=3, atoms=5, jumps=2)
    hypers = BBFHypers(5e-3, start_n_step=3.0, n_step=1.0, anneal_steps=400.0, min_history=256.0)
    hypers = hypers._replace(value_low=-1.0, value_high=1.0, target_update_rate=0.05)
    hypers = hypers._replace(reset_period=64.0 * 50, no_resets_after=64.0 * 150, final_epsilon=0.5)
    both = model(env, atoms=5, hidden=(16,), encoder=nets.cnn((nets.ConvLayer(8),)))
    agent = bbf(env, config, both, hypers)
    init, _, advance, *_ = make_train(agent, env, updates_per_call=200)
    hypers = jax.tree.map(jnp.float32, hypers)

    @jax.jit
    def train(keys):
        run = jax.vmap(init, (0, None, None))(keys, hypers, env.params)
        clock = Clock(jnp.int32(0), jnp.int32(200))
        return jax.vmap(advance, (0, None, None, 0, None))(keys, hypers, env.params, run, clock)

    run, history = train(jax.random.split(jax.random.key(0), 2))
    assert np.sum(np.diff(history["gradient_steps"][0]) < 0) == 2
    obs = jnp.stack([board(-1.0), board(1.0)])
    output = jax.vmap(lambda params: both.network.apply(params, obs)[0])(run.agent.target)
    values = distributional.expectation(output, distributional.support(-1.0, 1.0, 5))
    np.testing.assert_allclose(values, [[[1.0, -1.0], [-1.0, 1.0]]] * 2, atol=0.15)
