"""The classifier of transitions as a term: by hand, whose features it moves, weight 0, learning."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.core.types import LossInputs
from purejaxrl_suite.representations import dynamics
from purejaxrl_suite.representations.layers import chosen_layers
from tests.contract.agents import AGENTS
from tests.representations.test_behavioural import ENV, batch, builder_of, updated

CRITIC = "trunk/critic/dense_0"
HIDDEN = (5,)


@functools.cache
def network(layer=CRITIC):
    spaces = ENV.observation, ENV.action
    plain = nets.decoupled_actor_critic(*spaces, hidden=(3,))
    return nets.with_transition_classifier(plain, layer, *spaces, HIDDEN)


def inputs(params, given, key, layer=CRITIC):
    made = network(layer)
    output, internals = made.apply(params, given.obs)
    seen = {"output": output, "internals": internals, "batch": given, "target": None}
    return LossInputs(params, made, **seen, hypers=None, key=key)


def softplus(x):
    return np.log1p(np.exp(x))


def test_the_loss_by_hand():
    """With two actions the other one is known; successors are in the order that the key says."""
    given, key = batch(5), jax.random.key(3)
    params = network().init(jax.random.key(0))
    found, told = dynamics(hidden=HIDDEN).loss(inputs(params, given, key))
    after = np.where(given.terminated[:, None], 0.0, given.next_obs)
    x, y = (
        np.asarray(network().apply(params, jnp.asarray(obs, jnp.float32))[1].features[CRITIC])
        for obs in (given.obs, after)
    )
    model = jax.device_get(params["aux"]["critic"]["transition_classifier"])

    def judged(action, following):
        z = np.concatenate([x, np.eye(2)[action], following], axis=1)
        z = np.maximum(z @ model["dense_0"]["kernel"] + model["dense_0"]["bias"], 0)
        return (z @ model["dense_1"]["kernel"] + model["dense_1"]["bias"])[:, 0]

    action, order = np.asarray(given.action), jax.random.permutation(jax.random.split(key)[1], 5)
    parts = judged(action, y), judged(1 - action, y), judged(action, y[np.asarray(order)])
    expected = softplus(-parts[0]) + 0.5 * softplus(parts[1]) + softplus(parts[2])
    np.testing.assert_allclose(found, expected.mean(), rtol=1e-5)
    assert told == {"dynamics_loss": found}


def test_empty_windows_of_a_replay_count_for_nothing():
    params = network().init(jax.random.key(0))
    weight = jnp.array([1.0, 1.0, 0.0, 1.0, 1.0])
    given = batch(5)._replace(weight=weight)
    other = given._replace(obs=given.obs.at[2].set(9.0), next_obs=given.next_obs.at[2].set(9.0))
    losses = (dynamics().loss(inputs(params, one, jax.random.key(1)))[0] for one in (given, other))
    np.testing.assert_array_equal(*losses)


@pytest.mark.parametrize("stream", ["actor", "critic"])
def test_the_gradient_moves_the_features_of_one_stream_and_its_classifier(stream):
    layer = f"trunk/{stream}/dense_0"
    params, given = network(layer).init(jax.random.key(0)), batch(6)

    def loss(params):
        return dynamics(stream).loss(inputs(params, given, jax.random.key(1), layer))[0]

    moved = jax.tree.map(lambda x: bool(jnp.any(x != 0)), jax.grad(loss)(params))
    assert all(jax.tree.leaves(moved["trunk"][stream]))
    other = {"actor": "critic", "critic": "actor"}[stream]
    assert not any(jax.tree.leaves((moved["trunk"][other], moved["heads"])))
    assert list(moved["aux"]) == [stream] and all(jax.tree.leaves(moved["aux"]))


SLOW = ("ppo", "dcpg", "ppg-shared", "daac", "dqn", "pqn", "c51")


@pytest.mark.parametrize(
    "name", ["dcpg-shared", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_weight_0_is_the_plain_agent_and_another_is_not(name):
    make, make_env = AGENTS[name]
    env = make_env()
    plain = make(env)

    def build(env, config=None, network=None, hypers=None, **more):
        agent = make(env, **more)
        if network is None:
            return agent
        builder = getattr(pjs, agent.name)
        return builder(env, agent.config, network, agent.hypers, **more)

    agent = pjs.auxiliary(build, dynamics(hidden=(8,)))(env)
    hypers, own = (jax.tree.map(jnp.float32, x.hypers) for x in (agent, plain))
    assert hypers.dynamics_weight == 1.0
    if "max_gradient_norm" in own._fields:
        # Where gradients are clipped as one vector its norm is summed in another order.
        hypers, own = (x._replace(max_gradient_norm=jnp.float32(1e9)) for x in (hypers, own))
    state, metrics = updated(plain, own)
    same, more = updated(agent, hypers._replace(dynamics_weight=jnp.float32(0.0)))
    params = {name: x for name, x in same.learner.params.items() if name != "aux"}
    jax.tree.map(np.testing.assert_array_equal, params, state.learner.params)
    assert more.keys() - metrics.keys() == {"extra_loss", "dynamics_loss"}
    assert more["extra_loss"] == 0.0 and more["dynamics_loss"] > 0.0
    other, _ = updated(agent, hypers)
    assert any(
        np.any(x != y)
        for x, y in zip(
            jax.tree.leaves(other.learner.params["trunk"]),
            jax.tree.leaves(same.learner.params["trunk"]),
            strict=True,
        )
    )


def test_it_is_built_named_and_refused():
    build = pjs.auxiliary(pjs.ppg, dynamics("actor"))
    agent = build(ENV)
    assert agent.name == "ppg with dynamics(layer=actor)" and agent.hypers.dynamics_weight == 1.0
    assert chosen_layers(agent.network, "actor") == ("trunk/actor/dense_0",)
    assert build(ENV, network=agent.network).network is agent.network
    with pytest.raises(ValueError, match="the network has a classifier of"):
        pjs.auxiliary(pjs.ppg, dynamics("actor", (7,)))(ENV, network=agent.network)
    both = pjs.auxiliary(build, pjs.representations.mico("critic"))(ENV)
    assert both.hypers.dynamics_weight == 1.0 and both.hypers.mico_weight == 0.01
    with pytest.raises(ValueError, match="dynamics of ppg: expected 2 or more Discrete actions"):
        pjs.auxiliary(pjs.ppg, dynamics())(pjs.make("Pendulum-v1"))
    with pytest.raises(ValueError, match="hidden\\[0\\]: "):
        dynamics(hidden=(0,))
    make, make_env = AGENTS["iql-discrete"]
    with pytest.raises(ValueError, match="reads no actions"):
        pjs.auxiliary(builder_of(make), dynamics())(make_env())


@pytest.mark.slow
def test_transitions_are_told_apart_after_some_learning():
    """Who cannot tell has a loss of 2.5 log 2 = 1.73."""
    env = pjs.make("CartPole-v1")
    build = pjs.auxiliary(pjs.ppo, dynamics("critic"))
    config = pjs.PPOConfig(num_envs=16, rollout_length=64, epochs=4, minibatches=4)
    result = pjs.run(build(env, config), env, seeds=2, steps=6e4)
    late = result.curves["dynamics_loss"].isel(step=slice(-5, None)).mean().item()
    assert late < 1.45
