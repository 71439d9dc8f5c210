"""Training on the host: numbers as of a compiled loop, lags as configured, no loss, no hang."""

import functools
import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import purejaxrl_suite as pjs
from purejaxrl_suite import nets, plasticity
from purejaxrl_suite.buffers import ring
from purejaxrl_suite.core.host import HostError
from purejaxrl_suite.core.types import Box, Discrete, Environment, TimeStep, Transition
from purejaxrl_suite.engine import rows, sebulba
from purejaxrl_suite.engine.exchange import Exchange, Rollout
from purejaxrl_suite.sweeps import hosted
from purejaxrl_suite.sweeps.interrupt import Interrupted
from purejaxrl_suite.sweeps.stored import stored
from tests.envs.host_games import Broken, Catch, Killed, Reach, Walk
from tests.shared import command, drawn, press_ctrl_c

ROOT = Path(__file__).resolve().parents[2]
PPO = pjs.PPOConfig(num_envs=4, rollout_length=4, epochs=1, minibatches=2)
DQN = pjs.DQNConfig(num_envs=2, rollout_length=3, batch_size=4, capacity=24)
REPLAY = pjs.DQNHypers(min_history=6)
QUIET = {"progress": False}


def network_of(build):
    return lambda env: drawn(build(env.observation, env.action, hidden=(8,)))


SMALL = network_of(nets.actor_critic)
SMALL_Q = network_of(partial(nets.q_network, layer_norm=False))


@functools.cache
def walk(ends: str = "both") -> Environment:
    return pjs.host_environment(partial(Walk, ends=ends), name="walk", info=("success",))


def walk_in_jax() -> Environment:
    """`Walk` with ends "both", whose second number, of episodes, is in no state: it stays 1."""

    def look(place):
        return jnp.stack([jnp.float32(place), jnp.float32(1)])

    def init(key, params):
        return jnp.int32(0), look(jnp.int32(0))

    def step(key, params, place, action):
        after, over = place + 1, place == 2
        return after, TimeStep(
            obs=look(after),
            reward=jnp.float32(place),
            terminated=over,
            truncated=over,
            final_obs=look(after),
            info={"success": jnp.float32(after)},
        )

    return Environment(
        name="walk",
        observation=Box((2,), "float32", -1.0, 100.0),
        action=Discrete(2),
        time_limit=None,
        params=(),
        init=init,
        step=step,
    )


class OneWalk(Walk):
    """A walk that does not count its episodes."""

    def _look(self):
        return np.float32([self.place, 1])


def ppo(env, updates, *, seeds=2, each=16, **how):
    """A run of small PPO, of so many updates."""
    return pjs.run(
        pjs.ppo, env, config=PPO, network=SMALL, seeds=seeds, steps=each * updates, **QUIET, **how
    )


def dqn(env, updates, **how):
    known = {"config": DQN, "hypers": REPLAY, "network": SMALL_Q, "seeds": 2} | QUIET
    return pjs.run(pjs.dqn, env, steps=6 * updates, **known, **how)


def parameters(result):
    return jax.tree.map(np.asarray, result.state().agent.learner.params)


def assert_equal(one, two):
    jax.tree.map(np.testing.assert_array_equal, one, two)


def lags(result, most):
    return [result.curves[f"policy_lag_{k}"].sum("step").values.tolist() for k in range(most + 1)]


# --- the same numbers ---


def test_alternating_equals_the_compiled_loop():
    """Equal noise, starts and steps: with lag 0 only the compilation of acting differs."""
    host = ppo(pjs.host_environment(OneWalk, name="walk", info=("success",)), 6)
    loop = ppo(walk_in_jax(), 6)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, parameters(host), parameters(loop))
    for name in ("episode_return", "episode_length", "episodes", "finished_once", "success"):
        np.testing.assert_allclose(host.curves[name], loop.curves[name], rtol=1e-6)
        assert host.curves[name].attrs == loop.curves[name].attrs
    assert np.isfinite(host.curves["episode_return"]).all()
    assert set(host.curves) - set(loop.curves) == {"policy_lag_0"}


@pytest.mark.slow
def test_one_actor_or_several_give_the_same_numbers():
    one = ppo(walk(), 5, source=partial(sebulba, lag=1))
    two = ppo(walk(), 5, source=partial(sebulba, lag=1, actors=2))
    assert_equal(parameters(one), parameters(two))
    assert lags(one, 1) == [[1, 1], [4, 4]] and lags(two, 1) == [[2, 2], [8, 8]]
    np.testing.assert_array_equal(one.curves["episode_return"], two.curves["episode_return"])


@pytest.mark.slow
@pytest.mark.parametrize("lag", [0, 1])
def test_equal_seeds_give_equal_parameters_after_100_updates(lag: int):
    env = pjs.host_environment(Catch)
    how = {"source": partial(sebulba, lag=lag, actors=2)}
    first, again = (ppo(env, 100, **how) for _ in range(2))
    assert_equal(parameters(first), parameters(again))
    for name in set(first.curves) - {"steps_per_second"}:
        np.testing.assert_array_equal(first.curves[name], again.curves[name])
    assert lags(first, lag) == ([[200, 200]] if lag == 0 else [[2, 2], [198, 198]])
    other = ppo(env, 100, seeds=[1, 7], **how)  # a member depends on its own seed only
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x[1], y[0], rtol=1e-3, atol=1e-4),
        parameters(first),
        parameters(other),
    )


@pytest.mark.slow
def test_a_free_lag_is_bounded_and_recorded():
    result = ppo(walk(), 12, source=partial(sebulba, lag=3, actors=2))
    found = np.sum(lags(result, 3), axis=0)
    assert found.tolist() == [24, 24] and len(lags(result, 3)) == 4


@pytest.mark.slow
def test_agents_with_replay_and_a_memory():
    result = dqn(walk("truncated"), 8)
    assert result.curves["gradient_steps"].values[0, -1] > 0
    recurrent = partial(nets.actor_critic, hidden=(8,), memory_units=4)
    host = ppo_of(pjs.host_environment(OneWalk, name="walk", info=("success",)), recurrent)
    loop = ppo_of(walk_in_jax(), recurrent)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, parameters(host), parameters(loop))


def ppo_of(env, network):
    def build(env):
        return drawn(network(env.observation, env.action))

    return pjs.run(pjs.ppo, env, config=PPO, network=build, seeds=1, steps=64, **QUIET)


@pytest.mark.slow
def test_continuous_actions_metrics_and_interventions():
    env = pjs.host_environment(Reach)
    redo = plasticity.every(2, plasticity.redo(tau=0.5))
    result = ppo(env, 4, metrics=(plasticity.weight_norm,), measure_every=2, intervention=redo)
    found = [name for name in result.curves if str(name).startswith("weight_norm")]
    assert found and np.isfinite(result.curves[found[0]].values[:, 1::2]).all()
    assert (result.curves["episode_length"] == 1).all()


@pytest.mark.slow
def test_rows_of_several_updates(monkeypatch):
    single = ppo(walk(), 7)
    monkeypatch.setattr(rows, "ROWS", 4)
    several = ppo(walk(), 7)
    assert_equal(parameters(single), parameters(several))
    assert several.curves.attrs["updates_per_row"] == 2
    assert several.curves["step"].values.tolist() == [32, 64, 96, 112]
    ends = [single.curves["episodes"].values[:, i : i + 2].sum(1) for i in range(0, 7, 2)]
    np.testing.assert_array_equal(several.curves["episodes"].values.T, ends)
    assert lags(several, 0) == [[7, 7]]


def two_walks(count):
    """Walks of three and four places, by turns."""
    made = [partial(Walk, length=3 + i % 2) for i in range(count)]
    return SyncVectorEnv(made, autoreset_mode=AutoresetMode.SAME_STEP)


def test_curves_of_each_task():
    env = pjs.vector_environment(two_walks, name="walks", time_limit=4, info=("success",))
    env = env._replace(tasks=("short", "long"))
    found = ppo(env, 3, source=partial(sebulba, actors=2), evaluate_every=2).curves
    for name, values in (
        ("episode_length_short", [[3.0] * 3] * 2),
        ("episode_length_long", [[4.0] * 3] * 2),
        ("success_long", [[4.0] * 3] * 2),
        ("episodes_short", [[2.0, 2.0, 4.0]] * 2),
        ("episodes", [[4.0, 4.0, 6.0]] * 2),
        ("finished_once_long", [[1.0] * 3] * 2),
    ):
        np.testing.assert_array_equal(found[name], values)
    np.testing.assert_array_equal(found["evaluation_return_long"], [[np.nan, 6.0, np.nan]] * 2)
    np.testing.assert_array_equal(found["evaluation_success_short"], [[np.nan, 3.0, np.nan]] * 2)
    with pytest.raises(ValueError, match="num_envs / actors=1 must be a multiple of the 2 tasks"):
        ppo(env, 3, source=partial(sebulba, actors=4))


@pytest.mark.slow
def test_evaluation_in_training_changes_nothing():
    env = pjs.host_environment(partial(Walk), name="walk", time_limit=2, info=("success",))
    how = pjs.Evaluating(every=2, episodes=3)
    plain, looked = ppo(env, 5), ppo(env, 5, evaluate_every=how)
    assert_equal(parameters(plain), parameters(looked))
    for name, value in (("return", 1.0), ("success", 2.0)):
        found = looked.curves[f"evaluation_{name}"].values
        assert np.isnan(found[:, 0::2]).all() and (found[:, 1::2] == value).all()


# --- folders ---


def begin_and_stop(run, folder, after):
    """Train until so many segments are done, then press Ctrl-C."""
    seen = []

    def watch(progress):
        seen.append(progress.update)
        if len(seen) == after:
            press_ctrl_c()

    with pytest.raises(Interrupted):
        run(out=folder, segments=4, on_segment=watch)
    return seen


def test_resuming_restores_all_but_the_environments(tmp_path, monkeypatch):
    """Exactly the saved state, and no step from the last episode before into the first after."""
    env = pjs.host_environment(partial(Walk, length=5), name="walk", info=("success",))
    folder, train = tmp_path / "run", partial(dqn, env, 8)
    begin_and_stop(train, folder, after=2)
    begun, inner = [], hosted._broken_off

    def look(run, num_envs):
        before = jax.tree.map(np.array, run)  # copies: the state is donated
        after = inner(run, num_envs)
        begun.append((before, jax.tree.map(np.array, after)))
        return after

    monkeypatch.setattr(hosted, "_broken_off", look)
    found = pjs.load(folder, env=env, network=SMALL_Q, announce=str)
    saved = found.state()
    finished = train(out=folder, segments=4)
    (before, after), *more = begun
    assert not more
    assert_equal(saved, before)
    done = int(np.asarray(saved.agent.replay.filled)[0]) // 3
    assert 4 <= done < 8
    changed = jax.tree.map(lambda x, y: not np.array_equal(x, y), before, after)
    assert changed.agent.replay.end and sum(jax.tree.leaves(changed)) <= 2
    assert (
        finished.curves.sizes["step"] == 8 and np.isfinite(finished.curves["td_loss"][:, -1]).all()
    )
    assert int(finished.state().agent.replay.filled[0]) == 12
    again = stored(finished.layout, folder).result
    assert again.curves.identical(finished.curves)
    record = finished.curves.attrs["record"]
    assert '"source": {"name": "sebulba(lag=0, actors=1)"}' in record


@pytest.mark.slow
def test_resuming_inside_of_a_row(tmp_path, monkeypatch):
    """A failure after three updates, in rows of two: the second row is written again."""
    monkeypatch.setattr(rows, "ROWS", 4)
    folder = tmp_path / "run"
    with pytest.raises(HostError):
        ppo(failing("raise", 14), 8, out=folder, segments=2)
    kept = pjs.load(folder, env=failing("raise", 10**9), network=SMALL, announce=str)
    assert kept.curves.sizes["step"] == 2 and lags(kept, 0) == [[3, 3]]
    finished = ppo(failing("raise", 10**9), 8, out=folder, segments=2)
    assert finished.curves["step"].values.tolist() == [32, 64, 96, 128]
    assert lags(finished, 0) == [[7, 7]]  # of the second row only the update after the break


def test_a_break_in_a_ring():
    """The last row is a cut without a successor, unless it is an end already."""
    at = ring.layout(Box((1,)), Discrete(2), capacity=16, num_envs=2, rollout_length=4)
    ended = np.zeros((4, 2), bool)
    ended[3, 1] = True
    steps = Transition(
        obs=jnp.arange(8.0).reshape(4, 2, 1),
        action=jnp.zeros((4, 2), jnp.int32),
        reward=jnp.zeros((4, 2)),
        terminated=jnp.asarray(ended),
        truncated=jnp.zeros((4, 2), bool),
        next_obs=jnp.ones((4, 2, 1)),
        extras={},
    )
    break_off = jax.jit(partial(ring.break_off, num_envs=2))
    whole = jax.jit(partial(ring.add, at))(ring.init(at), steps)
    cut = break_off(whole)
    assert cut.end[:8].tolist() == [0, 0, 0, 0, 0, 0, ring.TRUNCATED, ring.TERMINATED]
    assert cut.cut.tolist() == whole.cut.tolist()
    stale = whole._replace(cut=jnp.full_like(whole.cut, 3 % at.spacing))
    place, owner = ring.place_of_cut(at, jnp.arange(6, 8))
    lost = break_off(stale)
    assert lost.cut[place[0]] != owner[0] and lost.cut[place[1]] == owner[1]
    assert_equal(break_off(ring.init(at)), ring.init(at))


def test_a_result_acts_and_is_loaded(tmp_path):
    env = pjs.make("gymnasium:CartPole-v1", time_limit=20)
    folder = tmp_path / "run"
    result = ppo(env, 3, out=folder, source=partial(sebulba, lag=1, actors=2))
    found = result.evaluate(3)
    assert found["episode_return"].shape == (2, 3)
    np.testing.assert_array_equal(found["episode_return"], found["episode_length"])
    assert found["completed"].all() and (found["episode_length"] <= 20).all()
    policy = result.policy(seed=1)
    alone = policy.evaluate(2, key=3)
    assert alone.episode_return.shape == (2,) and alone.completed.all()
    assert (policy.evaluate(2, steps=3).episode_length == 3).all()
    policy.save(tmp_path / "policy")
    again = pjs.load_policy(tmp_path / "policy", policy.agent, env)
    np.testing.assert_array_equal(again.evaluate(2, key=3).episode_return, alone.episode_return)
    loaded = pjs.load(folder, network=SMALL)
    assert loaded.curves.identical(result.curves) and loaded.layout.groups[0].source.hosted.lag == 1


@pytest.mark.slow
def test_the_command_line(tmp_path, capsys):
    text = "train ppo --env gymnasium:CartPole-v1 --seeds 1 --steps 64 --lag 1 --actors 2"
    text += " --config.num-envs 4 --config.rollout-length 8 --network.hidden 8"
    assert command(f"{text} --out {tmp_path / 'run'}") == 0
    loaded = pjs.load(tmp_path / "run")
    assert lags(loaded, 1) == [[2], [2]]
    assert command(f"train ppo --env CartPole-v1 --lag 1 --out {tmp_path / 'no'}") == 2
    assert "--lag: expected an environment on the host, got CartPole-v1" in capsys.readouterr().err


# --- what fails ---


def failing(how, at, number=5):
    """An environment whose copy `number` fails at a step; the one that is looked at is -1."""
    numbers = iter(range(-1, 10**6))
    return pjs.host_environment(lambda: Broken(how, at, next(numbers), only=number), name="walk")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raise", "walk: step: environment 5: RuntimeError: the dragon came"),
        pytest.param(
            "nan",
            "walk: step: environment 5: observation .* is not finite",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "shape",
            "walk: step: environment 5: observation: expected shape",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_failure_is_named_and_nothing_is_lost(tmp_path, how: str, message: str):
    """At step 14 of rollouts of 4: three updates are done, and stay; then it goes on."""
    folder = tmp_path / "run"
    with pytest.raises(HostError, match=message):
        ppo(failing(how, 14), 6, out=folder, segments=1)
    assert not [one for one in threading.enumerate() if one.name.startswith("actor-")]
    healthy = failing(how, 10**9)
    kept = pjs.load(folder, env=healthy, network=SMALL, announce=str)
    assert kept.curves.sizes["step"] == 3 and kept.curves.attrs["trained"] == 0.5
    finished = ppo(healthy, 6, out=folder, segments=1)
    assert finished.curves.sizes["step"] == 6
    assert np.isfinite(finished.curves["episodes"]).all()


def test_environments_are_restarted_and_the_record_says_so(tmp_path):
    """The fourth rollout fails in copy 5 of 8 and is collected again, by the copies 8 to 15."""
    folder, healthy = tmp_path / "run", failing("raise", 10**9)
    source = partial(sebulba, restarts=1)
    found = ppo(failing("raise", 14), 6, source=source, out=folder, segments=3)
    cause = "walk: step: environment 5: RuntimeError: the dragon came"
    where = {"group": 0, "chunk": 0, "update": 3, "actor": 0}
    expected = [where | {"cause": cause, "then": "restarted"}]
    loaded = pjs.load(folder, env=healthy, network=SMALL)
    assert found.breaks() == loaded.breaks() == expected
    assert found.curves["environment_restarts"].values.tolist() == [[0, 0, 0, 1, 0, 0]] * 2
    assert loaded.layout.groups[0].source.hosted.restarts == 1
    assert "environment_restarts" not in (plain := ppo(healthy, 6)).curves
    for name in ("episode_return", "policy_loss", "episodes"):
        np.testing.assert_array_equal(found.curves[name][:, :3], plain.curves[name][:, :3])
    # Episodes of five steps, from which that in progress at the restart is missing.
    assert plain.curves["episodes"].values.sum(1).tolist() == [16, 16]
    assert found.curves["episodes"].values.sum(1).tolist() == [8 + 8, 8 + 8]


@pytest.mark.slow
def test_restarts_are_bounded(tmp_path):
    """Every copy number 5 of 8 fails at its sixth step: each second rollout, until it is enough."""
    numbers = iter(range(-1, 10**6))

    def build():
        return Broken("raise", 6, next(numbers) % 8, only=5)

    env = pjs.host_environment(build, name="walk")
    folder, source = tmp_path / "run", partial(sebulba, restarts=2)
    with pytest.raises(HostError, match="environment 5: .* the dragon came, after 2 restarts$"):
        ppo(env, 6, source=source, out=folder, segments=6)
    healthy = failing("raise", 10**9)
    kept = pjs.load(folder, env=healthy, network=SMALL, announce=str)
    assert [(one["update"], one["then"]) for one in kept.breaks()] == [
        (1, "restarted"),
        (2, "restarted"),
        (3, "training ended"),
    ]
    assert kept.curves.sizes["step"] == 3
    finished = ppo(healthy, 6, source=source, out=folder, segments=6)
    assert finished.breaks()[3:] == [
        {"group": 0, "chunk": 0, "update": 3, "actor": None}
        | {"cause": "training went on", "then": "all episodes began anew"}
    ]


def test_no_step_leads_over_a_restart():
    """In a replay, the step after one that ends nothing is its successor."""
    found = dqn(failing("raise", 14, number=1), 6, source=partial(sebulba, restarts=1))
    assert [one["update"] for one in found.breaks()] == [4]
    replay = jax.tree.map(np.asarray, found.state().agent.replay)
    assert replay.filled.tolist() == [12, 12]
    for member in range(2):
        rows = len(replay.reward[member]) // 2
        obs = replay.obs[member][: 2 * rows].reshape(rows, 2, 2)
        end, first = replay.end[member].reshape(rows, 2), int(replay.row[member])
        order = (first + np.arange(rows)) % rows
        obs, end = obs[order], end[order]
        goes_on = end[:-1] == 0
        np.testing.assert_array_equal((obs[1:] - obs[:-1])[goes_on], [[1, 0]] * goes_on.sum())
        assert (end == ring.TRUNCATED).sum() == 2


@pytest.mark.slow
def test_an_actor_that_dies_is_named(tmp_path):
    """Not of its environments, but by anything else: here by SystemExit in its thread."""
    folder = tmp_path / "run"
    source = partial(sebulba, actors=2, restarts=3)
    with pytest.raises(HostError, match="^actor [01]: SystemExit: enough$"):
        ppo(failing("exit", 10, number=2), 6, source=source, out=folder, segments=6)
    kept = pjs.load(folder, env=failing("exit", 10**9), network=SMALL, announce=str)
    assert kept.curves.sizes["step"] == 2
    assert [one["cause"][7:] for one in kept.breaks()] == [": SystemExit: enough"]


@pytest.mark.slow
def test_a_killed_worker_is_replaced(tmp_path):
    marker = tmp_path / "marker"
    marker.touch()
    build = partial(Killed, str(marker))
    env = pjs.host_environment(build, name="walk", asynchronous=True, patience=60.0)
    found = ppo(env, 3, seeds=1, source=partial(sebulba, restarts=1))
    (one,) = found.breaks()
    assert one["then"] == "restarted" and "its process died with exit code -9" in one["cause"]
    assert not marker.exists() and np.isfinite(found.curves["policy_loss"]).all()


@pytest.mark.slow
def test_stages_go_on_from_each_other(tmp_path):
    """Two stages on the host, as in a compiled loop; and again from their folders."""

    def learner(key, before, fresh):
        return fresh._replace(agent=fresh.agent._replace(learner=before.agent.learner))

    def stages(env, out=None):
        each = {"config": PPO, "network": SMALL, "seeds": 2, "steps": 48}
        first, second = (pjs.Experiment(pjs.ppo, env, **each) for _ in range(2))
        named = [pjs.Stage("one", first), pjs.Stage("two", second, begin=learner)]
        return pjs.stages(*named, out=out, **QUIET)

    env = pjs.host_environment(OneWalk, name="walk", info=("success",))
    host, loop = stages(env, tmp_path / "stages"), stages(walk_in_jax())
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    for name in ("one", "two"):
        jax.tree.map(close, parameters(host[name]), parameters(loop[name]))
    again = stages(env, tmp_path / "stages")
    assert again.curves.identical(host.curves) and host.curves.sizes["step"] == 6


DEVICES = """
from tests.sweeps.test_hosted import *
from purejaxrl_suite.engine import actors

used = {"act": set(), "learn": set()}


def watched(kind, function):
    def call(*given):
        found = function(*given)
        seen = found if kind == "act" else given[0].run
        used[kind] |= {d.id for x in jax.tree.leaves(seen) for d in x.devices()}
        return found

    return call


actors.Actors.act = watched("act", actors.Actors.act)
hosted._Learning.update = watched("learn", hosted._Learning.update)
source = partial(sebulba, lag=1, actors=2, actor_devices=(1, 2), learner_devices=(3,))
found = ppo(walk(), 4, source=source)
print(used["act"], used["learn"], [float(x.sum()) for x in jax.tree.leaves(parameters(found))])
"""


@pytest.mark.slow
def test_actors_and_learner_have_devices_of_their_own():
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4"
    how = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    done = subprocess.run(
        [sys.executable, "-c", DEVICES], cwd=ROOT, env=how, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    alone = ppo(walk(), 4, source=partial(sebulba, lag=1, actors=2))
    sums = [float(x.sum()) for x in jax.tree.leaves(parameters(alone))]
    acted, learnt, there = done.stdout.strip().replace("} ", "}|").split("|")
    assert (acted, learnt) == ("{1, 2}", "{3}")
    np.testing.assert_allclose([float(x) for x in there[1:-1].split(",")], sums, rtol=1e-4)


@pytest.mark.slow
def test_a_hanging_environment_ends_training_by_name():
    """It is left behind with its thread; waiting is bounded."""
    env = failing("hang", 6)
    env = env._replace(host=env.host._replace(patience=1.0))
    began = time.monotonic()
    with pytest.raises(HostError, match="actor 0: its environments did not answer within 1 s"):
        ppo(env, 6)
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_an_environment_that_cannot_be_opened():
    built = iter([Walk(), Walk()])
    env = pjs.host_environment(lambda: next(built), name="walk")
    with pytest.raises(ValueError, match="walk: it cannot be built: HostError: environment 1: "):
        ppo(env, 2, seeds=1)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            {"evaluate_every": 2},
            "evaluate_every: expected an environment with a time limit, 'walk'",
        ),
        ({"reset_pool": 0}, "reset_pool: expected the default, as walk starts its own episodes"),
        ({"source": partial(sebulba, lag=-1)}, "lag: expected an integer of at least 0, got -1"),
        ({"source": partial(sebulba, restarts=-1)}, "restarts: expected an integer of at least 0"),
        ({"source": partial(sebulba, actor_devices=(9,))}, r"actor_devices\[0\]: expected an"),
        ({"source": partial(sebulba, learner_devices=0)}, "learner_devices: expected positions"),
        ({"source": partial(sebulba, actors=3)}, "actors=3 must divide the 4 environments of"),
        ({"source": pjs.engine.online}, "walk is stepped on the host: .*its source is engine.seb"),
    ],
)
def test_refusals(how, message: str):
    with pytest.raises(ValueError, match=message):
        ppo(walk(), 2, **how)


def test_sebulba_is_for_the_host_only():
    with pytest.raises(ValueError, match="walk is no environment on the host: expected one for"):
        ppo(walk_in_jax(), 2, source=sebulba)
    points = pjs.search.grid(pjs.PPOHypers(), learning_rate=[1e-3, 1e-4])
    with pytest.raises(ValueError, match="walk is stepped on the host: .* for a population"):
        rule = pjs.successive_halving(keep=0.5)
        pjs.evolve(pjs.ppo, walk(), select=rule, rungs=[1], hypers=points, seeds=1, steps=64)


# --- the exchange ---


def rollout(version):
    nothing = np.zeros((1, 1))
    return Rollout(None, nothing, {}, nothing > 0, version)  # type: ignore[arg-type]


def test_an_exchange_waits_for_the_version_of_the_lag():
    alternating, behind, free = (Exchange(1, lag, 0) for lag in (0, 1, 3))
    for one in (alternating, behind, free):
        one.publish(0, "p0")
    assert [one.parameters(0) for one in (alternating, behind, free)] == [(0, "p0")] * 3
    assert behind.parameters(1) == free.parameters(3) == (0, "p0")
    for one in (alternating, behind, free):
        one.publish(1, "p1")
    assert behind.parameters(1) == (0, "p0")  # always the one before, also if there is a newer one
    assert alternating.parameters(1) == free.parameters(1) == (1, "p1")
    alternating.stop()
    assert alternating.parameters(2) is None


def test_an_exchange_gives_up_on_actors_that_fail_or_are_silent():
    one = Exchange(2, 0, 0)
    one.publish(0, "p0")
    one.deliver(0, rollout(0))
    with pytest.raises(HostError, match=r"actor 1: its environments did not answer within 0.3 s"):
        one.take(0.3)
    one.fail(HostError("it rained"))
    with pytest.raises(HostError, match="it rained"):
        one.take(60.0)
    one.deliver(1, rollout(0))
    assert [part.version for part in one.take(60.0)] == [0, 0]  # what is complete is not lost


@pytest.mark.slow
def test_a_state_is_saved_where_only_rows_were(tmp_path):
    """A failure right after a segment without a checkpoint."""
    folder = tmp_path / "run"
    with pytest.raises(HostError):
        ppo(failing("raise", 10), 6, out=folder, segments=3, checkpoint_every=5)
    healthy = failing("raise", 10**9)
    assert pjs.load(folder, env=healthy, network=SMALL, announce=str).curves.sizes["step"] == 2
    finished = ppo(healthy, 6, out=folder, segments=3, checkpoint_every=5)
    assert lags(finished, 0) == [[6, 6]]


KILLED = """
import sys
from tests.sweeps.test_hosted import Walk, partial, pjs, ppo, sebulba

env = pjs.host_environment(Walk, name="walk")
ppo(env, 4000, out=sys.argv[1], segments=1000, source=partial(sebulba, lag=1, actors=2))
"""


@pytest.mark.slow
def test_a_killed_learner_goes_on(tmp_path):
    """Its actors are threads, which end with it."""
    folder = tmp_path / "run"
    how = {"cwd": ROOT, "env": os.environ | {"PYTHONPATH": str(ROOT)}}
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], **how)
    try:
        for _ in range(1200):
            if list(folder.glob("group-000/chunk-000/checkpoints/*/files.json")):
                break
            assert process.poll() is None
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    env = pjs.host_environment(Walk, name="walk")
    known = {"env": env, "network": SMALL, "announce": str}
    before = pjs.load(folder, **known)
    done = before.curves.sizes["step"]
    seen = []

    def watch(progress):
        seen.append(progress)
        if len(seen) == 4:
            press_ctrl_c()

    source = partial(sebulba, lag=1, actors=2)
    with pytest.raises(Interrupted):
        ppo(env, 4000, out=folder, segments=1000, source=source, on_segment=watch)
    after = pjs.load(folder, **known)
    assert after.curves.sizes["step"] > done >= 1
    assert [one["cause"] for one in after.breaks()] == ["training went on"]
    kept = [one.isel(step=slice(0, done - 1)) for one in (before.curves, after.curves)]
    np.testing.assert_array_equal(*(one["episode_return"] for one in kept))
