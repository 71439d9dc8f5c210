"""Evaluation while training goes on: what it finds, and that it changes nothing else."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.core.types import Clock
from purejaxrl_suite.engine.evaluate import Evaluating, make_evaluating
from purejaxrl_suite.envs import probes
from purejaxrl_suite.envs.multi_task import multi_task
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.layout import lay_out
from purejaxrl_suite.sweeps.plan import describe_evaluation
from purejaxrl_suite.sweeps.rebuild import Parts, layout_of
from purejaxrl_suite.sweeps.record import record_of

CONFIG = PPOConfig(num_envs=4, rollout_length=4, epochs=1, minibatches=2)
STEPS = 16


def succeeding():
    """One step, whose reward is 1 or -1 by the action; a success where it is 1, and 3 seconds."""
    env = probes.action_reward()

    def step(key, params, state, action):
        state, now = env.step(key, params, state, action)
        told = {"success": (now.reward > 0).astype(jnp.float32), "seconds": jnp.float32(3.0)}
        return state, now._replace(info=told)

    return env._replace(step=step)


def small_ppo(env, config=None, network=None, hypers=None):
    network = nets.actor_critic(env.observation, env.action, hidden=(4,))
    return ppo(env, config or CONFIG, network, hypers)


@pytest.fixture(scope="module")
def env():
    return succeeding()


def contrary(env):
    """An agent of two actions, and as a second policy of it the one that always differs."""
    agent = small_ppo(env)

    def differ(*arguments):
        memory, action, extras = agent.act(*arguments)
        return memory, 1 - action, extras

    return agent._replace(policies={"contrary": differ})


@pytest.fixture(scope="module")
def runs(env):
    """The same training without and with evaluations after updates 2 and 4 of 5."""
    how = {"seeds": 2, "steps": 5 * STEPS, "segments": 3}
    plain = pjs.run(small_ppo(env), env, **how)
    return plain, pjs.run(contrary(env), env, **how, evaluate_every=Evaluating(2, episodes=3))


def test_no_other_number_changes_by_a_bit(runs):
    plain, evaluated = (one.curves.drop_vars("steps_per_second") for one in runs)
    names = ("evaluation_return", "evaluation_success", "evaluation_seconds")
    found = [name + end for end in ("", "_contrary") for name in names]
    assert set(evaluated.data_vars) - set(plain.data_vars) == set(found)
    assert plain.equals(evaluated.drop_vars(found))
    jax.tree.map(np.testing.assert_array_equal, *(one.state() for one in runs))


def test_rows_are_those_of_the_policy_and_missing_in_between(runs, env):
    """Greedy play of this probe is the same whatever the key: 1 or -1."""
    curves = runs[1].curves
    known = np.isfinite(curves["evaluation_return"].values)
    np.testing.assert_array_equal(known, [[False, True, False, True, False]] * 2)
    assert curves["evaluation_return"].attrs["units"] == "reward"
    shorter = pjs.run(contrary(env), env, seeds=2, steps=4 * STEPS, segments=2)
    opposite = shorter.evaluate(3, policy="contrary")
    for seed in (0, 1):
        played = shorter.policy(seed=seed).evaluate(3)
        row = curves.sel(seed=seed, step=4 * STEPS)
        assert row["evaluation_return"] == played.episode_return.mean()
        assert row["evaluation_success"] == played.info["success"].mean()
        assert row["evaluation_seconds"] == 3.0
        assert row["evaluation_return_contrary"] == -row["evaluation_return"]
        assert (opposite["episode_return"].sel(seed=seed) == -row["evaluation_return"]).all()
    with pytest.raises(ValueError, match="policy: expected None or one of 'contrary', got 'x'"):
        shorter.policy().evaluate(policy="x")


def test_greedy_and_sampled_episodes_and_those_of_tasks():
    """Two tasks, of one action reward each: a fresh policy is greedy for one, and samples both."""
    env = multi_task([probes.action_reward(), probes.observation_action_reward()])
    agent = small_ppo(env)
    hypers, key = jax.tree.map(jnp.float32, agent.hypers), jax.random.key(0)

    @partial(jax.jit, static_argnums=0)
    def rows(explore):
        how = Evaluating(every=2, episodes=128, explore=explore)
        found = partial(make_evaluating(agent, env, how), key, hypers, env.params)
        state = agent.init(key, hypers)
        return [found(state, Clock(update, 4)) for update in (jnp.int32(0), jnp.int32(1))]

    for explore in (False, True):
        missing, row = rows(explore)
        assert all(np.isnan(x) for x in missing.values())
        first, second = (row[f"evaluation_return_{name}"] for name in env.tasks)
        np.testing.assert_allclose(row["evaluation_return"], (first + second) / 2, 1e-6)
        assert (abs(first) < 1) if explore else (abs(first) == 1)


def layout(env, **options):
    return lay_out(Experiment(small_ppo, env, seeds=2, steps=5 * STEPS, **options))


def test_it_is_recorded_rebuilt_and_its_cost_is_told(env):
    laid = layout(env, evaluate_every=Evaluating(2, episodes=8, explore=True))
    record = record_of(laid)
    told = {"every": 2, "episodes": 8, "explore": True, "steps": 1}
    assert record["groups"][0]["evaluation"] == told
    assert record_of(layout(env))["groups"][0]["evaluation"] is None
    parts = Parts(small_ppo, CONFIG, *(lambda known, x=x: x for x in (env, None, None)))
    assert layout_of(record, parts).groups[0].evaluation == Evaluating(**told)
    # 2 evaluations of 8 steps at most, beside 80 steps of training.
    text = "2 evaluations of 8 episodes x 1 steps, 20% of the steps of training on top"
    assert describe_evaluation(laid.groups[0]) == text


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (0, "evaluate_every: expected an integer of at least 1, got 0"),
        (Evaluating(1, episodes=0), "evaluate_every.episodes: expected an integer of at least 1"),
        (Evaluating(1, explore=1), "evaluate_every.explore: expected True or False, got 1"),
        (Evaluating(1, steps=0), "evaluate_every.steps: expected an integer of at least 1, got 0"),
    ],
)
def test_what_makes_no_sense_is_refused(env, given, match):
    with pytest.raises(ValueError, match=match):
        layout(env, evaluate_every=given)


def test_episodes_need_an_end(env):
    with pytest.raises(ValueError, match="evaluate_every: expected an environment with a time"):
        layout(env._replace(time_limit=None), evaluate_every=1)


def test_agents_that_read_evaluations_change_right_after_them(runs, env):
    def evaluated(hypers, state, means):
        told = means["evaluation_return"] + hypers.gamma
        params = jax.tree.map(lambda x: jnp.full_like(x, told), state.learner.params)
        return state._replace(learner=state.learner._replace(params=params))

    agent = small_ppo(env)._replace(evaluated=evaluated)
    how = {"seeds": 2, "steps": 5 * STEPS, "evaluate_every": Evaluating(5, episodes=3)}
    found = pjs.run(agent, env, **how, segments=1)
    told = found.curves["evaluation_return"].values[:, -1] + np.float32(agent.hypers.gamma)
    for x in jax.tree.leaves(found.state().agent.learner.params):
        np.testing.assert_array_equal(x, np.reshape(told, (2,) + (1,) * (x.ndim - 1)) + 0 * x)
    losses = [one.curves["value_loss"].values for one in (found, runs[0])]
    np.testing.assert_array_equal(*losses)
    with pytest.raises(ValueError, match="evaluate_every: expected a number of updates, as 'ppo'"):
        lay_out(Experiment(agent, env, seeds=2, steps=STEPS))
