"""Effects, gates and figure of the study of synthetic returns, by hand."""

import jax
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite.envs import make
from purejaxrl_suite.studies import MORE
from purejaxrl_suite.studies import synthetic_returns as study
from purejaxrl_suite.studies.judging import measured
from tests.studies.tiny import gates_of

KEY = jax.random.key(0)


def curves(score, c=None):
    """Curves of nine seeds that visit the trigger so often; c by state, measured at every other."""
    shape, dims = (1, 9, 8), ("environment", "seed", "step")
    data = {"trigger": score, "episodes": 1.0}
    data |= {f"{study.SEEN}.{name}": x for name, x in (c or {}).items()}
    data = {name: (dims, np.full(shape, x, np.float32)) for name, x in data.items()}
    for name in data:
        if name.startswith(study.SEEN):
            data[name][1][..., ::2] = np.nan
    data["diverged"] = (dims[:-1], np.zeros(shape[:-1], bool))
    return xr.Dataset(data, {"environment": [study.CHAIN], "step": np.arange(8)})


def arms():
    c = dict.fromkeys(study.states(make(study.CHAIN)), 0.0) | {"noise": -0.5}
    return {
        study.EASY: curves(0.98),
        study.EASY_MEMORY: curves(0.9),
        study.PLAIN: curves(0.55),
        study.SYNTHETIC: curves(0.95, c | {"place 2": 1.0, "place 3": 0.25}),
        study.UNGATED: curves(0.6, c),
        study.UNBIASED: curves(0.9, c),
        study.MEMORY: curves(0.7),
        study.BOTH: curves(0.8, c),
    }


def test_effects_and_gates():
    found = [float(measured(KEY, claim, arms()).value) for claim in study.STUDY.claims]
    assert found == pytest.approx([0.4, 0.95, 0.5, 0.1, 0.35, 0.05], abs=1e-5)
    gates = gates_of(study.STUDY, arms())
    controls = {"impala learns": 0.98, "ppo learns": 0.9, "synthetic learns": 0.95}
    assert gates == pytest.approx(controls | {"impala fails": 0.55, "ppo fails": 0.7}, abs=1e-5)


def test_nothing_is_judged_of_agents_that_learn_nothing():
    """Arms at the level of random walks: every claim has a gate that fails."""
    c = dict.fromkeys(study.states(make(study.CHAIN)), 0.0) | {"noise": 0.1}
    idle = {name: curves(0.55, c) for name in arms()}
    held = gates_of(study.STUDY, idle)
    failed = {gate.name for gate in study.STUDY.gates if gate.direction is MORE}
    assert all(held[name] < study.LEARNT for name in failed)
    assert all(failed & set(claim.gates) for claim in study.STUDY.claims)


def test_the_figure_has_a_map_of_states():
    lines, impala, ppo = study.figure(KEY, arms())
    assert len(lines.lines) == 6
    values = dict(zip(impala.rows, impala.values, strict=True))
    assert set(values["place 2"]) == {1.0} and set(values["noise"]) == {-0.5}
    assert (impala.low, impala.high) == (-0.5, 1.0) and len(ppo.rows) == 11


@pytest.mark.parametrize("name", ["quick", "standard", "full"])
def test_arms_differ_as_they_say(name):
    made = study.arms(study.STUDY.budgets[name])
    env = made[study.PLAIN].env[0]
    for easy in (study.EASY, study.EASY_MEMORY):
        assert made[easy].env[0].name == env.name and made[easy].env[0].time_limit < 12
    states = study.states(env)
    assert study.CRITICAL[env.name] in states and len(states) > 9
    assert {x.shape for x in states.values()} == {env.observation.shape}
    hypers = made[study.BOTH].hypers
    assert (hypers.synthetic_coefficient, hypers.reward_coefficient) == (study.ALPHA, study.BETA)
    assert study.CAPACITY[env.name] >= env.time_limit
