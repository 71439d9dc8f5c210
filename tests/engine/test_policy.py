"""`Policy`: acting and asking, compiled once; what is refused."""

import functools

import jax
import numpy as np
import pytest

from purejaxrl_suite.engine.policy import Policy
from tests.contract.agents import AGENTS


@functools.cache
def started(name):
    """(agent, environment, key -> state), the same at every call."""
    build, world = AGENTS[name]
    env = world()
    agent = build(env)
    return agent, env, jax.jit(lambda key: agent.init(key, agent.hypers))


def member(name="ppo", seed=0):
    agent, env, init = started(name)
    return Policy(agent, env, init(jax.random.key(seed)), agent.hypers, env.params)


def observations(policy, count):
    return np.linspace(-1, 1, count * policy.env.observation.shape[0], dtype=np.float32).reshape(
        count, -1
    )


def test_a_program_is_traced_once_for_all_members_and_calls():
    traced = []
    policy = member()
    inner = policy.agent.act

    def act(*arguments):
        traced.append(arguments)
        return inner(*arguments)

    agent = policy.agent._replace(act=act)
    for seed in range(2):
        one = member(seed=seed)._replace(agent=agent)
        for _ in range(3):
            one.act(observations(policy, 5))
    assert len(traced) == 1
    one.act(observations(policy, 6))
    one.act(observations(policy, 5), key=jax.random.key(0), greedy=False)
    assert len(traced) == 3


def test_members_of_an_agent_answer_for_themselves():
    first, other = member(), member(seed=9)
    obs = observations(first, 3)
    values = [policy.value(obs) for policy in (first, other, first)]
    np.testing.assert_array_equal(values[0], values[2])
    assert not np.array_equal(values[0], values[1])


@pytest.mark.parametrize("name", ["ppo", "pqn"])
def test_estimates_are_those_of_the_network_and_fit_actions(name):
    policy = member(name)
    obs = observations(policy, 3)
    apply = jax.jit(policy.agent.network.apply)
    output = apply(policy.state.learner.params, obs, (), {})[0]
    table = policy.probabilities(obs) if name == "ppo" else policy.q(obs)
    expected = jax.nn.softmax(output.policy) if name == "ppo" else output
    np.testing.assert_allclose(table, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(policy.act(obs)[0], np.argmax(expected, axis=1))
    value = output.value if name == "ppo" else np.max(expected, axis=1)
    np.testing.assert_allclose(policy.value(obs), value, rtol=1e-5, atol=1e-6)


def test_samples_are_distributed_as_the_probabilities_say():
    policy = member()
    obs = np.repeat(observations(policy, 2)[:1], 4000, axis=0)
    actions, _ = policy.act(obs, key=jax.random.key(3), greedy=False)
    share = float(np.mean(np.asarray(actions) == 0))
    assert abs(share - float(policy.probabilities(obs[0])[0])) < 0.03


@pytest.mark.parametrize("name", ["ppo", "pqn-recurrent"])
def test_a_single_observation_is_a_batch_of_one(name):
    policy = member(name)
    obs, memory = observations(policy, 3), policy.memory(3)
    actions, after = policy.act(obs, memory)
    one = jax.tree.map(lambda x: x[1:2], memory)
    action, next_memory = policy.act(obs[1], one)
    assert action.shape == ()
    np.testing.assert_allclose(action, actions[1], rtol=1e-5)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y[1:2], rtol=1e-5), next_memory, after)
    value = policy.value(obs[1], one)
    np.testing.assert_allclose(value, policy.value(obs, memory)[1], rtol=1e-5)
    assert policy.value(obs[1].tolist(), one) == value  # numbers of Python, too


def test_continuous_actions_are_judged():
    policy = member("sac")
    obs = observations(policy, 4)
    greedy, _ = policy.act(obs)
    np.testing.assert_allclose(policy.q(obs, action=greedy), policy.value(obs), rtol=1e-4)
    assert policy.q(obs, action=-greedy).shape == (4,)
    assert not np.allclose(policy.q(obs, action=greedy + 0.5), policy.value(obs))


def test_actions_that_a_task_does_not_have_are_not_taken():
    policy = member("ppo-tasks")
    width = policy.env.observation.shape[0]
    obs = np.zeros((2, width), np.float32)
    obs[[0, 1], [width - 2, width - 1]] = 1.0  # tasks 0 and 1
    found = policy.probabilities(obs)
    np.testing.assert_allclose(np.sum(found, axis=1), 1.0, rtol=1e-5)
    assert found[0, 2] == 0.0 and found[1, 2] > 0.0


def test_policies_act_inside_other_programs():
    policy = member()
    obs = observations(policy, 3)
    inside = jax.jit(lambda obs: policy.act(obs)[0])(obs)
    np.testing.assert_array_equal(inside, policy.act(obs)[0])


OBS = np.zeros((3, 1), np.float32)


@pytest.mark.parametrize(
    ("name", "call", "message"),
    [
        ("ppo", lambda p: p.act(np.zeros((3, 5))), r"obs: expected a batch of Box\(1 float32\)"),
        ("ppo", lambda p: p.act(np.zeros((2, 3, 1))), r"or one of them, got the shape \(2, 3, 1\)"),
        ("ppo", lambda p: p.act(OBS > 0), None),
        ("ppo", lambda p: p.act(OBS + 1j), "obs: expected the dtype float32, got complex64"),
        ("ppo", lambda p: p.act(OBS, greedy=False), "key: expected one such as"),
        ("ppo", lambda p: p.act(OBS, key=jax.random.key(0)), "key: greedy actions are not random"),
        ("ppo", lambda p: p.act(OBS, np.zeros(3)), r"memory: expected policy.memory\(3\)"),
        ("pqn-recurrent", lambda p: p.act(np.zeros((3, 2))), "these 3 episodes returned, got none"),
        (
            "pqn-recurrent",
            lambda p: p.act(np.zeros((3, 2)), p.memory(2)),
            r"shapes \[\(2, 8\)",
        ),
        (
            "ppo",
            lambda p: p.q(OBS),
            "'ppo' with Discrete.2. actions has none, expected one of",
        ),
        ("pqn", lambda p: p.probabilities(OBS), "expected one of: value, q"),
        ("pqn", lambda p: p.q(OBS, action=[0, 0, 0]), "action: expected none, got some"),
        ("sac", lambda p: p.q(np.zeros((2, 3))), "action: expected those to judge"),
        ("sac", lambda p: p.q(np.zeros((2, 3)), action=np.zeros((3, 1))), "one for each obs"),
        ("sac", lambda p: p.q(np.zeros((2, 3)), action=np.zeros((2, 2))), "batch of Box.1 float32"),
    ],
)
def test_what_makes_no_sense_is_refused(name, call, message):
    if message is None:
        call(member(name))
        return
    with pytest.raises(ValueError, match=message):
        call(member(name))


def test_an_agent_that_tells_nothing_is_named():
    policy = member()
    silent = policy._replace(agent=policy.agent._replace(name="mute", estimate=None))
    with pytest.raises(ValueError, match="value: agent 'mute' tells nothing but actions"):
        silent.value(OBS)
