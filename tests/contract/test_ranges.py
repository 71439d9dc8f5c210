"""Every field of every agent has a Range; that every end of it trains, `test_agents` asks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.cli.agents import agents
from purejaxrl_suite.core import validate
from purejaxrl_suite.core.types import ENDED, Clock
from purejaxrl_suite.envs import probes
from purejaxrl_suite.presets import PRESETS
from purejaxrl_suite.search import grid
from purejaxrl_suite.sweeps import check
from tests.contract.agents import ends
from tests.contract.test_agents import build, each_agent


@pytest.mark.parametrize("name", agents())
def test_every_field_has_a_range(name):
    entry = agents()[name]
    for settings in (entry.config, entry.hypers):
        for field, hint in type(settings).__annotations__.items():
            switch = hint is bool or hasattr(hint, "_fields")
            marks = [type(mark) for mark in getattr(hint, "__metadata__", ())]
            assert switch or marks == [validate.Range], f"{type(settings).__name__}.{field}"


@pytest.mark.parametrize("name", [*agents(), *PRESETS])
def test_defaults_and_presets_lie_inside(name):
    given = agents()[name] if name in agents() else PRESETS[name]
    values = {field: [x] for field, x in given.hypers._asdict().items()}
    validate.columns(type(given.hypers), values, given.config)
    validate.settings(given.config, None, (given.config, given.hypers))


@each_agent
def test_values_outside_are_refused_by_name(name):
    agent, _ = build(name)
    for field, found in ends(agent).items():
        allowed = validate.ranges(type(agent.hypers))[field][1]
        for end, out, inside in found:
            least = 1.0 if allowed.integer else max(1e-37, 1e-6 * abs(end))
            wrong = end + out * least if inside else end
            with pytest.raises(ValueError, match=f"^hypers.*{field}.*, got"):
                check.hypers(agent, grid(agent.hypers, **{field: [wrong]}))


DURATIONS = ("epsilon_decay", "anneal_steps", "epsilon_decay_steps")


@each_agent
def test_annealing_is_finite_at_both_ends_of_every_duration(name):
    agent, _ = build(name)
    tops = {"epsilon_decay": 1.0}
    rows = [agent.hypers]
    for field in set(DURATIONS) & set(agent.hypers._fields):
        rows += [agent.hypers._replace(**{field: x}) for x in (0.0, tops.get(field, 1e30))]
    rows = jax.tree.map(lambda *xs: jnp.asarray(xs, jnp.float32), *rows)
    for clock in (Clock(0, 1), Clock(0, 2**31 - 1), Clock(1, 2), ENDED):
        now = Clock(*map(np.int32, clock))
        found = jax.vmap(agent.anneal, (0, None))(rows, now)
        assert all(np.all(np.isfinite(x)) for x in found), clock


@pytest.mark.parametrize("name", agents())
def test_builders_name_the_argument_that_is_none(name):
    entry, env = agents()[name], probes.action_reward()
    arguments = {
        "env": ["x"],
        "config": [env, 3],
        "network": [env, None, 3],
        "hypers": [env, None, None, entry.config],
    }
    for argument, given in arguments.items():
        with pytest.raises(ValueError, match=f"^{argument}: expected .*, got"):
            entry.build(*given)
