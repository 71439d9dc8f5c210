"""`Policy`: acting and asking, compiled once; what is refused."""

import functools

import jax
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.agents.dqn import dqn
from purejaxrl_suite.envs.wrappers import scale_reward
from purejaxrl_suite.sweeps.policy import Policy, load_policy
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
    hypers = jax.tree.map(np.float32, agent.hypers)
    return Policy(agent, env, init(jax.random.key(seed)), hypers, env.params)


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


def prolonged(name="ppo"):
    """A member that was trained on parameters that are not its environment's own."""
    policy = member(name)
    env = policy.env._replace(params={"limit": 9, "force": np.ones(2)}, recipe=("probe(2)",))
    hypers = policy.hypers._replace(gamma=np.float32(0.5))
    return policy._replace(env=env, hypers=hypers, env_params={"limit": 7, "force": np.zeros(2)})


@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_a_saved_policy_is_restored_with_all_it_was_trained_with(name, tmp_path):
    policy = prolonged(name)
    (tmp_path / "member").mkdir()  # an empty folder is as good as none
    policy.save(tmp_path / "member")
    found = load_policy(tmp_path / "member", policy.agent, policy.env)
    for part in ("state", "hypers", "env_params"):
        ours, theirs = getattr(policy, part), getattr(found, part)
        assert jax.tree.structure(ours) == jax.tree.structure(theirs)
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert found.env_params["limit"] == 7 and found.hypers.gamma == 0.5
    obs = observations(policy, 3)
    np.testing.assert_array_equal(policy.value(obs), found.value(obs))
    with pytest.raises(ValueError, match="expected a new or empty folder"):
        policy.save(tmp_path / "member")


def test_a_saved_policy_is_refused_where_it_does_not_fit(tmp_path):
    policy = prolonged("dqn")
    policy.save(tmp_path / "member")
    agent, env = policy.agent, policy.env
    config = agent.config
    wider = dqn(env, config, nets.q_network(env.observation, env.action, hidden=(9,)))
    others = {
        "agent dqn, here it is ppo": (member("ppo").agent, env),
        "config.capacity 96, here it is 64": (
            dqn(env, config._replace(capacity=64), agent.network, agent.hypers),
            env,
        ),
        r"state.learner.params.\S* float32\[8, 2\], here it is float32\[9, 2\]": (wider, env),
        "environment .*, here it is other": (agent, env._replace(name="other")),
        r"recipe \['probe\(2\)'\], here it is \['probe\(3\)'\]": (
            agent,
            env._replace(recipe=("probe(3)",)),
        ),
        "env_params.mass missing, here it is float32": (
            agent,
            env._replace(params={"limit": 9, "force": np.ones(2), "mass": 1.0}),
        ),
    }
    for message, other in others.items():
        with pytest.raises(ValueError, match=f"was saved with {message}"):
            load_policy(tmp_path / "member", *other)


def test_a_saved_policy_is_refused_by_functions_that_do_something_else(tmp_path):
    policy = member("dqn")
    policy.save(tmp_path / "member")
    env, config = policy.env, policy.agent.config
    load_policy(tmp_path / "member", dqn(env, config, policy.agent.network), env)
    apply = policy.agent.network.apply

    def scaled(*arguments):
        output, internals = apply(*arguments)
        return 2.0 * output, internals

    network = policy.agent.network._replace(apply=scaled)
    others = (dqn(env, config, network), env), (policy.agent, scale_reward(env, 2.0))
    for agent, world in others:
        world = world._replace(recipe=env.recipe)
        with pytest.raises(ValueError, match="functions of agent, network or environment differ"):
            load_policy(tmp_path / "member", agent, world)


@pytest.mark.parametrize("name", ["policy.json", "arrays.npz"])
def test_damage_of_a_saved_policy_is_named(name, tmp_path):
    policy = member()
    policy.save(tmp_path / "member")
    path = tmp_path / "member" / name
    content = path.read_bytes()
    for place in np.linspace(0, len(content) - 1, 25).astype(int):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        try:
            found = load_policy(tmp_path / "member", policy.agent, policy.env)
        except ValueError as error:
            assert name in str(error) and "damaged" in str(error)
        else:  # spaces between numbers of a JSON file tell nothing
            assert name == "policy.json"
            jax.tree.map(np.testing.assert_array_equal, policy.state, found.state)
    path.write_bytes(content[:-9])
    with pytest.raises(ValueError, match=name):
        load_policy(tmp_path / "member", policy.agent, policy.env)
    path.unlink()
    with pytest.raises(ValueError, match=f"{name} is missing"):
        load_policy(tmp_path / "member", policy.agent, policy.env)


def test_what_is_no_saved_policy_says_so(tmp_path):
    policy = member()
    for path, message in ((tmp_path, "policy.json is missing"), (tmp_path / "x", "no such folder")):
        with pytest.raises(ValueError, match=f"expected a saved policy, got .*: .*{message}"):
            load_policy(path, policy.agent, policy.env)
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(ValueError, match="it is the folder of a run"):
        load_policy(tmp_path, policy.agent, policy.env)


def test_a_policy_prints_what_it_is():
    text = str(prolonged())
    assert text.splitlines()[0].startswith("Policy: ppo on ") and "parameters" in text
    assert "gamma=0.5" in text and "limit=7, force=[0. 0.]" in text and len(text) < 400
