"""Sparse training by flags, and the folders of sparse agents."""

import inspect
import json
from pathlib import Path

import jax
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets, sparsity
from purejaxrl_suite.agents.dqn import DQNHypers, dqn
from purejaxrl_suite.cli.experiment import Sweep, lay_out
from purejaxrl_suite.cli.flags import parse
from purejaxrl_suite.cli.sparse import SparseFlags, methods, sparse
from purejaxrl_suite.sparsity import updaters
from purejaxrl_suite.sparsity.metrics import masked_share
from purejaxrl_suite.sparsity.optimizer import masks_of
from purejaxrl_suite.sweeps import display
from tests.shared import command, press_ctrl_c

TINY = "--config.num-envs 2 --config.rollout-length 8 --config.epochs 1 --config.minibatches 1"
ARGUMENTS = (
    f"pqn --env CartPole-v1 --seeds 2 --steps 128 --segments 4 {TINY} --network.hidden 8 "
    "--sparse.method set --sparse.period 1 --sparse.end 1"
)
LEVELS = "--sparse.target 0.5,0.75"


pytestmark = pytest.mark.usefixtures("programs")


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


ENV = pjs.make("CartPole-v1")
CONFIG = pjs.PQNConfig(num_envs=2, rollout_length=8, epochs=1, minibatches=1)
SET = pjs.sparse(pjs.pqn, sparsity.sparse_evolutionary(), period=1)


def network(env):
    return nets.q_network(env.observation, env.action, hidden=(8,))


def uninterrupted():
    """The result of the same sweep in Python."""
    base = SET(ENV, CONFIG).hypers._replace(sparsity_end=1.0)
    levels = pjs.search.grid(base, sparsity=[0.5, 0.75])
    how = {"config": CONFIG, "network": network, "segments": 4, "progress": False}
    return pjs.sweep(SET, ENV, seeds=2, steps=128, hypers=levels, **how)


def test_a_stopped_sparse_sweep_goes_on_to_the_same_masks(tmp_path, capsys, monkeypatch):
    out, at = tmp_path / "run", {"sparsity": 0.75}
    with monkeypatch.context() as patch:
        patch.setattr(display, "describe", press_ctrl_c)
        assert command(f"sweep {ARGUMENTS} {LEVELS} --out {out}") == 130
    record = json.loads((out / "config.json").read_text())
    assert record["sparse"]["method"] == "set" and record["sparse"]["target"] == "0.5,0.75"
    assert record["record"]["traced axes"] == {"sparsity": [0.5, 0.75]}
    name = "pqn with set(constant, erk, unstructured) every 1 gradient steps"
    assert record["record"]["groups"][0]["agent"] == name
    early = pjs.load(out, announce=lambda text: None).policy(at, seed=1).state
    capsys.readouterr()
    for words, said in {
        "--sparse.target 0.5,0.9": "traced axes.sparsity is [0.5, 0.75] there, [0.5, 0.9] here",
        f"{LEVELS} --sparse.drop-fraction 0.5": "hypers.drop_fraction is 0.3 there, 0.5 here",
    }.items():
        assert command(f"sweep {ARGUMENTS} {words} --out {out}") == 2
        assert said in capsys.readouterr().err
    assert command(f"resume {out}") == 0

    found, whole, timing = pjs.load(out), uninterrupted(), "steps_per_second"
    assert found.curves.drop_vars(timing).equals(whole.curves.drop_vars(timing))
    policy = found.policy(at, seed=1)
    equal(policy.state, whole.policy(at, seed=1).state)
    masks = masks_of(policy.state.learner)
    assert masked_share(masks) == pytest.approx(0.75, abs=0.02)
    same = jax.tree.map(np.array_equal, masks, masks_of(early.learner))
    assert not all(jax.tree.leaves(same))

    policy.save(tmp_path / "policy")
    again = pjs.load_policy(tmp_path / "policy", SET(ENV, CONFIG, network(ENV)), ENV)
    equal(again.state, policy.state)
    assert again.hypers.sparsity == 0.75
    static = pjs.sparse(pjs.pqn, sparsity.static())(ENV, CONFIG, network(ENV))
    with pytest.raises(ValueError, match=r"agent .*set\(.*static\("):
        pjs.load_policy(tmp_path / "policy", static, ENV)


def test_every_method_has_its_name():
    made = inspect.getmembers(updaters, inspect.isfunction)
    public = {f for name, f in made if f.__module__ == updaters.__name__ and name[0] != "_"}
    assert set(methods().values()) == public
    page = (Path(__file__).parents[2] / "docs" / "command_line.md").read_text()
    for name in methods():
        assert name in str(SparseFlags.__doc__) and f"`{name}`" in page
        assert sparse(SparseFlags(name), dqn, DQNHypers(), several=False).build is not dqn


def test_flags_become_the_updater_and_its_hypers():
    words = (
        "dqn --env CartPole-v1 --sparse.method rigl --sparse.target 0.5,0.9 --sparse.start 0.25 "
        "--sparse.end 0.5,1 --sparse.distribution uniform --sparse.structure 2x4 "
        "--sparse.period 10 --grid gamma=0.9,0.99 --metrics sparse"
    )
    laid = lay_out(parse("sweep", Sweep, words.split()))
    axes = {"sparsity": [0.5, 0.9], "sparsity_end": [0.5, 1.0], "gamma": [0.9, 0.99]}
    assert laid.traced == axes
    (group,) = laid.groups
    name = "dqn with rigl(cosine, uniform, block(2, 4)) every 10 gradient steps"
    assert group.agent.name == name
    assert "gradient_signal_to_noise" in group.intervention.name
    assert np.all(group.members.hypers.sparsity_start == 0.25)
    n_of_m = sparse(SparseFlags("magnitude", structure="1:4"), dqn, DQNHypers(), several=False)
    assert not hasattr(n_of_m.hypers, "sparsity")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"drop_fraction": "0.3"}, "--sparse.drop-fraction: expected a --sparse.method with it"),
        ({"method": "rigle"}, "--sparse.method: expected one of .*; did you mean rigl"),
        ({"method": "magnitude", "drop_fraction": "0.3"}, "--sparse.drop-fraction: has no effect"),
        ({"method": "no_prune", "target": "0.5"}, "--sparse.target: has no effect with no_prune"),
        ({"method": "static", "start": "0.5"}, "--sparse.start: has no effect with static"),
        ({"method": "static", "period": 1000}, "--sparse.period: the masks of static never"),
        ({"method": "rigl", "period": 0}, "--sparse.period: expected an integer of at least 1"),
        ({"method": "rigl", "target": "1"}, "--sparse.target: expected .* below 1, got 1.0"),
        ({"method": "rigl", "target": "half"}, "--sparse.target: expected a number, got 'half'"),
        ({"method": "rigl", "target": "0.5,0.9"}, "--sparse.target: expected one number, .*sweep"),
        ({"method": "rigl", "end": "nan"}, "--sparse.end: expected a finite number in 0 .. 1"),
        ({"method": "rigl", "distribution": "kre"}, "--sparse.distribution: expected one of erk, "),
        ({"method": "global_saliency", "distribution": "erk"}, "--sparse.distribution: global_sal"),
        ({"method": "rigl", "structure": "rows"}, "--sparse.structure: expected N:M such as 2:4"),
        ({"method": "rigl", "structure": "2:4"}, "--sparse.structure: expected one whose weights"),
        ({"method": "random", "structure": "5:4"}, "--sparse.structure: n: expected an integer in"),
        ({"method": "random", "structure": "2:4", "target": "0.5"}, "--sparse.target: has no eff"),
        ({"method": "random", "structure": "2:4", "end": "0.5"}, "--sparse.end: has no effect wit"),
    ],
)
def test_a_flag_has_an_effect_or_is_refused_by_its_name(given, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        sparse(SparseFlags(**given), dqn, DQNHypers(), several=False)


@pytest.mark.parametrize("other", ["--grid sparsity=0.5,0.9", "--sample 4 sparsity=0:1"])
def test_what_a_flag_sets_is_not_varied_too(other):
    words = f"dqn --env CartPole-v1 --sparse.method set --sparse.target 0.5 {other}"
    with pytest.raises(ValueError, match="--grid, --sample: --sparse.target sets sparsity already"):
        parse("sweep", Sweep, words.split())
