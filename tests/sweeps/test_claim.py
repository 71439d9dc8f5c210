"""A folder is one process's, from the first question to the last write."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from purejaxrl_suite.sweeps.curves import read
from purejaxrl_suite.sweeps.store import claimed
from tests.sweeps import race

ROOT = Path(__file__).resolve().parents[2]


def start(folder, go):
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "jax"),
    }
    command = [sys.executable, "-m", "tests.sweeps.race", str(folder), str(go)]
    how = {"env": environment, "cwd": ROOT, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **how)


def test_of_two_processes_at_once_one_trains_and_the_other_says_why_not(tmp_path):
    folder, go = tmp_path / "runs" / "x", tmp_path / "go"
    both = [start(folder, go), start(folder, go)]
    deadline = time.monotonic() + 300
    while all(one.poll() is None for one in both) and time.monotonic() < deadline:
        time.sleep(0.05)
    (loser,) = [one for one in both if one.poll() is not None]
    (winner,) = [one for one in both if one is not loser]
    assert loser.returncode == 1
    assert loser.communicate()[1] == f"{folder.resolve()} is being trained by another process\n"
    go.touch()
    said = winner.communicate(timeout=300)[1]
    assert winner.returncode == 0, said[-2000:]
    race.main(str(tmp_path / "alone"), str(go))
    ours, expected = (read(path / "curves.zarr") for path in (folder, tmp_path / "alone"))
    np.testing.assert_array_equal(ours.value_loss, expected.value_loss)
    assert [path.name for path in folder.parent.iterdir()] == ["x"]


def test_a_claim_ends_with_its_process_however_that_ends(tmp_path):
    hold = (
        "import sys, time; from pathlib import Path\n"
        "from purejaxrl_suite.sweeps.store import claimed\n"
        "with claimed(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(600)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", hold, str(tmp_path / "x")]
    other = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match="x is being trained by another"), claimed(tmp_path / "x"):
        pass
    other.send_signal(signal.SIGKILL)
    other.communicate()
    with claimed(tmp_path / "x"), claimed(tmp_path / "y"), claimed(None):
        assert not (tmp_path / "x").exists(), "a claim lies beside the folder"
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(ValueError, match="expected a folder to write to, got .*/file/x"),
        claimed(tmp_path / "file" / "x"),
    ):
        pass


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no such place")
def test_a_place_where_no_lock_can_be_made_is_nobodys():
    match = "^expected a folder to write to, got /proc/x: No such file or directory$"
    with pytest.raises(ValueError, match=match), claimed(Path("/proc/x")):
        pass
