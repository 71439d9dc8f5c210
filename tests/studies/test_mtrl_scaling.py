"""Effects of the study of several continuous tasks, by hand."""

import jax
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite.stats import REFERENCES
from purejaxrl_suite.studies import mtrl_scaling as study
from tests.counted import counted
from tests.studies.tiny import gates_of

KEY = jax.random.key(0)
ENDS = REFERENCES["Pendulum-v1"]
LAYERS = ("trunk.actor.dense_0", "trunk.critic_0.dense_0", "trunk.critic_1.dense_0")


def curves(scores, together=True, dormant=(0.5, 0.0, 0.2)):
    """Curves of agents with these normalized scores [S, tasks] at all times."""
    low, high = ENDS.random.value, ENDS.reference.value
    returns = low + np.asarray(scores, np.float32) * (high - low)  # [S, tasks]
    names = [f"Pendulum-v1-{i}" for i in range(returns.shape[1])]
    dims = ("environment", "seed", "step")
    if together:
        rows = np.repeat(returns.mean(1)[None, :, None], 4, axis=2)
        each = {f"episode_return_{n}": returns[None, :, i] for i, n in enumerate(names)}
        data = {n: (dims, np.repeat(x[..., None], 4, axis=2)) for n, x in each.items()}
        names = ["+".join(names)]
    else:
        rows, data = np.repeat(returns.T[..., None], 4, axis=2), {}
    data["episode_return"] = (dims, rows)
    for layer, share in zip(LAYERS, dormant, strict=True):
        data[f"dormant_0.1.{layer}"] = (dims, np.full_like(rows, share))
    data["diverged"] = (dims[:2], np.zeros(rows.shape[:2], bool))
    return counted(xr.Dataset(data, coords={"environment": names}))


def test_scores_are_those_of_every_task_together_and_alone():
    given = np.array([[0.0, 1.0], [0.5, 0.1], [0.3, 0.3]])
    for together in (True, False):
        found = curves(given, together)
        np.testing.assert_allclose(study.scores(found), given, atol=1e-6)
        np.testing.assert_allclose(study.of_seeds(found), [0.5, 0.3, 0.3], atol=1e-6)
        np.testing.assert_allclose(study.asleep(found), [0.1] * 3, atol=1e-6)
    found["diverged"][1, 0] = True  # task 1 of seed 0; the lowest of anybody there is 0.1
    np.testing.assert_allclose(study.scores(found)[0], [0.0, 0.0], atol=1e-6)
    found = curves(given - 0.2)
    found["diverged"][0, 2] = True
    np.testing.assert_allclose(study.scores(found)[2], [-0.2, -0.1], atol=1e-6)
    # A cheetah that stands still scores 0, one at its speed 1.
    assert study._ends("Brax-halfcheetah-1") == (-5000.0, 0.0)


def test_claims_by_hand():
    flat = curves(np.full((3, 4), 0.2))
    made = dict.fromkeys(study.arms(study.STUDY.quick), flat)
    made["all-middle"], made["all-wide"] = (curves(np.full((3, 4), x)) for x in (0.4, 0.7))
    made["wide-critic"] = curves(np.full((3, 4), 0.6))
    for name, share in (("one-narrow", 0.0), ("one-wide", 0.4), ("two-wide", 0.3)):
        made[name] = curves(np.full((3, 4), 0.2), name == "two-wide", (0.9, share, share))
    found = [c.effect(KEY, *(made[n] for n in c.over)) for c in study.STUDY.claims]
    expected = 1.0, 0.4 - 0.7 * 0.5, -0.3 * 0.5, 0.5, -1.0
    assert [float(one.value) for one in found] == pytest.approx(expected, abs=1e-5)
    assert {int(one.seeds) for one in found} == {3}
    gates = gates_of(study.STUDY, made)
    expected = {"learns": 0.4, "room": 0.2, "room alone": 0.2, "width pays": 0.5, "dormant": 0.4}
    assert gates == pytest.approx(expected, abs=1e-5)
    nothing = study.STUDY.claims[1].effect(KEY, flat, flat, flat)
    assert np.isnan(nothing.value) and np.isnan(nothing.low)  # no gain to have a share in
    score, gains, units = study.figure(KEY, made)
    assert [one.label for one in score.lines] == ["4 tasks", "one task"]
    assert score.lines[0].value == pytest.approx([0.2, 0.4, 0.7], abs=1e-5)
    assert [one.value for one in gains.rows] == pytest.approx([0.0, 0.4, 0.5], abs=1e-5)
    assert units.lines[0].x == (1, 2, 4)
    assert units.lines[0].value == pytest.approx([0.4, 0.3, 0.1], abs=1e-6)


def test_tasks_differ_in_one_parameter_and_agents_in_their_number_of_heads():
    arms = study.arms(study.STUDY.quick)
    assert [float(one.params.g) for one in arms["one-wide"].env] == [10.0, 4.0, 8.0, 6.0]
    (env,) = arms["wide-critic"].env
    assert len(env.tasks) == 4 and len(arms["two-wide"].env[0].tasks) == 2
    shapes = jax.eval_shape(arms["wide-critic"].network(env).init, KEY)
    units = {name: x["dense_1"]["kernel"].shape for name, x in shapes["trunk"].items()}
    assert units == {"actor": (4, 4), "critic_0": (64, 64), "critic_1": (64, 64)}
    assert shapes["heads"]["critic_0"]["kernel"].shape == (4, 64, 1)
    all_, one = arms["all-wide"], arms["one-wide"]
    assert all_.steps == 4 * one.steps and all_.config.num_envs == 4 * one.config.num_envs
    assert all_.config.gradient_steps == one.config.gradient_steps
