"""Learned rules are files, and agents with them learn in any discrete environment."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import meta
from purejaxrl_suite.envs import probes
from purejaxrl_suite.meta import LearnedConfig, LearnedRule, learned, random_rule
from purejaxrl_suite.meta.lpg import system
from tests.meta.systems import KEY, grid
from tests.shared import command

RULE = random_rule(3, bins=3, units=4, gamma=0.9)
CONFIG = LearnedConfig(num_envs=2, rollout_length=4)


@pytest.mark.parametrize("bins", [0, 1, 3])
def test_a_rule_is_read_as_it_was_saved(tmp_path, bins):
    rule = random_rule(bins=bins, units=5, gamma=0.97)
    path = meta.save_rule(rule, tmp_path / "rule.npz")
    found = meta.read_rule(path)
    assert (
        found.gamma == 0.97
        and found.bins == bins
        and [x.name for x in tmp_path.iterdir()] == ["rule.npz"]
    )
    jax.tree.map(np.testing.assert_array_equal, found.params, rule.params)


def test_what_is_no_rule_is_refused(tmp_path):
    with pytest.raises(ValueError, match="path: expected the file of a saved rule, got"):
        pjs.lpg_rule(tmp_path / "rule.npz")
    (tmp_path / "rule.npz").write_text("nothing")
    with pytest.raises(ValueError, match=r"path: expected the file of a saved rule \("):
        pjs.lpg_rule(tmp_path / "rule.npz")
    broken = jax.tree.map(lambda x: x, RULE.params)
    broken["weight"]["kernel"] = jnp.zeros((9, 1))
    meta.save_rule(LearnedRule(broken, 0.9), tmp_path / "rule.npz")
    with pytest.raises(ValueError, match="expected the file of a rule with arrays"):
        pjs.lpg_rule(tmp_path / "rule.npz")
    with pytest.raises(ValueError, match="a file .npz in a folder that exists"):
        meta.save_rule(RULE, tmp_path / "nowhere" / "rule.npz")
    with pytest.raises(ValueError, match="rule: expected a LearnedRule"):
        learned(RULE.params)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="env.action: expected Discrete"):
        learned(RULE)(pjs.make("Pendulum-v1"))
    with pytest.raises(ValueError, match="bins: expected an integer of at least 0"):
        random_rule(bins=-1)


def test_an_agent_with_a_rule_learns_as_those_that_lived_by_it():
    """One update from the same table and rollout, bitwise."""
    env = grid()
    config = pjs.LPGConfig(num_envs=2, rollout_length=4, bins=3, units=4, rate_factors=(1.0,))
    config = config._replace(prediction_factors=(1.0,))
    rates = pjs.LPGHypers(learning_rate=2.0, gamma=0.9)
    made = system(env, config, None, rates)
    hypers = jax.tree.map(jnp.asarray, made.inner(RULE.params, rates))
    lived = made.agent.init(KEY, hypers)
    fresh = learned(RULE)(env, CONFIG._replace(optimizer=optax.sgd))
    own = jax.tree.map(jnp.float32, fresh.hypers._replace(learning_rate=2.0))
    assert fresh.hypers.gamma == 0.9
    state = fresh.init(KEY, own)._replace(learner=lived.learner)
    draw = np.random.default_rng(0)
    steps = pjs.Transition(
        obs=jnp.asarray(draw.integers(0, 18, (4, 2, 1)), jnp.int32),
        action=jnp.asarray(draw.integers(0, 5, (4, 2)), jnp.int32),
        reward=jnp.asarray(draw.normal(size=(4, 2)), jnp.float32),
        terminated=jnp.zeros((4, 2), bool).at[1, 0].set(True),
        truncated=jnp.zeros((4, 2), bool),
        next_obs=jnp.asarray(draw.integers(0, 18, (4, 2, 1)), jnp.int32),
        extras={},
    )
    one = jax.jit(made.agent.update)(KEY, hypers, lived, steps)[0].learner.params
    other = jax.jit(fresh.update)(KEY, own, state, steps)[0].learner.params
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-7), one, other)
    start = lived.learner.params["heads"]["policy"]["kernel"]
    assert np.any(one["heads"]["policy"]["kernel"] != start)


@pytest.mark.slow
def test_a_rule_of_a_run_trains_elsewhere(tmp_path):
    """From the folder of a sweep, by seed and configuration; and another file is another run."""
    env = grid()
    config = pjs.LPGConfig(
        lifetimes=2, num_envs=2, rollout_length=3, updates=2, at_once=0, shortest=5, bins=3, units=4
    )
    points = pjs.search.grid(pjs.LPGHypers(gamma=0.9), meta_learning_rate=[1e-3, 1e-2])
    options = {"hypers": points, "config": config, "seeds": 2, "steps": 48, "progress": False}
    result = pjs.sweep(pjs.lpg, env, out=tmp_path / "lpg", **options)
    which = {"meta_learning_rate": 1e-2}
    build = pjs.lpg_rule(tmp_path / "lpg", config=which, seed=1)
    probe = probes.delayed_reward()
    folder, how = tmp_path / "run", {"seeds": 1, "steps": 16, "progress": False}
    first = pjs.run(build(probe, CONFIG), probe, out=folder, **how)
    assert first.agent.hypers.gamma == pytest.approx(0.9)
    params = result.policy(which, seed=1).state.learner.params
    again = pjs.run(learned(LearnedRule(params, 0.9))(probe, CONFIG), probe, **how)
    np.testing.assert_array_equal(first.curves["weight_square"], again.curves["weight_square"])
    with pytest.raises(ValueError, match="another"):
        pjs.run(learned(RULE)(probe, CONFIG), probe, out=folder, **how)
    with pytest.raises(ValueError, match="config"):
        pjs.lpg_rule(tmp_path / "lpg")
    with pytest.raises(ValueError, match="path: expected the folder of a run of `lpg`, got"):
        pjs.lpg_rule(folder)


@pytest.mark.slow
def test_the_command_line_takes_a_rule(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    meta.save_rule(RULE, tmp_path / "rule.npz")
    words = "--env Catch-bsuite --seeds 2 --steps 64 --config.num-envs 2 --config.rollout-length 4"
    assert command(f"train lpg_rule:rule.npz {words} --out run") == 0
    assert pjs.load(tmp_path / "run").agent.hypers.gamma == pytest.approx(0.9)
    assert command("show lpg_rule:rule.npz") == 0
    assert "def learned(" in capsys.readouterr().out
    assert command(f"train lpg_rule:none.npz {words}") != 0
