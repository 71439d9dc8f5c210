"""What `out`, `resume` and `overwrite` mean for a folder, and signals that ask for an end."""

import os
import signal

import pytest

from purejaxrl_suite.cli.arguments import told
from purejaxrl_suite.cli.ends import training
from purejaxrl_suite.sweeps import files
from purejaxrl_suite.sweeps.folder import Entered, How, begin, choose, enter, settle
from purejaxrl_suite.sweeps.interrupt import Interrupted, Stopped, interruptible
from purejaxrl_suite.sweeps.store import Sweep, claimed

SIZES = {"chunk": [3], "row": [1]}
OVERWRITE = How(overwrite=True)


@pytest.fixture
def sweep(tmp_path):
    """A run that has begun, with the identity {"steps": 1}."""
    made = Sweep(tmp_path / "x")
    begin(made, {"steps": 1}, SIZES, {"command": ["old"]}, replaces=False)
    (made.path / "group-000").mkdir()
    return made


def test_a_new_folder_and_one_that_goes_on(sweep, tmp_path):
    assert enter(Sweep(tmp_path / "new"), {"steps": 1}, How()) == Entered(None)
    assert not (tmp_path / "new").exists()
    assert enter(sweep, {"steps": 1}, How()) == Entered(SIZES)
    assert enter(sweep, {"steps": 1}, How(resuming=True)) == Entered(SIZES)
    with pytest.raises(ValueError, match="another experiment: steps is 1 there, 2 here"):
        enter(sweep, {"steps": 2}, How())
    with pytest.raises(ValueError, match="new holds no sweep"):
        enter(Sweep(tmp_path / "new"), {"steps": 1}, How(resuming=True))
    with pytest.raises(ValueError, match="out and resume: expected one of them"):
        choose("a", "b")


def test_what_is_overwritten_and_what_goes_on(sweep):
    assert enter(sweep, {"steps": 1}, OVERWRITE) == Entered(SIZES), "stopped: it goes on"
    assert enter(sweep, {"steps": 2}, OVERWRITE) == Entered(None, replaces=True)
    assert (sweep.path / "group-000").exists(), "nothing is touched before the new one begins"
    (sweep.path / "curves.zarr").mkdir()
    assert enter(sweep, {"steps": 1}, OVERWRITE) == Entered(None, replaces=True), "finished"
    begin(sweep, {"steps": 2}, SIZES, {"command": ["new"]}, replaces=True)
    assert sorted(path.name for path in sweep.path.iterdir()) == ["config.json", "sweep.json"]
    assert files.read_json(sweep.path / "config.json")["command"] == ["new"]
    assert [path.name for path in sweep.path.parent.iterdir()] == ["x"], "nothing is left beside"
    assert enter(sweep, {"steps": 2}, OVERWRITE) == Entered(SIZES)


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"identity": 1}'])
def test_a_damaged_run_can_be_replaced(sweep, damage):
    (sweep.path / "sweep.json").write_bytes(damage)
    with pytest.raises(ValueError, match="sweep.json is damaged"):
        enter(sweep, {"steps": 1}, How())
    assert enter(sweep, {"steps": 1}, OVERWRITE).replaces


def test_killed_between_the_two_renames(sweep):
    os.replace(sweep.path, files._aside(sweep.path))
    settle(sweep.path)
    assert enter(sweep, {"steps": 1}, How()) == Entered(SIZES)


def test_what_no_run_has_written_stays(sweep, tmp_path):
    (sweep.path / "notes.txt").touch()
    with pytest.raises(ValueError, match="holds notes.txt, which no run has written"):
        enter(sweep, {"steps": 2}, OVERWRITE)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "data.csv").touch()
    for how in (How(), OVERWRITE):
        with pytest.raises(ValueError, match="is not empty and holds no run|data.csv"):
            enter(Sweep(tmp_path / "other"), {"steps": 1}, how)
    with pytest.raises(ValueError, match="data.csv is a file: expected a folder"):
        enter(Sweep(tmp_path / "other" / "data.csv"), {"steps": 1}, How())
    with pytest.raises(ValueError, match="expected a folder to write to, got .*data.csv"):
        enter(Sweep(tmp_path / "other" / "data.csv" / "x"), {"steps": 1}, How())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_is_remembered_the_second_obeyed(number, code, tmp_path, capsys):
    before = signal.getsignal(number)
    with interruptible() as stop:
        assert stop() == 0
        signal.raise_signal(number)
        assert stop() == number
        with pytest.raises(Stopped) as second:
            signal.raise_signal(number)
    assert signal.getsignal(number) is before
    out = tmp_path / "my run"
    for stop, text in {
        Interrupted("stopped at 1 of 2", number): "stopped at 1 of 2; everything is saved",
        second.value: "stopped at once; what checkpoints hold",
    }.items():
        with training(out, told("resume", out)) as ended:
            ended.announce("a plan")
            raise stop
        assert ended.code == code
        said = capsys.readouterr().err
        assert text in said and f"resume '{out}'` goes" in said


def test_a_reader_takes_nothing_back_while_a_process_replaces_it(sweep):
    aside = files._aside(sweep.path)
    os.replace(sweep.path, aside)  # between the two renames of `replace_folder`
    with claimed(sweep.path):
        settle(sweep.path)
        assert aside.exists() and not sweep.path.exists()
    settle(sweep.path)
    assert sweep.path.exists() and not aside.exists()
