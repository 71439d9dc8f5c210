"""Runs that end at a write go on to the same bits; `benchmarks.kill` tries hundreds of writes."""

import random

import pytest

from benchmarks import kill

pytestmark = pytest.mark.usefixtures("programs")


@pytest.mark.parametrize(
    "job",
    ["train", *(pytest.param(job, marks=pytest.mark.slow) for job in ("overwrite", "population"))],
)
def test_a_run_that_ends_at_a_write(job, tmp_path):
    points = kill.job_points(job, tmp_path, count=3, killed=0, draw=random.Random(7))
    assert [point.found for point in points] == ["equal"] * 3


@pytest.mark.slow
def test_a_process_that_is_killed(tmp_path):
    points = kill.job_points("sweep", tmp_path, count=3, killed=2, draw=random.Random(7))
    assert [point.found for point in points] == ["equal"] * 5


def test_points_are_of_every_kind_first():
    kinds = ["a", "b", "b", "a", "c", "b"]
    assert sorted(kill.chosen(kinds, 3, random.Random(0))) == [0, 1, 4]
    assert sorted(kill.chosen(kinds, 99, random.Random(0))) == list(range(6))
