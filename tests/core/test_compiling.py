"""What is compiled is kept for the next process, and a CPU is as many devices as it has cores."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.core import compiling

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_enable_compilation_cache",
)


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """The settings of the tests, which have a cache of their own."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    for name in SETTINGS:
        monkeypatch.delenv(name.upper(), raising=False)
    yield before
    for name, value in before.items():
        jax.config.update(name, value)


def known():
    return [getattr(jax.config, name) for name in SETTINGS[:3]]


def test_a_folder_that_was_chosen_is_left_alone(restored):
    assert compiling.use_compilation_cache() == Path(restored[SETTINGS[0]])
    assert known() == [restored[name] for name in SETTINGS[:3]]


def test_the_folder_is_the_users_and_bounded(monkeypatch, tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "purejaxrl_suite" / "jax"
    assert compiling.use_compilation_cache() == folder and folder.is_dir()
    assert known() == [str(folder), compiling.LARGEST, compiling.SHORTEST]


def test_settings_of_the_environment_are_kept(monkeypatch, tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_compilation_cache_max_size", 10**6)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_MAX_SIZE", "1000000")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compiling.use_compilation_cache() is not None
    assert known()[1] == 10**6


@pytest.mark.parametrize("off", [True, False])
def test_there_is_none_if_it_is_off_or_nothing_can_be_written(monkeypatch, tmp_path, off):
    file = tmp_path / "file"
    file.touch()
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_enable_compilation_cache", not off)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path if off else file))
    assert compiling.use_compilation_cache() is None
    assert jax.config.jax_compilation_cache_dir is None and len(list(tmp_path.iterdir())) == 1


def test_devices_that_were_chosen_are_left_alone(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x --xla_force_host_platform_device_count=3")
    assert compiling.use_cores() == 3


@pytest.mark.parametrize(
    ("count", "message"), [(0, "count: expected an integer of at least 1"), (2, "before JAX is")]
)
def test_devices_that_cannot_be_made_are_refused(count, message):
    jax.devices()
    with pytest.raises(ValueError, match=message):
        compiling.use_cores(count)


@pytest.mark.parametrize(("text", "cores"), [("150000 100000", 2), ("max 100000", 2**31)])
def test_a_quota_of_a_container_is_rounded_up(tmp_path, text, cores):
    (tmp_path / "cpu.max").write_text(text)
    assert compiling._quota(tmp_path / "cpu.max") == cores
    assert compiling._quota(tmp_path / "missing") == 2**31


@compiling.quickly("axis")
def means(x, scale=1.0, axis=None):
    x = jnp.asarray(x, jnp.float32)
    if x.ndim == 0:
        raise ValueError("x: expected an axis")
    return scale * jnp.sum(jnp.square(x), axis) / x.size


def test_a_quick_function_is_one_program_and_may_be_traced():
    known = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: known.append(event) if "backend_compile" in event else None
    )
    assert float(means([1.0, 2.0, 3.0, 4.0])) == 7.5 and len(known) == 1
    np.testing.assert_array_equal(means(np.ones((4, 8)), axis=0), np.full(8, 0.125))
    assert len(known) == 2
    np.testing.assert_array_equal(means(x=jnp.ones((4, 8)), axis=0, scale=8.0), np.ones(8))
    found = jax.jit(jax.vmap(lambda x: means(x, 3.0)))(jnp.ones((2, 4)))
    np.testing.assert_array_equal(found, [3.0, 3.0])
    with pytest.raises(ValueError, match="x: expected an axis"):
        means(1.0)


TRAIN = """
import json, sys
import jax
import purejaxrl_suite as pjs
from purejaxrl_suite import nets
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
cores = pjs.use_cores(int(sys.argv[1]))
env = pjs.make("CartPole-v1")
config = pjs.DQNConfig(batch_size=8, capacity=64)
network = nets.q_network(env.observation, env.action, hidden=(8,), layer_norm=False)
agent = pjs.dqn(env, config, network, pjs.DQNHypers(min_history=16.0))
found = pjs.run(agent, env, seeds=3, steps=400, segments=1, progress=False)
count = lambda name: sum(event.endswith(name) for event in events)
values = {name: x.values.tobytes().hex() for name, x in found.curves.items() if x.ndim == 2}
told = [len(jax.devices()), cores, count("/cache_hits"), count("/cache_misses")]
print(json.dumps([told, values]))
"""


def train(devices, home):
    hidden = ("XLA_FLAGS", *(name.upper() for name in SETTINGS))
    kept = {name: x for name, x in os.environ.items() if name not in hidden}
    command = [sys.executable, "-c", TRAIN, str(devices)]
    every = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    environment = kept | every | {"XDG_CACHE_HOME": str(home)}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_next_process_compiles_nothing_and_every_core_is_a_device(tmp_path):
    first, values = train(1, tmp_path)
    again, same = train(1, tmp_path)
    assert first[2] == 0 and first[3] >= 3, "init, training, and a check of the environment"
    assert again == [1, 1, first[3], 0] and same == values
    assert train(3, tmp_path)[0][:2] == [3, 3]
