"""Meta-learners on the command line: flags of their own, runs, and runs that are read again."""

import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite.cli import experiment, flags
from purejaxrl_suite.cli.agents import agents
from purejaxrl_suite.cli.learners import learners
from tests.shared import command

SIZE = "--seeds 2 --config.num-envs 2 --config.rollout-length 4 --config.updates 2"
TRAIN = f"train modac --env Meta-Taxi --steps 48 {SIZE} --config.options 2 --config.units 0"


def laid(words):
    """The agent of a command."""
    given = flags.parse("train", experiment.Train, words.split())
    (group,) = experiment.lay_out(given).groups
    return group.agent


def test_names_are_those_of_the_agents():
    for name, entry in learners().items():
        env = pjs.make("Meta-FourRooms")
        made = entry.build(env, entry.config, None, entry.hypers)
        assert made.name == ("intrinsic_reward" if name == "lir" else name)
    assert not set(learners()) & set(agents())


@pytest.mark.parametrize(
    ("words", "config", "hypers"),
    [
        ("lir --env Meta-Bandit --config.no-recurrent", {"recurrent": False}, {"gamma": 0.5}),
        ("frodo --env Meta-Catch --config.units 8", {"units": 8}, {"gamma": 0.5}),
        ("modac --env Meta-Taxi --config.options 3", {"options": 3}, {"gamma": 0.5}),
    ],
)
def test_flags_are_their_settings(words, config, hypers):
    agent = laid(f"{words} --hypers.gamma 0.5")
    assert config.items() <= agent.config._asdict().items()
    assert hypers.items() <= agent.hypers._asdict().items()


def test_a_run_is_trained_and_read_again(tmp_path):
    out = tmp_path / "run"
    assert command(f"{TRAIN} --hypers.switching-cost 0.25 --out {out}") == 0
    found = pjs.load(out)
    assert {"option_share", "meta_termination_loss"} <= set(found.curves)
    assert np.isfinite(found.curves["meta_loss"]).all()
    assert command(f"resume {out}") == 0


def test_a_run_of_python_is_made_again_by_its_name(tmp_path):
    env = pjs.make("Meta-Taxi")
    config = pjs.MODACConfig(2, 2, 4, updates=2, units=0)
    how = {"seeds": 1, "steps": 32, "out": tmp_path / "run", "progress": False}
    ours = pjs.run(pjs.modac(env, config), env, **how)
    assert pjs.load(tmp_path / "run").curves.identical(ours.curves)


def test_what_flags_cannot_change_is_refused(capsys):
    assert command(f"{TRAIN} --network.hidden 8") == 2
    assert "no flags change the network of modac" in capsys.readouterr().err
