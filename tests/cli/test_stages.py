"""Stages that users wrote, trained, stopped and resumed by the command line."""

import sys

import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite.sweeps import display
from tests.shared import command, press_ctrl_c

WRITTEN = """
import purejaxrl_suite as pjs
from purejaxrl_suite import nets

env = pjs.make("CartPole-v1")
small = pjs.PQNConfig(num_envs=2, rollout_length=8, epochs=1, minibatches=1)
network = lambda env: nets.q_network(env.observation, env.action, hidden=(4,))
one = pjs.Experiment(pjs.pqn, env, seeds=2, steps=64, config=small, network=network)


def go_on(key, before, fresh):
    return fresh._replace(agent=fresh.agent._replace(learner=before.agent.learner))


PARTS = [pjs.Stage("first", one), pjs.Stage("second", one, go_on)]


def made():
    return PARTS
"""


@pytest.mark.usefixtures("programs")
def test_stages_are_stopped_and_go_on(tmp_path, capsys, monkeypatch):
    (tmp_path / "curriculum.py").write_text(WRITTEN)
    monkeypatch.syspath_prepend(tmp_path)
    out = tmp_path / "run"
    words = f"stages curriculum:PARTS --out {out} --segments 2"
    with monkeypatch.context() as patch:
        patch.setattr(display, "describe", press_ctrl_c)
        assert command(words) == 130
    said = capsys.readouterr().err
    assert f"`purejaxrl-suite {words}` goes on" in said
    assert command(words.replace("PARTS", "made")) == 0
    said = capsys.readouterr().out
    assert "Stage first" in said and "Stage second" in said and f"Written to {out}" in said
    assert (out / "figures" / "learning_curve.png").exists()
    known = sys.modules["curriculum"]
    whole = pjs.stages(*known.PARTS, segments=2, progress=False)
    found = pjs.load(out / "second", network=known.network, announce=lambda text: None).curves
    assert found.episode_return.equals(whole["second"].curves.episode_return)
    assert command(f"stages curriculum:PARTS --out {out / 'first'}") == 2
    assert "is of a run: expected a folder for stages" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("nowhere", "stages: expected package.module:function, got 'nowhere'"),
        ("curriculum:none", "curriculum has no none"),
        ("curriculum:one", "stages: curriculum:one: expected a list of Stage"),
    ],
)
def test_what_is_no_list_of_stages_is_refused(word, message, tmp_path, capsys, monkeypatch):
    (tmp_path / "curriculum.py").write_text(WRITTEN)
    monkeypatch.syspath_prepend(tmp_path)
    assert command(f"stages {word} --out {tmp_path / 'run'}") == 2
    assert message in capsys.readouterr().err
