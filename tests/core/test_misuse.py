"""Small constructors name the argument that makes no sense, before anything is built from it."""

import inspect
import math

import jax
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import plasticity, search
from purejaxrl_suite.envs import probes
from purejaxrl_suite.envs.continual import continual, label_shuffle
from purejaxrl_suite.envs.multi_task import family, multi_task, only
from purejaxrl_suite.nets import actor_critic

ENV = probes.action_reward()
TWO = [ENV, ENV._replace(name="other")]
AGENT = pjs.ppo(ENV, network=actor_critic(ENV.observation, ENV.action, hidden=(2,)))


def policy():
    state = AGENT.init(jax.random.key(0), AGENT.hypers)
    return pjs.Policy(AGENT, ENV, state, AGENT.hypers, ENV.params)


CALLS = {
    "base": lambda: pjs.search.grid(pjs.PPOHypers, gamma=[0.9]),
    "uniform: low": lambda: search.uniform("a", 1),
    "keep": lambda: pjs.successive_halving("a"),
    "sample": lambda: pjs.successive_halving(sample=3),
    "bounds": lambda: pjs.population_based_training([1]),
    "bounds: a": lambda: pjs.population_based_training({"a": 3}),
    "bounds: gamma": lambda: pjs.population_based_training({"gamma": ("a", "b")}),
    "perturb": lambda: pjs.population_based_training({"gamma": (0, 1)}, perturb=0.8),
    "exploit": lambda: pjs.population_based_training({"gamma": (0, 1)}, exploit="x"),
    "period": lambda: plasticity.every(1.5, plasticity.redo()),
    "start": lambda: plasticity.every(1, plasticity.redo(), start=-1),
    "stop": lambda: plasticity.every(1, plasticity.redo(), start=3, stop=2),
    "update": lambda: plasticity.once("1", plasticity.redo()),
    "intervention": lambda: plasticity.every(2, plasticity.redo),
    r"interventions\[0\]": lambda: plasticity.chain(plasticity.redo),
    "tau": lambda: plasticity.redo(float("nan")),
    r"envs\[0\]": lambda: multi_task(["CartPole-v1"]),
    "valid": lambda: multi_task(TWO, valid=[0, 1]),
    "envs": lambda: continual([ENV], 2),
    "phase_length": lambda: continual(TWO, 2.5),
    "classes": lambda: label_shuffle(2, classes=0),
    "params": lambda: family(ENV, ENV.params),
    "task": lambda: only(multi_task(TWO), "0"),
    "folder": lambda: pjs.load(None),
    "path": lambda: pjs.load_policy(3, AGENT, ENV),
    "agent": lambda: pjs.load_policy("x", ENV, AGENT),
    "hypers": lambda: pjs.run(AGENT, ENV, seeds=1, steps=1e4, hypers=pjs.search.grid(AGENT.hypers)),
    "network": lambda: pjs.sweep(pjs.ppo, ENV, seeds=1, steps=1e4, network=lambda env: None),
    "batch": lambda: policy().memory(2.5),
    "key": lambda: policy().evaluate(1, key="x"),
    "obs": lambda: policy().act([[1.0], []]),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_argument_is_named(name):
    with pytest.raises(ValueError, match=f"^{name}: expected .*, got "):
        CALLS[name]()


GIVEN = {
    "network": AGENT.network,
    "intervention": plasticity.redo(),
    "condition": lambda clock, learner, inspection: True,
    "metrics": (),
    "measure_every": 10,
    "period": 2,
    "update": 2,
    "name": "mine",
    "score": lambda learner, probe, inspection: {},
    "selection": plasticity.threshold(0.1),
    "tau": 0.1,
    "fraction": 0.1,
}
"""Arguments that builders of plasticity cannot do without."""
BUILDERS = {
    name: inspect.signature(getattr(plasticity, name)).parameters
    for name in plasticity.__all__
    if inspect.isfunction(getattr(plasticity, name))
    and not {"learner", "key"} & set(inspect.signature(getattr(plasticity, name)).parameters)
}
"""What is neither a metric nor a draw itself."""


@pytest.mark.parametrize("name", BUILDERS)
def test_builders_of_plasticity_check_every_argument(name):
    build, parameters = getattr(plasticity, name), BUILDERS[name]
    needed = {n: GIVEN[n] for n, x in parameters.items() if x.default is x.empty and n in GIVEN}
    for argument, parameter in parameters.items():
        for wrong in (object(), "a", math.nan, [-1.5]):
            if (name, argument, wrong) in ALLOWED:
                continue
            with pytest.raises(ValueError, match=rf"^{argument}(\[0\])?: expected .*, got "):
                if parameter.kind is parameter.VAR_POSITIONAL:
                    build(wrong)
                else:
                    build(**needed | {argument: wrong})


ALLOWED = [("recycle_by", "name", "a"), ("when", "name", "a")]
