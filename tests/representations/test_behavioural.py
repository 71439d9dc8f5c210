"""MICo and KSMe as terms of losses: by hand, their invariants, and weight 0 on every kind of agent."""  # noqa: E501

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.buffers import Batch
from purejaxrl_suite.core import check
from purejaxrl_suite.core.types import LossInputs
from purejaxrl_suite.representations import ksme, mico, output_layers
from purejaxrl_suite.representations.layers import chosen_layers
from tests.contract.agents import AGENTS

ENV = pjs.make("CartPole-v1")
MICO, KSME = mico(), ksme()
LAYER = "trunk/dense_0"


@functools.cache
def network():
    return nets.q_network(ENV.observation, ENV.action, hidden=(6,), layer_norm=False)


def batch(count=4, seed=0, **fields):
    draw = np.random.default_rng(seed)
    obs, next_obs = draw.normal(size=(2, count, 4)).astype(np.float32)
    known = {
        "obs": obs,
        "action": draw.integers(2, size=count).astype(np.int32),
        "reward": draw.uniform(-1, 1, count).astype(np.float32),
        "discount": np.full(count, 0.9, np.float32),
        "next_obs": next_obs,
        "terminated": np.arange(count) == 1,
        "truncated": np.zeros(count, bool),
        "steps": np.ones(count, np.int32),
        "weight": np.ones(count, np.float32),
        "slot": np.zeros(count, np.int32),
        "extras": {},
    }
    return jax.tree.map(jnp.asarray, Batch(**known | fields))


@functools.cache
def params(seed):
    return network().init(jax.random.key(seed))


@functools.cache
def program(term):
    def of(params, target, batch):
        output, internals = network().apply(params, batch.obs)
        seen = {"output": output, "internals": internals, "batch": batch, "target": None}
        known = {"hypers": SimpleNamespace(gamma=0.5), "key": jax.random.key(0)}
        inputs = LossInputs(params, network(), **seen, **known, target_params=target)
        return term.loss(inputs)[0]

    return jax.jit(jax.value_and_grad(of))


def loss(term, batch, online=0, target=1):
    """The term on the batch, and its gradient."""
    other = None if target is None else params(target)
    return jax.device_get(program(term)(params(online), other, batch))


def features(seed, obs):
    return np.asarray(network().apply(params(seed), jnp.asarray(obs))[1].features[LAYER], float)


def huber(x):
    return np.where(np.abs(x) < 1, 0.5 * x**2, np.abs(x) - 0.5)


def mico_of(x, y):
    norms = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)[None]
    cosine = np.clip(np.divide(x @ y.T, norms, out=np.zeros_like(norms), where=norms > 0), -1, 1)
    squares = np.sum(x**2, 1)[:, None] + np.sum(y**2, 1)[None]
    return 0.5 * squares + 0.1 * np.arctan2(np.sqrt(1 - cosine**2), cosine)


@pytest.mark.parametrize("kind", ["mico", "ksme"])
def test_losses_by_hand(kind):
    """All pairs, the diagonal too; after the termination of sample 1 an observation of zeros."""
    term, compare = (MICO, mico_of) if kind == "mico" else (KSME, lambda x, y: x @ y.T)
    given = batch()
    after = np.where(given.terminated[:, None], 0.0, given.next_obs)
    reward = np.asarray(given.reward, float)
    apart = np.abs(reward[:, None] - reward[None])
    paid = apart if kind == "mico" else 1.0 - 0.5 * apart
    target = paid + 0.9 * compare(features(1, after), features(1, after))
    found = compare(features(0, given.obs), features(1, given.obs))
    np.testing.assert_allclose(loss(term, given)[0], np.mean(huber(found - target)), rtol=1e-4)


@pytest.mark.parametrize("term", [MICO, KSME], ids=["mico", "ksme"])
def test_what_does_not_change_the_loss(term):
    given, order = batch(), np.array([2, 0, 3, 1])
    expected = loss(term, given)[0]
    again = loss(term, jax.tree.map(lambda x: x[order], given))[0]
    np.testing.assert_allclose(again, expected, rtol=1e-5)
    # An empty window counts for nothing, and equals a batch without it.
    more = batch(5)
    weight = jnp.array([1.0, 1.0, 0.0, 0.5, 1.0])
    fewer = jax.tree.map(lambda x: x[np.array([0, 1, 3, 4])], more)
    np.testing.assert_allclose(
        loss(term, more._replace(weight=weight))[0], loss(term, fewer)[0], rtol=1e-5
    )
    # What a replay shows after a termination does not matter.
    seen = given._replace(next_obs=given.next_obs.at[1].set(7.0))
    np.testing.assert_array_equal(loss(term, seen)[0], expected)


@pytest.mark.parametrize("term", [MICO, KSME], ids=["mico", "ksme"])
def test_one_sample_equal_samples_and_zero_features_have_finite_gradients(term):
    one = batch(1, terminated=np.array([False]))
    same = jax.tree.map(lambda x: jnp.repeat(x, 3, axis=0), one)
    nothing = batch(obs=np.zeros((4, 4), np.float32), next_obs=np.zeros((4, 4), np.float32))
    for given in (one, same, nothing):
        found, gradient = loss(term, given)
        assert np.isfinite(found)
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(gradient))


def test_the_gradient_is_that_of_the_first_argument_alone():
    """Without a target network the online one is a constant: as if it were its own copy."""
    given = batch()
    for own, copied in zip(
        jax.tree.leaves(loss(MICO, given, 0, None)),
        jax.tree.leaves(loss(MICO, given, 0, 0)),
        strict=True,
    ):
        np.testing.assert_array_equal(own, copied)
    gradient = loss(MICO, given)[1]
    assert np.any(gradient["trunk"]["dense_0"]["kernel"] != 0)
    assert all(np.all(x == 0) for x in jax.tree.leaves(gradient["heads"]))


def test_shuffled_rewards_keep_the_rewards():
    plain, shuffled = MICO, mico(shuffled_rewards=True)
    given = batch(6)
    assert shuffled.name == "mico(shuffled_rewards)"
    assert loss(plain, given)[0] != loss(shuffled, given)[0]
    alike = given._replace(reward=jnp.full(6, 0.5))
    np.testing.assert_array_equal(loss(plain, alike)[0], loss(shuffled, alike)[0])


def test_the_kernel_refuses_rewards_that_are_not_clipped():
    given = batch(reward=np.array([0.0, 1.0, -1.0, 1.5], np.float32))
    assert np.isnan(loss(KSME, given)[0])
    assert np.isfinite(loss(MICO, given)[0])
    several = given._replace(steps=jnp.full(4, 2))
    assert np.isfinite(loss(KSME, several)[0])
    empty = given._replace(weight=jnp.array([1.0, 1.0, 1.0, 0.0]))
    assert np.isfinite(loss(KSME, empty)[0])


def builder_of(make):
    """A builder of an agent of the contract list, with settings of its own."""
    return lambda env, config=None, network=None, hypers=None, **more: make(env, **more)


def wrapped(name, term):
    make, make_env = AGENTS[name]
    return pjs.auxiliary(builder_of(make), term)(make_env()), make(make_env())


def updated(agent, hypers, updates=3):
    """The state after updates on made-up experience, and the metrics of the last."""

    @jax.jit
    def start(key):
        state = agent.init(key, hypers)
        return state, check.experience(agent, key, hypers, state)

    state, transition = start(jax.random.key(0))
    update, metrics = jax.jit(agent.update), {}
    for key in jax.random.split(jax.random.key(1), updates):
        state, metrics = update(key, hypers, state, transition)
    return jax.device_get((state, metrics))


SLOW = ("c51", "qr-dqn", "iqn", "m-dqn", "rainbow", "sac", "td3", "ppo", "pqn", "td3-bc", "cql")


@pytest.mark.parametrize(
    "name", ["dqn", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_weight_0_is_the_plain_agent_and_another_is_not(name):
    agent, plain = wrapped(name, mico())
    hypers = jax.tree.map(jnp.float32, agent.hypers)
    own = jax.tree.map(jnp.float32, plain.hypers)
    assert hypers.mico_weight == np.float32(0.01)
    state, metrics = updated(plain, own)
    same, more = updated(agent, hypers._replace(mico_weight=jnp.float32(0.0)))
    jax.tree.map(np.testing.assert_array_equal, same, state)
    assert more.keys() - metrics.keys() == {"extra_loss", "mico_loss"}
    assert more["extra_loss"] == 0.0 and more["mico_loss"] > 0.0
    other, _ = updated(agent, hypers._replace(mico_weight=jnp.float32(1.0)))
    pairs = zip(*map(jax.tree.leaves, (other.learner.params, same.learner.params)), strict=True)
    assert any(np.any(x != y) for x, y in pairs)


def test_terms_are_nested_named_and_refused():
    env = ENV
    both = pjs.auxiliary(pjs.auxiliary(pjs.dqn, mico(angle_weight=0.2)), ksme(layer=LAYER))
    agent = both(env, network=network())
    assert agent.name == f"dqn with mico(angle_weight=0.2) with ksme(layer={LAYER})"
    assert agent.hypers.mico_weight == agent.hypers.ksme_weight == 0.01
    again = both(env, network=network(), hypers=agent.hypers._replace(ksme_weight=0.5))
    assert again.hypers.ksme_weight == 0.5 and again.hypers.mico_weight == 0.01
    with pytest.raises(ValueError, match="mico_weight: agents of this one are auxiliary already"):
        pjs.auxiliary(pjs.auxiliary(pjs.dqn, mico()), mico())
    with pytest.raises(
        ValueError, match="layer: expected one of actor, critic, trunk/dense_0, got 'trunk/x'"
    ):
        pjs.auxiliary(pjs.dqn, mico("trunk/x"))(env, network=network())
    with pytest.raises(ValueError, match="layer='actor': expected a network with a policy"):
        pjs.auxiliary(pjs.dqn, mico("actor"))(env, network=network())
    recurrent = nets.q_network(env.observation, env.action, memory_units=4)
    with pytest.raises(ValueError, match="without a memory"):
        pjs.auxiliary(pjs.pqn, mico())(env, network=recurrent)
    with pytest.raises(ValueError, match="term: expected an Auxiliary"):
        pjs.auxiliary(pjs.dqn, "mico")
    make, make_env = AGENTS["iql-discrete"]
    with pytest.raises(ValueError, match="reads no actions"):
        pjs.auxiliary(builder_of(make), mico())(make_env())


def test_layers_of_an_actor_and_of_a_critic():
    spaces = ENV.observation, ENV.action
    apart = nets.decoupled_actor_critic(*spaces, hidden=(8, 4))
    assert chosen_layers(apart, "actor") == ("trunk/actor/dense_1",)
    assert chosen_layers(apart, None) == chosen_layers(apart, "critic") == ("trunk/critic/dense_1",)
    one = nets.decoupled_actor_critic(*spaces, hidden=(8, 4), shared=True)
    assert chosen_layers(one, "actor") == chosen_layers(one, "critic") == ("trunk/dense_1",)


def test_layers_of_a_representation():
    image = pjs.Box((10, 10, 4), "bool", 0.0, 1.0)
    build = functools.partial(nets.q_network, image, ENV.action)
    assert output_layers(build(encoder=nets.minatar_cnn())) == ("encoder/conv_0",)
    assert output_layers(build(encoder=nets.impala((4, 4)))) == ("encoder/stage_1",)
    assert output_layers(network()) == (LAYER,)
    implicit = nets.implicit_quantile_network(
        ENV.observation, ENV.action, hidden=(8,), mixed=(8, 4)
    )
    assert output_layers(implicit) == ("trunk/state/dense_0",)
    critics = nets.actor_critics(pjs.Box((3,)), pjs.Box((1,), low=-1.0, high=1.0), hidden=(4, 4))
    expected = tuple(f"trunk/{name}/dense_1" for name in ("actor", "critic_0", "critic_1"))
    assert output_layers(critics) == expected
