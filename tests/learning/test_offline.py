"""Offline agents improve on the known score of the behaviour of their data; cloning does not."""

from functools import partial

import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.qsarsa import with_behaviour
from purejaxrl_suite.core.types import Transition
from purejaxrl_suite.engine.evaluate import Evaluating
from purejaxrl_suite.envs import probes

pytestmark = pytest.mark.slow
SIZES = {"gradient_steps": 50, "batch_size": 64}
RATES = {"actor_learning_rate": 3e-3, "critic_learning_rate": 3e-3, "target_update_rate": 0.05}
BEHAVIOUR = -1.0 / 12.0
"""Mean reward of half the best action: the mean of -(o / 2)^2."""


def half_the_way():
    """Steps of `tracking` whose actions are half the best one and noise, on both sides."""
    draw, count = np.random.default_rng(0), 4000
    obs = draw.uniform(-1.0, 1.0, (count, 1)).astype(np.float32)
    action = (0.5 * obs + draw.uniform(-0.4, 0.4, (count, 1))).astype(np.float32)
    ends = np.ones(count, bool)
    return Transition(obs, action, -np.square(action - obs)[:, 0], ends, ~ends, obs, {})


def learnt(name, hypers=None, network=None, **config):
    """The mean reward of two members, after 1,500 gradient steps."""
    env, build = probes.tracking(), getattr(pjs, name)
    default = build(env)
    network = nets.actor_critics(env.observation, env.action, hidden=(32,), **network or {})
    sizes = default.config._replace(**SIZES, **config)
    agent = build(env, sizes, network, default.hypers._replace(**RATES, **hypers or {}))
    source = partial(pjs.engine.dataset, steps=half_the_way())
    evaluating = Evaluating(30, episodes=256)
    steps = 30 * agent.num_envs * agent.rollout_length
    given = {"source": source, "evaluate_every": evaluating, "progress": False}
    found = pjs.run(agent, env, seeds=2, steps=steps, **given)
    return found.curves["evaluation_return"].values[:, -1]


def test_cloning_is_as_good_as_the_behaviour():
    found = learnt("behaviour", network={"deterministic": True})
    np.testing.assert_allclose(found, BEHAVIOUR, atol=0.02)


@pytest.mark.parametrize(
    ("name", "hypers", "network", "least"),
    [
        ("td3_bc", {}, {"deterministic": True}, -0.06),
        ("td3_bc", {"cloning_weight": 0.0}, {"deterministic": True}, -0.02),
        ("iql", {"inverse_temperature": 20.0}, {"value": True}, -0.06),
        ("cql", {"conservative_weight": 0.5}, {}, -0.06),
    ],
)
def test_others_improve_on_it(name, hypers, network, least):
    found = learnt(name, hypers, network)
    assert (found > least).all() and (found <= 0.0).all(), found


def test_qsarsa_goes_on_from_the_behaviours_q_which_is_its_own_in_a_task_of_one_step():
    env = probes.tracking()
    network = partial(nets.actor_critics, hidden=(32,), deterministic=True)
    fields = {"network": lambda env: network(env.observation, env.action)}
    fields |= {"source": partial(pjs.engine.dataset, steps=half_the_way())}
    base = pjs.QSarsaHypers(**RATES)._replace(actor_weight=0.0)
    steps = 30 * 50 * 64
    first = pjs.BehaviourConfig(**SIZES), pjs.BehaviourHypers(**RATES)
    second = pjs.QSarsaConfig(**SIZES), pjs.search.grid(base, critic_weight=[0.0, 1000.0])
    parts = [
        pjs.Experiment(build, env, 2, steps, hypers, config, **fields)
        for build, (config, hypers) in ((pjs.behaviour, first), (pjs.qsarsa, second))
    ]
    last = parts[1]._replace(evaluate_every=Evaluating(15, episodes=256))
    found = pjs.stages(
        pjs.Stage("behaviour", parts[0]),
        pjs.Stage("policy", last, begin=with_behaviour),
        segments=1,
        progress=False,
    )
    curves = found["policy"].curves
    scores, apart = (
        curves[name].values[..., -1] for name in ("evaluation_return", "critic_penalty")
    )
    assert (scores[0] > -0.06).all(), scores
    assert (apart < 0.01).all(), apart


@pytest.mark.parametrize("name", ["discrete_cql", "iql"])
def test_discrete_actions_of_random_data(name):
    """Observation -1 or 1, and the action that is right for it; random actions score 0."""
    env = probes.observation_action_reward()
    data = pjs.datasets.random(env, 500)
    build = getattr(pjs, name)
    if name == "iql":
        box = pjs.Box((env.action.n,))
        options = {"hidden": (32,), "deterministic": True, "value": True}
        network, rates = nets.actor_critics(env.observation, box, **options), RATES
    else:
        network = nets.q_network(env.observation, env.action, hidden=(32,))
        rates = {"learning_rate": 3e-3, "target_update_period": 10.0}
    agent = build(env)
    agent = build(env, agent.config._replace(**SIZES), network, agent.hypers._replace(**rates))
    steps, evaluating = 6 * agent.num_envs, Evaluating(6, episodes=64)
    given = {"source": data.source, "evaluate_every": evaluating, "progress": False}
    found = pjs.run(agent, env, seeds=2, steps=steps, **given)
    np.testing.assert_array_equal(found.curves["evaluation_return"].values[:, -1], 1.0)
