"""The study of functional mirror ascent: what it computes, in a world of few iterations."""

import itertools

import jax
import numpy as np
import pytest

from purejaxrl_suite.studies import Budget, run_study
from purejaxrl_suite.studies import functional_mirror_ascent as study
from purejaxrl_suite.studies import mirror_ascent_grids as grids
from purejaxrl_suite.studies.computation import Computed, computed
from tests.studies.tiny import gates_of

COST = None  # is not read
SMALL = Budget((grids.TREASURE,), 3, 1, ("1", "10"))


@pytest.mark.slow
def test_a_grid_has_the_best_step_size_of_each_row():
    """The published entries; PPO's rows are clip ranges, the others' are those of eta."""
    world = grids.WORLDS[grids.TREASURE]
    found = grids.swept(world, "PPO", (1, 10))
    assert found[1]["final"].shape == grids.CLIPS.shape
    np.testing.assert_allclose(found[1]["final"], 0.0692, atol=1e-4)  # nothing is clipped
    np.testing.assert_allclose(found[10]["final"].max(), 0.6529, atol=1e-3)
    curve = found[10]["curve"]
    assert curve[-1] == found[10]["final"].max() and curve[0] == pytest.approx(0.0387756)
    assert curve.shape == grids.at_points(world.iterations + 1).shape


def test_until_counts_iterations():
    values = np.array([[0.0, 0.98, 0.99, 1.0], [0.0, 0.1, 0.2, 0.3]])
    np.testing.assert_array_equal(grids.until(values, 1.0), [2.0, np.inf])
    assert list(grids.at_points(3)) == [0, 1, 2]


def made():
    """What both arms would find if all were as known, for three first policies."""
    known, exact = {}, {}
    for world, one in grids.WORLDS.items():
        for m, row in one.table.items():
            for method, best in zip(grids.SURROGATES, row, strict=True):
                rows = grids.CLIPS if method == "PPO" else grids.ETAS
                final = np.linspace(0.0, row[0] if np.isnan(best) else best, len(rows))
                known[f"final of {grids.named(world, method, m)}"] = final
                points = grids.at_points(one.iterations + 1)
                known[f"curve of {grids.named(world, method, m)}"] = np.linspace(-1, 1, len(points))
        cases = [(method, eta) for method in grids.EXACT for eta in grids.EXACT_ETAS]
        for case, count in zip(cases, one.iterations_to_best, strict=True):
            exact[f"iterations of {grids.named(world, *case)}"] = count
            exact[f"least step of {grids.named(world, *case)}"] = 1e-9
        exact[f"iterations of {world}, TRPO"] = 6
        exact[f"curve of {world}, TRPO"] = np.linspace(-1, 1, len(points))
    found = grids.repeated(known, range(3)), grids.repeated(exact, range(3))
    for world, method in itertools.product(grids.WORLDS, (*grids.EXACT, "TRPO", "PPO")):
        final = [0.2, 0.3, 0.1] if method == "PPO" else [0.5, 0.5, 0.5]
        steps = [0.0, -1.0, 0.0] if method == "MDPO" else [0.0, 0.0, 0.0]
        found[1][f"final from starts of {world}, {method}"] = np.array(final)
        found[1][f"iterations from starts of {world}, {method}"] = np.array([6.0, 7.0, np.inf])
        found[1][f"least step from starts of {world}, {method}"] = np.array(steps)
    return {label: Computed(x, COST) for label, x in zip(("grids", "exact"), found, strict=True)}


def test_gates_and_effects_by_hand():
    arms = made()
    gates = gates_of(study.STUDY, arms)
    assert gates == pytest.approx({"table": 0, "first step": 0, "iterations": 0, "monotone": 0})
    effects = [
        float(claim.effect(jax.random.key(0), arms[claim.over[0]]).value)
        for claim in study.STUDY.claims
    ]
    doublings = np.log2(0.5 / 1.0e-2)  # the last row is the best, of sPPO on the treasure
    expected = [0.4304, 0.0968, 0.0859, 0.719 / 0.72358, doublings, 6, 2 / 3, -0.3, 1 / 3]
    np.testing.assert_allclose(effects, expected, rtol=1e-3)
    arms["grids"].values[f"final of {grids.named(grids.CLIFF, 'PPO', 1)}"][0, -1] = 0.3545
    broken = gates_of(study.STUDY, arms)
    assert broken["table"] == broken["first step"] == pytest.approx(0.01)
    panels = study.figure(jax.random.key(0), arms)
    assert len(panels) == 6 and all(one.lines for one in panels)


@pytest.mark.slow
def test_the_study_confirms_the_table(tmp_path):
    """All gates hold at `quick`: every known entry, iterations, monotony, the first step."""
    found = run_study("functional_mirror_ascent", study.STUDY, "quick", tmp_path, progress=False)
    assert all(gate.passed for gate in found.gates)
    values = {one.statement: one.value for one in found.findings}
    assert values["Along the cliff PPO ends on a path that is two steps too long."] == (
        pytest.approx(0.9**8, abs=1e-3)
    )


@pytest.mark.slow
def test_starts_are_those_of_the_seeds():
    exact = study.arms(SMALL)["exact"]
    several = computed("exact", exact).values
    alone = computed("exact", exact._replace(seeds=[1])).values
    name = f"final from starts of {grids.TREASURE}, TRPO"
    np.testing.assert_allclose(several[name][1:2], alone[name], rtol=1e-9)
