"""Sweeps killed with SIGKILL go on to the same bits; `benchmarks.kill` tries more moments."""

from benchmarks.kill import kill_points


def test_killed_sweeps_end_like_the_untouched_one(tmp_path):
    found = kill_points(4, tmp_path, seed=7)
    assert found["kills"] >= 4
    assert found["equal"] == found["sweeps"] >= 1
