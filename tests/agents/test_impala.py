"""IMPALA: emphasis that goes on across rollouts, stale rollouts, and reductions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.agents.impala import ImpalaConfig, ImpalaHypers, impala
from purejaxrl_suite.agents.shared import unrolls
from purejaxrl_suite.core.check import experience
from purejaxrl_suite.envs import probes

GAMMA = 0.9


def emphasis_of(interest, decay, n):
    """F_t = i_t + (product of the n decays before) F_{t-n}, as a loop in float64."""
    found = np.zeros(len(interest))
    for t in range(len(interest)):
        before = np.prod(decay[t - n : t]) * found[t - n] if t >= n else 0.0
        found[t] = interest[t] + before
    return found


def stream(length, seed=0):
    draw = np.random.default_rng(seed)
    decay = GAMMA * draw.lognormal(0.0, 0.3, length) * (draw.uniform(size=length) > 0.1)
    return draw.uniform(size=length).astype(np.float32), decay.astype(np.float32)


traces = jax.jit(unrolls.follow_on_traces)


@pytest.mark.parametrize("n", [1, 3, 5])
def test_follow_on_traces_are_their_definition_and_go_on(n):
    interest, decay = stream(24)
    whole, carried = traces(jnp.zeros(n), interest, decay)
    np.testing.assert_allclose(whole, emphasis_of(interest, decay, n), 1e-5)
    np.testing.assert_array_equal(2.0 * whole, traces(jnp.zeros(n), 2.0 * interest, decay)[0])
    # Rollouts of any length: not a bit changes.
    for lengths in ((8, 16), (16, 8), (1, 2, 3, 18)):
        kept, found = jnp.zeros(n), []
        cuts = np.cumsum(lengths)[:-1]
        for part in zip(np.split(interest, cuts), np.split(decay, cuts), strict=True):
            one, kept = traces(kept, *part)
            found.append(one)
        np.testing.assert_array_equal(np.concatenate(found), whole)
        np.testing.assert_array_equal(kept, carried)


@pytest.mark.parametrize(("n", "limit"), [(1, 10.0), (5, 2.442), (20, 1.138)])
def test_on_policy_emphasis_has_a_closed_form(n, limit):
    ones, decay = jnp.ones(200), jnp.full(200, GAMMA)
    found, t = traces(jnp.zeros(n), ones, decay)[0], np.arange(200)
    closed = (1 - GAMMA ** (n * (t // n + 1))) / (1 - GAMMA**n)
    np.testing.assert_allclose(found, closed, 1e-5)
    assert found[-1] == pytest.approx(limit, abs=1e-3)


def batch_of(length, batch, **changes):
    numbers = jnp.ones((length, batch))
    never = jnp.zeros((length, batch), bool)
    fields = dict.fromkeys(unrolls.Unrolls._fields, numbers)
    fields |= {"terminated": never, "truncated": never, "starts": never, "memory": ()}
    return unrolls.Unrolls(**(fields | changes))


def test_what_is_weighed():
    interest, decay = (jnp.asarray(x)[:, None] for x in stream(6))
    done = jnp.arange(6)[:, None] == 2
    batch = batch_of(6, 1, value_weight=interest, truncated=done)
    carried = jnp.array([[0.5]])
    f = emphasis_of(np.r_[0.5, interest[:, 0]], np.r_[1.0, np.where(done, 0, decay)[:, 0]], 1)[1:]
    options = {"windowed": True, "of_policy": True}
    found, after = unrolls.emphasize(carried, batch, decay, **options)
    # WETD: the trace at the start of the window, the interest within; ACE: the trace everywhere.
    np.testing.assert_allclose(found.value_weight[:, 0], np.r_[f[0], interest[1:, 0]], 1e-6)
    np.testing.assert_allclose(found.policy_weight[:, 0], f, 1e-6)
    assert after[0, 0] == pytest.approx(float(f[-1] * decay[-1, 0]), rel=1e-6)
    found, _ = unrolls.emphasize(carried, batch, decay, windowed=False, of_policy=False)
    np.testing.assert_allclose(found.value_weight[:, 0], f, 1e-6)
    np.testing.assert_array_equal(found.policy_weight, 1.0)
    np.testing.assert_array_equal(unrolls.whole(batch, 3).mask[:, 0], [1, 1, 1, 1, 0, 0])


def network(env):
    return nets.actor_critic(env.observation, env.action, hidden=(8,))


def built(length, hypers=None, **config):
    env = probes.delayed_reward()
    sizes = {"num_envs": 3, "rollout_length": length, "minibatches": 1}
    return impala(env, ImpalaConfig(**sizes, **config), network(env), hypers)


def rollouts(agent, seed=0):
    """A made-up rollout of a policy that is not quite the agent's."""
    key = jax.random.key(seed)
    state = agent.init(key, agent.hypers)
    found = experience(agent, key, agent.hypers, state)
    off = 0.3 * jax.random.normal(key, found.reward.shape)
    return state, found._replace(
        extras={**found.extras, "log_prob": found.extras["log_prob"] + off}
    )


def test_one_rollout_or_two_hand_on_the_same_traces():
    still = ImpalaHypers(learning_rate=0.0)
    options = {"n_step": 3, "emphatic": True}
    long, short = built(8, still, **options), built(4, still, **options)
    state, rollout = rollouts(long)
    whole = jax.jit(long.update)(jax.random.key(1), still, state, rollout)[0]
    update = jax.jit(short.update)
    halves = [jax.tree.map(lambda x, i=i: x[4 * i : 4 * i + 4], rollout) for i in range(2)]
    for half in halves:
        state = update(jax.random.key(1), still, state, half)[0]
    np.testing.assert_allclose(state.carried, whole.carried, 1e-6)
    assert np.any(whole.carried > 0)


def test_with_rollouts_of_one_step_netd_and_wetd_are_one():
    hypers = ImpalaHypers()
    one, other = (built(1, hypers, emphatic=True, n_step=n) for n in (0, 1))
    ends = []
    for agent in (one, other):
        state, update = agent.init(jax.random.key(0), hypers), jax.jit(agent.update)
        for seed in range(3):
            state, _ = update(jax.random.key(1), hypers, state, rollouts(agent, seed)[1])
        ends.append(state)
    jax.tree.map(np.testing.assert_array_equal, *ends)
    assert np.any(ends[0].carried > 0)


def test_stale_rollouts_come_back_in_order():
    agent = built(2, replayed=2, replay_age=2)
    stale = agent.init(jax.random.key(0), agent.hypers).stale
    exchange = jax.jit(lambda *x: unrolls.exchange(*x, streams=2))
    _, rollout = rollouts(agent)
    fresh = unrolls.unrolls_of(rollout)
    for k in range(6):
        now = fresh._replace(reward=jnp.full_like(fresh.reward, k + 1))
        stale, batch = exchange(stale, now)
        expected = [k + 1, max(k - 1, 0), max(k - 3, 0)]
        np.testing.assert_array_equal(batch.reward[0], np.repeat(expected, 3))
        np.testing.assert_array_equal(batch.mask[1], np.repeat(np.sign(expected), 3))


def test_stale_rollouts_that_are_not_there_yet_change_nothing():
    hypers = ImpalaHypers()
    plain, more = built(4, hypers), built(4, hypers, replayed=1, replay_age=3)
    state, rollout = rollouts(plain)
    key = jax.random.key(1)
    ends = [
        jax.jit(agent.update)(key, hypers, agent.init(jax.random.key(0), hypers), rollout)[0]
        for agent in (plain, more)
    ]
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, 1e-5, 1e-7), *(x.learner for x in ends)
    )


def test_what_is_refused():
    env = probes.delayed_reward()
    with pytest.raises(ValueError, match="config.clip_emphasis: expected False without emphatic"):
        impala(env, ImpalaConfig(clip_emphasis=True))
    with pytest.raises(ValueError, match="config.replay_age: expected 1 without replayed, got 3"):
        impala(env, ImpalaConfig(replay_age=3))
    with pytest.raises(ValueError, match="minibatches=5 must divide the 64 environments"):
        impala(env, ImpalaConfig(minibatches=5))
    with pytest.raises(ValueError, match="config.n_step: expected an integer in .0, rollout_len"):
        impala(env, ImpalaConfig(n_step=21))
