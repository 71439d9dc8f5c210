"""Who makes the experience of an update: fixed data, drawn by the key of the update and shared."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.cli import load
from purejaxrl_suite.core.types import Agent, Clock, Transition
from purejaxrl_suite.engine.evaluate import Evaluating
from purejaxrl_suite.engine.source import dataset, idle, online
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import probes
from purejaxrl_suite.sweeps import fleet
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.layout import lay_out
from purejaxrl_suite.sweeps.plan import shared_bytes

COUNT, LENGTH, N = 50, 4, 3


class Nothing(NamedTuple):
    """Of an agent that has no hypers but one."""

    unused: float = 0.0


def steps_of(env, count=COUNT):
    """Experience whose rewards say which step it is; episodes of five steps."""
    shape = count, *env.observation.shape
    obs, step = np.zeros(shape, env.observation.dtype), np.arange(count)
    end = step % 5 == 4
    reward, more = step.astype(np.float32), {"noted": {"twice": 2 * step.astype(np.float32)}}
    return Transition(obs, np.zeros(count, np.int32), reward, end, np.zeros(count, bool), obs, more)


def looker(env):
    """An agent that only keeps what it was last given."""

    def update(key, hypers, state, steps):
        twice = steps.extras["noted"]["twice"]
        return jnp.stack([steps.reward, steps.terminated, steps.truncated, twice]), {}

    def act(noise, hypers, state, memory, obs, explore):
        return memory, jnp.zeros(obs.shape[0], jnp.int32), {}

    space = env.observation, env.action, Nothing(), N, LENGTH
    functions = lambda *_: jnp.zeros((4, LENGTH, N)), act, update, None, lambda key, n: ()
    return Agent("looker", *space, *functions)


def test_windows_of_the_data_are_drawn_by_the_key_of_the_update():
    env = probes.delayed_reward()
    agent = looker(env)
    source = dataset(agent, env, steps_of(env))
    train = make_train(agent, source)._replace(params=lambda run: run.agent)
    updates, seeds, data = 200, np.arange(2, dtype=np.uint32), source.data(env.params)

    @jax.jit
    def seen(seed):
        key = jax.random.key(seed)

        def step(run, i):
            run, row = train.update(key, (), data, run, Clock(i, jnp.int32(updates)))
            return run, (run.agent, row)

        return jax.lax.scan(step, train.init(key, (), data), jnp.arange(updates))[1]

    found, row = jax.tree.map(np.asarray, jax.vmap(seen)(seeds))
    assert not row and found.shape == (2, updates, 4, LENGTH, N)
    reward, terminated, truncated, twice = np.moveaxis(found, 2, 0)
    np.testing.assert_array_equal(np.diff(reward, axis=2), 1.0)  # consecutive steps
    np.testing.assert_array_equal(terminated, reward % 5 == 4)
    np.testing.assert_array_equal(twice, 2 * reward)  # extras go with their steps
    np.testing.assert_array_equal(truncated.any((0, 1, 3)), [False, False, False, True])
    assert truncated[:, :, -1].all()
    first = reward[:, :, 0].ravel()
    assert {*first} == {*range(COUNT - LENGTH + 1)}, "every window, and none that is not whole"
    assert not np.array_equal(reward[0], reward[1]), "members draw for themselves"


def test_data_are_shared_by_the_members_of_a_program():
    env = probes.delayed_reward()
    agent, count = looker(env), 100_000
    source = dataset(agent, env, steps_of(env, count))
    train = make_train(agent, source)._replace(params=lambda run: run.agent)
    data = source.data(env.params)
    size = sum(x.nbytes for x in jax.tree.leaves(data.steps))

    def program(members):
        seeds = np.arange(members, dtype=np.uint32)
        varied = jax.tree.map(lambda _: False, data)
        hypers = Nothing(np.zeros(members, np.float32))
        made = fleet.Members(seeds, hypers, data, varied)
        return fleet.compile_fleet(train, made, length=2, block=members)

    few, many = program(1), program(256)
    assert size < few.bytes < many.bytes < 1.15 * (size + many.state_bytes)


def test_an_offline_agent_looks_at_all_data_first_and_collects_none():
    env = probes.delayed_reward()
    agent = looker(env)._replace(offline=lambda state, steps: state + jnp.mean(steps.reward))
    source = dataset(agent, env, steps_of(env))
    run = source.init(None, source.data(env.params), jnp.zeros(2))
    np.testing.assert_array_equal(run.agent, np.mean(np.arange(COUNT)))
    message = "^source: looker learns from a data set only: expected one, as in .*, got none"
    for refused in (online, make_train):
        with pytest.raises(ValueError, match=message):
            refused(agent, env)


def test_agents_with_replay_learn_from_data_and_are_evaluated():
    env = probes.delayed_reward()
    agent = dqn(env, DQNConfig(num_envs=2, rollout_length=4, capacity=64))
    source = dataset(agent, env, steps_of(env))
    train = make_train(agent, source, evaluation=Evaluating(2, episodes=4))
    known = jax.eval_shape(jax.random.key, 0), agent.hypers, source.data(env.params)
    run = jax.eval_shape(train.init, *known)
    clock = Clock(jnp.int32(0), jnp.int32(4))
    after, row = jax.eval_shape(train.update, *known, run, clock)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, run)
    assert {"td_loss", "evaluation_return"} <= row.keys() and "episodes" not in row


def test_what_does_not_fit_is_refused():
    env = probes.delayed_reward()
    steps, agent = steps_of(env), looker(env)
    policy = ppo(env, PPOConfig(num_envs=2, rollout_length=4, epochs=1, minibatches=2))
    with pytest.raises(ValueError, match="agent 'ppo' learns from what it noted .*log_prob"):
        dataset(policy, env, steps)
    with pytest.raises(ValueError, match=r"steps.reward: expected float32\[50\], got float64"):
        dataset(agent, env, steps._replace(reward=steps.reward.astype(np.float64)))
    outside = np.where(np.arange(COUNT) == 7, 2, 0).astype(np.int32)
    nan = np.where(np.arange(COUNT) == 9, np.nan, 0.0).astype(np.float32)
    for field, value, text in (
        ("action", steps.action[1:], "expected 50 steps, as reward has, got 49"),
        ("action", outside, "expected those of .*, got 2 in step 7"),
        ("action", -outside, "expected those of .*, got -2 in step 7"),
        ("reward", nan, "expected finite numbers, got others in step 9"),
        ("reward", np.float32(1.0), "expected an array of numbers with steps as its first axis"),
        ("reward", ["x"] * COUNT, "expected an array of numbers"),
        ("extras", {"x": np.zeros(3)}, "expected 50 steps, as reward has, got 3"),
        ("extras", {"x": 3.0}, "expected an array of numbers"),
    ):
        with pytest.raises(ValueError, match=rf"steps\.{field}\S*: {text}"):
            dataset(agent, env, steps._replace(**{field: value}))
    with pytest.raises(ValueError, match="steps: expected at least 4 of them, got 3"):
        dataset(agent, env, steps_of(env, 3))
    with pytest.raises(ValueError, match="steps: expected a Transition"):
        dataset(agent, env, None)
    with pytest.raises(ValueError, match="reset_pool must be 0"):
        online(agent, env, reset_pool=-1)


def test_an_experiment_learns_from_data_and_goes_on_with_no_other(tmp_path):
    env, config = probes.delayed_reward(), DQNConfig(num_envs=2, rollout_length=4, capacity=64)
    experiment = Experiment(
        *(dqn, env, 2, 64),
        config=config,
        hypers=pjs.search.grid(DQNHypers(min_history=8), gamma=[0.5, 0.9]),
        network=lambda env: nets.q_network(env.observation, env.action, hidden=(4,)),
        source=partial(dataset, steps=steps_of(env)),
    )
    whole = pjs.sweep(experiment, segments=2, out=tmp_path / "whole", progress=False)
    assert np.isfinite(whole.curves["td_loss"][..., -1]).all()
    assert "episode_return" not in whole.curves and whole.evaluate(2).sizes["gamma"] == 2
    acted = pjs.datasets.collect(whole, 40, num_envs=2)  # by four members, in the environment
    np.testing.assert_array_equal(acted.steps.obs[:, 0], np.tile([0, 1, 0, 1, 0], 8))
    with pytest.raises(ValueError, match="^policy: expected members that acted, got some"):
        pjs.datasets.from_replay(whole)
    again = pjs.sweep(experiment, resume=tmp_path / "whole", progress=False)
    assert again.curves.equals(whole.curves)
    own = {"network": experiment.network, "announce": lambda text: None}
    found = pjs.load(tmp_path / "whole", source=experiment.source, **own)
    assert found.curves.equals(whole.curves)
    assert load.curves(tmp_path / "whole")["td_loss"].equals(whole.curves["td_loss"])
    with pytest.raises(ValueError, match=r"source: no folder holds dataset\(.*: pass source="):
        pjs.load(tmp_path / "whole", **own)
    other = partial(dataset, steps=steps_of(env)._replace(reward=np.ones(COUNT, np.float32)))
    for source, text in ((other, r"source\.steps\.reward is"), (None, r"source\.name is dataset")):
        with pytest.raises(ValueError, match=f"is another experiment: {text}"):
            pjs.sweep(experiment, source=source, resume=tmp_path / "whole")
    with pytest.raises(ValueError, match="^source: expected a Source, got 3$"):
        pjs.sweep(experiment, source=lambda agent, env: 3)
    with pytest.raises(ValueError, match="^reset_pool: expected the default with a source"):
        pjs.sweep(experiment, reset_pool=0)


def test_a_population_without_episodes_needs_a_metric_of_its_own(monkeypatch):
    env = probes.delayed_reward()
    source = partial(dataset, steps=steps_of(env))
    points = pjs.search.grid(Nothing(), unused=[0.0, 1.0])
    experiment = Experiment(lambda env, *_: looker(env), env, 1, 120, hypers=points, source=source)
    rules = {"select": pjs.successive_halving(), "rungs": [1], "segments": 4}
    monkeypatch.setattr(fleet, "eval_shape", lambda *_: pytest.fail("a program was traced"))
    text = r"metric: expected a curve of those .*dataset\(.*\) .*, got 'episode_return'"
    with pytest.raises(ValueError, match=text):
        pjs.evolve(experiment, **rules)


def test_a_plan_counts_shared_data_once():
    env = probes.delayed_reward()

    def experiment(count):
        agent = looker(env)._replace(hypers=Nothing())
        return Experiment(agent, env, 2, 120, source=partial(dataset, steps=steps_of(env, count)))

    few, many = (lay_out(experiment(count)).groups[0] for count in (50, 500))
    assert shared_bytes(many) - shared_bytes(few) == 450 * sum(
        np.asarray(x).nbytes // 50 for x in jax.tree.leaves(steps_of(env))
    )
    assert shared_bytes(lay_out(experiment(50)._replace(source=None)).groups[0]) == 0


def test_idle_agents_learn_from_what_their_replay_holds_and_change_no_bit_of_it():
    """A stage that fills the replay, then one that is idle."""
    env = probes.delayed_reward()
    config = DQNConfig(num_envs=2, rollout_length=4, batch_size=8, capacity=32)
    network = nets.q_network(env.observation, env.action, hidden=(4,))
    build = partial(dqn, config=config, network=network)
    quiet = {"seeds": 1, "steps": 24, "hypers": DQNHypers(min_history=8.0)}
    acting = pjs.Experiment(lambda env, c, n, h: build(env, hypers=h), env, **quiet)

    def frozen(env, c, n, h):
        return build(env, hypers=h, replay=pjs.buffers.frozen)

    def begin(key, before, fresh):
        return fresh._replace(agent=before.agent)

    alone = acting._replace(builder=frozen, source=idle)
    parts = pjs.Stage("act", acting), pjs.Stage("learn", alone, begin)
    found = pjs.stages(*parts, progress=False, segments=1)
    first, last = (found[name].state().agent for name in ("act", "learn"))
    jax.tree.map(np.testing.assert_array_equal, first.replay, last.replay)
    assert int(last.steps[0]) == int(first.steps[0]) + 3
    before, after = (jax.tree.leaves(one.learner.params)[0] for one in (first, last))
    assert not np.array_equal(before, after)
    with pytest.raises(ValueError, match="'dqn' cannot learn without new experience: expected"):
        idle(build(env), env)
    blind = alone._replace(metrics=[lambda learner, probe, look: {"x": jnp.sum(look.obs())}])
    with pytest.raises(ValueError, match="expected none that look at observations of the last"):
        lay_out(blind).identity()
