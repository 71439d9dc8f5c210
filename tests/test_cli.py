"""The command line, in process: what it prints, what it writes, how it fails."""

import ast
import json
import sys
from types import SimpleNamespace

import pytest

from purejaxrl_suite import cli
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo

TINY = "--config.num-envs 2 --config.rollout-length 8 --config.epochs 1 --config.minibatches 1"
TRAIN = f"train ppo --env CartPole-v1 --seeds 2 --steps 400 {TINY} --network.hidden 4"


def command(text):
    return cli.main(text.split())


def test_train_writes_a_run_folder_and_report_reads_it(tmp_path, capsys):
    out, figure = tmp_path / "run", tmp_path / "compared.png"
    assert command(f"{TRAIN} --base-seed 5 --hypers.learning-rate 0.01 --out {out}") == 0
    assert "2 seeds x 400 steps" in capsys.readouterr().out
    record = json.loads((out / "config.json").read_text())
    assert record["agent"] == "ppo" and record["env"] == "CartPole-v1" and record["base_seed"] == 5
    assert record["hypers"] == {**PPOHypers()._asdict(), "learning_rate": 0.01}
    assert record["config"]["rollout_length"] == 8 and record["network"]["hidden"] == [4]
    assert record["versions"]["jax"] and record["device"]
    assert (out / "figures" / "learning_curve.png").stat().st_size > 1000
    assert command(f"report {out} --figure {figure} --metric entropy") == 0
    assert "run" in capsys.readouterr().out and figure.exists()

    assert command(f"{TRAIN} --out {out}") == 2
    assert "not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learn", "unknown command 'learn'"),
        ("train", "expected an agent"),
        ("train a3c --env CartPole-v1", "'a3c'"),
        ("train ppo --env CartPole-v7", "CartPole-v1"),
        ("train ppo --env CartPole-v1 --options 3", "NAME=VALUE"),
        ("train ppo --env CartPole-v1 --steps 1", "less than one update"),
        ("envs CartPool", "CartPole-v1"),
        ("report", "expected run folders"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(text, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(text) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("purejaxrl-suite: ") and message in last
    assert not list(tmp_path.iterdir())


def test_every_field_is_a_flag_with_its_docstring(capsys):
    with pytest.raises(SystemExit) as stop:
        command("train ppo --help")
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for group, fields in (("config", PPOConfig), ("hypers", PPOHypers)):
        for name in fields._fields:
            assert f"--{group}.{name.replace('_', '-')}" in text
    assert "discount per step" in text


def test_a_preset_moves_the_defaults_and_flags_move_the_preset(monkeypatch):
    preset = SimpleNamespace(
        builder=ppo, config=PPOConfig(num_envs=7), hypers=PPOHypers(gamma=0.5), network=None
    )
    presets = SimpleNamespace(PRESETS={"small": preset})
    monkeypatch.setitem(sys.modules, "purejaxrl_suite.presets", presets)
    seen = []
    monkeypatch.setattr(cli, "_run", lambda agent, env, options: seen.append(agent))
    monkeypatch.setattr(cli, "_write", lambda *_: None)
    arguments = "train ppo --preset small --env CartPole-v1 --hypers.gae-lambda 0.25"
    assert command(arguments + " --config.minibatches 2") == 0
    (agent,) = seen
    assert agent.num_envs == 7
    assert (agent.hypers.gamma, agent.hypers.gae_lambda) == (0.5, 0.25)
    assert command("train ppo --preset big --env CartPole-v1") == 2


def test_envs_lists_what_matches(capsys):
    assert command("envs cartpole") == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "CartPole-v1" in line)
    assert "4" in row and "Discrete(2)" in row and "500" in row


@pytest.mark.parametrize("agent", ["ppo", "pqn"])
def test_show_inlines_the_formulas(agent, capsys):
    assert command(f"show {agent}") == 0
    tree = ast.parse(capsys.readouterr().out)
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not any(module.startswith("purejaxrl_suite.ops") for module in imported)
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert agent in defined
    assert {"ppo": "gae", "pqn": "lambda_returns"}[agent] in defined


def test_version_and_help(capsys):
    assert command("--version") == 0
    assert capsys.readouterr().out.startswith("purejaxrl-suite 0.")
    assert cli.main([]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in cli.COMMANDS)
