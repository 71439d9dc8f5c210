"""The command line, in process: what it prints, what it writes, how it fails."""

import ast
import io
import json
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image

import purejaxrl_suite as pjs
from purejaxrl_suite import cli
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.cli.bridges import bridges
from purejaxrl_suite.cli.experiment import Sweep, Train, lay_out
from purejaxrl_suite.cli.flags import parse
from purejaxrl_suite.cli.folder import default
from purejaxrl_suite.envs import make
from tests.contract.agents import source_of
from tests.shared import command

TINY = "--config.num-envs 2 --config.rollout-length 8 --config.epochs 1 --config.minibatches 1"
TRAIN = f"train ppo --env CartPole-v1 --seeds 2 --steps 400 {TINY} --network.hidden 4"


def test_without_a_name_other_settings_have_another_folder():
    def folder_of(words):
        return default(parse("train", Train, ["ppo", "--env", "CartPole-v1", *words.split()]))

    plain = folder_of("")
    assert str(plain.parent) == "runs" and len(plain.name) == len("ppo-CartPole-v1-12345678")
    same = "--memory 1GiB", "--segments 3", "--overwrite", "--accept-changes", "--out x"
    assert {folder_of(words) for words in same} == {plain}
    others = (
        "--seeds 3",
        "--steps 2e6",
        "--hypers.gamma 0.5",
        "--network.hidden 4",
        "--reset-pool 0",
    )
    assert len({plain, *map(folder_of, others)}) == 1 + len(others)
    both = {default(parse("sweep", Sweep, f"ppo --env CartPole-v1 --grid {grid}".split()), "sweep")
            for grid in ("gamma=0.9,0.99", "gamma=0.9,0.98")}  # fmt: skip
    assert len(both) == 2 and all(path.name.startswith("sweep-ppo-CartPole-v1-") for path in both)


def test_an_offline_agent_is_told_its_data_set(tmp_path, capsys):
    env = make("Pendulum-v1")
    words = ["td3_bc", "--env", "Pendulum-v1"]
    assert command(f"train {' '.join(words)}") == 2
    text = capsys.readouterr().err
    assert "source: td3_bc learns from a data set only" in text and "--dataset" in text
    steps = source_of(pjs.td3_bc(env), env).keywords["steps"]
    for name in ("", "Acrobot-v1"):
        record = pjs.datasets.Record(environment=name)
        pjs.datasets.Experience(steps, record).save(tmp_path / f"of{name}")
    given = parse("train", Train, [*words, "--dataset", str(tmp_path / "of")])
    assert lay_out(given).groups[0].source.name == "dataset(Pendulum-v1)"
    for agent, name, message in (
        ("td3_bc", "ofAcrobot-v1", "is of 'Acrobot-v1', expected one of 'Pendulum-v1'"),
        ("qsarsa", "of", "qsarsa goes on from a stage of behaviour"),
    ):
        given = f"train {agent} --env Pendulum-v1 --dataset {tmp_path / name}"
        assert command(given) == 2 and message in capsys.readouterr().err


def test_train_writes_a_run_folder_and_report_reads_it(tmp_path, capsys):
    out, figure = tmp_path / "run", tmp_path / "compared.png"
    assert command(f"{TRAIN} --base-seed 5 --hypers.learning-rate 0.01 --out {out}") == 0
    assert "2 seeds x 400 steps" in capsys.readouterr().out
    record = json.loads((out / "config.json").read_text())
    assert record["command"][:3] == ["purejaxrl-suite", "train", "ppo"]
    (group,), seeds = record["record"]["groups"], record["record"]["seeds"]
    assert group["agent"] == "ppo" and group["environment"] == "CartPole-v1" and seeds == [5, 6]
    assert group["hypers"] == {**PPOHypers()._asdict(), "learning_rate": 0.01}
    assert group["config"]["rollout_length"] == 8 and record["network"]["hidden"] == [4]
    assert record["versions"]["jax"] and record["device"] and record["started"]
    assert [path.name for path in (out / "figures").iterdir()] == ["learning_curve.png"]
    assert command(f"report {out} --figure {figure} --metric entropy") == 0
    assert "run" in capsys.readouterr().out and figure.exists()
    assert "learning_rate" in (out / "report.html").read_text()

    policy = pjs.load(out).policy(seed=6)
    assert policy.hypers.learning_rate == np.float32(0.01) and policy.env.name == "CartPole-v1"

    assert command(f"render {out} --seeds 1 --steps 3") == 0
    assert "ppo on CartPole-v1, returns 3" in capsys.readouterr().out
    with Image.open(out / "policy.gif") as gif:
        assert gif.n_frames == 4
    assert command(f"export {out} --to csv") == 0
    assert len((out / "curves.csv").read_text().splitlines()) == 1 + 2 * 25
    assert command(f"export {out} --to csv") == 2
    assert "curves.csv exists already" in capsys.readouterr().err

    for words in (f"report {out} --out /dev/null/x", f"export {out} --to csv --out /dev/null/x/y"):
        assert command(words) == 2
        said = capsys.readouterr().err.splitlines()
        assert said[-1].endswith("/dev/null/x: Not a directory; --out names another place")
    elsewhere = tmp_path / "elsewhere"
    assert command(f"report {out} --out {elsewhere}") == 0
    assert f"Page: {elsewhere / 'report.html'}" in capsys.readouterr().out
    assert sorted(path.name for path in elsewhere.iterdir()) == ["figures", "report.html"]

    assert command(f"resume {out}") == 0
    said = capsys.readouterr()
    assert "nothing is left to train" in said.err and "2 seeds x 400 steps" in said.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learn", "command: expected one of train, sweep"),
        ("train", "expected an agent"),
        ("train a3c --env CartPole-v1", "'a3c'"),
        ("train ppo --env CartPole-v7", "CartPole-v1"),
        ("train ppo --env CartPole-v1 --metrics all", "--metrics: expected one of cheap, costly"),
        ("train ppo --env CartPole-v1 --intervention undo", "expected one of continual-backprop"),
        ("train ppo --env CartPole-v1 --options 3", "NAME=VALUE"),
        ("train ppo --env CartPole-v1 --steps 1", "steps: expected a finite number of at least"),
        (
            "train ppo --env CartPole-v1 --preset big",
            "--preset of ppo: expected one of pure",
        ),
        ("train ppo --env CartPole-v1 --network.bridge poll", "expected one of flatten, pool, "),
        ("train dqn --env CartPole-v1 --network.bridge top-1:a", "expected a number behind top-1"),
        ("train sac --env CartPole-v1 --network.bridge pool", "the network of sac has none"),
        ("envs CartPool", "CartPole-v1"),
        ("report", "expected run folders"),
        ("render nowhere", "which is no folder"),
        ("export nowhere --to csv", "expected run folders"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(text, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(text) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("purejaxrl-suite: ") and message in last
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_what_is_parsed_wrong_is_one_line_in_every_encoding(encoding, monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stdout)  # which decides how a mistake is framed
    for words, message in {
        "--env x --seeds often": "--seeds: expected an integer, got 'often'",
        "--env x --sedes 3": "--sedes 3: expected no such argument; did you mean --seeds",
        "": "train ppo: expected --env STR .*, got nothing",
    }.items():
        with pytest.raises(ValueError, match=f"^{message}"):
            parse("train", Train, ["ppo", *words.split()])


def test_interruption_has_its_own_exit_code(monkeypatch, capsys):
    def press(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.train.experiment, "parsed", press)
    assert command("train ppo --env CartPole-v1") == 130
    assert capsys.readouterr().err == "purejaxrl-suite: interrupted\n"


def test_a_file_that_cannot_be_written_is_one_line(monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device", "page.html")

    monkeypatch.setitem(cli.COMMANDS, "report", full)
    assert command("report x") == 1
    error = capsys.readouterr().err
    assert error == "purejaxrl-suite: [Errno 28] No space left on device: 'page.html'\n"


@pytest.mark.parametrize("name", ["train", "sweep", "plan"])
def test_every_field_is_a_flag_with_its_docstring(name, capsys):
    with pytest.raises(SystemExit) as stop:
        command(f"{name} ppo --help")
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for group, fields in (("config", PPOConfig), ("hypers", PPOHypers)):
        for field in fields._fields:
            assert f"--{group}.{field.replace('_', '-')}" in text
    assert "discount per step" in text


def test_a_preset_moves_the_defaults_and_flags_move_the_preset(monkeypatch):
    preset = SimpleNamespace(
        builder=ppo, config=PPOConfig(num_envs=7), hypers=PPOHypers(gamma=0.5), network="its own"
    )
    presets = SimpleNamespace(PRESETS={"small": preset})
    monkeypatch.setitem(sys.modules, "purejaxrl_suite.presets", presets)
    words = "ppo --preset small --env CartPole-v1 --hypers.gae-lambda 0.25 --config.minibatches 2"
    given = parse("train", Train, words.split())
    assert given.config == PPOConfig(num_envs=7, minibatches=2)
    assert given.hypers == PPOHypers(gamma=0.5, gae_lambda=0.25)
    assert given.network == "its own"


@pytest.mark.parametrize("name", bridges())
def test_a_bridge_by_its_name(name):
    env = make("Breakout-MinAtar")
    number = ":2" if bridges()[name][1] else ""
    words = f"ppo --env Breakout-MinAtar --network.hidden 6 5 --network.bridge {name}{number}"
    network = parse("train", Train, words.split()).network(env)
    params = jax.eval_shape(network.init, jax.random.key(0))
    sizes = {"flatten": (1024, 6), "pool": (64, 6)}
    if name in sizes:
        assert params["trunk"]["actor"]["dense_0"]["kernel"].shape == sizes[name]
    if number and name != "pool":
        layers = "/".join(edge.layer for edge in network.wiring) + str(params["heads"])
        assert "expert_1" in layers and "expert_2" not in layers


def test_envs_lists_what_matches(capsys):
    assert command("envs cartpole-v") == 0
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
