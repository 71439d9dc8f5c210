"""The study of preferences as densities: what its effects and gates read."""

from functools import partial

import jax
import numpy as np
import pytest

from purejaxrl_suite.problems import tabular
from purejaxrl_suite.studies import preferences_as_densities as study
from purejaxrl_suite.studies.computation import Computed
from purejaxrl_suite.studies.run import conclude
from purejaxrl_suite.studies.study_result import Cost

KEY, SEEDS, CELLS = jax.random.key(0), 32, 64
COST = Cost("made up", ("256 cells",), SEEDS, SEEDS, 1.0, 0.0, 1.0, 1.0)


def made_up(kl=0.01, far=0.8, tv=0.05, weight=0.01, prior_off=False):
    """Numbers of all arms, as if trained."""
    items = study.grid(CELLS, pretraining=1)
    noise = 1.0 + 0.01 * np.random.default_rng(0).standard_normal((SEEDS, 1))
    curves = {}
    for name, case in study.CASES.items():
        count = max([len(x) for x in case.varied.values()], default=1)
        shape = (SEEDS, count)
        prior = items.log_target if prior_off else items.log_prior
        values = {
            "density": np.broadcast_to(items.log_target, (*shape, case.config.components, CELLS)),
            "prior": np.broadcast_to(prior, (*shape, CELLS)),
            "optimum": np.broadcast_to(items.log_target, (*shape, CELLS)),
            "kl": np.broadcast_to(noise * (far if name == "one density" else kl), shape),
            "tv_of_parts": tv * noise,
            "weight_error": weight * noise,
        }
        curves[name] = Computed(values, COST)
    curves["finite sets"] = Computed({"DPO of bandit": np.full(SEEDS, 1e-4)}, COST)
    return curves


def verdicts(**numbers):
    found = conclude("preferences_as_densities", study.STUDY, "standard", made_up(**numbers), {})
    return [one.verdict.name for one in found.findings], found


def test_what_theory_says_is_confirmed_and_what_it_does_not_is_not():
    ruled, found = verdicts()
    assert ruled == ["CONFIRMED"] * 9
    assert [panel.title for panel in found.panels] == [*study.CASES]
    ruled, _ = verdicts(kl=0.05, far=0.3, tv=0.2)
    assert ruled[:7] == ["REFUTED"] * 7 and ruled[8] == "CONFIRMED"


def test_without_a_prior_nothing_is_tested():
    ruled, _ = verdicts(prior_off=True)
    assert ruled[:8] == ["NOT_TESTED"] * 8 and ruled[8] == "CONFIRMED"


def test_the_worst_strength_counts():
    values = {"kl": np.array([[0.1, 0.3], [0.2, 0.1]])}
    effect = study.mean_of("kl")(KEY, Computed(values, COST))
    assert effect.value == pytest.approx(0.25)


def test_members_are_arranged_by_seed():
    items = partial(tabular, (0.5, 0.5), ((0.8, 0.2),))
    case = study.CASES["DPO"]
    case = case._replace(config=case.config._replace(pairs=0))
    found = study.trained(case, items, 0.05, 300, [4, 9])
    assert found["kl"].shape == (2, 3) and found["density"].shape == (2, 3, 1, 2)
    assert found["prior"].shape == found["optimum"].shape == (2, 3, 2)
    gap = found["density"][0, :, 0, 0] - found["density"][0, :, 0, 1]
    np.testing.assert_allclose(gap, np.log(4.0) / np.array(study.BETAS), atol=2e-3)
