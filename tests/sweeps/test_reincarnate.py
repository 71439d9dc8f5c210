"""Reincarnation in stages: what is carried over, and that stopped stages go on to the same bits."""

from functools import partial

import jax
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.core.types import Run
from purejaxrl_suite.envs import probes
from purejaxrl_suite.sweeps import fleet
from purejaxrl_suite.sweeps.reincarnate import from_offline, reincarnation_stages
from purejaxrl_suite.sweeps.stages import _lay_out
from tests.shared import compiled_once, drawn

ENV = probes.action_reward()
CONFIG = pjs.DQNConfig(
    num_envs=2, rollout_length=4, gradient_steps=2, batch_size=8, capacity=64, probe_size=8
)
HYPERS = pjs.DQNHypers(min_history=8.0, learning_rate=1e-2)
UPDATES, EACH = 6, 8


def network(hidden):
    def make(env):
        options = {"hidden": hidden, "layer_norm": False}
        return drawn(nets.q_network(env.observation, env.action, **options))

    return make


TEACHER = pjs.Experiment(
    pjs.dqn, ENV, 2, UPDATES * EACH, config=CONFIG, network=network((4,)), hypers=HYPERS
)
STUDENT = TEACHER._replace(
    seeds=[3, 4],
    network=network((6,)),
    config=CONFIG._replace(capacity=128),
    evaluate_every=pjs.Evaluating(3, episodes=16),
)
QUIET = {"progress": False, "segments": 2}
STAGES = "offline", "online"


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture(scope="module", autouse=True)
def programs():
    with compiled_once():
        yield


@pytest.fixture(scope="module")
def parts():
    return reincarnation_stages(pjs.qdagger(), TEACHER, STUDENT, offline_gradient_steps=7)


@pytest.fixture(scope="module")
def found(parts):
    return pjs.stages(*parts, **QUIET)


@pytest.mark.slow
def test_students_have_the_teachers_of_their_seeds_and_replays_of_their_own(found):
    teacher, offline, online = (found[name].state().agent for name in ("teacher", *STAGES))
    last = [0, 1]  # students 3 and 4 have the teachers 0 and 1
    theirs = jax.tree.map(lambda x: x[np.asarray(last)], teacher)
    bare = jax.tree.leaves(theirs._replace(replay=()))
    for student in (offline, online):
        equal(list(student.prior.teacher.leaves), bare)
    equal(offline.replay, theirs.replay)
    assert found["offline"].layout.groups[0].updates == 4  # of 7 gradient steps, 2 in each
    # All rows are the student's own: as many as it has acted, in a replay that has room for more.
    assert online.replay.filled.tolist() == [UPDATES * CONFIG.rollout_length] * 2
    assert online.rest.steps.max() <= UPDATES * CONFIG.gradient_steps, "counted anew"
    for seed, origin in ((3, 0), (4, 1)):
        score = found["teacher"].policy(seed=origin).evaluate(16).episode_return.mean()
        assert online.prior.teacher_score[seed - 3] == score
    assert np.all(np.abs(online.prior.random_score) < 1.0)


@pytest.mark.slow
def test_lambda_is_1_offline_and_follows_evaluations_online(found):
    assert np.all(found["offline"].curves["weaning"] == 1.0)
    curves = found["online"].curves
    weaning, score = (curves[name].values for name in ("weaning", "evaluation_return"))
    np.testing.assert_array_equal(weaning[:, :3], 1.0)
    prior = found["online"].state().agent.prior
    closed = (score[:, 2] - prior.random_score) / (prior.teacher_score - prior.random_score + 1e-8)
    np.testing.assert_allclose(weaning[:, 3], np.maximum(1.0 - closed, 0.0), 1e-5)
    assert np.all(weaning[:, 4:] == 0.0), "after weaning_end"
    for name in ("teacher_kl", "extra_loss"):
        assert np.isfinite(curves[name].values[:, -1]).all()


def test_the_online_stage_begins_with_parameters_and_optimizer_of_the_offline_stage(parts):
    """What is 1 was offline, what is 0 is fresh."""
    (laid,) = list(_lay_out(parts).values())[2].groups
    shape = fleet.abstract_run(laid.train, laid.members).agent
    old, fresh = (
        Run(jax.tree.map(lambda x, i=i: np.full(x.shape, i, x.dtype), shape), *[()] * 6)
        for i in (1, 0)
    )
    for method, kept in ((pjs.qdagger(), old), (pjs.offline_pretraining(), fresh)):
        made = from_offline(method)(jax.random.key(0), old, fresh).agent
        equal(made.learner.params, old.agent.learner.params)
        equal(made.learner.opt_state, kept.agent.learner.opt_state)
        equal(made.rest, fresh.agent.rest._replace(target=old.agent.learner.params))
        equal(made.replay, fresh.agent.replay)
        equal(made.prior.teacher, old.agent.prior.teacher)
        equal(made.prior.teacher_score, old.agent.prior.teacher_score)
        assert made.prior.weaning.max() == 0.0, "the fresh one"


@pytest.mark.slow
def test_each_stage_may_be_stopped_and_goes_on_to_the_same_bits(parts, found, tmp_path):
    folder = tmp_path / "run"
    for _ in range(3):  # in the middle of each stage
        seen = []

        def stop(progress, seen=seen):
            seen.append(progress)
            if progress.update < progress.updates:
                raise RuntimeError("stopped")

        with pytest.raises(RuntimeError, match="stopped"):
            pjs.stages(*parts, out=folder, on_segment=stop, **QUIET)
    again = pjs.stages(*parts, resume=folder, **QUIET)
    data = (one.curves.drop_vars("steps_per_second") for one in (again, found))
    assert next(data).equals(next(data))
    for name in STAGES:
        equal(again[name].state(), found[name].state())


def test_methods_of_one_stage_and_what_does_not_fit():
    done = reincarnation_stages(pjs.fine_tuning(), TEACHER, TEACHER._replace(seeds=3))
    assert _lay_out(done)["online"].groups[0].before.rows.tolist() == [0, 1, 0]
    taught = reincarnation_stages(pjs.kickstarting(), TEACHER, STUDENT._replace(seeds=3))
    assert _lay_out(taught)["online"].groups[0].before.rows.tolist() == [1, 0, 1], "never their own"
    swept = STUDENT._replace(hypers=pjs.search.grid(HYPERS, gamma=[0.5, 0.9]))
    own = {"config": None, "network": None, "hypers": None, "steps": 4096}
    others = TEACHER._replace(builder=pjs.ppo, **own), STUDENT._replace(builder=pjs.c51, **own)
    chains = (pjs.rehearsal(), TEACHER, swept), (pjs.kickstarting(), *others)
    for chain in chains:
        assert set(_lay_out(reincarnation_stages(*chain))) == {"teacher", "online"}
    how = {"offline_gradient_steps": 7}

    def plain(env, config=None, network=None, hypers=None):
        return pjs.dqn(env, config, network, hypers)

    frozen = partial(pjs.dqn, replay=pjs.buffers.frozen)
    cases = [
        ((pjs.qdagger(), TEACHER, STUDENT), {}, "offline_gradient_steps: expected an integer"),
        ((pjs.jsrl(), TEACHER, STUDENT), how, "None, as jsrl has no offline phase, got 7"),
        ((pjs.fine_tuning(), TEACHER, STUDENT), how, "has no offline phase, got 7"),
        ((pjs.rehearsal(), TEACHER, STUDENT), {"weaning": False}, "weaning: expected True, as reh"),
        ((pjs.kickstarting(), TEACHER, STUDENT._replace(builder=plain)), {}, "takes extra_loss="),
        ((pjs.qdagger(), TEACHER, STUDENT._replace(builder=frozen)), how, "no replay of its own"),
        ((pjs.jsrl(), 3, STUDENT), {}, "teacher: expected an Experiment, or the Result of one"),
        ((pjs.jsrl(), swept, STUDENT), {}, "teacher: expected one setting, got several"),
        ((pjs.jsrl(), TEACHER, STUDENT._replace(env=[ENV])), {}, "student: env: expected an Env"),
        ((pjs.jsrl(), TEACHER, STUDENT._replace(evaluate_every=None)), {}, "evaluate_every: expec"),
    ]
    for given, options, message in cases:
        with pytest.raises(ValueError, match=message):
            _lay_out(reincarnation_stages(*given, **options))
