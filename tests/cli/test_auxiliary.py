"""Auxiliary losses by flags."""

from pathlib import Path

import pytest

from purejaxrl_suite.agents.dqn import DQNHypers, dqn
from purejaxrl_suite.cli.auxiliary import AuxiliaryFlags, auxiliary, terms
from purejaxrl_suite.cli.experiment import Sweep, lay_out
from purejaxrl_suite.cli.flags import parse
from purejaxrl_suite.cli.folder import record


def test_flags_become_the_term_and_its_weight():
    words = (
        "dqn --env CartPole-v1 --auxiliary.term mico --auxiliary.weight 0,0.5 "
        "--auxiliary.layer trunk/dense_1 --auxiliary.shuffled-rewards --grid gamma=0.9,0.99 "
        "--sparse.method static --sparse.target 0.5"
    )
    given = parse("sweep", Sweep, words.split())
    laid = lay_out(given)
    axes = {"mico_weight": [0.0, 0.5], "gamma": [0.9, 0.99]}
    assert laid.traced == axes
    name = laid.groups[0].agent.name
    assert name.startswith("dqn with mico(layer=trunk/dense_1, shuffled_rewards) with static(")
    assert laid.groups[0].agent.hypers.sparsity == 0.5
    flags = {"term": "mico", "weight": "0,0.5", "layer": "trunk/dense_1"}
    assert record(given)["auxiliary"] == flags | {"shuffled_rewards": True}


def test_a_single_weight_and_every_name():
    page = (Path(__file__).parents[2] / "docs" / "command_line.md").read_text()
    for name in terms():
        made = auxiliary(AuxiliaryFlags(name, "0.3"), dqn, DQNHypers(), several=False)
        assert getattr(made.hypers, f"{name}_weight") == 0.3 and not made.grid
        assert (
            name in str(AuxiliaryFlags.__doc__)
            and f"`--auxiliary.term {name}`" in page
            or (f"`{name}`" in page)
        )
    assert auxiliary(AuxiliaryFlags(), dqn, DQNHypers(), several=False).build is dqn


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"weight": "0.1"}, "--auxiliary.weight: expected an --auxiliary.term with it"),
        (
            {"term": "mica"},
            "--auxiliary.term: expected one of mico, ksme, dynamics, got 'mica'; did you",
        ),
        (
            {"term": "dynamics", "shuffled_rewards": True},
            "--auxiliary.shuffled-rewards: expected none with dynamics",
        ),
        ({"term": "mico", "weight": "-1"}, "--auxiliary.weight: expected a finite number of at"),
        ({"term": "mico", "weight": "0,1"}, "`sweep` takes several"),
        ({"term": "mico", "weight": "x"}, "--auxiliary.weight: expected a number, got 'x'"),
    ],
)
def test_mistakes(given, said):
    with pytest.raises(ValueError) as error:
        auxiliary(AuxiliaryFlags(**given), dqn, DQNHypers(), several=False)
    assert said in str(error.value)


def test_the_weight_is_not_varied_twice():
    words = (
        "dqn --env CartPole-v1 --auxiliary.term mico --auxiliary.weight 0,1 --grid mico_weight=2"
    )
    with pytest.raises(ValueError, match="--auxiliary.weight sets mico_weight already"):
        parse("sweep", Sweep, words.split())
