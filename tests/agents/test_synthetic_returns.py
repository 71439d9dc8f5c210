"""Synthetic returns: the fast form is the slots' form, gradients go where they should."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.agents.dqn import dqn
from purejaxrl_suite.agents.impala import ImpalaConfig, impala
from purejaxrl_suite.agents.ppo import ppo
from purejaxrl_suite.agents.pqn import pqn
from purejaxrl_suite.agents.shared.associations import (
    Past,
    SyntheticSettings,
    associate,
    contributions,
)
from purejaxrl_suite.agents.synthetic_returns import synthetic_returns
from purejaxrl_suite.core.check import experience
from purejaxrl_suite.envs import probes
from purejaxrl_suite.nets import associative
from purejaxrl_suite.ops.synthetic import past_sums, remember, synthetic_reward

CAPACITY, LENGTH, UNITS = 5, 16, 3


def slots(values, starts, capacity):
    """The sum over a ring of slots that is emptied where an episode starts, as a loop."""
    ring, found = [], []
    for value, start in zip(values, starts, strict=True):
        ring = [] if start else ring[-capacity:]
        found.append(sum(ring))
        ring.append(value)
    return found


def episodes(seed=0, length=LENGTH):
    draw = np.random.default_rng(seed)
    done = draw.uniform(size=length) < 0.15
    starts = np.r_[False, done[:-1]]
    return draw.normal(size=length).astype(np.float32), done, starts


@pytest.mark.parametrize("seed", range(3))
def test_sums_are_those_of_slots_however_rollouts_are_cut(seed):
    values, done, starts = episodes(seed)
    expected = slots(values, starts, CAPACITY)
    assert (np.diff(np.flatnonzero(np.r_[True, starts, True])) > CAPACITY).any()
    for lengths in ((16,), (4, 12), (1, 2, 3, 10), (8, 8)):
        kept, count, found = jnp.zeros(CAPACITY), jnp.int32(0), []
        for i, n in zip(np.cumsum([0, *lengths]), lengths, strict=False):
            part = slice(i, i + n)
            first = np.r_[False, starts[part][1:]]
            found.append(past_sums(kept, count, values[part], first))
            kept, count = remember(kept, count, jnp.asarray(values[part]), done[part])
        np.testing.assert_allclose(np.concatenate(found), expected, 1e-5, 1e-6)
    first = np.concatenate(found)[starts]
    np.testing.assert_array_equal(first, 0.0)


def test_what_is_remembered():
    kept, count = remember(jnp.zeros(3), jnp.int32(2), jnp.arange(1.0, 3.0), jnp.zeros(2, bool))
    np.testing.assert_array_equal(kept, [0, 1, 2])
    assert count == 3
    ended = jnp.array([True, False])
    assert remember(kept, count, jnp.arange(3.0, 5.0), ended)[1] == 1
    assert remember(kept, count, jnp.arange(3.0, 5.0), ended[::-1])[1] == 0
    long, count = remember(kept, count, jnp.arange(5.0), jnp.zeros(5, bool))
    np.testing.assert_array_equal(long, [2, 3, 4])
    # The oldest go first, and the order of the others is nothing to the sum.
    one = past_sums(jnp.array([9.0, 1.0, 2.0, 4.0]), jnp.int32(3), jnp.ones(1), jnp.zeros(1, bool))
    two = past_sums(jnp.array([8.0, 4.0, 1.0, 2.0]), jnp.int32(3), jnp.ones(1), jnp.zeros(1, bool))
    assert one == two == 7.0


def model(gated=True, biased=True, hidden=(4,)):
    env = probes.delayed_reward()
    plain = nets.actor_critic(env.observation, env.action, hidden=(UNITS,), shared=True)
    wide = associative.with_associations(plain, UNITS, hidden, gated=gated, biased=biased)
    return wide.init(jax.random.key(0))


def test_parameters_of_the_model_are_draws_of_their_own():
    """No key of the network is used again: with its GRU's shapes it would have its kernels."""
    env = probes.recall()
    size = 8
    plain = nets.actor_critic(env.observation, env.action, hidden=(size,), memory_units=size)
    drawn = []

    def spy(key, sizes):
        drawn.append(key)
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(associative.perceptron, "draw", spy)
        wide = associative.with_associations(plain, size, (), gated=True, biased=True)
        key = jax.random.key(0)
        wide.init(key)
    parts = [jax.random.split(part, 8) for part in jax.random.split(key, 8)]
    used = {tuple(jax.random.key_data(k).tolist()) for part in parts for k in part}
    used |= {tuple(jax.random.key_data(k).tolist()) for k in jax.random.split(key, 8)}
    assert not used & {tuple(jax.random.key_data(k).tolist()) for k in drawn}


def past_of(seed=1, count=CAPACITY, batch=1):
    remembered = jax.random.normal(jax.random.key(seed), (batch, CAPACITY, UNITS))
    count = jnp.full(batch, count, jnp.int32)
    return Past((), remembered, count, jnp.zeros((batch, LENGTH)))


def embeddings():
    return jax.random.normal(jax.random.key(2), (LENGTH, 1, UNITS))


def test_gradients_go_where_they_should():
    params, embedding, past = model(), embeddings(), past_of()
    starts = jnp.zeros((LENGTH, 1), bool)

    def predicted(params, embedding, remembered):
        return associate(params, embedding, past._replace(remembered=remembered), starts)[1]

    def last(*inputs):
        return predicted(*inputs)[-1, 0]

    own, of_states, of_past = jax.grad(last, (0, 1, 2))(params, embedding, past.remembered)
    # Gate and bias of the last state move its embedding; c of those before only moves weights.
    assert np.any(of_states[-1]) and not np.any(of_states[:-1]) and not np.any(of_past)
    for part in ("contribution", "gate", "bias"):
        kernel = own["aux"]["associative"][part]["dense_0"]["kernel"]
        assert np.any(kernel), part
    # c of the present state is not in its own sum.
    shown = jax.grad(lambda p: associate(p, embedding[:1], past_of(count=0), starts[:1])[1][0, 0])
    assert not np.any(shown(params)["aux"]["associative"]["contribution"]["dense_0"]["kernel"])
    # Without gate and bias nothing moves embeddings.
    bare = model(gated=False, biased=False)
    assert set(bare["aux"]["associative"]) == {"contribution"}
    assert not np.any(jax.grad(last, 1)(bare, embedding, past.remembered))


def test_episodes_of_one_step_are_predicted_by_the_bias():
    params, embedding = model(), embeddings()
    starts = jnp.ones((LENGTH, 1), bool)
    found = associate(params, embedding, past_of(count=0), starts)[1]
    np.testing.assert_array_equal(
        found, associative.predictions(params, embedding, jnp.zeros((LENGTH, 1)))
    )


def test_contributions_are_found_from_their_sums():
    """r_t = sum of w(s_k), k < t, with one-hot states and neither gate nor bias: c becomes w."""
    params = model(gated=False, biased=False, hidden=())
    draw, w = np.random.default_rng(0), jnp.array([1.0, -2.0, 0.5])
    states = draw.integers(UNITS, size=(LENGTH, 32))
    embedding, starts = jnp.eye(UNITS)[states], jnp.zeros((LENGTH, 32), bool)
    past = past_of(count=0, batch=32)._replace(remembered=jnp.zeros((32, LENGTH, UNITS)))
    before = np.cumsum(np.pad(w[states], ((1, 0), (0, 0))), 0)[:-1]

    def loss(params):
        return jnp.mean(jnp.square(associate(params, embedding, past, starts)[1] - before))

    def step(params, _):
        return jax.tree.map(lambda x, g: x - 0.005 * g, params, jax.grad(loss)(params)), None

    params = jax.jit(lambda p: jax.lax.scan(step, p, None, 2000)[0])(params)
    np.testing.assert_allclose(associative.contributions(params, jnp.eye(UNITS)), w, atol=0.02)


CONFIG = ImpalaConfig(num_envs=3, rollout_length=6, minibatches=1)


def built(**settings):
    env = probes.delayed_reward()
    network = nets.actor_critic(env.observation, env.action, hidden=(UNITS,), shared=True)
    options = SyntheticSettings(capacity=CAPACITY, hidden=(4,), **settings)
    return synthetic_returns(impala, options)(env, CONFIG, network), impala(env, CONFIG, network)


def test_without_its_parts_it_is_the_plain_agent():
    agent, plain = built(loss_weight=0.0)
    hypers = agent.hypers._replace(synthetic_coefficient=0.0, reward_coefficient=1.0)
    key = jax.random.key(0)
    state, other = agent.init(key, hypers), plain.init(key, plain.hypers)
    rollout = experience(plain, key, plain.hypers, other)
    after, told = jax.jit(agent.update)(key, hypers, state, rollout)
    expected, metrics = jax.jit(plain.update)(key, plain.hypers, other, rollout)
    found = {n: x for n, x in after.learner.params.items() if n != "aux"}
    jax.tree.map(np.testing.assert_array_equal, found, expected.learner.params)
    assert told["value_loss"] == metrics["value_loss"] and told["association_loss"] > 0
    # Its own parameters stay, and memories go on from the last end of an episode.
    kept, drawn = after.learner.params["aux"], state.learner.params["aux"]
    jax.tree.map(np.testing.assert_array_equal, kept, drawn)
    ends = np.asarray(rollout.done)
    since = [6 - 1 - max(np.flatnonzero(e), default=-1) for e in ends.T]
    np.testing.assert_array_equal(after.count, np.minimum(since, CAPACITY))


def test_rewards_are_synthetic():
    assert synthetic_reward(jnp.float32(2.0), 3.0, alpha=0.5, beta=0.0) == 1.0
    agent, plain = built()
    key = jax.random.key(0)
    state = agent.init(key, agent.hypers)
    rollout = experience(plain, key, plain.hypers, plain.init(key, plain.hypers))
    hypers = agent.hypers._replace(synthetic_coefficient=0.7, reward_coefficient=0.5)
    params, obs = state.learner.params, jnp.reshape(rollout.obs, (-1, 1))
    c = jnp.reshape(contributions(agent.network, params, obs), rollout.reward.shape)
    paid = rollout._replace(reward=0.7 * c + 0.5 * rollout.reward)
    told = jax.jit(agent.update)(key, hypers, state, rollout)[1]
    expected = jax.jit(plain.update)(key, plain.hypers, plain.init(key, plain.hypers), paid)[1]
    assert told["value_loss"] == pytest.approx(float(expected["value_loss"]), rel=1e-5)
    assert told["synthetic_return"] == pytest.approx(float(np.mean(c)), rel=1e-5)


def test_what_is_refused():
    env = probes.delayed_reward()
    with pytest.raises(ValueError, match="config.replayed: expected 0, got 1"):
        synthetic_returns(impala)(env, ImpalaConfig(replayed=1))
    with pytest.raises(ValueError, match="settings.layer: expected one of .'trunk/"):
        synthetic_returns(impala, SyntheticSettings(layer="nowhere"))(env)
    with pytest.raises(ValueError, match="settings.capacity: expected an integer of at least 1"):
        synthetic_returns(impala, SyntheticSettings(capacity=0))
    for wrong, says in (
        ({"hidden": (64, 0)}, r"settings.hidden.1.: expected an integer of at least 1, got 0"),
        ({"hidden": [64]}, "settings.hidden: expected a tuple"),
        ({"layer": None}, "settings.layer: expected a str"),
    ):
        with pytest.raises(ValueError, match=says):
            synthetic_returns(impala, SyntheticSettings(**wrong))
    for builder in (ppo, dqn, pqn):  # of single steps, from a replay, and of other memories
        agent = synthetic_returns(builder)(env)
        with pytest.raises(ValueError, match="builder: expected that of an agent that learns from"):
            jax.eval_shape(partial(learnt, agent), jax.random.key(0))


def learnt(agent, key):
    state = agent.init(key, agent.hypers)
    return agent.update(key, agent.hypers, state, experience(agent, key, agent.hypers, state))
