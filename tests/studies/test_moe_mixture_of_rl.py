"""Effects of the study of mixtures in multi-task and continual learning, by hand."""

import jax
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite import nets
from purejaxrl_suite.envs.multi_task import multi_task
from purejaxrl_suite.stats import REFERENCES
from purejaxrl_suite.studies import moe_mixture_of_rl as study
from purejaxrl_suite.studies.multitask_scaling import tasks
from tests.counted import counted
from tests.studies.tiny import gates_of

KEY = jax.random.key(0)
ENDS = REFERENCES["Catch-bsuite"]
NAMES = ("Catch-bsuite", "Catch-bsuite/permuted-1", "Catch-bsuite/permuted-2")
ORDERS = ((0, 1, 2), (2, 1, 0))
PER_PHASE = 4


def returns(scores):
    low, high = ENDS.random.value, ENDS.reference.value
    return (low + np.asarray(scores, np.float32) * (high - low)).astype(np.float32)


def in_turn(scores, dormant=0.3):
    """Curves {network: scores [S, orders, phases]}, zero in the first three quarters of a phase."""
    dims = ("network", "environment", "seed", "step")
    values = np.stack([np.swapaxes(x, 0, 1) for x in scores.values()])
    steps = np.zeros((*values.shape, PER_PHASE), np.float32)
    steps[..., -1] = values
    steps = steps.reshape(*values.shape[:-1], -1)
    streams = [f"continual({', '.join(NAMES[i] for i in one)}; 7)" for one in ORDERS]
    data = {
        "episode_return": (dims, returns(steps)),
        "dormant_0.1": (dims, np.full(steps.shape, dormant, np.float32)),
        "diverged": (dims[:-1], np.zeros(steps.shape[:-1], bool)),
    }
    return counted(xr.Dataset(data, coords={"network": list(scores), "environment": streams}))


def at_once(scores):
    """Curves {network: scores [S, tasks]} of all tasks at once."""
    dims = ("network", "environment", "seed", "step")
    values = returns(np.stack(list(scores.values())))[:, None, :, None]
    data = {
        f"episode_return_{name.replace('/', '-')}": (dims, np.repeat(values[..., i], 3, -1))
        for i, name in enumerate(NAMES)
    }
    data["diverged"] = (dims[:-1], np.zeros(values.shape[:3], bool))
    return counted(xr.Dataset(data, coords={"network": list(scores), "environment": ["all"]}))


def test_streams_name_their_tasks():
    arms = study.arms(study.STUDY.quick)
    streams = [env.name for env in arms["in-turn"].env]
    assert [study.order(name) for name in streams] == [[NAMES[i] for i in one] for one in ORDERS]
    steps = {label: arm.steps for label, arm in arms.items()}
    assert steps["at-once"] == 3 * steps["in-turn"]
    full = study.arms(study.STUDY.full)["in-turn"]
    assert len(full.env) == 6 and len(full.network) == 10


def test_scores_of_phases_and_gains():
    scores = np.arange(24.0).reshape(2, 2, 6) / 10
    curves = in_turn({"baseline": scores, "big-soft": scores + 0.5})
    np.testing.assert_allclose(study.phases(curves, "baseline"), scores, atol=1e-5)
    found = study.gain(study.phases, "big-soft")(KEY, curves)
    assert float(found.value) == pytest.approx(0.5, abs=1e-5) and found.seeds == 2
    np.testing.assert_allclose(study.dormant(curves, "baseline"), np.full((2, 2), 0.3))
    curves["diverged"][0, 1, 0] = True
    assert np.all(np.asarray(study.phases(curves, "baseline"))[0, 1] == 0.0)
    both = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    found = at_once({"baseline": both, "big-soft": both - 0.2})
    np.testing.assert_allclose(study.finals(found, "baseline"), both, atol=1e-6)
    gates = gates_of(study.STUDY, {"in-turn": curves, "at-once": found})
    assert gates["learns in turn"] == pytest.approx(np.mean([0.0, 0.6, 1.2, 1.8]) - 0.15, abs=0.2)
    assert gates["learns at once"] == pytest.approx(0.25, abs=1e-5)
    effect = study.gain(study.finals, "big-soft")(KEY, found)
    assert float(effect.value) == pytest.approx(-0.2, abs=1e-5)


def test_orders_and_what_comes_later():
    """Of one task third: 0.2 in the first order, 0.4 in the second; from scratch 0.7 and 0.9."""
    scores = np.zeros((8, 2, 6))
    scores[:, 0, [0, 2]], scores[:, 1, [0, 2]] = (0.9, 0.2), (0.7, 0.4)
    found = study.later_less_from_scratch(KEY, in_turn({"baseline": scores}))
    assert float(found.value) == pytest.approx(((0.2 - 0.7) + (0.4 - 0.9)) / 2, abs=1e-5)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(16, 2, 6)) / 100
    same = study.order_matters(KEY, in_turn({"baseline": noise}))
    assert float(same.low) < 0.0
    noise[:, 0] += 0.5
    other = study.order_matters(KEY, in_turn({"baseline": noise}))
    assert float(other.low) > 0.0 and float(other.value) <= 0.25**2


def test_networks_are_as_large_as_they_say():
    env = multi_task(list(tasks(("Catch-bsuite",), 3).values()))
    sizes = {n: nets.parameter_count(build(env))[""] for n, build in study.networks().items()}
    assert sizes["big-task"] == 3 * sizes["baseline"]
    assert sizes["wide"] == pytest.approx(sizes["big-task"], rel=0.01)
