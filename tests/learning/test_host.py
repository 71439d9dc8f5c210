"""Learning on the host: Catch as a numpy environment, as well as in JAX."""

from functools import partial

import jax
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets, stats
from purejaxrl_suite.engine import sebulba
from tests.envs.host_games import Catch

pytestmark = pytest.mark.slow

PPO = pjs.PPOConfig(num_envs=8, rollout_length=32)
DQN = pjs.DQNConfig(num_envs=4, rollout_length=4, gradient_steps=4, capacity=4_000)


def network(build):
    return lambda env: build(env.observation, env.action, hidden=(32,))


def ppo(env, steps, **how):
    """A run of PPO with so many steps."""
    hypers = pjs.PPOHypers(learning_rate=3e-3)
    return pjs.run(
        pjs.ppo,
        env,
        config=PPO,
        hypers=hypers,
        network=network(nets.actor_critic),
        steps=steps,
        progress=False,
        **how,
    )


def final(result):
    """Returns of the last tenth of training, one for each seed."""
    curves = result.curves
    return np.asarray(stats.final_score(curves["episode_return"].values, curves["episodes"].values))


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_ppo_learns_to_catch(lag: int):
    env, source = pjs.host_environment(Catch), partial(sebulba, lag=lag)
    found = final(ppo(env, 50_000, seeds=4, source=source))
    assert (found > 0.9).all(), found  # by chance it is about -0.6


def test_dqn_learns_to_catch():
    hypers = pjs.DQNHypers(learning_rate=1e-3, min_history=500)
    result = pjs.run(
        pjs.dqn,
        pjs.host_environment(Catch),
        config=DQN,
        hypers=hypers,
        network=network(partial(nets.q_network, layer_norm=False)),
        seeds=2,
        steps=30_000,
        progress=False,
        source=partial(sebulba, lag=1, actors=2),
    )
    greedy = result.evaluate(32, steps=9)
    assert (greedy["episode_return"].mean("episode") > 0.9).all()


def test_curves_agree_with_those_in_jax():
    """32 seeds each: the interval of the difference of the whole curves' means contains 0."""
    host, loop = (
        ppo(env, 20_000, seeds=32).curves
        for env in (pjs.host_environment(Catch), pjs.make("Catch-bsuite"))
    )

    def area(curves):
        returns, episodes = (curves[name].values for name in ("episode_return", "episodes"))
        ended = episodes > 0
        return np.sum(np.where(ended, returns * episodes, 0), 1) / np.sum(episodes, 1)

    ours, theirs = area(host), area(loop)
    found = stats.difference(jax.random.key(0), ours[:, None], theirs[:, None], paired=False)
    print(f"difference {found}, means {ours.mean()} and {theirs.mean()}")
    assert found.low <= 0 <= found.high, found
    assert min(ours.min(), theirs.min()) > -0.5
