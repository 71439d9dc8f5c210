"""The same sweep on one device, on several, and in two processes: no bit is another."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray

from tests.sweeps.worker import train

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "jax"


def start(*arguments, devices=1):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(CACHE),
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}",
    }
    command = [sys.executable, "-m", "tests.sweeps.worker", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, cwd=ROOT, **pipes)


def finish(process):
    """[devices of the process, members at once, chunks]."""
    out, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-3000:]
    return [int(word) for word in out.split()[-3:]]


def curves(folder):
    return xarray.open_zarr(folder / "curves.zarr", consolidated=False).load()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "x"
    assert train(str(folder)) == [1, 10, 1]
    return curves(folder)


def assert_same(found, expected):
    for name in expected.data_vars:
        if name != "steps_per_second":
            np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize(("devices", "chunk"), [(3, 12), (8, 10)])
def test_members_are_split_over_devices_that_do_not_divide_them(alone, tmp_path, devices, chunk):
    """On three devices four members each, two of which are padding; on eight five have two each."""
    assert finish(start(tmp_path / "x", devices=devices)) == [devices, chunk, 1]
    assert_same(curves(tmp_path / "x"), alone)


def test_two_processes_share_a_sweep(alone, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    processes = [start(tmp_path / "x", port, number) for number in (0, 1)]
    assert [finish(process) for process in processes] == [[1, 5, 2]] * 2
    assert_same(curves(tmp_path / "x"), alone)
