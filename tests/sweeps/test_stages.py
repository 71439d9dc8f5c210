"""Stages: each member begins with what its own member of the stage before has ended with."""

import shutil

import jax
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers
from purejaxrl_suite.envs import probes
from purejaxrl_suite.search import grid, log_uniform, random
from purejaxrl_suite.sweeps import stages as module
from purejaxrl_suite.sweeps.experiment import Experiment
from tests.shared import compiled_once, drawn

CONFIG = PPOConfig(num_envs=2, rollout_length=8, epochs=1, minibatches=2)
UPDATE = 16
ENV = probes.delayed_reward()
QUIET = {"progress": False, "segments": 2}


def network(env):
    return drawn(nets.actor_critic(env.observation, env.action, hidden=(4,)))


def experiment(updates=4, seeds=2, **changes):
    given = {"config": CONFIG, "network": network} | changes
    return Experiment(pjs.ppo, changes.pop("env", ENV), seeds, updates * UPDATE, **given)


def keep_learner(key, before, fresh):
    return fresh._replace(agent=fresh.agent._replace(learner=before.agent.learner))


def still(**changes):
    """An experiment that learns nothing, so that members end with what they began with."""
    return experiment(**{"hypers": PPOHypers(learning_rate=0.0)} | changes)


@pytest.fixture(scope="module", autouse=True)
def programs():
    with compiled_once():
        yield


@pytest.fixture(scope="module")
def teacher():
    return pjs.Stage("teacher", experiment(hypers=grid(PPOHypers(), gamma=[0.5, 0.9]), seeds=3))


@pytest.fixture(scope="module")
def found(teacher):
    """Of another order of the axes' labels, of fewer seeds, and with an axis of its own."""
    points = grid(PPOHypers(learning_rate=0.0), gae_lambda=[0.1, 0.7], gamma=[0.9, 0.5])
    pupil = pjs.Stage("pupil", still(hypers=points, seeds=[2, 0], updates=2), keep_learner)
    return pjs.stages(teacher, pupil, **QUIET)


def test_members_begin_with_those_of_the_same_coordinates(found):
    for gamma in (0.5, 0.9):
        for seed in (0, 2):
            before = found["teacher"].policy({"gamma": gamma}, seed).state.learner.params
            for gae_lambda in (0.1, 0.7):
                at = {"gamma": gamma, "gae_lambda": gae_lambda}
                after = found["pupil"].policy(at, seed).state.learner.params
                jax.tree.map(np.testing.assert_array_equal, before, after)
    first, second = (
        found["pupil"].policy({"gamma": g, "gae_lambda": 0.1}).state.learner.params
        for g in (0.5, 0.9)
    )
    kernels = [np.concatenate([x.ravel() for x in jax.tree.leaves(p)]) for p in (first, second)]
    assert not np.array_equal(*kernels), "members differ, so the test can fail"


def test_seeds_go_on_from_others_of_a_run_that_is_trained_already(found, tmp_path):
    before, points = found["teacher"], grid(PPOHypers(learning_rate=0.0), gamma=[0.9, 0.5])
    pupil = pjs.Stage("pupil", still(hypers=points, seeds=[7, 0], updates=2), keep_learner)
    parts = pjs.Stage("teacher", before), pupil._replace(origin=lambda seed: seed % 3)
    folder = tmp_path / "run"
    made = pjs.stages(*parts, out=folder, **QUIET)
    for gamma, (seed, origin) in ((0.5, (7, 1)), (0.9, (0, 0))):
        ours = made["pupil"].policy({"gamma": gamma}, seed).state.learner.params
        theirs = before.policy({"gamma": gamma}, origin).state.learner.params
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert sorted(made.curves["seed"].values.tolist()) == [0, 1, 2, 7]
    assert [one.name for one in folder.iterdir() if one.is_dir()] == ["pupil"]
    assert pjs.stages(*parts, out=folder, **QUIET).curves.equals(made.curves)
    half = before._replace(curves=before.curves.assign_attrs(trained=0.5))
    cases = [
        ((parts[0], parts[1]._replace(origin=lambda seed: 0)), "origins is"),
        ((parts[0], pupil), r"seeds: expected some of stage 'teacher', got 7"),
        ((parts[0], pupil._replace(origin=lambda seed: 9)), r"origin: .* got 9 for seed 0"),
        ((parts[0], pupil._replace(origin=3)), r"\[1\]: origin: expected a function seed ->"),
        ((parts[0]._replace(origin=abs), pupil), "origin: expected None in the first stage"),
        ((pjs.Stage("teacher", half), pupil), "expected a finished run, got one of which 50%"),
    ]
    for chain, message in cases:
        with pytest.raises(ValueError, match=message):
            pjs.stages(*chain, out=folder, **QUIET)


def test_curves_have_a_stage_and_steps_that_count_through(found):
    curves = found.curves
    assert curves["stage"].values.tolist() == ["teacher"] * 4 + ["pupil"] * 2
    assert curves["step"].values.tolist() == [UPDATE * i for i in range(1, 7)]
    assert dict(curves["value_loss"].sizes) == {"gamma": 2, "gae_lambda": 2, "seed": 3, "step": 6}
    for name, stage in found.results.items():
        part = curves["value_loss"].isel(step=(curves["stage"] == name).values)
        for axis, labels in stage.curves["value_loss"].coords.items():
            if axis != "step":
                part = part.sel({axis: labels})
        for x in part.transpose(..., *stage.curves["value_loss"].dims).values.reshape(
            -1, *stage.curves["value_loss"].shape
        ):
            np.testing.assert_array_equal(x, stage.curves["value_loss"].values)
    assert np.isnan(curves["value_loss"].sel(seed=1).isel(step=slice(4, None))).all()
    assert "teacher" in str(found) and "pupil" in str(found)
    assert curves["diverged"].dims == ("gae_lambda", "gamma", "seed")
    assert not curves["diverged"].any()
    assert pjs.report.best(curves).scores


def test_stages_that_were_stopped_go_on_to_the_same_bits(tmp_path):
    chain = [
        pjs.Stage("one", experiment()),
        pjs.Stage("two", experiment(updates=6), lambda key, before, fresh: drawn(key, before)),
    ]

    def drawn(key, before):
        """What the key decides, and all that was before, environments included."""
        noise = jax.random.uniform(key, (), minval=0.5, maxval=1.5)
        learner = before.agent.learner
        params = jax.tree.map(lambda x: x * noise, learner.params)
        agent = before.agent._replace(learner=learner._replace(params=params))
        return before._replace(agent=agent)

    whole = pjs.stages(*chain, **QUIET)
    folder, seen = tmp_path / "run", []

    def stop(progress):
        seen.append(progress)
        if len(seen) == 3:  # after the first segment of the second stage
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        pjs.stages(*chain, out=folder, on_segment=stop, **QUIET)
    again = pjs.stages(*chain, resume=folder, **QUIET)
    data = whole.curves.drop_vars("steps_per_second")
    assert again.curves.drop_vars("steps_per_second").equals(data)
    loaded = pjs.load(folder / "two", network=network, announce=lambda text: None)
    assert loaded.curves.equals(again["two"].curves)
    other = chain[1]._replace(begin=lambda key, before, fresh: fresh)
    with pytest.raises(ValueError, match="all names agree, but begin is another function"):
        pjs.stages(chain[0], other, out=folder, **QUIET)
    with pytest.raises(ValueError, match="has the stages one, two; got one"):
        pjs.stages(chain[0], out=folder, **QUIET)
    more = chain[1]._replace(name="three")
    with pytest.raises(ValueError, match="one is another experiment: updates is 4 there, 5 here"):
        pjs.stages(pjs.Stage("one", experiment(updates=5)), *chain[1:], more, out=folder, **QUIET)
    assert pjs.stages(*chain, out=folder, **QUIET).curves.equals(again.curves)
    with pytest.raises(ValueError, match="another experiment: before"):
        pjs.sweep(chain[1].experiment, out=folder / "two", **QUIET)
    with pytest.raises(ValueError, match="two is of a run: expected a folder for stages"):
        pjs.stages(chain[0], out=folder / "two", **QUIET)


def test_what_makes_no_sense_is_told_before_anything_is_trained(teacher, tmp_path):
    def bare(key, before, fresh):
        return fresh.agent

    def narrow(key, before, fresh):
        return jax.tree.map(lambda x: x[..., None], fresh)

    def fails(key, before, fresh):
        return before.nothing

    gammas = grid(PPOHypers(), gamma=[0.5])
    one = pjs.Stage("one", experiment())
    cases = [
        ((), "stages: expected at least one Stage, got none"),
        ((3,), r"stages\[0\]: expected a Stage, got 3"),
        ((one._replace(name="a/b"),), r"stages\[0\]: name: expected up to 64 letters, .* 'a/b'"),
        ((one._replace(name="stages.json"),), r"stages\[0\]: name: .* 'stages.json'"),
        ((one, one._replace(name="ONE", begin=keep_learner)), "name: .* 'ONE' again"),
        ((one._replace(begin=bare),), r"stages\[0\]: begin: expected None in the first"),
        ((one, one._replace(begin=keep_learner)), r"stages\[1\]: name: .* 'one' again"),
        ((one, one._replace(name="b")), r"stages\[1\]: begin: expected None in the first.* None"),
        ((one, pjs.Stage("b", experiment(), bare)), r"\[1\]: begin: .*the structure of `fresh`"),
        ((one, pjs.Stage("b", experiment(), narrow)), r"begin: .*: expected \w+\[.*\], got \w+\["),
        ((one, pjs.Stage("b", experiment(), fails)), "begin: .* got AttributeError"),
        ((one, pjs.Stage("b", experiment(seeds=3), keep_learner)), r"seeds: .* 'one', got 2"),
        (
            (teacher, pjs.Stage("b", experiment(), keep_learner)),
            r"the axis gamma, .*\[0\.5, 0\.9\]",
        ),
        (
            (teacher, pjs.Stage("b", experiment(hypers=grid(PPOHypers(), gamma=[0.7])), bare)),
            r"gamma=0\.7: expected one of \[0\.5, 0\.9\] of 'teacher'",
        ),
    ]
    for parts, message in cases:
        with pytest.raises(ValueError, match=message):
            pjs.stages(*parts, out=tmp_path / "run")
    first, other = (
        experiment(hypers=random(PPOHypers(), 2, seed=seed, gamma=log_uniform(0.5, 0.9)))
        for seed in (0, 1)
    )
    parts = pjs.Stage("a", first), pjs.Stage("b", first, keep_learner)
    assert module._lay_out(parts)["b"].groups[0].before.rows.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"configuration=0: expected gamma=0\.\d+, as .* 'a' has"):
        module._lay_out((parts[0], pjs.Stage("b", other, keep_learner)))
    assert not (tmp_path / "run").exists()
    for strange in (tmp_path / "run", tmp_path / "run" / "b"):
        (strange / "deep").mkdir(parents=True)
        with pytest.raises(ValueError, match="is not empty"):
            pjs.stages(one, pjs.Stage("b", experiment(), keep_learner), out=tmp_path / "run")
        shutil.rmtree(tmp_path / "run")
    with pytest.raises(ValueError, match="resume: expected a folder of stages"):
        pjs.stages(one, resume=tmp_path / "run")
    laid = module._lay_out((teacher, pjs.Stage("b", experiment(hypers=gammas), keep_learner)))
    assert laid["b"].groups[0].before.rows.tolist() == [0, 1]
