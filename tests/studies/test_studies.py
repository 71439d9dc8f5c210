"""Every study keeps the contract, its effects are right, and docs/ says what was found."""

import functools
import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite import stats
from purejaxrl_suite.cli.study import studies
from purejaxrl_suite.core.types import Learner
from purejaxrl_suite.envs import brax, probes
from purejaxrl_suite.search import one_at_a_time
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies import (
    dormant_neurons,
    grama,
    minatar,
    normalized_scores,
    reset_pool_is_harmless,
    study_result,
)
from purejaxrl_suite.studies import hyperparameter_consistency as consistency
from purejaxrl_suite.studies import plasticity_benchmark as benchmark
from purejaxrl_suite.studies import statistical_precipice as precipice
from purejaxrl_suite.studies.definition import digest
from purejaxrl_suite.studies.gates import reaches
from purejaxrl_suite.studies.judging import checked, judge, ruled
from purejaxrl_suite.studies.plasticity_panels import ranking
from purejaxrl_suite.studies.protocol import JUDGED, MORE, Computation, Continuation
from purejaxrl_suite.studies.scores import beside, by_task, estimated, lowest, scores_of_tasks
from purejaxrl_suite.studies.study_result import SHIPPED
from purejaxrl_suite.sweeps.layout import lay_out
from tests.counted import counted
from tests.plasticity.inspections import inspection_of_network
from tests.studies.tiny import gates_of

ROOT = Path(__file__).resolve().parents[2]
STUDIES = studies()
KEY = jax.random.key(3)
VERDICTS = ("CONFIRMED", "REFUTED", "INCONCLUSIVE")
each_study = pytest.mark.parametrize("name", STUDIES)


def test_every_file_with_a_study_is_known():
    folder = ROOT / "purejaxrl_suite" / "studies"
    assert set(STUDIES) == {p.stem for p in folder.glob("*.py") if "\nSTUDY = " in p.read_text()}


def arms_of(name, preset):
    """The arms {label: arm} of a budget, if what they need is installed."""
    budget = STUDIES[name].budgets[preset]
    if set(budget.environments) & set(brax.REFUSED):
        pytest.skip("brax is not installed")
    return built(name, preset)


def whole(arm):
    """Whether all of an arm is an Experiment, which can be laid out as it is."""
    return not isinstance(arm, Computation | Continuation)


@functools.cache
def built(name, preset):
    return STUDIES[name].arms(STUDIES[name].budgets[preset])


@each_study
def test_contract(name):
    study = STUDIES[name]
    text = study.describe()
    assert text.question.endswith("?") and all(text)
    assert study.claims and study.gates and set(study.budgets) == {"quick", "standard", "full"}
    used = {gate for claim in study.claims for gate in study.hangs_on(claim)}
    assert used == {gate.name for gate in study.gates}
    assert all(part for gate in study.gates for part in (gate.statement, gate.unit, gate.remedy))
    sizes = []
    for preset, budget in study.budgets.items():
        arms = arms_of(name, preset)
        for one in (*study.claims, *study.gates):
            assert one.over and set(one.over) <= set(arms) and one.unit
        for arm in arms.values():
            assert tuple(arm.seeds) == tuple(budget.seed_numbers)
            tasks = " ".join((env.name for env in arm.env) if whole(arm) else arm.tasks)
            assert any(id in tasks for id in budget.environments)
        sizes.append({label: len(arm.seeds) * arm.steps for label, arm in arms.items()})
    quick, standard, full = sizes
    assert set(standard) <= set(quick) <= set(full)
    assert all(quick[label] < full[label] for label in quick)
    assert all(quick[label] <= standard[label] < full[label] for label in standard)


@each_study
def test_no_score_is_judged_where_no_effect_could_show(name):
    """Who claims an effect of 0.05 asks that something scores twice that: less is hardly there."""
    study = STUDIES[name]
    known = {gate.name: gate for gate in study.gates if gate.direction is MORE}
    for claim in study.claims:
        if claim.unit == "normalized score" and claim.smallest:
            asked = [known[gate] for gate in study.hangs_on(claim) if gate in known]
            bounds = [gate.bound for gate in asked if gate.unit == claim.unit]
            assert max(bounds, default=0.0) >= 2 * claim.smallest, claim.statement


ELSEWHERE = ("grama_continuous", "moe_mixture_of_rl", "moe_scaling", "mtrl_scaling")
"""Large, and laid out by `make test-all`; tests of their own build their arms and networks."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in ELSEWHERE else n for n in STUDIES]
)
def test_arms_are_laid_out(name):
    """Every arm on one of its environments, every environment with one of the arms."""
    arms = [arm for arm in arms_of(name, "quick").values() if whole(arm)]
    for number, arm in enumerate(arms):
        known = arm.env
        some = known[number :: len(arms)] or [known[number % len(known)]]
        lay_out(arm._replace(env=some))


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["quick", "full"])  # of which standard trains a part
@each_study
def test_every_arm_is_laid_out_on_every_environment(name, preset):
    for arm in arms_of(name, preset).values():
        if whole(arm):
            lay_out(arm)


@pytest.mark.parametrize(
    "path", sorted(SHIPPED.glob("*/*.json")), ids=lambda path: path.parent.name
)
def test_no_shipped_result_says_more_than_its_data_bear(path):
    """And rulings follow from the numbers beside them."""
    one, study = study_result.read(path), STUDIES[path.parent.name]
    assert one.study == path.parent.name and one.preset == path.stem
    assert path.with_suffix(".png").exists()
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < 1.2e6
    closed = {gate.name for gate in one.gates if not gate.passed}
    for found in one.findings:
        if found.verdict in VERDICTS:
            assert one.preset in JUDGED and one.digest
            assert found.seeds >= stats.MINIMUM_SEEDS or found.verdict == "INCONCLUSIVE"
            assert not closed & set(found.failed) and found.adjusted
    if one.digest != digest(study, study.budgets[one.preset]):
        return
    effects = [Effect(*(np.float64(x) for x in f[6:9]), np.int64(f.seeds)) for f in one.findings]
    look = study_result.Look(one.preset, one.digest, one.budget.first_seed, one.budget.seeds)
    again = ruled(study, look, effects, one.gates, one.looks)
    assert [*map(told, again)] == [*map(told, one.findings)]


def told(finding):
    """What a finding says, with the six digits of its bound that a file keeps."""
    bound = f"{finding.against:.6g}"
    return finding._replace(against=bound)[:6], finding.verdict, finding.failed


def test_what_is_shipped_is_package_data():
    pattern = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = pattern["tool"]["setuptools"]["package-data"]["purejaxrl_suite"]
    files = {path for path in SHIPPED.rglob("*") if path.is_file()}
    found = {path for one in named for path in (ROOT / "purejaxrl_suite").glob(one)}
    assert found == files | {ROOT / "purejaxrl_suite" / "py.typed"}


def dataset(returns, tasks, **coords):
    """Curves over (environment, configuration, seed, step) of returns [C, S], equal in all else."""
    returns = np.asarray(returns, np.float32)
    values = np.tile(returns[None, :, :, None], (len(tasks), 1, 1, 3))
    dims = ("environment", "configuration", "seed")
    data = {
        "episode_return": ((*dims, "step"), values),
        "diverged": (dims, np.zeros(values.shape[:-1], bool)),
    }
    places = {name: ("configuration", x) for name, x in coords.items()}
    known: dict = {"coords": {"environment": list(tasks), **places}, "attrs": {"agent": "ppo"}}
    return counted(xr.Dataset(data, **known))


def test_normalized_scores():
    tasks = ("CartPole-v1", "Catch-bsuite")
    curves = dataset([[500.0, np.nan, 22.02]], tasks)
    curves["diverged"][1, 0, 0] = True
    scores = np.asarray(normalized_scores(curves))
    assert scores.shape == (3, 1, 2)
    np.testing.assert_allclose(scores[:, 0, 0], [1.0, np.nan, 0.0], atol=1e-6)
    assert scores[0, 0, 1] == 0.0  # diverged: like a random policy, whatever it scored
    curves["episode_return"][1, 0, 2] = -0.595 - 1.595  # who did not diverge is worse than that
    np.testing.assert_allclose(normalized_scores(curves)[:, 0, 1], [-1.0, np.nan, -1.0], rtol=1e-5)
    with pytest.raises(ValueError, match="no reference for Maze"):
        normalized_scores(dataset([[1.0]], ["Maze"]))


def test_who_diverged_has_the_worst_score_of_all_arms():
    """Whatever is selected of an arm, and however its tasks are played."""
    tasks = ("CartPole-v1", "Catch-bsuite")
    curves = dataset([[500.0, 400.0], [300.0, 200.0]], tasks)
    other = dataset([[10.0, -np.inf, np.nan]], tasks[:1])
    assert np.isnan(lowest(curves, by_task, tasks)).all()  # nobody asks
    curves["diverged"][0, 0, 0] = True
    one, _ = beside({"one": curves, "other": other}).values()
    np.testing.assert_array_equal(lowest(one, by_task, tasks), [10.0, 200.0])
    alone, among = (normalized_scores(x.isel(configuration=[0])) for x in (curves, one))
    assert alone[0, 0, 0] == 0.0  # a random policy's
    np.testing.assert_allclose(among[0, 0, 0], (10.0 - 22.02) / 477.98, rtol=1e-5)
    np.testing.assert_array_equal(alone[1:], among[1:])

    several = constant({"episode_return_Catch-bsuite": 1.0}, environment=["both"])
    several["episode_return"] = several["episode_return_Catch-bsuite"]
    several["diverged"][0, 2] = True
    worse = dataset([[-1.0, -0.9]], tasks[1:])
    both, _ = beside({"several": counted(several), "alone": worse}).values()
    found = scores_of_tasks(both, lambda task: (-0.595, 1.0))
    np.testing.assert_allclose(found[1:4, 0], [1.0, -0.405 / 1.595, 1.0], rtol=1e-5)


def test_an_effect_is_of_the_seeds_that_have_scores():
    values = np.random.default_rng(0).normal(size=(9, 2))
    values[2:, 1] = values[0, 0] = np.nan
    assert estimated(KEY, values).seeds == 2 and estimated(KEY, values[:, :1]).seeds == 8
    values[1, 1] = np.nan  # a task with one seed does not count
    assert estimated(KEY, values).seeds == 8


def test_the_table_of_values_finds_its_configurations():
    values = dict(zip(consistency.FIELDS["ppo"], consistency.VALUES.values(), strict=True))
    points = one_at_a_time(minatar.PPO_HYPERS, **values)
    number = np.arange(points.count, dtype=np.float32)[:, None]
    curves = dataset(number, ["Breakout-MinAtar"], varied=points.varied, **points.values)
    ends = stats.REFERENCES["Breakout-MinAtar"]
    scores = np.asarray(consistency.table(curves))
    low, high = ends.random.value, ends.reference.value
    found = np.round(low + scores * (high - low)).astype(int)
    assert found.shape == (1, 1, 4, 4)
    for h, (field, options) in enumerate(values.items()):
        for v, option in enumerate(options):
            changed = minatar.PPO_HYPERS._replace(**{field: option})
            assert points.settings()[found[0, 0, h, v]] == changed
    assert consistency.plain(curves).shape == (1, 1)
    np.testing.assert_array_equal(consistency.plain(curves)[0], scores[0, :, 0, 1])


def test_transfer_by_hand():
    """Games reverse the order of four values, agents keep it: spreads 3, 1, 1, 3 of 3, and 0."""
    order = np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]])
    scores = np.broadcast_to(order[None, None, None, :, None], (3, 2, 2, 2, 2, 4))
    games, agents = (consistency.transfer(scores, axis) for axis in (3, 1))
    np.testing.assert_allclose(games, [2 / 3, 2 / 3], rtol=1e-6)
    np.testing.assert_allclose(agents, [0.0, 0.0])
    contrast = consistency.Contrast(consistency.GAMES, consistency.AGENTS)
    assert float(contrast(scores)) == pytest.approx(2 / 3)


def constant(variables, seeds=9, **axes):
    """Curves with these values at all times, of members that are all alike."""
    axes = {"environment": ["Breakout-MinAtar"], **axes}
    shape = (*(len(names) for names in axes.values()), seeds, 8)
    dims = (*axes, "seed", "step")
    data = {name: (dims, np.full(shape, x, np.float32)) for name, x in variables.items()}
    data["diverged"] = (dims[:-1], np.zeros(shape[:-1], bool))
    return counted(xr.Dataset(data, coords={**axes, "step": np.arange(8)}))


def breakout(score):
    """The return that is this normalized score."""
    ends = stats.REFERENCES["Breakout-MinAtar"]
    return ends.random.value + score * (ends.reference.value - ends.random.value)


def test_gates_of_dormant_neurons():
    """Scores fall and units fall asleep with the ratio, and with time at the highest."""
    plain = constant({"episode_return": 0.0, "dormant_0.1": 0.0}, config=range(4))
    plain["episode_return"][:, :, :] = breakout(np.array([0.4, 0.3, 0.2, 0.1]))[:, None, None]
    plain["dormant_0.1"][0, 3] = np.linspace(0.1, 0.3, 8)
    treated = constant({"redo_recycled": 2.0, "prune_recycled": 0.5})
    arms = {"plain": plain} | dict.fromkeys(("redo-1", "redo-2", "pruned-1"), treated)
    expected = {"learns": 0.4, "dormant": 0.286, "more and more": 1.0, "ratio costs": -0.3}
    acts = {"redo-1 acts": 16.0, "redo-2 acts": 16.0, "pruning acts": 4.0}
    assert gates_of(dormant_neurons.STUDY, arms) == pytest.approx(expected | acts, abs=1e-3)


def test_gates_of_grama():
    """A member without a silent unit has no agreement to speak of."""
    relu = constant({"jaccard_released": 1.0})
    relu["jaccard_released"][0, :3] = np.nan
    treated = {"episode_return": breakout(0.3), "regrama_recycled": 1.0}
    normed = constant(treated, intervention=["none", "ReGraMa"])
    normed["regrama_recycled"][0, 0] = np.nan
    made = {f"{agent}-relu": relu for agent in ("pqn", "ppo")}
    made |= {f"{agent}-norm": normed for agent in ("pqn", "ppo")}
    for name, value in gates_of(grama.STUDY, made).items():
        expected = {"learns": 0.3, "falls silent": 2 / 3, "recycles": 8.0}[name[4:]]
        assert value == pytest.approx(expected, abs=1e-5)


def test_gates_of_statistical_precipice():
    """The game where agents are nearest to each other, and the one where they are farthest."""
    games = ("Breakout-MinAtar", "SpaceInvaders-MinAtar")
    luck = np.random.default_rng(0).normal(10.0, 1.0, (1, 32))
    x, y = (dataset(luck, games).squeeze("configuration") for _ in range(2))
    same = gates_of(precipice.STUDY, {"ppo": x, "pqn": y})
    assert same["winner"] < 0.0 and same["luck"] == 0.0
    assert same["ppo learns"] == same["pqn learns"] < 0.05  # of SpaceInvaders
    x["episode_return"][0] += 1.5
    found = gates_of(precipice.STUDY, {"ppo": x, "pqn": y})
    assert found["winner"] < 0.0 and found["luck"] == pytest.approx(
        1.5 / luck.std(ddof=1), rel=1e-3
    )
    x["episode_return"][1] += 1.5
    assert gates_of(precipice.STUDY, {"ppo": x, "pqn": y})["winner"] > 0.0


def test_a_task_without_an_episode_is_not_learnt():
    curves = dataset([[100.0] * 8], ("CartPole-v1", "Acrobot-v1")).squeeze("configuration")
    gate = reaches("learns", "It learns.", "a", -1.0)
    assert checked(gate, gate.measure(KEY, curves)).passed
    curves["episode_return"][1] = np.nan
    assert not checked(gate, gate.measure(KEY, curves)).passed


def test_wrong_winners_by_hand():
    x = np.array([[0.0], [3.0], [0.0], [3.0]], np.float32)  # 1.5 on average
    y = np.full_like(x, 0.9)
    mean = precipice.IQM_OF_ONE
    wrong, seldom = (jax.jit(precipice.Wrong(mean, n).__call__) for n in (1, 3))
    one, few = float(wrong(x, y)), float(seldom(x, y))
    assert one == pytest.approx(0.5, abs=0.1)
    assert few == pytest.approx(1 / 8, abs=0.07)  # 0, 0, 0 alone is below
    assert float(wrong(x + 2, y)) == 0.0
    assert float(wrong(y, y)) == 0.5


def test_coverage_by_hand(monkeypatch):
    """One seed of two is no interval; of equal runs every interval is right; in between below 1."""
    monkeypatch.setattr(precipice, "TRIALS", 100)
    same = np.ones((8, 2), np.float32)
    assert int(precipice._held(KEY, same, 3)) == precipice.TRIALS
    mixed = np.random.default_rng(0).normal(size=(64, 1)).astype(np.float32)
    assert 0.5 < int(precipice._held(KEY, mixed, 3)) / precipice.TRIALS < 0.93


def test_growth_is_the_rank_correlation_with_the_order():
    rows = np.array([[1, 2, 3, 4], [4, 3, 2, 1], [1, 1, 1, 1], [1, 3, 2, 4], [1, np.nan, 2, 3]])
    found = dormant_neurons.growth(rows[:, None])
    np.testing.assert_allclose(found[:, 0], [1.0, -1.0, 0.0, 0.8, np.nan], rtol=1e-6)


def test_silent_relus_have_no_gradient_of_their_weights():
    """And those of a fresh network that are not silent have some, by either definition."""
    env = probes.delayed_reward()
    network = grama.q_network(env, normed=False)
    shapes = jax.eval_shape(network.init, KEY)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: np.float32(rng.normal(size=x.shape)), shapes)
    params["trunk"]["dense_0"]["bias"][:5] = -1e3
    obs = np.linspace(-1.0, 1.0, 8, dtype=np.float32)[:, None]
    inspection = inspection_of_network(network, obs)
    measure = jax.jit(
        lambda learner: grama.agreement(learner, inspection.probe(learner), inspection)
    )
    found = {name: float(x) for name, x in measure(Learner(params, ())).items()}
    assert found["still_of_silent_released"] == found["jaccard_released"] == 1.0
    assert found["still_of_silent_text"] < 0.5 and found["jaccard_text"] < 0.5


def test_scores_of_a_cycle_by_hand():
    """Two tasks in three cycles of two updates: those of the last, and 0 for what diverged."""
    name = "continual(Breakout-MinAtar, Navix-DoorKey-5x5-v0; 2)"
    ends = stats.REFERENCES["Breakout-MinAtar"]
    best, worst = ends.reference.value, ends.random.value
    returns = np.full((2, 12), np.nan, np.float32)
    returns[0, [0, 1, 8, 9, 11]] = worst, worst, best, worst, 0.5
    data = {
        "episode_return": (("environment", "seed", "step"), returns[None]),
        "diverged": (("environment", "seed"), np.array([[False, True]])),
    }
    curves = counted(xr.Dataset(data, coords={"environment": [name]}))
    np.testing.assert_allclose(benchmark.scores(curves), [[0.5, 0.5], [0.0, 0.0]], rtol=1e-5)
    np.testing.assert_allclose(benchmark.scores(curves, 0)[0], [0.0, np.nan], atol=1e-6)


def test_a_ranking_has_the_largest_on_top():
    effects = {"a": (1.0, 0.0, 2.0), "b": (3.0, 2.0, 4.0), "c": (np.nan, np.nan, np.nan)}
    found = {name: Effect(*(np.float32(x) for x in ends), 5) for name, ends in effects.items()}
    assert [one.label for one in ranking("", "", found, 0.0, 0.05).rows] == ["b", "a", "c"]


def test_equal_arms_are_equal_and_others_are_not():
    tasks = ("Catch-bsuite", "CartPole-v1")
    returns = np.random.default_rng(0).normal(100.0, 5.0, (1, 16))
    x, y = dataset(returns, tasks), dataset(returns + 100.0, tasks)
    x, y = (one.squeeze("configuration") for one in (x, y))
    effect = reset_pool_is_harmless.equal(stats.final_score, slice(1, 2))
    claim = reset_pool_is_harmless.STUDY.claims[0]
    assert judge(claim, effect(KEY, x, x)).verdict == "CONFIRMED"
    found = judge(claim, effect(KEY, y, x))
    assert found.verdict == "REFUTED" and found.value == pytest.approx(100 / 477.98, rel=1e-3)
