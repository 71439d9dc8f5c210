"""Muesli: invariants of its update, and what its model is taught."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets, run
from purejaxrl_suite.agents.muesli import MuesliConfig, MuesliHypers, muesli
from purejaxrl_suite.agents.shared import muesli_learning as learning
from purejaxrl_suite.buffers.windows import Stretch
from purejaxrl_suite.core.check import experience
from purejaxrl_suite.engine.rollout import rollout, start
from purejaxrl_suite.envs import make, probes
from purejaxrl_suite.nets.latent_model import Predicted
from purejaxrl_suite.ops import policy_targets

L, B, A = 6, 3, 3
CONFIG, HYPERS = MuesliConfig(), MuesliHypers(gamma=0.5, retrace_lambda=1.0)
KEY = jax.random.key(0)


def stretch(**changes):
    draw, never = np.random.default_rng(0), jnp.zeros((L, B), bool)
    fields = {
        "obs": jnp.zeros((L + 1, B, 1)),
        "action": jnp.asarray(draw.integers(A, size=(L, B)), jnp.int32),
        "reward": jnp.asarray(draw.normal(size=(L, B)), jnp.float32),
        "terminated": never,
        "truncated": never,
        "extras": {"log_prob": jnp.full((L, B), -np.log(A), jnp.float32)},
    }
    return Stretch(**(fields | changes))


def judged(scale=1.0):
    """Log-probabilities and values of the prior at every observation."""
    draw = np.random.default_rng(1)
    prior = jax.nn.log_softmax(jnp.asarray(draw.normal(size=(L + 1, B, A)), jnp.float32))
    return prior, scale * jnp.asarray(draw.normal(size=(L + 1, B, A)), jnp.float32)


@partial(jax.jit, static_argnums=1)
def targets(steps, config, prior, q, moment):
    return learning.targets_of(KEY, HYPERS, config, moment, steps, prior, q)


def made(steps, config=CONFIG, scale=1.0):
    moment = policy_targets.second_moment()
    return targets(steps, config, *judged(scale), moment)


def terms(logits, steps, found, config):
    return learning.policy_terms(jax.nn.log_softmax(logits), steps, found, config)


def test_without_advantage_nothing_moves_a_policy_that_is_the_prior():
    steps, (found, _) = learning.steps_of(stretch()), made(learning.steps_of(stretch()))
    still = found._replace(advantage=jnp.zeros((L, B)), log_target=found.log_prior)

    def total(logits, config, found):
        return sum(jnp.sum(x) for x in terms(logits, steps, found, config).values())

    for config in (CONFIG, CONFIG._replace(direct_mpo=True)):
        gradient = jax.grad(total)(found.log_prior, config, still)
        np.testing.assert_allclose(gradient, 0.0, atol=1e-6)
    assert np.any(jax.grad(total)(found.log_prior, CONFIG, found) != 0.0)


def test_the_target_is_within_its_bound_and_without_a_clip_beyond():
    steps = learning.steps_of(stretch())
    for clips in (True, False):
        found, _ = made(steps, CONFIG._replace(clip_advantages=clips), scale=30.0)
        distance = 0.5 * jnp.sum(jnp.abs(jnp.exp(found.log_target) - jnp.exp(found.log_prior)), -1)
        assert bool(jnp.max(distance) <= np.tanh(0.5) + 1e-6) == clips


def test_scaled_rewards_change_nothing_in_the_policys_losses():
    """From the first batch on, as the moment has no bias to 0."""
    plain = stretch()
    config = CONFIG._replace(kl_samples=4)
    found, moment = made(learning.steps_of(plain), config)
    for scale in (1e-3, 1e3):
        steps = learning.steps_of(plain._replace(reward=scale * plain.reward))
        scaled, larger = made(steps, config, scale)
        for name in ("log_target", "advantage", "weights"):
            same = getattr(found, name), getattr(scaled, name)
            np.testing.assert_allclose(*same, 1e-4, 1e-4, err_msg=name)
        np.testing.assert_allclose(larger.moment, scale**2 * moment.moment, 1e-4)
    assert found.actions.shape == found.weights.shape == (L, B, 4)


def test_returns_end_with_episodes_and_before_cuts():
    """By hand: sequence 0 ends after step 2, 1 is cut in step 2, 2 goes on."""
    ended = jnp.zeros((L, B), bool).at[2, 0].set(True)
    cut = jnp.zeros((L, B), bool).at[2, 1].set(True)
    whole = stretch(terminated=ended, truncated=cut)
    prior, q = (np.asarray(x, np.float64) for x in judged())
    taken = np.take_along_axis(prior[:-1], np.asarray(whole.action)[..., None], -1)[..., 0]
    # Of the prior itself: all traces are 1, and returns are those of Monte Carlo.
    whole = whole._replace(extras={"log_prob": jnp.asarray(taken, jnp.float32)})
    steps = learning.steps_of(whole)
    value = np.sum(np.exp(prior) * q, -1)
    np.testing.assert_array_equal(steps.mask[2], [1, 0, 1])
    r, zero = np.asarray(whole.reward), 0.0
    # Monte Carlo corrects by exact values alone, so here v stands for q.
    exact = prior, np.broadcast_to(value[..., None], q.shape)
    arguments = (jnp.asarray(x, jnp.float32) for x in exact)
    found, _ = targets(steps, CONFIG, *arguments, policy_targets.second_moment())
    following = np.asarray(found.following)
    np.testing.assert_allclose(following[:3, 0], [r[1, 0] + 0.5 * r[2, 0], r[2, 0], zero], 1e-5)
    np.testing.assert_allclose(
        following[:2, 1], [r[1, 1] + 0.5 * value[2, 1], value[2, 1]], 1e-5, 1e-6
    )
    tail = value[L, 2]
    for t in range(L - 1, 0, -1):
        np.testing.assert_allclose(following[t, 2], tail, 1e-5, 1e-6)
        tail = r[t, 2] + 0.5 * tail


def test_the_model_is_taught_within_episodes():
    ended = jnp.zeros((L, B), bool).at[2, 0].set(True)
    cut = jnp.zeros((L, B), bool).at[2, 1].set(True)
    steps = learning.steps_of(stretch(terminated=ended, truncated=cut))
    place, known, on = learning.ahead(steps, 3)
    np.testing.assert_array_equal(place[1:], [[1, 2, 3, 4, 5, 5], [2, 3, 4, 5, 5, 5]])
    np.testing.assert_array_equal(
        known[..., 0], [[1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 0], [1, 0, 0, 1, 0, 0]]
    )
    np.testing.assert_array_equal(
        known[..., 1], [[1, 1, 0, 1, 1, 1], [1, 0, 0, 1, 1, 0], [0, 0, 0, 1, 0, 0]]
    )
    np.testing.assert_array_equal(on[0], known[1])
    found, _ = made(steps)
    shape = (3, L, B)
    predicted = Predicted(*(jnp.zeros((*shape, n)) for n in (A, 5, 5)))
    losses = learning.model_terms(HYPERS, predicted, steps, found)
    # Uniform predictions: a cross-entropy of log 5 for each step that is known.
    for name in ("reward_loss", "value_loss"):
        np.testing.assert_allclose(losses[name], np.log(5) * known.mean(0), 1e-5)


def test_the_model_may_look_ahead_from_every_other_step():
    ended = jnp.zeros((L, B), bool).at[2, 0].set(True)
    steps = learning.steps_of(stretch(terminated=ended))
    whole, some = learning.ahead(steps, 3), learning.ahead(steps, 3, 2)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[:, ::2], y), whole, some)
    found, _ = made(steps)
    predicted = Predicted(*(jnp.broadcast_to(jnp.arange(1.0 * n), (3, L, B, n)) for n in (A, 5, 5)))
    of_some = jax.tree.map(lambda x: x[:, ::2], predicted)
    every = learning.model_terms(HYPERS, predicted, steps, found)
    other = learning.model_terms(HYPERS, of_some, steps, found, 2)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[::2], y), every, other)


def test_one_step_ahead_with_every_action_is_a_prediction_for_each():
    env = probes.observation_action_reward()
    model = nets.latent_model(env.observation, env.action, hidden=(8,), model_units=6, atoms=9)
    params = jax.jit(model.network.init)(KEY)
    latent = jnp.tanh(jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 6)), jnp.float32))
    found = jax.jit(model.ahead)(params, latent)
    rows = latent.reshape(6, 6)
    for action in range(env.action.n):
        expected = model.predict(params, rows, jnp.full((1, 6), action))
        jax.tree.map(
            lambda x, y, a=action: np.testing.assert_allclose(
                x[:, :, a].reshape(6, -1), y[0], rtol=1e-5, atol=1e-6
            ),
            found,
            expected,
        )


def small(config=None, hypers=None):
    env = probes.observation_action_reward()
    sizes = MuesliConfig(
        num_envs=4, rollout_length=8, batch_size=8, fresh=4, sequence_length=4, capacity=64,
        unroll_length=2,
    )  # fmt: skip
    model = nets.latent_model(env.observation, env.action, hidden=(8,), model_units=6, atoms=9)
    return muesli(env, sizes._replace(**(config or {})), model, MuesliHypers(**(hypers or {})))


def test_the_models_policy_alone_reaches_the_encoder():
    """And targets have no gradient: without it nothing moves at all."""
    only = {"reward_weight": 0.0, "value_weight": 0.0, "kl_weight": 0.0}
    sizes = {}
    for model_policy in (True, False):
        agent = small({"policy_gradient": False, "model_policy": model_policy}, only)

        @jax.jit
        def gradients(key, agent=agent):
            state = agent.init(key, agent.hypers)
            transition = experience(agent, key, agent.hypers, state)
            state, _ = agent.update(key, agent.hypers, state, transition)
            return agent.probe(key, agent.hypers, state, transition).grads

        grads = gradients(KEY)
        sizes[model_policy] = {
            name: float(sum(jnp.sum(jnp.abs(x)) for x in jax.tree.leaves(grads[name])))
            for name in ("trunk", "aux", "heads")
        }
    assert sizes[True]["trunk"] > 0.0 and sizes[True]["aux"] > 0.0 and sizes[True]["heads"] == 0.0
    assert sizes[False] == {"trunk": 0.0, "aux": 0.0, "heads": 0.0}


def test_episodes_begin_where_they_do_and_the_memory_is_that_of_the_first_step():
    ended = jnp.zeros((L, B), bool).at[2, 0].set(True)
    cut = jnp.zeros((L, B), bool).at[L - 1, 1].set(True)
    rows = jnp.arange(L * B * 2.0).reshape(L, B, 2)
    extras = stretch().extras | {learning.MEMORY: rows}
    steps = learning.steps_of(stretch(terminated=ended, truncated=cut, extras=extras))
    assert [tuple(x) for x in np.argwhere(np.asarray(steps.starts))] == [(3, 0), (L, 1)]
    np.testing.assert_array_equal(steps.memory, rows[0])
    assert learning.steps_of(stretch()).memory == ()


def test_the_memory_is_kept_as_a_row():
    env = probes.recall()
    network = nets.latent_model(env.observation, env.action, hidden=(4,), memory_units=3).network
    recall = learning.recall_of(network)
    draw = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    memory = type(network.memory(5))(*draw)
    kept = recall.extras(memory)[learning.MEMORY]
    assert kept.shape == (5, recall.size) == (5, 6)
    np.testing.assert_array_equal(recall.memory(kept), draw)
    assert learning.recall_of(nets.latent_model(env.observation, env.action).network).size == 0


def test_what_is_replayed_was_acted_with():
    """The target network, unrolled from the memory that was kept, acts as it did, over resets."""
    env = probes.recall()
    model = nets.latent_model(
        env.observation, env.action, hidden=(8,), memory_units=5, model_units=6, atoms=9
    )
    agent = muesli(env, MuesliConfig(num_envs=3, rollout_length=12, capacity=400), model)

    @jax.jit
    def rolled(key):
        state = agent.init(key, agent.hypers)
        run = start(agent, env, key, env.params, state)
        run, seen, _ = rollout(agent, env, key, agent.hypers, env.params, run, reset_pool=1)
        ends = seen.terminated | seen.truncated
        starts = jnp.concatenate([jnp.zeros_like(ends[:1]), ends[:-1]])
        recall = learning.recall_of(model.network)
        found = []
        for first in (0, 5):
            memory = recall.memory(seen.extras[learning.MEMORY][first])
            tail = starts[first:].at[0].set(False)
            logits, _ = model.network.unroll(state.target, seen.obs[first:], memory, tail, {})
            taken = jnp.take_along_axis(
                learning.log_prior(agent.hypers, logits), seen.action[first:, :, None], -1
            )
            found.append((taken[..., 0], seen.extras["log_prob"][first:]))
        return found, ends

    found, ends = rolled(KEY)
    assert ends[2:10].any()
    for again, then in found:
        np.testing.assert_allclose(again, then, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("memory_units", [0, 16])
def test_only_with_a_memory_is_a_number_recalled(memory_units):
    env = probes.recall()
    model = nets.latent_model(
        env.observation, env.action, hidden=(16,), memory_units=memory_units, model_units=8, atoms=9
    )
    config = MuesliConfig(
        num_envs=16, rollout_length=8, batch_size=32, fresh=16, sequence_length=8, capacity=4096,
        unroll_length=2,
    )  # fmt: skip
    agent = muesli(env, config, model, MuesliHypers(learning_rate=3e-3, gamma=0.9, value_bound=2.0))
    result = run(agent, env, seeds=2, steps=300 * 128, progress=False)
    found = result.evaluate(256).episode_return
    assert bool((found > 0.9).all()) if memory_units else bool((found < 0.5).all())


def test_what_is_refused():
    env = make("Pendulum-v1")
    with pytest.raises(ValueError, match="muesli needs Discrete actions"):
        muesli(env)
    with pytest.raises(ValueError, match="fresh"):
        muesli(probes.action_reward(), MuesliConfig(batch_size=4, fresh=5))
    with pytest.raises(ValueError, match="model_units=0"):
        nets.latent_model(env.observation, probes.action_reward().action, model_units=0)
