"""Offline agents: losses by hand, reductions, the data that they see, and what they refuse."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.qsarsa import with_behaviour
from purejaxrl_suite.agents.shared.offline_learning import NEXT, batch_of
from purejaxrl_suite.core.types import Box, Clock, Internals, Network, Transition
from purejaxrl_suite.engine.source import dataset
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import make, probes
from tests.contract.agents import AGENTS, ON_DATA, source_of

B = 4
ONE = {"gradient_steps": 1, "batch_size": B}
STILL = {"actor_learning_rate": 0.0, "critic_learning_rate": 0.0}
ACTION = np.float32([0.1, -0.2, 0.5, 0.0])
EITHER_END = pytest.mark.parametrize(("terminated", "following"), [(False, 0.5), (True, 0.0)])


def constant(policy, critics, value=None):
    """A network that puts out its parameters, whatever it sees."""

    def apply(params, obs, memory=(), taps=None, action=None):
        heads, n = params["heads"], len(obs)
        rows = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (n, *x.shape)), heads)
        policy = rows["actor"]
        policy = nets.Gaussian(**policy) if isinstance(policy, dict) else policy
        values = jnp.stack([rows["critic_0"], rows["critic_1"]], axis=-1)
        return nets.ActorCritics(policy, values, rows.get("value")), Internals({}, (), {}, 0.0)

    heads = {"actor": policy, "critic_0": jnp.float32(critics[0])}
    heads |= {"critic_1": jnp.float32(critics[1])}
    heads |= {} if value is None else {"value": jnp.float32(value)}
    return Network(lambda key: {"heads": jax.tree.map(jnp.copy, heads)}, apply, apply, ())


def windows(terminated):
    """B windows of one step: observation 0, reward 10, actions of the data."""
    zeros, flags = np.zeros((1, B, 1), np.float32), np.full((1, B), terminated)
    reward = np.full((1, B), 10.0, np.float32)
    return Transition(zeros, ACTION[None, :, None], reward, flags, ~flags, zeros, {})


def with_critics(params, values):
    changed = {f"critic_{i}": jnp.float32(x) for i, x in enumerate(values)}
    return {"heads": params["heads"] | changed}


def losses(agent, terminated, behaviour=None):
    """Metrics of the first gradient step, whose parameters stay; targets of the critics: 5, 3."""
    state = jax.jit(agent.init)(jax.random.key(0), agent.hypers)
    state = state._replace(target=with_critics(state.target, (5.0, 3.0)))
    if behaviour is not None:
        state = state._replace(behaviour=with_critics(state.behaviour, behaviour))
    return jax.jit(agent.update)(jax.random.key(1), agent.hypers, state, windows(terminated))[1]


POLICY = jnp.full(1, 0.3)
ERROR = np.mean((np.tanh(0.3) - ACTION) ** 2)
PLAIN = {"normalize_observations": False}


@EITHER_END
def test_td3_bc_by_hand(terminated, following):
    """Values -1 and 2 of the critics, of which the actor climbs the first."""
    config = pjs.TD3BCConfig(**ONE, **PLAIN, policy_delay=1)
    hypers = pjs.TD3BCHypers(**STILL, gamma=0.5, alpha=2.5)
    agent = pjs.td3_bc(probes.tracking(), config, constant(POLICY, (-1.0, 2.0)), hypers)
    found, target = losses(agent, terminated), 10.0 + following * 3.0
    np.testing.assert_allclose(found["critic_loss"], (-1 - target) ** 2 + (2 - target) ** 2, 1e-5)
    np.testing.assert_allclose(found["cloning_error"], ERROR, 1e-5)
    np.testing.assert_allclose(found["actor_loss"], 2.5 + ERROR, 1e-5)


def test_qsarsa_by_hand():
    """As above, with a behaviour's Q of (3 + 5) / 2 everywhere."""
    config = pjs.QSarsaConfig(**ONE, **PLAIN, policy_delay=1)
    weights = {"critic_weight": 0.3, "actor_weight": 0.7, "cloning_weight": 0.4}
    hypers = pjs.QSarsaHypers(**STILL, gamma=0.5, **weights)
    agent = pjs.qsarsa(probes.tracking(), config, constant(POLICY, (-1.0, 2.0)), hypers)
    found, target = losses(agent, False, (3.0, 5.0)), 11.5
    errors = (-1 - target) ** 2 + (2 - target) ** 2
    np.testing.assert_allclose(found["critic_loss"], errors, 1e-5)
    off = (-1.0 - 4.0) ** 2 + (2.0 - 4.0) ** 2
    np.testing.assert_allclose(found["critic_penalty"], off, 1e-5)
    np.testing.assert_allclose(found["actor_loss"], 1.0 - 0.7 + 0.4 * ERROR, 1e-5)


@EITHER_END
def test_iql_by_hand(terminated, following):
    """V is 1, the target critics' minimum 3: an advantage of 2, at the weight's bound."""
    policy = {"mean": POLICY, "log_std": jnp.full(1, -0.5)}
    config = pjs.IQLConfig(**ONE)
    hypers = pjs.IQLHypers(**STILL, value_learning_rate=0.0, gamma=0.5)
    agent = pjs.iql(probes.tracking(), config, constant(policy, (-1.0, 2.0), 1.0), hypers)
    found, target = losses(agent, terminated), 10.0 + following * 1.0
    np.testing.assert_allclose(found["value_loss"], 0.7 * 4.0, 1e-5)
    np.testing.assert_allclose(found["critic_loss"], (-1 - target) ** 2 + (2 - target) ** 2, 1e-5)
    density = stats.norm.logpdf(ACTION, np.tanh(0.3), np.exp(-0.5))
    np.testing.assert_allclose(found["actor_loss"], -100.0 * density.mean(), 1e-5)


@EITHER_END
def test_cql_by_hand(terminated, following):
    """Where all actions have the same value, the penalty is the log of the interval's length."""
    policy = {"mean": POLICY, "log_std": jnp.full(1, -0.2)}
    config = pjs.CQLConfig(**ONE, sampled_actions=4000)
    hypers = pjs.CQLHypers(**STILL, gamma=0.5, temperature_learning_rate=0.0)
    agent = pjs.cql(probes.tracking(), config, constant(policy, (-1.0, 2.0)), hypers)
    found, target = losses(agent, terminated), 10.0 + following * 3.0
    np.testing.assert_allclose(found["critic_loss"], (-1 - target) ** 2 + (2 - target) ** 2, 1e-5)
    np.testing.assert_allclose(found["conservative_penalty"], 2.0 * np.log(2.0), atol=0.1)


def test_discrete_cql_by_hand():
    env = probes.delayed_reward()
    network = nets.q_network(env.observation, env.action, hidden=(4,), layer_norm=False)
    config = pjs.DiscreteCQLConfig(**ONE)
    agent = pjs.discrete_cql(env, config, network, pjs.DiscreteCQLHypers(gamma=0.5))
    draw = np.random.default_rng(0)
    obs, after = draw.normal(size=(2, 1, B, *env.observation.shape)).astype(np.float32)
    ends = np.asarray([[True, False, False, False]])
    action, reward = np.int32([[0, 1, 1, 0]]), np.float32([[1.0, 2.0, 3.0, 4.0]])
    steps = Transition(obs, action, reward, ends, ends, after, {})

    @jax.jit
    def program(key):
        state = agent.init(key, agent.hypers)
        target = jax.tree.map(lambda x: 1.5 * x, state.target)
        values = [network.apply(state.learner.params, x[0])[0] for x in (obs, after)]
        values.append(network.apply(target, after[0])[0])
        return agent.update(key, agent.hypers, state._replace(target=target), steps)[1], values

    found, (q, online, target) = jax.device_get(program(jax.random.key(0)))
    rows = np.arange(B)
    bootstrap = np.where(ends[0], 0.0, target[rows, online.argmax(1)])
    chosen = q[rows, action[0]]
    np.testing.assert_allclose(
        found["td_loss"], np.mean((chosen - reward[0] - 0.5 * bootstrap) ** 2), 1e-5
    )
    penalty = np.mean(special.logsumexp(q, axis=1) - chosen)
    np.testing.assert_allclose(found["conservative_penalty"], penalty, 1e-5)


def test_pairs_of_actions_stay_within_episodes():
    """Windows: in an episode, at a termination, at a cut, and at both."""
    first, never = np.bool_([[0, 1, 0, 1], [0, 0, 1, 1]]), np.zeros(B, bool)
    zeros = np.zeros((2, B, 1), np.float32)
    action = np.arange(2 * B, dtype=np.float32).reshape(2, B, 1)
    flags = (np.stack([row, never]) for row in first)
    steps = Transition(zeros, action, np.zeros((2, B), np.float32), *flags, zeros, {})
    batch = batch_of(pjs.BehaviourHypers(), lambda x: 2.0 * x, steps)
    np.testing.assert_array_equal(batch.weight, [1.0, 1.0, 0.0, 1.0])
    np.testing.assert_array_equal(batch.action[:, 0], 2.0 * np.arange(4))
    np.testing.assert_array_equal(batch.extras[NEXT][:, 0], 2.0 * np.arange(4, 8))


def test_sarsa_evaluates_a_deterministic_behaviour_exactly():
    """Two episodes on five states, one of them cut, with critics that are tables."""
    env = probes.tracking()._replace(observation=Box((5,)), action=Box((1,), low=-1.0, high=1.0))
    network = nets.actor_critics(env.observation, env.action, hidden=(), deterministic=True)
    config = pjs.BehaviourConfig(gradient_steps=20, batch_size=32, **PLAIN)
    rates = {"critic_learning_rate": 0.05, "target_update_rate": 1.0}
    agent = pjs.behaviour(env, config, network, pjs.BehaviourHypers(gamma=0.8, **rates))
    state_of, following = [0, 1, 2, 3, 4, 0, 1], [1, 2, 0, 4, 0, 1, 2]
    states, reward = np.eye(5, dtype=np.float32), np.float32([1, 2, 3, -1, 5, 1, 2])
    taken = np.float32([0.5, -0.3, 0.9, 0.1, -0.8])[state_of][:, None]
    terminated, truncated = (np.arange(7) == i for i in (2, 6))
    terminated |= np.arange(7) == 4
    obs, after = states[state_of], states[following]
    steps = Transition(obs, taken, reward, terminated, truncated, after, {})
    source = dataset(agent, env, steps)
    train, data = make_train(agent, source, updates_per_call=60), source.data(env.params)
    clock = Clock(np.int32(0), np.int32(60))

    @jax.jit
    def program(key):
        run = train.init(key, agent.hypers, data)
        run, _ = train.train(key, agent.hypers, data, run, clock)
        return agent.estimate(agent.hypers, run.agent, (), obs[:5], taken[:5]).q

    q = np.float32([1 + 0.8 * (2 + 0.8 * 3), 2 + 0.8 * 3, 3, -1 + 0.8 * 5, 5])
    np.testing.assert_allclose(program(jax.random.key(0)), q, atol=0.02)


def test_without_weights_qsarsa_is_td3_on_the_data_and_its_reference_stays():
    env = make("Pendulum-v1")
    network = nets.actor_critics(env.observation, env.action, hidden=(8,), deterministic=True)
    sizes, none = {"gradient_steps": 4, "batch_size": 8, **PLAIN}, {"cloning_weight": 0.0}
    plain = pjs.TD3BCHypers(alpha=1.0, **none)
    given = pjs.QSarsaHypers(critic_weight=0.0, actor_weight=0.0, **none)
    agents = (
        pjs.td3_bc(env, pjs.TD3BCConfig(**sizes), network),
        pjs.qsarsa(env, pjs.QSarsaConfig(**sizes), network),
    )
    source = source_of(agents[0], env)
    data = source(agents[0], env).data(env.params)

    @jax.jit
    def program(key):
        found = []
        for agent, hypers in zip(agents, (plain, given), strict=True):
            train, clock = make_train(agent, source(agent, env)), Clock(np.int32(0), np.int32(2))
            before = train.init(key, hypers, data)
            found += [before.agent, train.update(key, hypers, data, before, clock)[0].agent]
        return found

    _, td3, before, after = jax.device_get(program(jax.random.key(0)))
    jax.tree.map(np.testing.assert_array_equal, td3.learner, after.learner)
    jax.tree.map(np.testing.assert_array_equal, before.behaviour, after.behaviour)


def test_the_second_stage_begins_with_what_the_first_has_learnt():
    for normalize in (True, False):
        config = {"normalize_observations": normalize, **ONE}
        runs = []
        for name, more in (("behaviour", {}), ("qsarsa", {"policy_delay": 1})):
            kind = {"behaviour": pjs.BehaviourConfig, "qsarsa": pjs.QSarsaConfig}[name]
            env = make("Pendulum-v1")
            agent = getattr(pjs, name)(env, kind(**config, **more))
            train = make_train(agent, source := source_of(agent, env)(agent, env))
            known = jax.eval_shape(jax.random.key, 0), agent.hypers, source.data(env.params)
            runs.append(jax.eval_shape(train.init, *known))
        agent = with_behaviour(None, *runs).agent
        inner = agent.inner if normalize else agent
        assert inner.behaviour is runs[0].agent.learner.params
        assert jax.tree.structure(agent) == jax.tree.structure(runs[1].agent)


def test_what_needs_an_earlier_stage_is_refused_alone():
    env = probes.tracking()
    source = pjs.datasets.random(env, 10).source
    given: dict = {"seeds": 1, "steps": 1e4, "source": source}
    message = "^builder: .*: qsarsa goes on from a stage of behaviour, see `pjs.stages`"
    for builder in (pjs.qsarsa, pjs.qsarsa(env)):
        for front in (pjs.run, pjs.sweep, pjs.plan):
            with pytest.raises(ValueError, match=message):
                front(builder, env, **given)
    with pytest.raises(ValueError, match=message):
        pjs.stages(pjs.Stage("policy", pjs.Experiment(pjs.qsarsa, env, **given)))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n != "td3-bc" else n for n in ON_DATA]
)
def test_no_environment_is_stepped_and_none_may_be(name):
    def never(*args):
        raise AssertionError("the environment was stepped")

    build, world = AGENTS[name]
    env = world()._replace(step=never, init=never)
    agent = build(env)
    train = make_train(agent, source := source_of(agent, env)(agent, env))
    known = jax.eval_shape(jax.random.key, 0), agent.hypers, source.data(env.params)
    run = jax.eval_shape(train.init, *known)
    jax.eval_shape(train.update, *known, run, Clock(jnp.int32(0), jnp.int32(4)))
    with pytest.raises(ValueError, match=f"^source: {agent.name} learns from a data set only"):
        pjs.run(agent, env, seeds=1, steps=1e4)


def test_observations_are_standardized_by_the_data_set():
    env = make("Pendulum-v1")
    agent = pjs.td3_bc(env)
    state = agent.init(jax.random.key(0), agent.hypers)
    obs = np.random.default_rng(0).normal(3.0, 2.0, (500, 3)).astype(np.float32)
    obs[:, 2] = 7.0  # always the same
    np.testing.assert_array_equal(agent.see(state, obs), obs)
    steps = Transition(obs, *[np.zeros(500)] * 4, obs, {})
    found = agent.see(agent.offline(state, steps), obs)
    expected = (obs - obs.mean(0)) / (obs.std(0) + 1e-3)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert pjs.iql(env).see(None, obs) is obs  # as in its paper


def test_networks_that_do_not_fit_are_refused():
    env, discrete = make("Pendulum-v1"), probes.delayed_reward()
    plain = nets.actor_critics(env.observation, env.action)
    with pytest.raises(ValueError, match=r"iql expects nets.actor_critics\(.*, value=True\)"):
        pjs.iql(env, None, plain)
    with pytest.raises(ValueError, match="td3_bc expects nets.actor_critics with a deterministic"):
        pjs.td3_bc(env, None, plain)
    box = Box((discrete.action.n,))
    gaussian = nets.actor_critics(discrete.observation, box, value=True)
    with pytest.raises(ValueError, match="box, deterministic=True, value=True"):
        pjs.iql(discrete, None, gaussian)
    with pytest.raises(ValueError, match="cql needs continuous actions"):
        pjs.cql(discrete)


def as_tree(networks):
    """Arrange dense layers (kernel, bias) of each network, as lists, like the parameters."""
    trees = {"trunk": {}, "heads": {}}
    for name, layers in networks.items():
        *hidden, head = ({"kernel": np.float32(k), "bias": np.float32(b)} for k, b in layers)
        trees["trunk"][name] = {f"dense_{i}": layer for i, layer in enumerate(hidden)}
        trees["heads"][name] = head
    return trees


def test_td3_bc_learns_what_that_of_d3rlpy_learns():
    """Networks after six minibatches, by benchmarks/d3rlpy_reference.py."""
    known = json.loads((Path(__file__).parent / "d3rlpy.json").read_text())
    batches = {name: np.asarray(x) for name, x in known["batches"].items()}
    steps, size, width = batches["obs"].shape
    settings = {k: v for k, v in known["settings"].items() if k != "tau"}
    settings["target_update_rate"] = known["settings"]["tau"]
    config = pjs.TD3BCConfig(gradient_steps=steps, batch_size=size, **PLAIN)
    hypers = pjs.TD3BCHypers(**settings, target_noise=0.0)
    env = probes.tracking()._replace(observation=Box((width,)))
    network = nets.actor_critics(env.observation, env.action, hidden=(8, 8), deterministic=True)
    agent = pjs.td3_bc(env, config, network, hypers)

    def column(name):
        x = batches[name].reshape(1, steps * size, *batches[name].shape[2:])
        return x if x.dtype == bool else x.astype(np.float32)

    named = (column(n) for n in ("obs", "action", "reward", "terminated"))
    ended = np.zeros((1, steps * size), bool)
    stream = Transition(*named, ended, column("next_obs"), {})
    state = jax.jit(agent.init)(jax.random.key(0), agent.hypers)
    before = as_tree(known["before"])
    jax.tree.map(np.testing.assert_array_equal, *map(shapes, (before, state.learner.params)))
    state = state._replace(learner=state.learner._replace(params=before), target=before)
    state, found = jax.jit(agent.update)(jax.random.key(1), agent.hypers, state, stream)
    close = partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5)
    jax.tree.map(close, state.learner.params, as_tree(known["after"]))
    for ours, theirs in {"critic_loss": "critic_loss", "cloning_error": "bc_loss"}.items():
        close(found[ours], np.mean([x[theirs] for x in known["losses"] if theirs in x]))


def shapes(tree):
    return jax.tree.map(jnp.shape, tree, is_leaf=lambda x: hasattr(x, "shape"))
