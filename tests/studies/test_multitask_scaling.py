"""Effects of the study of several tasks, by hand."""

import jax
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite.core.types import Discrete
from purejaxrl_suite.stats import REFERENCES
from purejaxrl_suite.studies import multitask_grids
from purejaxrl_suite.studies import multitask_scaling as study
from tests.counted import counted
from tests.studies.tiny import gates_of

KEY = jax.random.key(0)
ENDS = REFERENCES["Catch-bsuite"]
LAYERS = ("trunk.actor.dense_0", "trunk.critic.dense_0", "trunk.critic.dense_1")


def curves(scores, together=True, dormant=(0.5, 0.0, 0.2)):
    """Curves of agents with these normalized scores [S, tasks] at all times."""
    low, high = ENDS.random.value, ENDS.reference.value
    returns = (low + np.asarray(scores, np.float32) * (high - low))[None, :, :, None]
    returns = np.broadcast_to(returns, (1, *np.shape(scores), 4))
    dims = ("environment", "seed", "step")
    names = ["Catch-bsuite", *(f"Catch-bsuite-permuted-{i}" for i in range(1, returns.shape[2]))]
    data = {f"episode_return_{name}": (dims, returns[:, :, i]) for i, name in enumerate(names)}
    data = data if together else {}
    data["episode_return"] = (dims, returns.mean(2))
    for layer, share in zip(LAYERS, dormant, strict=True):
        data[f"dormant_0.1.{layer}"] = (dims, np.full_like(returns[:, :, 0], share))
    data["diverged"] = (dims[:2], np.zeros(returns.shape[:2], bool))
    return counted(xr.Dataset(data, coords={"environment": ["Catch-bsuite"]}))


def test_scores_are_those_of_every_task():
    given = np.array([[0.0, 1.0], [0.5, 0.1]])
    found = curves(given)
    np.testing.assert_allclose(study.scores(found), given, atol=1e-6)
    np.testing.assert_allclose(study.of_seeds(found), [0.5, 0.3], atol=1e-6)
    alone = curves(given[:, :1], together=False)
    np.testing.assert_allclose(study.scores(alone), given[:, :1], atol=1e-6)
    found["diverged"][0, 1] = True
    np.testing.assert_allclose(study.scores(found)[1], [0.0, 0.0])
    np.testing.assert_allclose(study.asleep(alone), [0.1, 0.1], atol=1e-6)


def test_effects_by_hand():
    none, half, both = (curves(np.full((4, 2), x)) for x in (0.2, 0.5, 0.8))
    assert float(study.grows(KEY, none, half, both).value) == pytest.approx(1.0)
    assert float(study.grows(KEY, half, none, both).value) == pytest.approx(0.5)
    share = study.beyond(0.7)(KEY, half, both, none)
    assert float(share.value) == pytest.approx(0.3 - 0.7 * 0.6, abs=1e-5) and share.seeds == 4
    found = study.interacts(KEY, both, none, half, none)
    assert float(found.value) == pytest.approx(0.3, abs=1e-5)
    awake = curves(np.zeros((4, 2)), dormant=(0.9, 0.0, 0.1))
    assert float(study.wakes(KEY, awake, none).value) == pytest.approx(-0.05, abs=1e-6)


def test_the_figure_shows_both_kinds_and_who_gains():
    kinds = {label: curves(np.full((3, 2), 0.4)) for label in study.arms(study.STUDY.quick)}
    gates = gates_of(study.STUDY, kinds)
    expected = {"learns": 0.4, "room": 0.4, "room alone": 0.4, "width pays": 0.0, "dormant": 0.1}
    assert gates == pytest.approx(expected, abs=1e-5)
    score, dormant, gains = study.figure(KEY, kinds)
    assert [one.label for one in score.lines] == ["tasks together", "tasks alone"]
    assert score.lines[0].value == pytest.approx([0.4] * 3, abs=1e-5)
    assert dormant.lines[1].value == pytest.approx([0.1] * 3, abs=1e-5)
    assert [(one.label, one.value) for one in gains.rows] == [
        ("actor", 0.0),
        ("critic", 0.0),
        ("both", 0.0),
    ]


def test_four_tasks_of_one_environment_or_of_several():
    assert list(study.tasks(("Catch-bsuite",))) == [
        "Catch-bsuite",
        *(f"Catch-bsuite/permuted-{i}" for i in (1, 2, 3)),
    ]
    two = study.tasks(("Catch-bsuite", "DeepSea-bsuite"))
    assert list(two)[2:] == ["Catch-bsuite/permuted-1", "DeepSea-bsuite/permuted-1"]
    wide = study.network(study.Width(8, 32))
    env = next(iter(two.values()))
    shapes = jax.eval_shape(wide(env).init, KEY)["trunk"]
    found = {name: layers["dense_1"]["kernel"].shape for name, layers in shapes.items()}
    assert found == {"actor": (8, 8), "critic": (32, 32)}


@pytest.mark.parametrize("budget", multitask_grids.STUDY.budgets.values(), ids=str)
def test_every_grid_is_one_task_with_a_reference(budget):
    (whole,) = multitask_grids.STUDY.arms(budget)["together-8"].env
    assert whole.tasks == budget.environments
    assert whole.observation.categories == (11, 6, 4, *(2,) * len(whole.tasks))
    assert whole.action == Discrete(7)
    dims, count = ("environment", "seed", "step"), len(whole.tasks)
    ends = [REFERENCES[name] for name in whole.tasks]
    half = [(one.random.value + one.reference.value) / 2 for one in ends]
    data = {
        f"{study.RETURN}{name}": (dims, np.full((1, 3, 4), x))
        for name, x in zip(whole.tasks, half, strict=True)
    }
    data["diverged"] = (dims[:2], np.zeros((1, 3), bool))
    found = study.scores(counted(xr.Dataset(data, coords={"environment": [whole.name]})))
    np.testing.assert_allclose(found, np.full((3, count), 0.5), rtol=1e-5)
