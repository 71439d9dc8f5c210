"""The study of MICo on random MDPs, and with it arms that are computed and not trained."""

import dataclasses
import io
from functools import partial

import jax
import numpy as np
import pytest
from rich.console import Console

from purejaxrl_suite import mdps
from purejaxrl_suite.report import findings
from purejaxrl_suite.studies import Budget, Computation, read, run_study, write
from purejaxrl_suite.studies.computation import computed
from purejaxrl_suite.studies.mico_tabular import STUDY, compute


def test_it_runs_without_training(tmp_path):
    small = dataclasses.replace(STUDY, quick=Budget(("5 states",), 16, 1))
    found = run_study("mico_tabular", small, "quick", tmp_path, progress=False)
    bound, no_bound, half, nearer, kernel = (one.value for one in found.findings)
    assert bound == kernel == 0.0 and no_bound > 0.5 and 0.3 < half < 0.6 and nearer > 1.0
    assert found.gates[0].passed and found.curves == ()
    assert found.findings[0].seeds == 16 and found.arms["exact"].members == 16
    again = read(write(found, tmp_path))
    assert [one.statement for one in again.findings] == [one.statement for one in STUDY.claims]
    assert again.arms["exact"].agent == "exact solutions"
    shown = io.StringIO()
    Console(file=shown, width=200).print(findings.arms(STUDY.arms(STUDY.quick)))
    assert "exact solutions" in shown.getvalue()


def test_a_seed_is_an_mdp_whatever_its_neighbours():
    """Its numbers are those of numpy's solution."""
    several, alone = compute((5,), range(3, 19)), compute((5,), [4])
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9), alone["gap"], several["gap"][1:2])

    def drawn(key):
        of_mdp, of_policy = jax.random.split(key)
        mdp = mdps.random_mdp(of_mdp, 5, 4)
        return mdps.induced(mdp, mdps.random_policy(of_policy, 5, 4))

    chain, reward = mdps.in_float64(drawn)(jax.random.key(4))
    v = np.linalg.solve(np.eye(5) - 0.9 * chain, reward)
    paid = np.abs(reward[:, None] - reward).reshape(-1)
    u = np.linalg.solve(np.eye(25) - 0.9 * np.kron(chain, chain), paid).reshape(5, 5)
    gap = u - np.abs(v[:, None] - v)
    found = alone["gap"][0, 0], alone["least gap"][0, 0]
    np.testing.assert_allclose(found, (gap.mean(), gap.min()))


def test_numbers_without_a_row_for_each_seed_are_refused():
    arm = Computation("ones", lambda seeds: {"x": np.ones(2)}, range(3), ("a",))
    says = r"arms\['one'\]: x: expected numbers \[3, ...\], got \[2\]"
    with pytest.raises(ValueError, match=says):
        computed("one", arm)
