"""Mixtures of experts inside agents: what they leave alone, teach, and show."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets, plasticity
from purejaxrl_suite.agents.pqn import PQNConfig, pqn
from purejaxrl_suite.core.check import experience
from purejaxrl_suite.core.types import Box, Discrete, Network
from purejaxrl_suite.envs import probes
from tests.contract.agents import AGENTS, SIBLINGS
from tests.contract.test_interventions import BUILDERS

CONFIG = PQNConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)


def moved(params):
    """Where the parameters of a network are in a mixture of such networks that has one expert."""
    places = {"trunk": 0, "heads": 1}  # layers that stand before the expert in a path
    return {
        namespace: {"expert_0": subtree}
        if places[namespace] == 0
        else {name: {"expert_0": leaves} for name, leaves in subtree.items()}
        for namespace, subtree in params.items()
    }


@pytest.mark.slow
def test_one_network_as_expert_learns_the_same_bits():
    env = probes.delayed_reward()
    options = {"layer_norm": False, "kernel_init": jax.nn.initializers.uniform(1.0)}

    def network(bridge):
        return nets.q_network(env.observation, env.action, hidden=(8,), bridge=bridge, **options)

    alone, one = network(None), network(nets.big(nets.soft(), 1))

    def init(key):
        return moved(alone.init(key)) | {"bridge": one.init(key)["bridge"]}

    assert jax.tree.structure(jax.eval_shape(init, jax.random.key(0))) == jax.tree.structure(
        jax.eval_shape(one.init, jax.random.key(0))
    )
    arguments = {"seeds": 2, "steps": 4 * 32, "metrics": [plasticity.routing], "measure_every": 4}
    plain, mixed = (
        pjs.run(pqn(env, CONFIG, made), env, **arguments)
        for made in (alone, one._replace(init=init))
    )
    before, after = (x.state().agent.learner.params for x in (plain, mixed))
    bridge = after.pop("bridge")
    jax.tree.map(np.testing.assert_array_equal, moved(before), after)
    for name, variable in plain.curves.drop_vars("steps_per_second").items():
        np.testing.assert_array_equal(variable, mixed.curves[name])
    # The router has nothing to choose, so it does not move; what it does is measured.
    keys = jax.random.split(jax.random.key(0), 2)
    start = jax.eval_shape(jax.vmap(one.init), keys)["bridge"]
    assert jax.tree.map(jnp.shape, start) == jax.tree.map(jnp.shape, bridge)
    assert np.all(mixed.curves["router_load.bridge.expert_0"][:, 3] == 1)
    assert np.all(mixed.curves["router_entropy"][:, 3] == 0)
    assert "router_entropy" not in plain.curves


def test_actor_and_critic_as_the_only_experts_are_what_they_were():
    """Outputs and gradients to the last bit, so that any agent learns the same."""
    observation, action = Box((3,)), Discrete(2)
    alone = nets.actor_critic(observation, action, hidden=(5,))
    one = nets.actor_critic(observation, action, hidden=(5,), bridge=nets.big(nets.soft(), 1))
    params = jax.jit(alone.init)(jax.random.key(0))
    inside = {
        namespace: {name: {"expert_0": leaves} for name, leaves in subtree.items()}
        for namespace, subtree in params.items()
    }
    router = jax.jit(one.init)(jax.random.key(1))["bridge"]
    obs = jax.random.normal(jax.random.key(2), (4, 3))

    def learn(network, params):
        def loss(params):
            output, _ = network.apply(params, obs)
            return jnp.sum(jnp.square(output.policy)) + jnp.sum(jnp.square(output.value)), output

        return jax.grad(loss, has_aux=True)(params)

    expected, before = jax.jit(lambda p: learn(alone, p))(params)
    gradients, after = jax.jit(lambda p: learn(one, p))(inside | {"bridge": router})
    jax.tree.map(np.testing.assert_array_equal, before, after)
    for namespace, subtree in expected.items():
        found = {name: x["expert_0"] for name, x in gradients[namespace].items()}
        jax.tree.map(np.testing.assert_array_equal, subtree, found)
    assert all(np.all(g == 0) for g in jax.tree.leaves(gradients["bridge"]))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SIBLINGS else n for n in AGENTS]
)
def test_losses_of_the_network_reach_the_loss_of_every_agent(name, monkeypatch):
    """Nothing is computed: gradients are traced, and one of this loss must be among them."""
    seen = []

    @jax.custom_vjp
    def loss(x):
        return jnp.sum(x)

    loss.defvjp(lambda x: (loss(x), x), lambda x, g: (seen.append(1), (g * jnp.ones_like(x),))[1])

    def taught(function):
        def with_loss(params, *arguments, **more):
            output, internals = function(params, *arguments, **more)
            of_all = sum(jnp.sum(x) for x in jax.tree.leaves(params))  # some may be fixed
            return output, internals._replace(aux_loss=loss(of_all))

        return with_loss

    def wrapped(build):
        def builder(*arguments, **options):
            made = build(*arguments, **options)
            network = made if isinstance(made, Network) else made.network
            network = network._replace(apply=taught(network.apply), unroll=taught(network.unroll))
            return network if isinstance(made, Network) else made._replace(network=network)

        return builder

    for builder in BUILDERS:
        monkeypatch.setattr(nets, builder, wrapped(getattr(nets, builder)))
    make_agent, make_env = AGENTS[name]
    agent = make_agent(make_env())

    def learn(key):
        hypers = jax.tree.map(jnp.float32, agent.hypers)
        state = agent.init(key, hypers)
        return agent.update(key, hypers, state, experience(agent, key, hypers, state))

    jax.eval_shape(learn, jax.random.key(0))
    assert seen
