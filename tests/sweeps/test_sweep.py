"""Sweeps: labels, groups, chunks, folders that survive, and what is refused."""

import json
import os
import signal

import jax
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets, stats
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.envs import probes
from purejaxrl_suite.sweeps import execute, files, fleet, plan
from purejaxrl_suite.sweeps.interrupt import Interrupted
from purejaxrl_suite.sweeps.memory import describe_bytes, parse_bytes
from purejaxrl_suite.sweeps.store import claimed
from tests.shared import compiled_once, drawn

CONFIG = PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
STEPS = CONFIG.num_envs * CONFIG.rollout_length
RATES = [1e-3, 3e-3]
HYPERS = pjs.search.grid(PPOHypers(), learning_rate=RATES)


def network(env):
    return drawn(nets.actor_critic(env.observation, env.action, hidden=(8,)))


@pytest.fixture(scope="module", autouse=True)
def programs():
    with compiled_once():
        yield


def sweep(env, **changes):
    arguments = {"hypers": HYPERS, "config": CONFIG, "network": network, "seeds": 3} | {
        "steps": 6 * STEPS,
        "segments": 3,
        "progress": False,
    }
    return pjs.sweep(ppo, env, **(arguments | changes))


@pytest.fixture(scope="module")
def whole(env):
    return sweep(env)


def assert_same(a, b):
    """Curves but for their speed, and all final states, to the last bit."""
    keep = a.curves.drop_vars("steps_per_second"), b.curves.drop_vars("steps_per_second")
    assert keep[0].assign_attrs(keep[1].attrs).identical(keep[1])
    for g, chunks in enumerate(a.chunks):
        for k in range(len(chunks)):
            jax.tree.map(np.testing.assert_array_equal, a.state(g, k).agent, b.state(g, k).agent)


def test_curves_are_labelled_by_what_was_varied(cartpole):
    result = sweep(
        cartpole,
        hypers=pjs.search.grid(PPOHypers(), learning_rate=RATES, gamma=[0.9, 0.99]),
        config=pjs.search.grid(CONFIG, epochs=[1, 2]),
        env_params=pjs.search.grid(cartpole.params, gravity=[9.8, 15.0]),
    )
    curves = result.curves
    axes = ("epochs", "gravity", "learning_rate", "gamma", "seed")
    assert curves.episode_return.dims == (*axes, "step") and curves.diverged.dims == axes
    assert curves.sel(learning_rate=3e-3, epochs=2).gamma.values.tolist() == [0.9, 0.99]
    assert curves.steps_per_second.dims == ("epochs", "step")
    losses = curves.value_loss.isel(step=-1)
    for axis in axes:  # everything changes numbers
        assert not np.any(losses.isel({axis: 0}).values == losses.isel({axis: 1}).values), axis
    policy = result.policy({"learning_rate": 3e-3, "gamma": 0.9, "gravity": 15.0, "epochs": 2}, 1)
    assert policy.hypers.learning_rate == np.float32(3e-3) and policy.env_params.gravity == 15.0
    evaluation = result.evaluate(2, steps=5)
    assert evaluation.episode_return.dims == (*axes, "episode")
    with pytest.raises(ValueError, match="config: gamma is not given, expected one of"):
        result.policy({"learning_rate": 3e-3, "gravity": 15.0, "epochs": 2})
    with pytest.raises(ValueError, match="config: epochs=3 was not trained"):
        result.policy({"epochs": 3, "learning_rate": 3e-3, "gravity": 15.0, "gamma": 0.9})
    with pytest.raises(ValueError, match="clip_range was not varied"):
        result.policy({"clip_range": 0.1})


@pytest.mark.slow
def test_every_axis_changes_the_numbers_and_defaults_are_the_same_everywhere(cartpole):
    # Six members each: equal batch shapes, so what is equal must be equal to the last bit.
    losses = sweep(cartpole).curves.value_loss
    gravity = pjs.search.grid(cartpole.params, gravity=[9.8, 30.0])
    other = sweep(cartpole, hypers=PPOHypers(learning_rate=RATES[0]), env_params=gravity)
    ours, theirs = losses.isel(learning_rate=0), other.curves.value_loss
    np.testing.assert_array_equal(ours, theirs.isel(gravity=0))
    assert not np.array_equal(ours, theirs.isel(gravity=1))
    assert not np.array_equal(ours, losses.isel(learning_rate=1))


def test_a_sweep_equals_plain_seeds(env, whole):
    agent = ppo(env, CONFIG, network(env), PPOHypers(learning_rate=RATES[1]))
    plain = pjs.run(agent, env, seeds=3, steps=6 * STEPS)
    swept = whole.curves.sel(learning_rate=RATES[1])
    np.testing.assert_allclose(plain.curves.value_loss, swept.value_loss, rtol=1e-3)
    np.testing.assert_array_equal(plain.curves.episodes, swept.episodes)


@pytest.mark.slow
@pytest.mark.parametrize("block", [1, 2])
def test_members_by_blocks_are_the_members_of_all_at_once(cartpole, block, monkeypatch):
    gravity = pjs.search.grid(cartpole.params, gravity=[9.8, 30.0])
    hypers = PPOHypers(learning_rate=RATES[0])
    monkeypatch.setattr(fleet, "block_size", lambda state_bytes, members: members)
    together = sweep(cartpole, hypers=hypers, env_params=gravity).curves
    monkeypatch.setattr(fleet, "block_size", lambda state_bytes, members: block)
    found = sweep(cartpole, hypers=hypers, env_params=gravity).curves
    np.testing.assert_allclose(found.value_loss, together.value_loss, rtol=1e-3)
    np.testing.assert_array_equal(found.episodes, together.episodes)


def test_a_block_fits_the_caches_of_a_core_and_few_members_are_padding():
    def block(members, kilobytes):
        return fleet.block_size(1024 * kilobytes, members)

    assert [block(64, 110), block(64, 720), block(64, 9_000), block(1024, 110)] == [8, 1, 1, 8]
    assert [block(3, 1), block(13, 110), block(16, 110), block(60, 110)] == [1, 1, 2, 6]
    assert block(67, 110) == 7, "of 70 members three are padding, of 72 in blocks of eight five"


@pytest.mark.parametrize(
    ("devices", "blocks", "expected"),
    [(1, 5, (1, 5)), (2, 5, (2, 3)), (4, 5, (3, 2)), (8, 5, (5, 1)), (4, 8, (4, 2))],
)
def test_no_more_devices_train_than_shorten_the_work(monkeypatch, devices, blocks, expected):
    monkeypatch.setattr(jax, "local_devices", lambda: [None] * devices)
    assert fleet.spread(blocks) == expected
    assert plan.size_of_all(3 * blocks - 1, 3) == 3 * expected[0] * expected[1]


def test_environments_networks_and_drawn_points(env):
    others = [env, probes.constant_reward()]
    points = pjs.search.random(PPOHypers(), 2, learning_rate=pjs.search.log_uniform(1e-4, 1e-2))
    small = lambda env: drawn(nets.actor_critic(env.observation, env.action, hidden=(4,)))  # noqa: E731
    networks = {"plain": network, "other": small}
    result = sweep(others, hypers=points, network=networks, steps=2 * STEPS, segments=1)
    assert result.curves.entropy.dims == ("environment", "network", "configuration", "seed", "step")
    assert result.curves.learning_rate.dims == ("configuration",)
    assert len(result.layout.groups) == 4
    policy = result.policy({"environment": others[1].name, "network": "other", "configuration": 1})
    assert policy.env.name == others[1].name
    counts = result.parameters
    assert counts.dims == ("environment", "network", "namespace")
    for name, made in networks.items():
        found = counts.sel(environment=env.name, network=name).to_series().to_dict()
        assert found | {"": sum(found.values())} == nets.parameter_count(made(env))


def test_groups_of_unequal_updates_share_one_axis_of_steps_and_have_one_program_each(env):
    """Whatever the segments, which are an update at least."""
    compiled, told = [], []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event) if "backend_compile" in event else None
    )
    config = [CONFIG, CONFIG._replace(num_envs=8)]
    result = sweep(env, config=config, steps=4 * STEPS, segments=20, on_segment=told.append)
    assert len(compiled) == 5, "init and train of each group, and a check of the environment"
    assert len(told) == 4 + 2
    assert result.curves.step.values.tolist() == [STEPS * i for i in (1, 2, 3, 4)]
    assert result.curves.num_envs.values.tolist() == [4, 8]
    assert np.isnan(result.curves.entropy.isel(config=1).sel(step=STEPS)).all()
    assert np.isfinite(result.curves.entropy.isel(config=1).sel(step=2 * STEPS)).all()


class Stop(Exception):
    pass


def stop_after(count):
    def told(progress):
        told.left -= 1
        if not told.left:
            raise Stop

    told.left = count
    return told


@pytest.mark.parametrize("count", [1, 2, 3])
def test_resuming_gives_the_bits_of_the_uninterrupted_sweep(env, whole, tmp_path, count):
    with pytest.raises(Stop):
        sweep(env, out=tmp_path / "x", on_segment=stop_after(count))
    resumed = sweep(env, resume=tmp_path / "x")
    assert_same(whole, resumed)


def test_rows_over_several_updates_go_on_with_the_same_bits(env, whole, tmp_path, monkeypatch):
    """Of six updates two rows, over four and two of them; then with those of an older folder."""
    with pytest.raises(Stop):
        sweep(env, out=tmp_path / "old", on_segment=stop_after(1))
    record = tmp_path / "old" / "sweep.json"
    old = files.read_json(record)
    del old["sizes"]["row"]
    files.write_json(record, old)
    monkeypatch.setattr(execute, "updates_per_row", lambda env, updates: 4)
    blocks, told = sweep(env), []
    with pytest.raises(Stop):
        sweep(env, out=tmp_path / "x", on_segment=stop_after(1))
    assert_same(blocks, sweep(env, resume=tmp_path / "x", on_segment=told.append))
    assert [(p.update, p.history["entropy"].shape) for p in told] == [(6, (6, 1))]
    ours, theirs = blocks.curves, whole.curves
    assert ours.step.values.tolist() == [4 * STEPS, 6 * STEPS]
    assert [one.attrs["updates_per_row"] for one in (ours, theirs)] == [4, 1]
    np.testing.assert_array_equal(ours.episodes.sum("step"), theirs.episodes.sum("step"))
    np.testing.assert_array_equal(ours.finished_once[..., -1], theirs.finished_once[..., -1])
    scores = [stats.final_score(*stats.curves(x)[1:], share=1.0) for x in (ours, theirs)]
    np.testing.assert_allclose(*scores, 1e-5)
    losses = theirs.value_loss.isel(step=slice(4)).mean("step")
    np.testing.assert_allclose(ours.value_loss[..., 0], losses, 1e-5)
    assert_same(whole, sweep(env, resume=tmp_path / "old"))


def test_members_by_blocks_go_on_with_the_same_bits(env, whole, tmp_path, monkeypatch):
    """They are those of blocks of one but for rounding, as a program of another shape has it."""
    alone = whole.curves
    monkeypatch.setattr(fleet, "block_size", lambda state_bytes, members: 2)
    whole = sweep(env, out=tmp_path / "whole")
    np.testing.assert_allclose(whole.curves.value_loss, alone.value_loss, rtol=1e-3)
    np.testing.assert_array_equal(whole.curves.episodes, alone.episodes)
    with pytest.raises(Stop):
        sweep(env, out=tmp_path / "x", on_segment=stop_after(2))
    monkeypatch.setattr(fleet, "block_size", lambda state_bytes, members: 3)
    plans = []
    resumed = sweep(env, resume=tmp_path / "x", announce=plans.append)
    assert plans[0].groups[0].program.block == 2 and plans[0].groups[0].chunk == 6
    assert_same(whole, resumed)
    sizes = json.loads((tmp_path / "x" / "sweep.json").read_text())["sizes"]
    assert sizes == {"chunk": [6], "block": [2], "length": [2], "row": [1]}


def test_as_many_devices_go_on_as_divide_the_blocks(monkeypatch):
    def devices(blocks):
        return [fleet._divisor(blocks, there) for there in (1, 2, 3, 4, 8)]

    assert [devices(4), devices(6)] == [[1, 2, 2, 4, 4], [1, 2, 3, 3, 6]]
    assert devices(7) == [1, 1, 1, 1, 7]


def test_two_processes_do_not_train_one_folder(env, whole, tmp_path):
    with pytest.raises(Stop):
        sweep(env, out=tmp_path / "x", on_segment=stop_after(2))
    with claimed(tmp_path / "x"), pytest.raises(ValueError, match="x is being trained by another"):
        sweep(env, resume=tmp_path / "x")
    assert_same(whole, sweep(env, resume=tmp_path / "x"))
    assert not list(tmp_path.glob(".*")), "what claims a folder is gone with the claim"


def test_control_c_finishes_the_segment_saves_and_stops(env, whole, tmp_path):
    def press(progress):
        if progress.update == 2:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="stopped at update"):
        sweep(env, out=tmp_path / "x", on_segment=press, checkpoint_every=100)
    told = []
    resumed = sweep(env, resume=tmp_path / "x", on_segment=told.append)
    assert [p.update for p in told] == [6], "what was computed before is not computed again"
    assert_same(whole, resumed)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_sweep_is_left_alone(env, whole, tmp_path):
    sweep(env, out=tmp_path / "x")
    before = (tmp_path / "x" / "curves.zarr" / "zarr.json").stat().st_mtime_ns
    said, told = [], []
    again = sweep(env, resume=tmp_path / "x", announce=said.append, on_segment=told.append)
    assert "is finished" in str(said[0]) and not told
    assert (tmp_path / "x" / "curves.zarr" / "zarr.json").stat().st_mtime_ns == before
    assert_same(whole, again)
    assert_same(whole, sweep(env, out=tmp_path / "x", on_segment=told.append))
    assert not told


def test_foreign_and_damaged_folders_are_refused_by_name(env, tmp_path):
    folder = tmp_path / "x"
    with pytest.raises(ValueError, match="holds no sweep"):
        sweep(env, resume=folder)
    with pytest.raises(Stop):
        sweep(env, out=folder, on_segment=stop_after(3))
    for changes, message in (
        ({"config": CONFIG._replace(epochs=2)}, "config.epochs is 1 there, 2 here"),
        ({"seeds": 4}, r"seeds is \[0, 1, 2\] there"),
        ({"steps": 7 * STEPS}, "x is another experiment: updates is 6 there, 7 here"),
        (
            {"hypers": pjs.search.grid(PPOHypers(), gamma=[0.9])},
            "gamma is missing there, .0.9. here",
        ),
        (
            {"hypers": pjs.search.grid(PPOHypers(clip_range=0.1), learning_rate=RATES)},
            "clip_range is 0.2",
        ),
        ({"network": None}, "parameters"),
        ({"env": probes.recall()}, "environment is .*delay.* there, .*recall.* here"),
    ):
        with pytest.raises(ValueError, match=message):
            sweep(**({"env": env, "resume": folder} | changes))
    chunk = folder / "group-000" / "chunk-000" / "checkpoints"
    meta = max(chunk.glob("*/meta/metadata"))
    content = json.loads(meta.read_text())
    content["update"] += 1
    original = meta.read_text()
    meta.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="meta/metadata is damaged"):
        sweep(env, resume=folder)
    meta.write_text(original[: len(original) // 2])
    with pytest.raises(ValueError, match="meta/metadata is damaged: it is no JSON text"):
        sweep(env, resume=folder)


def test_members_that_diverge_are_flagged_and_harm_nobody(env, whole):
    result = sweep(env, hypers=pjs.search.grid(PPOHypers(), learning_rate=[RATES[0], 1e38]))
    assert result.curves.diverged.values.tolist() == [[False] * 3, [True] * 3]
    np.testing.assert_array_equal(
        result.curves.value_loss.isel(learning_rate=0),
        whole.curves.value_loss.isel(learning_rate=0),
    )


def test_a_full_disk_loses_nothing(env, whole, tmp_path, monkeypatch):
    from purejaxrl_suite.sweeps.store import Chunk

    append = Chunk.append

    def full(self, start, *rest):
        if start >= 4:
            raise OSError(28, "No space left on device")
        append(self, start, *rest)

    monkeypatch.setattr(Chunk, "append", full)
    with pytest.raises(OSError, match="No space left"):
        sweep(env, out=tmp_path / "x")
    monkeypatch.undo()
    told = []
    resumed = sweep(env, resume=tmp_path / "x", on_segment=told.append)
    assert [p.update for p in told] == [6]
    assert_same(whole, resumed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segments": 0}, "segments: expected an integer of at least 1"),
        ({"checkpoint_every": 0}, "checkpoint_every: expected an integer of at least 1"),
        ({"memory": "lots"}, "memory: expected bytes such as '8GiB'"),
        ({"memory": "1 KiB"}, "does not fit: it needs .* the limit is 1e\\+03 B|does not fit"),
        (
            {"hypers": pjs.search.grid(PPOHypers(), gamma=[0.9, float("inf")])},
            "hypers.gamma: expected",
        ),
        ({"config": []}, "config: expected distinct Configs"),
        ({"config": [CONFIG, CONFIG]}, "config: expected distinct Configs"),
        ({"network": {}}, "network: expected a function"),
        ({"out": "a", "resume": "b"}, "out and resume: expected one of them"),
        ({"env": []}, "env: expected an Environment, such as"),
        (
            {"hypers": HYPERS, "config": pjs.search.grid(CONFIG, epochs=[1]), "seeds": 0},
            "seeds: expected a number",
        ),
    ],
)
def test_bad_input_is_refused(env, changes, message):
    with pytest.raises(ValueError, match=message):
        sweep(**({"env": env} | changes))


def test_environment_parameters_are_checked(cartpole):
    steps = pjs.search.grid(cartpole.params, max_steps_in_episode=[100, 200.5])
    with pytest.raises(
        ValueError, match="max_steps_in_episode: expected a value of type int32, got 200.5"
    ):
        sweep(cartpole, env_params=steps)
    with pytest.raises(
        ValueError,
        match="env_params: expected an EnvParams .* as 'Acrobot-v1' has, got",
    ):
        sweep(pjs.make("Acrobot-v1"), env_params=pjs.search.grid(cartpole.params, gravity=[9.8]))


def test_bytes_are_read_and_written():
    assert [parse_bytes(x) for x in ("8GiB", "1.5 MB", 4096, "10")] == [2**33, 3 * 2**19, 4096, 10]
    assert [describe_bytes(x) for x in (10, 2**20, 3 * 2**29)] == ["10 B", "1 MiB", "1.5 GiB"]
