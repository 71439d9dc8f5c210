"""DAAC, PPG and DCPG: reductions to PPO and to each other, phases, and what moves what."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.core import check
from purejaxrl_suite.core.types import Clock
from purejaxrl_suite.envs import probes

SIZES = {"num_envs": 4, "rollout_length": 8, "epochs": 2, "minibatches": 1}
RATES = {"learning_rate": 1e-2, "gamma": 0.9, "adam_epsilon": 1e-5}
ENV = probes.delayed_reward()


@functools.cache
def network(units=1, shared=False):
    spaces = ENV.observation, ENV.action
    return nets.decoupled_actor_critic(*spaces, hidden=(8,), units=units, shared=shared)


def phasic(build, config, hypers, shared=False, **given):
    sizes = SIZES | {"policy_phases": 2, "auxiliary_epochs": 4, "auxiliary_minibatches": 2}
    rates = hypers(**RATES | given)
    return build(ENV, config(**sizes, normalize_rewards=False), network(shared=shared), rates)


PPG = phasic(pjs.ppg, pjs.PPGConfig, pjs.PPGHypers)
DCPG = phasic(pjs.dcpg, pjs.DCPGConfig, pjs.DCPGHypers, distillation_coefficient=0.0)
# Gradients are not clipped, so Adam moves each parameter by its own gradient alone.
FREE = {"shared": True, "max_gradient_norm": 1e9}
SHARED = phasic(pjs.ppg, pjs.PPGConfig, pjs.PPGHypers, **FREE)
SHARED_DCPG = phasic(pjs.dcpg, pjs.DCPGConfig, pjs.DCPGHypers, **FREE)
DAAC = pjs.daac(
    ENV,
    pjs.DAACConfig(**SIZES, value_epochs=3, normalize_rewards=False),
    network(ENV.action.n),
    pjs.DAACHypers(**RATES),
)


def start(agent):
    hypers = jax.tree.map(jnp.float32, agent.hypers)
    state = agent.init(jax.random.key(0), hypers)
    return hypers, state, check.experience(agent, jax.random.key(1), hypers, state)


@functools.cache
def phases(name):
    """States: at first, after one policy phase, after two, and after the auxiliary phase."""
    agent = {"ppg": PPG, "dcpg": DCPG}[name]

    hypers, state, rollout = jax.jit(lambda: start(agent))()
    update, maintain = jax.jit(agent.update), jax.jit(agent.maintain)
    states, early, told = [state], None, {}
    for i in range(2):
        state, _ = update(jax.random.key(i), hypers, state, rollout)
        clock = Clock(jnp.int32(i), jnp.int32(9))
        after, told = maintain(jax.random.key(7), clock, hypers, state, rollout)
        states.append(state)
        early = after if i == 0 else early
    return jax.device_get(([*states, after], early, told, rollout))


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_policy_phase_is_ppo():
    """With one minibatch of everything; PPO's network may have the same output."""
    config = pjs.PPOConfig(**SIZES, anneal_learning_rate=False, clip_value_loss=False)
    ppo = pjs.ppo(ENV, config, network(), pjs.PPOHypers(**RATES))

    states, _, _, rollout = phases("ppg")
    rollout = rollout._replace(extras=rollout.extras | {"memory": ()})
    known = jax.tree.map(jnp.float32, ppo.hypers)
    first = ppo.init(jax.random.key(0), known)
    found = jax.jit(ppo.update)(jax.random.key(0), known, first, rollout)[0]
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
        found.learner.params,
        states[1].learner.params,
    )


def test_dcpg_without_distillation_is_ppg():
    for own, other in zip(phases("dcpg")[0], phases("ppg")[0], strict=True):
        equal(own.learner.params, other.learner.params)


def test_the_delayed_network_changes_in_auxiliary_phases_alone():
    first, one, two, after = phases("dcpg")[0]
    equal(one.delayed, first.learner.params)
    equal(two.delayed, first.learner.params)
    equal(after.delayed, after.learner.params)


def errors(agent, state, params):
    """Of both values, over the rollouts that are kept."""
    obs = state.kept.obs.reshape((-1, *ENV.observation.shape))
    output = agent.network.apply(params, obs)[0]
    target = state.kept.target.ravel()
    return [float(np.mean((x - target) ** 2)) for x in (output.value, output.auxiliary[:, 0])]


def test_the_auxiliary_phase_learns_values_after_the_last_policy_phase():
    states, early, told, rollout = phases("ppg")
    equal(early, states[1])
    before, after = (errors(PPG, states[2], s.learner.params) for s in states[2:])
    assert after[1] < before[1] and after[0] < before[0]
    assert told["auxiliary_kl"] >= 0.0
    # Both rollouts are kept, the second over the first in its own place.
    np.testing.assert_array_equal(states[2].kept.obs[1], rollout.obs.reshape((32, -1)))
    np.testing.assert_array_equal(states[3].kept.target, states[2].kept.target)
    assert states[1].phases == 1 and states[2].phases == 0


def test_actor_and_critic_move_by_their_own_losses():
    hypers, state, rollout = jax.jit(lambda: start(DAAC))()
    update = jax.jit(DAAC.update)
    still = hypers._replace(advantage_coefficient=jnp.float32(0.0))
    own, still = (update(jax.random.key(2), h, state, rollout)[0] for h in (hypers, still))
    moved = jax.tree.map(lambda x, y: not np.array_equal(x, y), own, state).learner.params
    assert all(jax.tree.leaves(moved["trunk"]))
    # The advantages move the actor, whose head they have, and the critic stays the same.
    same = jax.tree.map(np.array_equal, own.learner.params, still.learner.params)
    assert all(jax.tree.leaves(same["trunk"]["critic"])) and same["heads"]["value"]["kernel"]
    assert not same["trunk"]["actor"]["dense_0"]["kernel"]
    assert not same["heads"]["auxiliary"]["kernel"]


def moved(agent, rollouts=1, **given):
    """Parameters before, after a policy phase, and after the auxiliary phase if there are two."""
    hypers, state, rollout = jax.jit(lambda: start(agent))()
    hypers = hypers._replace(**{name: jnp.float32(x) for name, x in given.items()})
    states, update, maintain = [state], jax.jit(agent.update), jax.jit(agent.maintain)
    for i in range(rollouts):
        state, _ = update(jax.random.key(i), hypers, state, rollout)
        states.append(state)
    if rollouts == 2:
        clock = Clock(jnp.int32(1), jnp.int32(9))
        states.append(maintain(jax.random.key(7), clock, hypers, state, rollout)[0])
    return jax.device_get([state.learner.params for state in states])


def same(one, other):
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, one, other)))


def test_one_network_learns_of_values_in_auxiliary_phases_alone():
    first, own = moved(SHARED)
    _, still = moved(SHARED, value_coefficient=0.0)
    assert same(own["trunk"], still["trunk"]) and same(
        own["heads"]["policy"], still["heads"]["policy"]
    )
    assert not same(own["trunk"], first["trunk"])  # the policy's loss reaches it
    assert same(still["heads"]["value"], first["heads"]["value"])
    assert not same(own["heads"]["value"], first["heads"]["value"])


def test_values_reach_the_features_of_one_network_in_auxiliary_phases():
    """Right at the start, where Adam moves nothing without a gradient."""
    hypers, state, rollout = jax.jit(lambda: start(SHARED))()
    hypers = hypers._replace(clone_coefficient=jnp.float32(0.0))
    draw = np.random.default_rng(0)
    obs, target = (jnp.asarray(draw.normal(size=x.shape), jnp.float32) for x in state.kept)
    state = state._replace(kept=state.kept._replace(obs=obs, target=target))
    clock = Clock(jnp.int32(1), jnp.int32(9))
    after, told = jax.jit(SHARED.maintain)(jax.random.key(7), clock, hypers, state, rollout)
    before, after = state.learner.params, after.learner.params
    assert not same(after["trunk"], before["trunk"])
    assert not same(after["heads"]["value"], before["heads"]["value"])
    assert same(after["heads"]["policy"], before["heads"]["policy"])
    assert "auxiliary_critic_loss" not in told and told["auxiliary_value_loss"] > 0.0


def test_one_network_keeps_its_values_by_distillation():
    """Without it DCPG is PPG whose critic does not learn in policy phases."""
    found = moved(SHARED_DCPG, 2, distillation_coefficient=0.0)
    expected = moved(SHARED, 2, value_coefficient=0.0)
    for one, other in zip(found, expected, strict=True):
        equal(one, other)
    kept = moved(SHARED_DCPG)[1]
    assert not same(kept["trunk"], found[1]["trunk"])
    equal(kept, moved(SHARED_DCPG, value_coefficient=0.0)[1])


def test_losses_of_policy_and_value_reach_their_own_network_alone():
    free = phasic(pjs.ppg, pjs.PPGConfig, pjs.PPGHypers, max_gradient_norm=1e9)
    first, own = moved(free)
    _, still = moved(free, value_coefficient=0.0)
    assert same(own["trunk"]["actor"], still["trunk"]["actor"])
    assert same(still["trunk"]["critic"], first["trunk"]["critic"])
    assert not same(own["trunk"]["critic"], first["trunk"]["critic"])
    assert not same(own["trunk"]["actor"], first["trunk"]["actor"])


def test_divergences_of_policies():
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(2, 5, 3)).astype(np.float32)
    old, new = (np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in logits.astype(float))
    found = nets.divergence(pjs.Discrete(3))(*jnp.asarray(logits))
    np.testing.assert_allclose(found, stats.entropy(old, new, axis=-1), rtol=1e-4)
    mean, log_std = draw.normal(size=(2, 2, 4, 3)).astype(np.float32)
    pairs = [nets.Gaussian(m, s) for m, s in zip(mean, log_std, strict=True)]
    found = nets.divergence(pjs.Box((3,)))(*pairs)
    (m, n), (s, t) = mean.astype(float), np.exp(log_std.astype(float))
    expected = np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5
    np.testing.assert_allclose(found, expected.sum(-1), rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: pjs.daac(pjs.make("Pendulum-v1")), "daac needs Discrete actions"),
        (lambda: pjs.ppg(ENV, network=network(2)), "expected nets.decoupled_actor_critic"),
        (lambda: pjs.ppg(ENV, network=nets.q_network(ENV.observation, ENV.action)), "units=1"),
        (
            lambda: pjs.ppg(ENV, network=nets.actor_critic(ENV.observation, ENV.action)),
            "shared=True",
        ),
        (lambda: pjs.daac(ENV, network=network(shared=True)), "units=2"),
        (lambda: network(2, shared=True), "units=2: expected 1 where the critic's head"),
        (lambda: pjs.ppg(ENV, pjs.PPGConfig(minibatches=7)), "minibatches"),
        (lambda: pjs.dcpg(ENV, pjs.DCPGConfig(auxiliary_minibatches=7)), "auxiliary_minibatches"),
    ],
)
def test_mistakes_are_named(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shared"),
    [("daac", False), ("ppg", False), ("dcpg", False), ("ppg", True), ("dcpg", True)],
)
def test_probes_are_learnt(name, shared):
    env = probes.observation_action_reward()
    sizes = {"num_envs": 16, "rollout_length": 16, "epochs": 2, "minibatches": 4}
    kinds = {"daac": (pjs.daac, pjs.DAACConfig, pjs.DAACHypers, {}, 2)}
    more = {"policy_phases": 4, "auxiliary_minibatches": 16}
    kinds["ppg"] = (pjs.ppg, pjs.PPGConfig, pjs.PPGHypers, more, 1)
    kinds["dcpg"] = (pjs.dcpg, pjs.DCPGConfig, pjs.DCPGHypers, more, 1)
    build, config, hypers, more, units = kinds[name]
    spaces = env.observation, env.action
    made = nets.decoupled_actor_critic(*spaces, hidden=(16,), units=units, shared=shared)
    settings = hypers(learning_rate=1e-2, gamma=0.9), config(**sizes, **more)
    agent = build(env, settings[1], made, settings[0])
    result = pjs.run(agent, env, seeds=2, steps=100 * 256)
    np.testing.assert_array_equal(result.evaluate(16).episode_return, 1.0)
