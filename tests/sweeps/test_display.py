"""Progress for people: where it is shown, that it can be turned off, and that it stops nothing."""

import io
import logging
import os
import re

import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.envs import probes
from purejaxrl_suite.sweeps import display
from purejaxrl_suite.sweeps.settings import Progress
from purejaxrl_suite.sweeps.store import Chunk
from tests.shared import compiled_once

CONFIG = PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
ENV = probes.delayed_reward()


def network(env):
    return nets.actor_critic(env.observation, env.action, hidden=(8,))


@pytest.fixture(scope="module", autouse=True)
def programs():
    with compiled_once():
        yield


def sweep(**watching):
    """Three segments; returns the curves."""
    how = {"config": CONFIG, "network": network, "seeds": 2, "steps": 96, "segments": 3}
    return pjs.sweep(ppo, ENV, **how, **watching).curves


@pytest.fixture(scope="module")
def whole():
    return sweep(progress=False)


def test_a_line_per_segment_where_there_is_no_terminal(capsys):
    told, plans = [], []
    sweep(announce=plans.append, on_segment=told.append)
    said = capsys.readouterr()
    assert said.out == ""
    name = f"ppo on {ENV.name}"
    lines = [line for line in said.err.splitlines() if not re.fullmatch(r"  [\d.]+ s", line)]
    assert lines[0] == f"compiling {name} ..."
    assert lines[1:-3] == str(plans[0]).splitlines()
    for share, line in zip(("33%", "67%", "100%"), lines[-3:], strict=True):
        assert line.startswith(f"{name}: {share}, ") and line.endswith(" left")
    assert [progress.update for progress in told] == [1, 2, 3]


def test_nothing_is_shown_where_nothing_is_asked_for(capsys):
    told, plans = [], []
    sweep(progress=False, announce=plans.append, on_segment=told.append)
    assert capsys.readouterr() == ("", "")
    assert len(told) == 3 and len(plans) == 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_in_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    sweep(on_segment=lambda progress: print("mine"))
    said = terminal.getvalue()
    for text in ("preparing ppo on", "compiling ppo on", "2 members = 1 groups", "67%", "100%"):
        assert text in said
    assert said.endswith("\x1b[?25h"), "the cursor is back"
    assert capsys.readouterr().out == "mine\n" * 3


def broken_pipe():
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w", buffering=1)


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


class Gone(Terminal):
    """A terminal that was closed."""

    def write(self, text):
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [broken_pipe, closed, Gone, lambda: None])
def test_training_goes_on_where_nobody_listens(stream, whole, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    told = []
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stream := stream())
        found = sweep(on_segment=told.append)
    assert len(told) == 3 and found.episode_return.identical(whole.episode_return)
    if isinstance(stream, io.TextIOWrapper):
        with pytest.raises(BrokenPipeError):
            stream.close()


def test_a_mistake_of_the_display_is_logged_and_training_goes_on(monkeypatch, caplog, capsys):
    def fail(*_):
        raise RuntimeError("no text")

    monkeypatch.setattr(display, "describe", fail)
    told = []
    sweep(on_segment=told.append)
    assert len(told) == 3 and "33%" not in capsys.readouterr().err
    (record,) = caplog.records
    assert record.getMessage() == "progress is no longer shown"


def test_what_users_do_on_a_segment_is_theirs(capsys):
    def fail(progress):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        sweep(on_segment=fail)
    assert "33%" in capsys.readouterr().err


def test_a_line_says_where_training_stands_and_how_good_it_is():
    episodes = np.array([[2, 0, 1]] * 8 + [[0, 0, 0]], np.float32)
    returns = np.where(episodes > 0, np.arange(27, dtype=np.float32).reshape(9, 3), np.nan)
    rows = {"episode_return": returns, "episodes": episodes}
    place = {"group": 0, "groups": 2, "chunk": 2, "chunks": 4, "update": 1, "updates": 2}
    speed = {"step": 1, "steps": 2, "done": 0.1, "seconds": 1.0, "steps_per_second": 1234567.0}
    progress = Progress(**place, **speed, left=130.4, diverged=0, history=rows)
    # Member i has (2 * 3i + 3i + 2) / 3 = 3i + 2/3; of eight, two are cut at each end.
    assert display.describe(progress, 3) == (
        "group 1/2, chunk 3/4, 1,234,567 steps/s, IQM 11.17, 3 diverged, 0:02:10 left"
    )
    none = {name: x[8:] for name, x in rows.items()}
    alone = progress._replace(history=none, groups=1, chunks=1)
    assert display.describe(alone, 0) == "1,234,567 steps/s, IQM nan, 0:02:10 left"


def test_orbax_tells_warnings_and_errors_only(tmp_path, caplog, monkeypatch):
    """Not that it waited for the checkpoint before; all where its logger is given a level."""
    import absl.logging
    from orbax.checkpoint import CheckpointManagerOptions, checkpoint_manager

    monkeypatch.setattr(checkpoint_manager, "_WAIT_FOR_PREV_SAVE_WARNING_THRESHOLD_SECS", -1.0)
    caplog.set_level(logging.INFO)
    chunk = Chunk(tmp_path / "chunk", of=lambda: "x")
    for update in (1, 2):
        chunk.save(update, {"x": np.ones(2, np.float32)})
    absl.logging.info("of somebody else")
    CheckpointManagerOptions(read_only=True)
    first, second, *_ = told = [record.getMessage() for record in caplog.records]
    assert first == "of somebody else" and "read_only" in second
    assert {record.levelname for record in caplog.records[1:]} == {"WARNING"}
    caplog.set_level(logging.INFO, "absl")
    chunk.close()
    assert any("wait_until_finished" in x.getMessage() for x in caplog.records[len(told) :])
