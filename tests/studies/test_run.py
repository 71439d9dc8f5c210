"""A tiny study from its arms to its file, and how claims are judged."""

import io
from contextlib import redirect_stderr
from dataclasses import replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import search, studies
from purejaxrl_suite.envs import probes
from purejaxrl_suite.report.findings import effect as report_effect
from purejaxrl_suite.report.studies import study_figure
from purejaxrl_suite.stats import Effect, Estimate
from purejaxrl_suite.studies import EQUAL, LESS, MORE, Claim, Continuation, run
from purejaxrl_suite.studies.definition import digest
from purejaxrl_suite.studies.judging import checked, exploratory, judge, measured, ruled
from purejaxrl_suite.studies.run import run_study
from purejaxrl_suite.studies.study_result import Look, find, seen
from purejaxrl_suite.sweeps.display import watched
from purejaxrl_suite.sweeps.reincarnate import go_on
from purejaxrl_suite.sweeps.stages import Stage
from tests.shared import compiled_once
from tests.studies.tiny import OVER, STUDY, difference

NAN = float("nan")


@pytest.fixture(scope="module", autouse=True)
def programs():
    with compiled_once():
        yield


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The tiny study, stopped before its second arm and run again: (folder, outcome, stderr)."""
    folder, told = tmp_path_factory.mktemp("tiny"), io.StringIO()

    def stop_before_learning(title, progress):
        assert not progress
        if "learning" in title:
            raise KeyboardInterrupt
        return watched(title, progress)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run, "watched", stop_before_learning)
        run_study("tiny", STUDY, "standard", folder, progress=False)
    assert [path.name for path in folder.iterdir()] == ["frozen"]
    with redirect_stderr(told):
        outcome = run_study("tiny", STUDY, "standard", folder, commit="abc")
    return folder, outcome, told.getvalue().splitlines()


def test_a_study_goes_on_where_it_stopped(stopped):
    _, outcome, told = stopped
    assert "frozen is finished: nothing is left to train" in told[0]
    assert any("8 members" in line for line in told[1:])
    assert told[-1].startswith("tiny: learning (2/2): 100%, ")
    helps, hurts, all_there_is = outcome.findings
    assert [one.verdict for one in outcome.findings] == ["CONFIRMED", "REFUTED", "NOT TESTED"]
    assert 0.0 < helps.low <= helps.value <= helps.high and helps.value == hurts.value
    assert helps.seeds == 8 and helps.needed is None and helps.failed == ()
    assert helps.adjusted.verdict == "CONFIRMED" and helps.adjusted.low < helps.low
    assert all_there_is.failed == ("perfect",) and all_there_is.adjusted is None
    assert [(one.name, one.passed) for one in outcome.gates] == [
        ("learns", True),
        ("still", True),
        ("perfect", False),
    ]
    learns, still, _ = outcome.gates
    assert learns.value == pytest.approx(1.0) and still.low == still.value == still.high
    assert outcome.arms["frozen"].members == 8 and outcome.arms["frozen"].steps == 32 * 30
    assert outcome.arms["frozen"].tasks == ("action_reward",)
    assert outcome.made["commit"] == "abc" and outcome.made["versions"]["jax"]


class Scale(NamedTuple):
    """What a reward is multiplied by."""

    scale: float = 1.0


def test_an_arm_varies_parameters_of_its_environments_which_are_a_list(tmp_path):
    inner = probes.action_reward()

    def step(key, params, state, action):
        state, timestep = inner.step(key, (), state, action)
        return state, timestep._replace(reward=params.scale * timestep.reward)

    env = inner._replace(params=Scale(), step=step)
    frozen = STUDY.arms(STUDY.quick)["frozen"]
    arm = frozen._replace(env=[env], env_params=search.grid(env.params, scale=[1.0, 3.0]))

    def study(arm):
        none: Any = {"claims": (), "gates": (), "figure": lambda key, curves: ()}
        return replace(STUDY, arms=lambda budget: {"scaled": arm}, **none)

    once, thrice = run_study("tiny", study(arm), "quick", tmp_path).curves
    assert [one.settings["scale"] for one in (once, thrice)] == [1.0, 3.0]
    # Nothing is learnt, so both do the same.
    np.testing.assert_allclose(thrice.line.value, 3 * np.asarray(once.line.value), rtol=1e-6)
    with pytest.raises(ValueError, match=r"^arms\['scaled'\].env: expected a list of 1 or more"):
        run_study("tiny", study(arm._replace(env=env)), "quick", tmp_path / "other")


def test_what_was_changed_after_a_look_at_its_seeds_is_exploratory(stopped):
    """Until it has fresh ones; what is the same question stays what it was."""
    folder, first, _ = stopped
    assert first.seen() == {Look("standard", first.digest, 100, 8)}
    looks = tuple(first.seen())

    def rulings(study, *looks):
        found = run_study("tiny", study, "standard", folder, looks=looks)
        assert found.looks == looks
        return [one.verdict for one in found.findings]

    assert rulings(STUDY, *looks) == ["CONFIRMED", "REFUTED", "NOT TESTED"]
    bold = [claim._replace(smallest=0.01) for claim in STUDY.claims]
    changed = replace(STUDY, claims=tuple(bold))
    assert rulings(changed, *looks) == ["EXPLORATORY", "EXPLORATORY", "NOT TESTED"]
    fresh = looks[0]._replace(first_seed=108)
    assert rulings(changed, fresh)[0] == "CONFIRMED"
    again = run_study("tiny", changed, "standard", folder, looks=looks)
    assert rulings(changed, *again.seen())[0] == "EXPLORATORY"  # the first look is not forgotten


def test_curves_are_thinned(stopped):
    frozen, learning = stopped[1].curves
    assert frozen.arm == "frozen" and frozen.settings == {"environment": "action_reward"}
    assert len(learning.line.x) == 20 and learning.line.x[-1] == 32 * 30
    assert np.mean(learning.final) > np.mean(frozen.final) and len(learning.final) == 8
    assert learning.parameters == frozen.parameters and set(learning.parameters) >= {"heads"}


def test_the_file_holds_all_of_the_outcome(stopped, tmp_path):
    look = Look("quick", "", 0, 2)
    outcome = stopped[1]._replace(looks=(look,))
    path = studies.write(outcome, tmp_path / "tiny" / "standard")
    assert path.name == "standard.json" and "NaN" not in path.read_text()
    assert find(tmp_path) == {"tiny": {"standard": path}}
    assert set(seen("tiny", tmp_path)) == {look, Look("standard", outcome.digest, 100, 8)}
    (again,) = studies.results(path.parent).values()
    assert again.text.paper == "none, it is a test." and again.text == outcome.text
    assert again.budget == outcome.budget and again.panels[1].logarithmic
    assert again.panels[3].logarithmic_y and again.panels[4].rows[1][1].high == 1.0
    assert np.isnan(again.panels[0].rows[1].value) and again.panels[2].against == 0.5
    np.testing.assert_array_equal(again.panels[5].values, [[0.0, 1.0], [np.nan, 0.5]])
    for name in ("study", "preset", "made", "arms", "digest", "looks"):
        assert getattr(again, name) == getattr(outcome, name) or name == "arms"
        assert type(getattr(again, name)) is type(getattr(outcome, name))
    assert [one.passed for one in again.gates] == [True, True, False]
    assert [one.failed for one in again.findings] == [(), (), ("perfect",)]
    content = path.read_text()
    assert studies.write(again, path.parent).read_text() == content
    np.testing.assert_allclose(again.curves[1].final, outcome.curves[1].final, rtol=1e-5)
    for damage in ("", "[]", content[: len(content) // 2], content.replace('"looks": [', '"x": [')):
        path.write_text(damage)
        with pytest.raises(ValueError, match="standard.json is no result of a study"):
            studies.read(path)
    with pytest.raises(ValueError, match="is no result of a study"):
        studies.read(tmp_path / "nothing.json")


def test_results_are_found_among_other_files(stopped, tmp_path):
    """A result beside the folder of a run is a look as that in it is; other runs are none."""
    path = studies.write(stopped[1]._replace(digest="other"), tmp_path / "tiny")
    studies.write(stopped[1], tmp_path / "tiny" / "standard")
    for other in ("tiny/manifest.json", "cartpole/config.json", "cartpole/x/x.json"):
        (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / other).write_text("{}")
    assert find(tmp_path) == {"tiny": {"standard": path}}
    assert {look.digest for look in seen("tiny", tmp_path)} == {"other", stopped[1].digest}
    assert not list(tmp_path.rglob("*.partial"))


def test_another_budget_does_not_go_on_in_its_folder(stopped):
    with pytest.raises(ValueError, match="is another (sweep|experiment)"):
        run_study("tiny", STUDY, "full", stopped[0])
    with pytest.raises(ValueError, match="expected one of quick, standard, full, got 'huge'"):
        run_study("tiny", STUDY, "huge", stopped[0])


def test_the_figure_has_a_panel_each(stopped, tmp_path):
    figure = study_figure(stopped[1], tmp_path / "x.png")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["Rows", "Lines", "More", "Logarithms", "Bars", "Map"]
    assert [tick.get_text() for tick in figure.axes[5].get_yticklabels()] == ["one", "two"]
    assert (tmp_path / "x.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="tiny has no panels"):
        study_figure(stopped[1]._replace(panels=()))


def effect(value, low, high):
    return Effect(*(jnp.float32(x) for x in (value, low, high)), jnp.int32(16))


@pytest.mark.parametrize(
    ("direction", "against", "found", "verdict", "needed"),
    [
        (MORE, 0.0, (0.10, 0.02, 0.18), "CONFIRMED", None),
        (MORE, 0.0, (0.06, -0.02, 0.14), "INCONCLUSIVE", 26),  # as t(n - 1) / sqrt(n - 1)
        (MORE, 0.5, (0.51, 0.49, 0.53), "REFUTED", None),
        (LESS, 0.0, (-0.10, -0.18, -0.02), "CONFIRMED", None),
        (LESS, 0.95, (0.89, 0.81, 0.97), "INCONCLUSIVE", 26),
        (LESS, 0.95, (0.95, 0.93, 0.97), "REFUTED", None),
        (EQUAL, 0.95, (0.94, 0.92, 0.96), "CONFIRMED", None),
        (EQUAL, 0.0, (0.10, 0.06, 0.14), "REFUTED", None),
        (EQUAL, 0.0, (-0.10, -0.14, -0.06), "REFUTED", None),
        (EQUAL, 0.0, (0.01, -0.07, 0.09), "INCONCLUSIVE", 54),  # both ends inside
        (EQUAL, 0.0, (0.09, 0.01, 0.17), "INCONCLUSIVE", 71),  # out
        (EQUAL, 0.0, (0.10, NAN, NAN), "INCONCLUSIVE", None),
    ],
)
def test_verdicts_by_hand(direction, against, found, verdict, needed):
    claim = Claim("It is.", ("a",), lambda key, a: a, direction, 0.05, against)
    finding = judge(claim, effect(*found))
    assert finding.verdict == verdict
    assert finding.needed == (needed and pytest.approx(needed, abs=1))
    assert finding.value == pytest.approx(found[0]) and finding.seeds == 16


def test_what_no_number_of_seeds_decides_says_no_number():
    claim = Claim("It is.", ("a",), lambda key, a: a, MORE, counted="")
    finding = judge(claim, effect(0.06, -0.02, 0.14))
    assert finding.verdict == "INCONCLUSIVE" and finding.needed is None


def sixteen(claims, effects, gates=(), preset="standard"):
    """What is said of claims with these effects of 16 seeds."""
    study = replace(STUDY, claims=tuple(claims))
    return ruled(study, Look(preset, "a", 100, 16), effects, gates, ())


MORE_CLAIMS = [Claim(f"Claim {i}.", OVER, difference, MORE) for i in range(3)]


def test_a_family_of_claims_asks_for_more():
    """Of t with 15 degrees of freedom: 2.131 at 5 %, 2.694 at 5 / 3 %."""
    found = sixteen(MORE_CLAIMS, [effect(x, x - 0.2, x + 0.2) for x in (0.25, 0.3, 0.9)])
    assert [one.verdict for one in found] == ["CONFIRMED"] * 3
    assert [one.adjusted.verdict for one in found] == ["CONFIRMED"] * 3
    found = sixteen(MORE_CLAIMS, [effect(x, x - 0.2, x + 0.2) for x in (0.21, 0.22, 0.23)])
    assert [one.adjusted.verdict for one in found] == ["INCONCLUSIVE"] * 3
    assert found[2].adjusted.low == pytest.approx(0.23 - 0.2 * 2.694 / 2.131, abs=1e-3)


def test_a_family_has_equal_claims_and_refuted_ones():
    """Ordered by what they have left behind: 0, the smallest effect, the nearer end of both."""
    claims = [
        Claim("Less.", OVER, difference, LESS, against=0.5),
        Claim("Equal.", OVER, difference, EQUAL, smallest=0.1, against=0.95),
        Claim("Refuted.", OVER, difference, MORE, smallest=0.05),
    ]
    values = (0.30, 0.20, 0.40), (0.94, 0.90, 0.98), (0.0, -0.04, 0.04)
    found = sixteen(claims, [effect(*one) for one in values])
    assert [one.verdict for one in found] == ["CONFIRMED", "CONFIRMED", "REFUTED"]
    assert [one.adjusted.verdict for one in found] == ["CONFIRMED", "CONFIRMED", "REFUTED"]
    for one in found:
        assert one.adjusted.low <= one.low and one.high <= one.adjusted.high
    assert found[2].adjusted.high == pytest.approx(0.04, abs=1e-6)  # the last is not widened
    (unknown, *_) = sixteen(claims, [effect(NAN, NAN, NAN)] * 3)
    assert unknown.verdict == unknown.adjusted.verdict == "INCONCLUSIVE"


def test_a_wider_interval_gives_no_other_verdict():
    """0.041 to 0.0495 is there and too small; wider, it may be large enough: that is no claim."""
    found = sixteen(MORE_CLAIMS, [effect(0.045, 0.041, 0.0495)] * 3)
    assert {one.verdict for one in found} == {"REFUTED"}
    assert found[0].adjusted.low > 0.0 and found[0].adjusted.high > 0.05
    assert found[0].adjusted.verdict == "INCONCLUSIVE"


def test_an_equal_claim_is_as_sure_as_its_less_sure_end():
    """The lower end is near -0.05, though the value is nearer to 0.05: it comes last of two."""
    claims = [Claim(name, OVER, difference, EQUAL) for name in ("Skewed.", "Surely.")]
    skewed, surely = sixteen(claims, [effect(0.01, -0.049, 0.02), effect(0.0, -0.01, 0.01)])
    assert skewed.adjusted.verdict == surely.adjusted.verdict == "CONFIRMED"
    assert skewed.adjusted.low == pytest.approx(-0.049, abs=1e-6)  # the last is not widened


def test_an_effect_says_of_how_many_seeds_it_is():
    curves = {name: None for name in OVER}
    claim = Claim("It is.", OVER, lambda key, x, y: Estimate(0.1, 0.0, 0.2), MORE)
    with pytest.raises(ValueError, match="^effect: expected an Effect of 'It is.', got Estimate"):
        measured(None, claim, curves)
    few = effect(0.1, 0.05, 0.2)._replace(seeds=jnp.int32(5))
    (finding,) = sixteen([claim], [few])
    assert finding.verdict == "INCONCLUSIVE" and finding.seeds == 5
    assert report_effect(finding) == (
        "0.1 [0.05, 0.2]; only 5 seeds have a score; about 8 seeds would decide"
    )
    assert report_effect(finding._replace(low=NAN, high=NAN, verdict="NOT JUDGED")) == (
        "0.1, no interval; about 8 seeds would decide"
    )


def test_quick_judges_nothing_whatever_the_seeds():
    for one in sixteen(MORE_CLAIMS, [effect(0.9, 0.8, 1.0)] * 3, preset="quick"):
        assert one.verdict == "NOT JUDGED" and one.adjusted is None and one.value > 0.8


@pytest.mark.parametrize(
    ("direction", "found", "passed"),
    [
        (MORE, 0.31, True),
        (MORE, 0.3, False),
        (MORE, effect(0.4, 0.31, 0.5), True),
        (MORE, effect(0.4, 0.29, 0.5), False),
        (LESS, effect(0.2, 0.1, 0.29), True),
        (LESS, effect(0.2, 0.1, 0.31), False),
        (MORE, NAN, False),
        (LESS, effect(0.1, NAN, NAN), False),
    ],
)
def test_all_of_an_interval_must_pass_a_gate(direction, found, passed):
    gate = STUDY.gates[0]._replace(direction=direction, bound=0.3)
    assert checked(gate, found).passed == passed


def test_seeds_overlap():
    ours = Look("standard", "a", 100, 8)
    for first, seeds, expected in ((92, 8, False), (92, 9, True), (107, 1, True), (108, 8, False)):
        assert exploratory(ours, Look("quick", "b", first, seeds)) == expected
        assert not exploratory(ours, Look("quick", "a", first, seeds))


def with_bound(bound):
    def measure(key, curves):
        """What it says does not matter."""
        return bound + helper(0)  # nor does this

    return measure


def helper(x):
    return x


def helper_again(x):
    return x + 1


def test_a_digest_is_of_what_decides_the_question(monkeypatch):
    claim = Claim("It is.", ("frozen",), with_bound(0.1), MORE)
    study = replace(STUDY, claims=(claim,))

    def of(study, budget=STUDY.standard):
        return digest(study, budget)

    first = of(study)
    assert first == of(replace(study, claims=(claim._replace(effect=with_bound(0.1)),)))
    assert first == of(replace(study, text="Other text.", figure=None))
    assert first == of(study, STUDY.standard._replace(seeds=64, first_seed=500))
    others = [
        of(replace(study, claims=(claim._replace(effect=with_bound(0.2)),))),
        of(replace(study, claims=(claim._replace(smallest=0.1),))),
        of(replace(study, claims=(claim._replace(direction=LESS),))),
        of(replace(study, gates=STUDY.gates[:2], claims=(claim._replace(gates=()),))),
        of(replace(study, arms=lambda budget: {})),
        of(study, STUDY.standard._replace(steps=1e9)),
    ]
    monkeypatch.setattr("tests.studies.test_run.helper", helper_again)
    others.append(of(replace(study, claims=(claim._replace(effect=with_bound(0.1)),))))
    assert len({first, *others}) == 1 + len(others)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"standard": STUDY.standard._replace(seeds=7)},
            "standard: expected at least 8 seeds, got 7",
        ),
        ({"full": STUDY.full._replace(seeds=2)}, "full: expected at least 8 seeds, got 2"),
        (
            {"standard": STUDY.standard._replace(first_seed=1)},
            "seeds in standard that quick does not",
        ),
        (
            {"claims": (*MORE_CLAIMS, MORE_CLAIMS[0])},
            "claims: expected different names, got 'Claim 0.'",
        ),
        (
            {"claims": (MORE_CLAIMS[0]._replace(smallest=-0.1),)},
            "smallest: expected at least 0, of equality more, got -0.1",
        ),
        (
            {"claims": (MORE_CLAIMS[0]._replace(smallest=0.0, direction=EQUAL),)},
            "smallest: expected at least 0, of equality more, got 0",
        ),
        (
            {"claims": (MORE_CLAIMS[0]._replace(against=NAN),)},
            "against: expected a number, got nan of 'Claim 0.'",
        ),
        (
            {"gates": (*STUDY.gates[:2], STUDY.gates[2]._replace(bound=NAN))},
            "bound: expected a number, got nan of 'perfect'",
        ),
        ({"gates": STUDY.gates * 2}, "gates: expected different names, got 'learns' twice"),
        ({"gates": STUDY.gates[:2]}, r"expected some of \['learns', 'still'\], got perfect"),
        (
            {"gates": (STUDY.gates[0]._replace(direction=EQUAL),), "claims": ()},
            "expected MORE or LESS",
        ),
    ],
)
def test_what_could_not_be_judged_is_refused(changes, message):
    named = [one._replace(gates=one.gates or ("perfect",)) for one in STUDY.claims]
    with pytest.raises(ValueError, match=message):
        replace(STUDY, **{"claims": tuple(named), **changes})


def going_on(name, after, steps):
    """An arm of the tiny study that trains on from another, along a new axis."""

    def parts(before):
        frozen = STUDY.arms(STUDY.quick)["frozen"]
        rates = search.grid(frozen.hypers, learning_rate=[0.0, 3e-2])
        same = frozen._replace(env=before.env, hypers=rates, steps=steps)
        return Stage("before", before), Stage(name, same, go_on)

    return Continuation((after,), parts, range(2), ("action_reward",), steps)


def test_an_arm_goes_on_from_another(tmp_path):
    """And one from that; a study that has stopped goes on, and what is not there is refused."""
    frozen = STUDY.arms(STUDY.quick)["frozen"]
    none: Any = {"claims": (), "gates": (), "figure": lambda key, curves: ()}

    def run_with(folder=tmp_path, **arms):
        study = replace(STUDY, arms=lambda budget: {"frozen": frozen, **arms}, **none)
        return run_study("tiny", study, "quick", folder, progress=False)

    arm = going_on("later", "frozen", 32 * 20)
    found = run_with(later=arm)
    first, still, learnt = found.curves
    assert (first.arm, still.arm, learnt.arm) == ("frozen", "later", "later")
    assert learnt.settings["environment"] == "action_reward"
    assert np.mean(learnt.final) > np.mean(still.final) and learnt.parameters == first.parameters
    cost = found.arms["later"]
    assert (cost.members, cost.steps, cost.tasks) == (4, 32 * 20, ("action_reward",))
    assert (tmp_path / "later" / "action_reward" / "later" / "sweep.json").exists()
    again = run_with(later=arm)
    np.testing.assert_array_equal(again.curves[2].final, learnt.final)
    message = r"^arms\['later'\]: after: expected arms before it \(frozen\), got 'nobody'"
    with pytest.raises(ValueError, match=message):
        run_with(tmp_path, later=arm._replace(after=("nobody",)))
