"""What `run`, `sweep`, `plan` and `evolve` refuse before anything is traced or compiled."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.plasticity import redo
from purejaxrl_suite.search import grid
from purejaxrl_suite.sweeps import check
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.layout import lay_out
from tests.contract.agents import AGENTS, SIBLINGS

CONFIG = PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
STEPS = 32
SEEDS = r"a number of seeds in 1 .. 4294967296, or a list of distinct integers in 0 .. 4294967295"


@pytest.fixture(scope="module")
def agent(env):
    return ppo(env, CONFIG)


def metric(learner, probe, inspection):
    """Of the form that metrics have."""


FIELDS = [
    ({"seeds": "12"}, f"seeds: expected {SEEDS}, got '12'"),
    ({"seeds": [1.7, 2.2]}, r"seeds[0]: expected an integer in 0 .. 4294967295, got 1.7"),
    ({"seeds": True}, f"seeds: expected {SEEDS}, got True"),
    ({"seeds": [True]}, "seeds[0]: expected an integer in 0 .. 4294967295, got True"),
    ({"seeds": 3.0}, f"seeds: expected {SEEDS}, got 3.0"),
    ({"seeds": -1}, f"seeds: expected {SEEDS}, got -1"),
    ({"seeds": [2**32]}, "seeds[0]: expected an integer in 0 .. 4294967295, got 4294967296"),
    ({"seeds": [0, 1, 0]}, "seeds: expected distinct integers, got 0 twice"),
    ({"seeds": {0, 1}}, f"seeds: expected {SEEDS}, got {{0, 1}}"),
    ({"seeds": (i for i in "1")}, f"seeds: expected {SEEDS}, got a generator"),
    ({"seeds": None}, f"seeds: expected {SEEDS}, got None"),
    ({"seeds": 2**31}, "seeds: expected at most "),
    ({"steps": "4000"}, "got '4000'"),
    ({"steps": float("nan")}, "got nan"),
    ({"steps": float("inf")}, "got inf"),
    ({"steps": -5}, "got -5"),
    ({"steps": True}, "got True"),
    ({"steps": 1e12}, "steps: expected at most 68,719,476,704 (2,147,483,647 updates of 32 steps)"),
    ({"reset_pool": True}, "reset_pool: expected an integer of at least 0, got True"),
    ({"env": "CartPole-v1"}, "env: expected an Environment"),
    ({"env": None}, "env: expected an Environment"),
    ({"hypers": DQNHypers()}, "a DQNHypers"),
    ({"hypers": {"gamma": 0.9}}, "{'gamma': 0.9}"),
    ({"env_params": 3}, "env_params: expected"),
    ({"metrics": metric}, "metrics: expected a list of functions (learner, probe, inspection) -> "),
    (
        {"metrics": "cheap"},
        "metrics: expected a list of functions (learner, probe, inspection) -> ",
    ),
    ({"metrics": [3]}, "metrics[0]: expected a function (learner, probe, inspection) -> "),
    ({"measure_every": 0.5}, "measure_every: expected an integer of at least 1, got 0.5"),
    ({"intervention": redo}, "intervention: expected an Intervention, None or"),
    ({"intervention": {"a": 1}}, "intervention['a']: expected an Intervention, got 1"),
    ({"intervention": {}}, "intervention: expected an Intervention, None or"),
    ({"config": DQNConfig()}, "config: expected a PPOConfig or points of one, got a DQNConfig"),
    ({"config": {"num_envs": 3}}, "config: expected a PPOConfig or points of one, got {'num_envs'"),
    ({"config": (CONFIG,)}, "config: expected a PPOConfig or points of one, got ("),
    ({"config": [CONFIG, CONFIG]}, "config: expected distinct Configs of one type"),
    ({"network": "mlp"}, "network: expected a function Environment -> Network"),
    ({"network": lambda: 0}, "network: expected a function Environment -> Network"),
    ({"network": lambda env: 0}, "network: expected a Network, got 0"),
    ({"network": {"a": lambda env: 0}}, "network['a']: expected a Network, got 0"),
    ({"network": {"a": "b"}}, "network['a']: expected a function Environment -> Network, got 'b'"),
    ({"network": {1: len}}, "network: expected a function Environment -> Network"),
    ({"builder": 3}, "builder: expected a function (env, config, network, hypers) -> Agent, got 3"),
    ({"builder": lambda a, b, c, d: 3}, "builder: expected an Agent, got 3"),
]


def refused(function, arguments, message):
    with pytest.raises(ValueError) as error:
        function(**arguments)
    assert message in str(error.value) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(("changes", "message"), FIELDS)
def test_fields(env, changes, message):
    """Of a sweep; `contract.test_fronts` asks whether all else that trains is told the same."""
    settings = {"builder": ppo, "env": env, "config": CONFIG, "seeds": 1, "steps": STEPS}
    refused(pjs.sweep, settings | changes, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segments": 2.0}, "segments: expected an integer of at least 1, got 2.0"),
        ({"segments": "3"}, "segments: expected an integer of at least 1, got '3'"),
        ({"memory": "abc"}, "memory: expected bytes such as '8GiB', got 'abc'"),
        ({"memory": -1}, "memory: expected bytes such as '8GiB', got -1"),
        ({"memory": [1]}, "memory: expected bytes such as '8GiB', got [1]"),
    ],
)
def test_settings(env, changes, message):
    experiment = Experiment(ppo, env, 1, STEPS, config=CONFIG)
    evolve = partial(pjs.evolve, select=pjs.successive_halving(), rungs=[1])
    for function in (pjs.run, pjs.sweep, pjs.plan, evolve):
        with pytest.raises(ValueError) as error:
            function(experiment, **changes)
        assert str(error.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hypers": PPOHypers()}, "hypers: expected points, such as"),
        ({"hypers": None}, "hypers: expected points, such as"),
        ({"env_params": grid({"a": 1.0}, a=[2.0])}, "env_params: expected values: a population"),
        ({"select": 3}, "select: expected a function (key, scores, hypers) -> Selection, got 3"),
        ({"rungs": 1}, "rungs: expected increasing numbers of segments, got 1"),
        ({"rungs": "12"}, "rungs: expected increasing numbers of segments, got '12'"),
        ({"rungs": [1.5]}, "rungs[0]: expected an integer in 1 .. 20, got 1.5"),
        ({"metric": 3}, "metric: expected a str, got 3"),
        ({"window": 1.5}, "window: expected an integer of at least 1, got 1.5"),
        ({"selection_seed": -1}, "selection_seed: expected an integer in 0 .. 4294967295, got -1"),
    ],
)
def test_evolve(env, changes, message):
    points = grid(PPOHypers(), gamma=[0.9, 0.99])
    settings = {"builder": ppo, "env": env, "config": CONFIG, "seeds": 1, "steps": 20 * STEPS}
    rules = {"hypers": points, "select": pjs.successive_halving(), "rungs": [1]}
    refused(pjs.evolve, settings | rules | changes, message)


@pytest.mark.parametrize("out", [3, "", True, ["a"]])
def test_a_folder_is_a_path(env, out):
    arguments = {"builder": ppo, "env": env, "config": CONFIG, "seeds": 1, "steps": STEPS}
    refused(pjs.sweep, arguments | {"out": out}, "out: expected the path of a folder, got")


def test_numpy_integers_are_seeds():
    assert list(check.seeds(np.int64(2))) == [0, 1]
    assert list(check.seeds(np.array([5, 3], np.uint32))) == [5, 3]
    assert list(check.seeds(jnp.array([4]))) == [4]
    assert check.seeds(range(2, 10**9)) == range(2, 10**9)


def test_parameters_fit_those_of_the_environment(cartpole):
    own = cartpole.params
    given = check.params(
        "p", own.replace(gravity=np.float32(2), max_steps_in_episode=7.0), cartpole
    )
    assert given.gravity == 2 and given.max_steps_in_episode == 7
    assert jax.tree.map(jax.typeof, given) == jax.tree.map(jax.typeof, own)
    for changes, message in (
        ({"gravity": "9.8"}, "p.gravity: expected a finite value of type float32, got '9.8'"),
        ({"gravity": True}, "p.gravity: expected a finite value of type float32, got True"),
        ({"gravity": float("nan")}, "p.gravity: expected a finite value of type float32, got nan"),
        ({"gravity": 1e39}, "p.gravity: expected a finite value of type float32, got 1e+39"),
        ({"gravity": np.ones(2)}, "p.gravity: expected a finite value of type float32, got an arr"),
        ({"max_steps_in_episode": 7.5}, "p.max_steps_in_episode: expected a value of type int32"),
        ({"max_steps_in_episode": 2**31}, "p.max_steps_in_episode: expected a value of type int32"),
        ({"max_steps_in_episode": [7]}, "p.max_steps_in_episode: expected a value like "),
        ({"max_steps_in_episode": None}, "p.max_steps_in_episode: expected a value like "),
    ):
        refused(
            check.params, {"name": "p", "given": own.replace(**changes), "env": cartpole}, message
        )
    refused(check.params, {"name": "p", "given": {}, "env": cartpole}, "got {}")


def test_plain_parameters_are_those_of_every_environment(cartpole):
    """They were left out where there were several environments."""
    short = cartpole._replace(name="other")
    changed = cartpole.params.replace(gravity=1.0)
    laid = lay_out(Experiment(ppo, [cartpole, short], 1, STEPS, config=CONFIG, env_params=changed))
    assert [group.env_params.gravity for group in laid.groups] == [1.0, 1.0]


def _scalar_logits(network):
    """The same with values f32[N, 1], as critics are often written."""

    def apply(*arguments):
        output, internals = network.apply(*arguments)
        return output._replace(value=output.value[..., None]), internals

    return network._replace(apply=apply)


OUTPUTS = [
    (
        lambda env: nets.actor_critic(env.observation, pjs.Discrete(5)),
        r"outputs ppo can use, got TypeError: .*\(2, 5\), \(2, 2\)",
    ),
    (lambda env: nets.q_network(env.observation, env.action), "outputs ppo can use, got"),
    (lambda env: _scalar_logits(nets.actor_critic(env.observation, env.action)), "values .* got"),
    (
        lambda env: nets.actor_critic(pjs.Box((7,)), env.action)._replace(init=lambda key: {}),
        "outputs ppo can use, got",
    ),
]


@pytest.mark.parametrize(("network", "message"), OUTPUTS)
def test_networks_whose_outputs_do_not_fit_are_told_before_anything_is_compiled(
    env, network, message
):
    with pytest.raises(ValueError, match=f"network: expected .*{message}"):
        pjs.run(ppo(env, CONFIG, network(env)), env, seeds=1, steps=STEPS)
    with pytest.raises(ValueError, match=f"network: expected .*{message}"):
        pjs.sweep(ppo, env, config=CONFIG, network=network, seeds=1, steps=STEPS)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SIBLINGS else n for n in AGENTS]
)
def test_outputs_of_every_agent_fit_its_spaces(name):
    build, world = AGENTS[name]
    check.outputs(build(world()))
