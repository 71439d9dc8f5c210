"""Populations: who goes on, on what state, with which hyper-parameters, and after any stop."""

import json
import shutil
import signal

import jax
import numpy as np
import optax
import pytest
from scipy import stats

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.envs import probes
from purejaxrl_suite.populations import cohort, population, selection
from purejaxrl_suite.populations.cohort import first_cohort
from purejaxrl_suite.populations.population import evolve
from purejaxrl_suite.populations.selection import (
    Rules,
    Selection,
    population_based_training,
    successive_halving,
)
from purejaxrl_suite.sweeps import execute, fleet, plan
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.interrupt import Interrupted
from purejaxrl_suite.sweeps.layout import lay_out
from tests.shared import compiled_once, drawn

RATES = [1e-3, 3e-3, 1e-2, 3e-2]
NAN, INF = np.nan, np.inf


def decide(select, scores, seed=0, **hypers):
    hypers = {name: np.asarray(values, np.float32) for name, values in hypers.items()}
    found = select(jax.random.key(seed), np.asarray(scores, np.float32), hypers)
    return selection.checked(found, hypers, len(scores))


def test_halving_keeps_the_best_in_their_order():
    found = decide(successive_halving(), [1, 5, -INF, 5, 2], gamma=[0, 1, 2, 3, 4])
    assert found.source.tolist() == [1, 3] and not found.fresh.any()
    assert found.hypers["gamma"].tolist() == [1, 3]
    for keep, expected in ((0.01, [1]), (0.6, [1, 3, 4]), (0.99, [0, 1, 3, 4])):
        found = decide(successive_halving(keep), [1, 5, -INF, 5, 2], gamma=range(5))
        assert found.source.tolist() == expected
    assert decide(successive_halving(), [4, 4, 4, 4], gamma=range(4)).source.tolist() == [0, 1]
    assert len(decide(successive_halving(0.29), range(100), gamma=range(100)).source) == 29


def test_halving_fills_the_freed_slots():
    select = successive_halving(
        sample={"gamma": pjs.search.uniform(10, 20), "rate": pjs.search.choice([7, 8])}
    )
    old = {"gamma": [0, 1, 2, 3], "rate": [0, 1, 2, 3], "other": [0, 1, 2, 3]}
    found = decide(select, [1, 5, 5, 2], **old)
    assert found.source[[1, 2]].tolist() == [1, 2]
    assert found.fresh.tolist() == [True, False, False, True]
    gamma, rate = found.hypers["gamma"], found.hypers["rate"]
    assert gamma[[1, 2]].tolist() == [1, 2] and rate[[1, 2]].tolist() == [1, 2]
    assert np.all((gamma[[0, 3]] > 10) & (gamma[[0, 3]] < 20)) and gamma[0] != gamma[3]
    assert set(rate[[0, 3]]) <= {7, 8}
    assert found.hypers["other"].tolist() == [0, 1, 2, 3]
    # What diverged is replaced even where it belongs to the best.
    assert decide(select, [-INF, -INF, 1, -INF], **old).fresh.tolist() == [True, True, False, True]
    again, other = (decide(select, [1, 5, 5, 2], seed, **old) for seed in (0, 1))
    assert again.hypers["gamma"][0] == gamma[0] != other.hypers["gamma"][0]


def test_pbt_copies_the_best_over_the_worst_and_perturbs_the_copies():
    select = population_based_training({"rate": (0.5, 6)})
    old = {"rate": range(1, 9), "other": range(8)}
    factors, sources = set(), set()
    for seed in range(40):
        found = decide(select, [3, 8, 1, 4, 7, 2, 5, 6], seed, **old)
        assert not found.fresh.any()
        kept = [0, 1, 3, 4, 6, 7]
        assert found.source[kept].tolist() == kept
        assert found.hypers["rate"][kept].tolist() == [1, 2, 4, 5, 7, 8], "not even clipped"
        for place in (2, 5):
            source = found.source[place]
            sources.add((place, int(source)))
            assert found.hypers["other"][place] == source
            rate = found.hypers["rate"][place]
            factors.add((int(source), round(float(rate / old["rate"][source]), 4)))
    assert sources == {(2, 1), (2, 4), (5, 1), (5, 4)}
    # 2 x 0.8, 2 x 1.25; 5 x 0.8, and 5 x 1.25 clipped to 6.
    assert factors == {(1, 0.8), (1, 1.25), (4, 0.8), (4, 1.2)}


def test_perturbed_whole_numbers_stay_whole():
    env = probes.delayed_reward()
    points = pjs.search.grid(DQNHypers(), n_step=[2.0, 3.0])
    laid = lay_out(Experiment(dqn, env, 1, 64, points, DQNConfig(max_n_step=4)))
    old = first_cohort(laid).hypers
    for factor, expected in ((0.8, 2), (1.25, 4)):  # of 3: 2.4 and 3.75
        select = population_based_training({"n_step": (1, 9)}, exploit=0.5, perturb=(factor,))
        found = cohort.decide(
            laid, Rules(select, (1,), "r", 1, 0), 1, scores=np.float32([0, 1]), hypers=old
        )
        assert found.hypers["n_step"].tolist() == [expected, 3]
    select = population_based_training({"n_step": (1, 9)}, exploit=0.5, perturb=(2.0,))
    with pytest.raises(ValueError, match=r"at rung 1, hypers.n_step: .*max_n_step=4\], got 6"):
        cohort.decide(
            laid, Rules(select, (1,), "r", 1, 0), 1, scores=np.float32([0, 1]), hypers=old
        )


def test_what_members_begin_with_is_not_explored():
    """The masks of RigL keep the sparsity that they were drawn with, whatever hypers say later."""
    env = probes.delayed_reward()
    builder = pjs.sparse(dqn, pjs.sparsity.rigl(), period=1)
    points = pjs.search.grid(builder(env).hypers, sparsity=[0.5, 0.6])
    laid = lay_out(Experiment(builder, env, 1, 64, points))
    old, scores = first_cohort(laid).hypers, np.float32([0, 1])
    halving = Rules(successive_halving(), (1,), "r", 1, 0)
    assert cohort.decide(laid, halving, 1, scores=scores, hypers=old).source.tolist() == [1]
    explored = population_based_training({"sparsity": (0.1, 0.9)}, exploit=0.5)
    with pytest.raises(ValueError, match=r"at rung 1, hypers.sparsity: expected one that 'dqn.*"):
        cohort.decide(laid, Rules(explored, (1,), "r", 1, 0), 1, scores=scores, hypers=old)


@pytest.mark.parametrize(
    ("scores", "sources"),
    [
        ([1, 2, 3], [2, 1, 2]),  # a quarter of 3, at least one
        ([2, 1], [0, 0]),
        ([1], [0]),
        ([-INF, 4, -INF, -INF], [1, 1, 1, 1]),  # all that diverged, more than the share
        ([-INF, -INF], [0, 1]),  # nobody is worth a copy
    ],
)
def test_pbt_in_small_populations(scores, sources):
    select = population_based_training({"rate": (0, 99)}, perturb=(2.0,))
    found = decide(select, scores, rate=range(1, len(scores) + 1))
    assert found.source.tolist() == sources
    changed = [2 * (s + 1) if s != i else i + 1 for i, s in enumerate(sources)]
    assert found.hypers["rate"].tolist() == changed


def test_what_is_drawn_depends_on_the_seed_and_the_rung():
    keys = []

    def select(key, scores, hypers):
        keys.append(jax.random.key_data(key).tolist())
        return Selection([0], {"x": hypers["x"][:1]}, [False])

    for seed, rung, score in ((0, 1, 0.0), (0, 1, 1.0), (0, 2, 0.0), (1, 1, 0.0)):
        rules = selection.Rules(select, (1, 2), "r", 1, seed)
        rules.choose(rung, np.float32([score, 0]), {"x": np.float32([1, 2])})
    assert keys[0] == keys[1] and len(set(map(tuple, keys))) == 3


def test_identities():
    def ids(source, fresh=None, old=(3, 5, 7, 8)):
        fresh = np.zeros(len(source), bool) if fresh is None else np.asarray(fresh, bool)
        found = selection.identities(np.asarray(old), Selection(np.asarray(source), {}, fresh), 9)
        return found.tolist()

    assert ids([1, 3]) == [5, 8]
    assert ids([0, 1, 1, 3]) == [3, 5, 7, 8], "a copy is the worker in whose place it is"
    assert ids([1, 1, 1, 3]) == [3, 5, 7, 8]
    assert ids([2, 2, 0, 0]) == [7, 5, 3, 8]
    assert ids([2, 2, 2], [0, 0, 0]) == [3, 5, 7]
    assert ids([3, 0, 3]) == [8, 3, 7], "0 goes on in place 1, so place 0 is of 3, who has one"
    assert ids([1, 0, 1, 1]) == [5, 3, 7, 8]
    assert ids([0, 1, 2, 3], [1, 0, 1, 0]) == [9, 5, 10, 8]
    assert ids([1, 1], [0, 1]) == [5, 9]
    assert ids([1, 2, 2]) == [5, 9, 7], "in place 1 was 5, who goes on: a new id"


def test_scores_are_trimmed_means_over_the_episodes_of_the_window():
    rng = np.random.default_rng(0)
    returns = rng.normal(size=(3, 5, 2)).astype(np.float32)
    episodes = rng.integers(1, 9, size=returns.shape).astype(np.float32)
    diverged = np.zeros((3, 5), bool)
    found = selection.standing(returns, episodes, diverged)
    means = np.sum(returns * episodes, axis=2) / np.sum(episodes, axis=2)
    np.testing.assert_allclose(found.scores, stats.trim_mean(means, 0.25, axis=1), atol=1e-6)
    assert not np.any(found.out)
    diverged[1, 1] = True  # has the worst of all, or what is random if that is worse
    episodes[2] = 0  # configuration 2 ended no episode but one
    episodes[2, 2, 1], returns[2, 2, 1] = 1.0, 4.0
    again = selection.standing(returns, episodes, diverged, -9.0)
    worst = np.where(np.arange(5) == 1, -9.0, means[1])
    expected = [found.scores[0], stats.trim_mean(worst, 0.25), 4.0]
    np.testing.assert_allclose(again.scores, expected, atol=1e-6)
    assert again.told.tolist() == [found.scores[0], -INF, 4.0], "its state is no good"
    with pytest.raises(ValueError, match="expected a value before a rung, got none in 2 updates"):
        selection.standing(returns, 0 * episodes, diverged)


CONFIG = PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
STEPS = CONFIG.num_envs * CONFIG.rollout_length
HYPERS = pjs.search.grid(PPOHypers(), learning_rate=RATES)


@pytest.fixture(scope="module")
def env():
    return probes.action_reward()


@pytest.fixture(scope="module")
def agent(env):
    return ppo(env, CONFIG, drawn(nets.actor_critic(env.observation, env.action, hidden=(8,))))


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Compile each program once for all tests; gives the sizes that were asked for."""
    asked = []
    with compiled_once(), pytest.MonkeyPatch.context() as patch:
        compile_fleet = execute.compile_fleet

        def told(single, members, **sizes):
            asked.append(len(members.seeds))
            return compile_fleet(single, members, **sizes)

        patch.setattr(execute, "compile_fleet", told)
        yield asked


ARGUMENTS = {
    "hypers": HYPERS,
    "seeds": 2,
    "steps": 12 * STEPS,
    "segments": 6,
    "progress": False,
}


@pytest.fixture(scope="module")
def build(agent):
    return lambda *_: agent


@pytest.fixture(scope="module")
def train(build, env):
    def train(select, **changes):
        arguments = {**ARGUMENTS, "rungs": [2, 4]} | changes
        return evolve(build, env, select=select, **arguments)

    return train


@pytest.fixture(scope="module")
def sweep(build, env):
    return pjs.sweep(build, env, **ARGUMENTS)


def always(source, fresh=None, **changes):
    """Decides the same whatever the scores; `changes` are hypers that it sets."""

    def select(key, scores, hypers):
        kept = {name: values.take(source, mode="clip") for name, values in hypers.items()}
        return Selection(source, kept | changes, fresh or np.zeros(len(source), bool))

    return select


def test_halving_trains_ever_smaller_batches(train, sweep, compiled):
    compiled.clear()
    curves = train(successive_halving()).curves
    assert compiled == [8, 4, 2]
    losses, edges = curves.value_loss, [0, 4, 8, 12]
    assert losses.dims == ("configuration", "seed", "step")
    assert curves.learning_rate.values.tolist() == RATES
    swept = sweep.curves.value_loss.values
    # The first phase is the program of the sweep: bitwise. Later ones are other programs, equal to
    # rounding at first.
    np.testing.assert_array_equal(losses[:, :, :4], swept[:, :, :4])
    alive = [~np.isnan(losses[:, 0, a]).values for a in edges[:3]]
    assert [x.sum() for x in alive] == [4, 2, 1]
    np.testing.assert_allclose(losses[alive[1], :, 4:6], swept[alive[1], :, 4:6], rtol=1e-4)
    for i in (0, 1):
        assert np.isnan(losses[~alive[i + 1], :, edges[i + 1] :]).all()
        scores = curves.score[:, i].values
        best = np.sort(np.argsort(-np.where(np.isnan(scores), -INF, scores))[: 2 - i])
        assert np.flatnonzero(alive[i + 1]).tolist() == best.tolist()
        expected = curves.episode_return[alive[i], :, edges[i + 1] - 2 : edges[i + 1]]
        expected = expected.mean(("seed", "step"))
        np.testing.assert_allclose(scores[alive[i]], expected, rtol=1e-6)
    assert curves.rung.values.tolist() == [4 * STEPS, 8 * STEPS]
    assert curves.attrs["environment_steps"] == (8 + 4 + 2) * 4 * STEPS


def test_survivors_are_bitwise_those_of_a_sweep_where_slots_are_filled(train, sweep, compiled):
    compiled.clear()
    select = successive_halving(sample={"learning_rate": pjs.search.log_uniform(1e-4, 1e-1)})
    result = train(select)
    curves = result.curves
    assert compiled == [8], "one program for all phases"
    assert curves.sizes["configuration"] == 4 + 2 + 2
    kept = np.flatnonzero(~np.isnan(curves.value_loss[:4, 0, -1]))
    assert len(kept) > 0 and curves.learning_rate.values[:4].tolist() == RATES
    ours = curves.drop_vars(["steps_per_second", "parent", "score"]).isel(configuration=kept)
    for name, variable in ours.data_vars.items():
        there = sweep.curves[name].isel(learning_rate=kept)
        np.testing.assert_array_equal(variable.values, there.values, err_msg=name)
    assert len(set(curves.learning_rate[4:].values)) == 4, "each rung draws anew"
    assert np.isnan(curves.value_loss[4:, :, :4]).all()
    assert not np.isnan(curves.value_loss[4:6, :, 4:8]).any()
    assert np.isnan(curves.value_loss[6:, :, :8]).all()
    assert (curves.parent[4:, 0] == -1).all() and (curves.parent[kept] == kept[:, None]).all()
    # Members of the last phase are found by their ids.
    policy = result.policy({"configuration": int(kept[0])}, seed=1)
    state = sweep.policy({"learning_rate": RATES[kept[0]]}, seed=1).state
    jax.tree.map(np.testing.assert_array_equal, policy.state, state)
    assert result.policy({"configuration": 7}).hypers.learning_rate == np.float32(
        curves.learning_rate[7]
    )
    dropped = sorted(set(range(6)) - set(result.layout.traced["configuration"]))
    with pytest.raises(ValueError, match=f"configuration={dropped[0]} was not trained"):
        result.policy({"configuration": dropped[0]})
    assert result.evaluate(2).episode_return.dims == ("configuration", "seed", "episode")


def test_copies_share_state_and_random_numbers_and_obey_their_own_hypers(train):
    result = train(always([3, 1, 3, 3]), rungs=[2])
    twins = result.curves
    for seed in (0, 1):  # all of it: parameters, moments, counts, environments
        pair = (result.policy({"configuration": c}, seed).state for c in (0, 3))
        jax.tree.map(np.testing.assert_array_equal, *pair)
    assert twins.configuration.values.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(twins.parent[:, 0], [3, 1, 3, 3])
    np.testing.assert_array_equal(twins.value_loss[0, :, 4:], twins.value_loss[3, :, 4:])
    assert not np.array_equal(twins.value_loss[0, :, :4], twins.value_loss[3, :, :4])
    assert not np.array_equal(twins.value_loss[0, 0, 4:], twins.value_loss[0, 1, 4:])
    rates = [3e-2, 3e-3, 0.1, 3e-2]
    other = train(always([3, 1, 3, 3], learning_rate=rates), rungs=[2]).curves
    np.testing.assert_array_equal(other.value_loss[[0, 1, 3]], twins.value_loss[[0, 1, 3]])
    # The first rollout is the same, what is learnt from it is not.
    returns, same = other.episode_return[2], twins.episode_return[2]
    np.testing.assert_array_equal(returns[:, 4], same[:, 4])
    assert not np.any(other.value_loss[2, :, 4:] == twins.value_loss[2, :, 4:])
    assert other.learning_rate.dims == ("configuration", "step")
    np.testing.assert_array_equal(other.learning_rate[:, 3], np.float32(RATES))
    np.testing.assert_array_equal(other.learning_rate[:, 4], np.float32(rates))


def test_a_population_is_treated_and_measured_and_what_is_measured_can_decide(
    train, agent, tmp_path
):
    """An intervention that does nothing changes no bits, and neither does what only measures."""

    def norm(learner, probe, inspection):
        return {"norm": optax.tree.norm(learner.params)}

    def untouched(key, clock, state, learner, inspection):
        return learner, state, {}

    nothing = pjs.Intervention("nothing", lambda network, learner: (), untouched)
    treated = {"intervention": nothing, "metrics": (norm,), "measure_every": 4}
    select = always([1, 1, 2, 3])
    found = train(select, **treated, metric="norm", out=tmp_path)
    curves, plain = found.curves, train(select).curves
    for name in set(plain.data_vars) - {"steps_per_second", "score"}:
        np.testing.assert_array_equal(curves[name].values, plain[name].values, err_msg=name)
    measured = np.flatnonzero(np.isfinite(curves.norm.values).any(axis=(0, 1)))
    assert measured.tolist() == [3, 7, 11]
    np.testing.assert_allclose(curves.score[:, 0], curves.norm[:, :, 3].mean("seed"), rtol=1e-6)
    again = pjs.load(tmp_path, builder=lambda *_: agent, **treated)
    assert_same(again, found)
    with pytest.raises(ValueError, match="^intervention: expected .*nothing.*, got none"):
        pjs.load(tmp_path, builder=lambda *_: agent)


def test_what_is_fresh_begins_at_the_start_of_its_seed(train):
    # At a learning rate of 0 parameters stay what they were at the start.
    hypers = pjs.search.grid(PPOHypers(), learning_rate=[0.0, 1e-2, 1e-1, 1.0])
    fresh = [False, True, False, False]
    changes = {"rungs": [2], "hypers": hypers, "seeds": [3, 4]}
    result = train(always([0, 1, 1, 3], fresh, learning_rate=np.zeros(4)), **changes)
    assert result.layout.traced["configuration"] == [0, 4, 1, 3]
    for seed in (3, 4):
        still, begun, copied = (
            result.policy({"configuration": c}, seed).state.learner.params for c in (0, 4, 1)
        )
        jax.tree.map(np.testing.assert_array_equal, begun, still)
        assert not np.array_equal(copied["heads"]["value"]["bias"], still["heads"]["value"]["bias"])


class Stop(Exception):
    pass


def assert_same(a, b):
    curves = [x.curves.drop_vars("steps_per_second") for x in (a, b)]
    assert curves[0].assign_attrs(curves[1].attrs).identical(curves[1])
    jax.tree.map(np.testing.assert_array_equal, a.state(), b.state())


@pytest.mark.parametrize(
    ("select", "stops"),
    [
        (successive_halving(), (1, 2, 3, 6)),
        (successive_halving(sample={"learning_rate": pjs.search.log_uniform(1e-4, 1e-1)}), (5,)),
        (population_based_training({"learning_rate": (1e-4, 1.0)}), (3, 4)),
    ],
    ids=["halving", "replacing", "pbt"],
)
def test_going_on_after_a_stop_gives_the_same_bits(train, tmp_path, select, stops):
    # Two segments in a phase, a checkpoint after the second: a stop at an odd segment of a later
    # phase goes on from the decision, at an even one from the checkpoint.
    whole = train(select, checkpoint_every=2)
    for stop_at in stops:
        out, told = tmp_path / str(stop_at), []

        def stop(progress, told=told, stop_at=stop_at):
            told.append(progress)
            if len(told) == stop_at:
                raise Stop

        with pytest.raises(Stop):
            train(select, checkpoint_every=2, out=out, on_segment=stop)
        rest = []
        resumed = train(select, checkpoint_every=2, resume=out, on_segment=rest.append)
        assert_same(resumed, whole)
        if rest and rest[0].update == told[-1].update:
            told.pop()  # trained again
        assert [p.update for p in told + rest] == [2, 4, 6, 8, 10, 12]
        assert [p.chunk for p in told + rest] == [0, 0, 1, 1, 2, 2]
    kept = [(out / f"group-000/chunk-00{p}/checkpoints").exists() for p in range(3)]
    assert kept == [False, False, True], "states of earlier phases are deleted"
    says = []
    finished = train(select, resume=out, announce=says.append)
    assert_same(finished, whole)
    assert says == [f"{out} is finished: nothing is left to train"]


def test_rows_over_several_updates(train, agent, tmp_path, monkeypatch):
    """Twelve updates in segments of three, a row each, in batches of one size."""

    def stop(progress):
        if progress.update == 6:
            raise Stop

    how = {"segments": 4, "rungs": [1, 3]}
    select = population_based_training({"learning_rate": (1e-4, 1.0)})
    monkeypatch.setattr(cohort, "updates_per_row", lambda env, updates: 3)
    monkeypatch.setattr(execute, "updates_per_row", lambda env, updates: 3)
    whole = train(select, **how)
    with pytest.raises(Stop):
        train(select, **how, out=tmp_path, on_segment=stop)
    so_far = pjs.load(tmp_path, builder=lambda *_: agent).curves
    assert so_far.step.values.tolist() == [3 * STEPS, 6 * STEPS] and so_far.trained == 0.5
    assert_same(train(select, **how, resume=tmp_path), whole)
    assert whole.curves.step.values.tolist() == [STEPS * i for i in (3, 6, 9, 12)]
    monkeypatch.undo()
    single = train(select, **how).curves
    assert single.sizes["step"] == 12
    ends = whole.curves.episodes.sum("step"), single.episodes.sum("step")
    np.testing.assert_array_equal(*ends)
    np.testing.assert_array_equal(whole.curves.parent, single.parent)
    np.testing.assert_allclose(whole.curves.score, single.score, 1e-5)


@pytest.mark.slow
def test_phases_keep_their_blocks_on_a_machine_with_other_cores(train, tmp_path, monkeypatch):
    def stop(progress):
        if progress.update == 6:
            raise Stop

    monkeypatch.setattr(fleet, "block_size", lambda state_bytes, members: 2)
    whole = train(successive_halving())
    with pytest.raises(Stop):
        train(successive_halving(), out=tmp_path, on_segment=stop)
    sizes = json.loads((tmp_path / "sweep.json").read_text())["sizes"]
    assert sizes == {"chunk": [8, 4, 2], "block": [2, 2, 2], "length": [2], "row": [1]}
    monkeypatch.setattr(fleet, "block_size", lambda state_bytes, members: members)
    assert_same(train(successive_halving(), resume=tmp_path), whole)


@pytest.mark.parametrize(("pressed_at", "rest"), [(4, [6, 8, 10, 12]), (6, [10, 12])])
def test_control_c_saves_and_going_on_gives_the_same_bits(train, agent, tmp_path, pressed_at, rest):
    def press(progress):
        if progress.update == pressed_at:
            signal.raise_signal(signal.SIGINT)

    whole = train(successive_halving())
    with pytest.raises(Interrupted, match="stopped at update"):
        train(successive_halving(), out=tmp_path, on_segment=press, checkpoint_every=100)
    told, said = [], []
    so_far = pjs.load(tmp_path, builder=lambda *_: agent, announce=said.append)
    assert so_far.curves.sizes["step"] == rest[0] - 2 and "is not finished" in said[0]
    assert so_far.policy({"configuration": so_far.layout.traced["configuration"][0]}).agent is agent
    assert_same(train(successive_halving(), resume=tmp_path, on_segment=told.append), whole)
    assert [p.update for p in told] == rest
    assert_same(pjs.load(tmp_path, builder=lambda *_: agent), whole)


def test_a_stop_in_the_middle_of_a_decision(train, tmp_path, monkeypatch):
    whole = train(successive_halving())
    write = population.files.write_json

    def stop(path, content):
        if path.name == "selection-002.json":
            raise Stop
        write(path, content)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(population.files, "write_json", stop)
        train(successive_halving(), out=tmp_path)
    resumed = train(successive_halving(), resume=tmp_path)
    assert_same(resumed, whole)


def test_a_state_that_is_gone(train, tmp_path):
    def stop(progress):
        if progress.update == 6:
            raise Stop

    arguments = {"out": tmp_path, "checkpoint_every": 2, "on_segment": stop}
    with pytest.raises(Stop):
        train(successive_halving(), **arguments)
    shutil.rmtree(tmp_path / "group-000/chunk-000/checkpoints")
    with pytest.raises(ValueError, match="checkpoints.4 is missing: the last state of its members"):
        train(successive_halving(), resume=tmp_path)


def test_what_is_resumed_must_be_the_same(train, tmp_path, agent, env):
    out = tmp_path / "population"

    def stop(progress):
        if progress.update == 6:
            raise Stop

    with pytest.raises(Stop):
        train(successive_halving(), out=out, on_segment=stop)
    for changes, message in (
        ({"rungs": [2, 5]}, r"population.rungs, in updates is \[4, 8\] there, \[4, 10\] here"),
        ({"selection_seed": 1}, "population.selection seed is 0 there, 1 here"),
        ({"seeds": 3}, "experiment: seeds is"),
    ):
        with pytest.raises(ValueError, match=message):
            train(successive_halving(), resume=out, **changes)

    def successive_halving_of_the_worst(key, scores, hypers):
        return successive_halving()(key, -scores, hypers)

    successive_halving_of_the_worst.__qualname__ = "successive_halving.<locals>.select"
    with pytest.raises(ValueError, match="select is another function, or holds other numbers"):
        train(successive_halving_of_the_worst, resume=out)
    with pytest.raises(ValueError, match="is another experiment"):
        pjs.sweep(lambda *_: agent, env, **ARGUMENTS, resume=out)
    record = json.loads((out / "group-000/selection-001.json").read_text())
    assert len(record["configuration"]) == 2


def test_a_population_that_does_not_fit_at_once(train, monkeypatch):
    monkeypatch.setattr(plan, "resident", lambda: 0)
    monkeypatch.setattr(plan, "predict", lambda program, chunks, checkpoints: 2**20 * program.size)
    with pytest.raises(ValueError, match="8 members, but 4 fit into 5 MiB"):
        train(successive_halving(), memory="5MiB")


def test_diverged_configurations_are_dropped_and_flagged(train):
    hypers = pjs.search.grid(PPOHypers(), learning_rate=[3e38, 1e-3, 1e-2, 3e-2])
    curves = train(successive_halving(), hypers=hypers, rungs=[2]).curves
    assert curves.score[0, 0] <= curves.score[:, 0].min() and curves.diverged[0].all()
    assert not curves.diverged[1:].any()
    assert np.isnan(curves.episode_return[0, :, 4:]).all()


def sized_by_scores(key, scores, hypers):
    kept = np.flatnonzero(scores == scores.max())
    return Selection(kept, {n: x[kept] for n, x in hypers.items()}, np.zeros(len(kept), bool))


def test_the_number_that_goes_on_must_not_depend_on_scores(train):
    with pytest.raises(
        ValueError, match="must not depend on scores, got 1 where equal scores gave 4"
    ):
        train(sized_by_scores, rungs=[2])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: successive_halving(1.0), "keep: expected a share"),
        (lambda: successive_halving(sample={"gamma": 3}), "sample: gamma: expected such as"),
        (lambda: population_based_training({}), "bounds: expected .*at least one"),
        (lambda: population_based_training({"x": (2, 1)}), "bounds: x: expected low < high"),
        (lambda: population_based_training({"x": (1, 2)}, exploit=0.6), "exploit: expected"),
        (
            lambda: population_based_training({"x": (1, 2)}, perturb=(0, 1)),
            "perturb.0.: expected a positive factor",
        ),
    ],
)
def test_rules_refuse_what_makes_no_sense(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rungs": []}, "rungs: expected increasing numbers of segments, got "),
        ({"rungs": [6]}, r"rungs: expected increasing .* in 1 .. 5 \(12 updates"),
        ({"rungs": [0]}, r"rungs\[0\]: expected an integer in 1 .. "),
        ({"rungs": [3, 3]}, "rungs: expected"),
        ({"window": 0}, "window: expected an integer of at least 1, got 0"),
        ({"window": 3}, "window must be 1 .. 2 segments"),
        ({"segments": 13}, "segments must be between 1 and the 12 updates"),
        ({"segments": 0}, "segments: expected an integer"),
        ({"hypers": PPOHypers()}, "hypers: expected points, such as .*, got a PPOHypers"),
        ({"config": [CONFIG, CONFIG._replace(epochs=2)]}, "one group, got 2"),
        (
            {"env_params": pjs.search.grid({"a": 1}, a=[1, 2])},
            "env_params: expected values: a population varies hypers",
        ),
        ({"metric": "speed"}, "metric: 'speed' is none of .*episode_return"),
        ({"out": "a", "resume": "b"}, "out and resume"),
        ({"select": lambda key, scores, hypers: None}, "must return a Selection, got NoneType"),
        ({"select": always([4])}, "select: source must be in 0 .. 3"),
        ({"select": always([0] * 5)}, "source and fresh must have 1 to 4"),
        ({"select": always([0, 1], [True])}, "source and fresh must have 1 to 4"),
        ({"select": always([0, 1], gamma=[1])}, "hypers.gamma must be 2 finite numbers"),
        ({"select": always([0], gamma=[NAN])}, "hypers.gamma must be 1 finite numbers"),
        ({"select": always([0], gamma=[1.5])}, r"select: at rung 1, hypers.gamma: expected .*1\]"),
        ({"select": always([0], speed=[1])}, "hypers must be .*; differing: speed"),
        (
            {"select": population_based_training({"speed": (0, 1)})},
            "hypers must be .*; differing: speed",
        ),
    ],
)
def test_bad_arguments_are_refused(train, changes, message):
    select = changes.get("select", successive_halving())
    changes = {name: value for name, value in changes.items() if name != "select"}
    with pytest.raises(ValueError, match=message):
        train(select, **changes)
