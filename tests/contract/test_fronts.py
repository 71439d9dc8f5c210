"""What trains is told an Experiment: every front takes every field of it, and says the same of it.

A front that joins the list has all of them; a field that joins `Experiment` joins all fronts.
"""

import inspect

import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.envs import probes
from purejaxrl_suite.sweeps.experiment import Experiment, Fields, told

CONFIG = PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
POINTS = pjs.search.grid(pjs.PPOHypers(), gamma=[0.9, 0.99])
RULES = {"select": pjs.successive_halving(), "rungs": [1]}
FRONTS = {
    "run": (pjs.run, {}),
    "sweep": (pjs.sweep, {}),
    "plan": (pjs.plan, {}),
    "evolve": (pjs.evolve, RULES),
}
"""{name: (function, what it needs besides)}."""


@pytest.fixture(scope="module")
def experiment():
    return Experiment(ppo, probes.delayed_reward(), 1, 640, config=CONFIG)


@pytest.mark.parametrize("name", FRONTS)
def test_fields_are_in_the_signature(name):
    parameters = inspect.signature(FRONTS[name][0]).parameters
    kinds, defaults = Experiment.__annotations__, Experiment._field_defaults
    assert Fields.__annotations__ == {x: kinds[x] for x in Experiment._fields[2:]}
    shown = {x: (parameters[x].annotation, parameters[x].default) for x in Fields.__annotations__}
    assert shown == {x: (kinds[x], defaults.get(x)) for x in Fields.__annotations__}
    first, second = list(parameters.values())[:2]
    assert Experiment in first.annotation.__args__ and second.name == "env"
    assert not any(one.kind is one.VAR_KEYWORD for one in parameters.values())


@pytest.mark.parametrize("field", Experiment._fields)
@pytest.mark.parametrize("name", FRONTS)
def test_every_field_arrives(name, field, experiment):
    """By keyword, and of a whole Experiment; what is wrong is told by name."""
    function, rules = FRONTS[name]
    if name == "evolve":
        experiment = experiment._replace(hypers=POINTS)
    changed = experiment._replace(**{field: object()})
    called = "agent" if (name, field) == ("run", "builder") else field
    for arguments in (changed, (changed.builder, changed.env)):
        whole = arguments is changed
        places = [changed] if whole else arguments
        fields = {} if whole else {x: getattr(changed, x) for x in Experiment._fields[2:]}
        with pytest.raises(ValueError, match=f"^{called}: expected .*, got an? object$"):
            function(*places, **fields, **rules)


def test_fields_replace_those_of_an_experiment(experiment):
    env = probes.recall()
    assert told(pjs.sweep, experiment, None, {}) == experiment
    found = told(pjs.run, experiment, env, {"seeds": 3, "network": None})
    assert found == experiment._replace(env=env, seeds=3)
    fields = experiment._asdict()
    first, second = fields.pop("builder"), fields.pop("env")
    assert told(pjs.plan, first, second, fields) == experiment


@pytest.mark.parametrize("name", sorted(FRONTS.keys() - {"plan"}))
def test_what_trains_shows_its_progress_unless_told_not_to(name, experiment):
    function, rules = FRONTS[name]
    assert inspect.signature(function).parameters["progress"].default is True
    experiment = experiment._replace(hypers=POINTS if name == "evolve" else None)
    with pytest.raises(ValueError, match="^progress: expected a bool, got 1$"):
        function(experiment, progress=1, **rules)


@pytest.mark.parametrize("name", FRONTS)
def test_an_unknown_keyword_is_told(name, experiment):
    function, rules = FRONTS[name]
    with pytest.raises(TypeError, match=rf"{name}\(\) got .* 'seed'; did you mean seeds\?"):
        function(experiment, seed=3, **rules)


def test_what_varies_is_not_run_and_what_is_built_is_not_built_again(experiment):
    def network(env):
        return nets.actor_critic(env.observation, env.action, hidden=(8,))

    for name, several in (
        ("hypers", POINTS),
        ("config", [CONFIG]),
        ("network", {"small": network}),
        ("intervention", {"none": None}),
    ):
        with pytest.raises(ValueError, match=f"^{name}: expected one setting, got several"):
            pjs.run(experiment, **{name: several})
    agent = ppo(experiment.env, CONFIG)
    for name, again in (("config", CONFIG), ("network", network)):
        with pytest.raises(ValueError, match=f"^{name}: expected None, as ppo is built: .*, got"):
            pjs.run(agent, experiment.env, seeds=1, steps=640, **{name: again})
