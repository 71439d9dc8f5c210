"""Damaged files and full disks: a small part of `benchmarks.damage` and `benchmarks.disk_full`."""

import pytest

from benchmarks import damage, disk_full, kill


@pytest.fixture(autouse=True)
def programs():
    """Compile nothing twice."""
    with kill.shared_programs():
        yield


@pytest.mark.slow
def test_no_damage_to_any_kind_of_file_changes_a_number_silently(tmp_path):
    for case in damage.make_cases(tmp_path):
        rows = list(damage.run_case(case, each=3, few=1, seed=1))
        wrong = [row for row in rows if row["outcome"] not in ("unchanged", "named")]
        assert wrong == [] and any(row["outcome"] == "named" for row in rows)


@pytest.mark.slow
def test_a_full_disk_loses_nothing_at_any_size(tmp_path):
    try:
        with disk_full.disk(tmp_path / "disk") as disk:
            rows = disk_full.fill(4, disk)
    except PermissionError:
        pytest.skip("only root may mount a disk")
    assert all(row["equal"] and disk_full.clear(row["error"]) for row in rows)
    assert any(row["error"] for row in rows)
