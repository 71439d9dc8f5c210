"""Sweeps on the command line, from a plan to a resumed and finished one."""

import errno
import json

import numpy as np
import pytest

from purejaxrl_suite.cli.experiment import Sweep, lay_out
from purejaxrl_suite.cli.flags import parse
from purejaxrl_suite.sweeps import curves, display, files, store
from tests.shared import command, press_ctrl_c

TINY = "--config.num-envs 2 --config.rollout-length 16 --config.epochs 1 --config.minibatches 1"
ARGUMENTS = (
    f"ppo --env CartPole-v1 --seeds 2 --steps 128 --segments 4 --grid learning_rate=1e-3,1e30 "
    f"{TINY} --network.hidden 4 --memory 8GiB"
)


pytestmark = pytest.mark.usefixtures("programs")


def test_a_sweep_is_stopped_looked_at_resumed_and_finished(tmp_path, capsys, monkeypatch):
    out = tmp_path / "x"
    with monkeypatch.context() as patch:
        patch.setattr(display, "describe", press_ctrl_c)
        assert command(f"sweep {ARGUMENTS} --out {out}") == 130
    said = capsys.readouterr()
    assert "compiling ppo on CartPole-v1" in said.err and "4 members = 1 groups" in said.err
    assert "update 1 of 4; everything is saved" in said.err
    assert f"`purejaxrl-suite resume {out}`" in said.err
    record = json.loads((out / "config.json").read_text())
    assert record["record"]["traced axes"] == {"learning_rate": [1e-3, 1e30]}
    assert record["record"]["groups"][0]["config"]["num_envs"] == 2

    assert command(f"sweep {ARGUMENTS} --hypers.gamma 0.9 --out {out}") == 2
    assert "is another experiment: " in capsys.readouterr().err
    assert command(f"report {out}") == 0
    assert "is not finished: 25% of it is trained" in capsys.readouterr().out
    assert (out / "figures" / "learning_curve.png").exists()
    page = (out / "report.html").read_text()
    assert "25% of it is trained" in page and "4 members = 1 groups" in page

    assert command(f"sweep {ARGUMENTS} --out {out}") == 0
    said = capsys.readouterr()
    assert "2/2" in said.out and "100%" in said.err and "50%" in said.err
    assert (out / "figures" / "sensitivity.png").exists()
    found = curves.read(out / "curves.zarr")
    assert dict(found.sizes) == {"learning_rate": 2, "seed": 2, "step": 4}
    assert found.diverged.sum("seed").values.tolist() == [0, 2]

    assert command(f"resume {out}") == 0
    assert "is finished: nothing is left to train" in capsys.readouterr().err
    assert command(f"report {out} --metric entropy") == 0
    assert "learning_rate" in capsys.readouterr().out
    assert (out / "figures" / "sensitivity_entropy.png").exists()

    assert command(f"render {out} --config learning_rate=1e-3 --seeds 1 --steps 2") == 0
    assert "learning_rate=0.001 on CartPole-v1, returns 2" in capsys.readouterr().out
    assert command(f"render {out} --config gamma=0.9") == 2
    assert "expected NAME=VALUE of environment, learning_rate" in capsys.readouterr().err
    assert command(f"render {out} --config learning_rate=2") == 2
    assert "was trained at 0.001, 1e+30, not at 2" in capsys.readouterr().err


def test_plan_runs_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(f"plan {ARGUMENTS}") == 0
    text = capsys.readouterr().out
    assert "2 configurations x 2 seeds" in text and "limit 8 GiB" in text and "parameters" in text
    assert not list(tmp_path.iterdir())


def test_a_full_disk_loses_nothing_that_was_saved(tmp_path, capsys, monkeypatch):
    append = store.Chunk.append

    def fail_later(chunk, start, *rest):
        if start >= 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(chunk, start, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(store.Chunk, "append", fail_later)
        assert command(f"sweep {ARGUMENTS} --out {tmp_path / 'x'}") == 1
    text = capsys.readouterr().err
    assert "No space left on device" in text and "Traceback" not in text
    assert "Nothing of what they hold is lost. Once the disk has free space" in text
    assert f"`purejaxrl-suite resume {tmp_path / 'x'}`" in text
    assert command(f"resume {tmp_path / 'x'}") == 0
    assert "75%" in capsys.readouterr().err


def test_groups_and_members():
    words = (
        "ppo --env CartPole-v1 Acrobot-v1 --grid num_envs=2,4 gamma=0.9,0.99 learning_rate=1,2,3 "
        "--seeds 5 --base-seed 7 --steps 1e4 --hypers.clip-range 0.3 --preset purejaxrl-cartpole"
    )
    laid = lay_out(parse("sweep", Sweep, words.split()))
    assert [group.env.name for group in laid.groups] == ["CartPole-v1"] * 2 + ["Acrobot-v1"] * 2
    assert [group.agent.num_envs for group in laid.groups] == [2, 4, 2, 4]
    assert laid.configurations == 6 and laid.seeds == (7, 8, 9, 10, 11)
    np.testing.assert_allclose(laid.groups[0].members.hypers.clip_range, 0.3, rtol=1e-6)


def test_environment_parameters():
    words = "ppo --env CartPole-v1 --sample 4 env.gravity=5:15 --seeds 3 --steps 1e4"
    (group,) = lay_out(parse("sweep", Sweep, words.split())).groups
    assert group.env_params.gravity.shape == (12,)
    with pytest.raises(ValueError, match="CartPole-v1 and Acrobot-v1 differ"):
        lay_out(parse("sweep", Sweep, words.replace("-v1", "-v1 Acrobot-v1").split()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sweep", "expected an agent"),
        ("sweep ppo --env CartPole-v1 --grid gama=1", "'gama' is nothing"),
        ("sweep ppo --env CartPole-v7", "CartPole-v1"),
        ("sweep ppo --env CartPole-v1 --steps 1", "steps: expected a finite number of at least"),
        ("sweep ppo --env CartPole-v1 --memory much", "memory: expected bytes"),
        ("sweep ppo --env CartPole-v1 --segments 0", "segments: expected"),
        ("sweep ppo --env CartPole-v1 --seeds 0", "seeds: expected"),
        ("resume nowhere", "there is no such folder"),
        ("report nowhere", "expected run folders"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(text, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(text) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("purejaxrl-suite: ") and message in last
    assert not list(tmp_path.iterdir())


def test_a_folder_in_which_nothing_was_trained_yet(tmp_path, capsys):
    """Killed between the two records: the first tells what to do."""
    record = {"command": ["purejaxrl-suite", "sweep", *ARGUMENTS.split()]}
    files.write_json(tmp_path / "config.json", record)
    assert command(f"report {tmp_path}") == 2
    assert command(f"resume {tmp_path}") == 0
    assert "95 % interval" in capsys.readouterr().out
