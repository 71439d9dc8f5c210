"""The contract of `Agent` over all agents, alone and inside the engine."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.core.check import check_agent
from purejaxrl_suite.core.types import Clock, Learner
from purejaxrl_suite.engine.source import online
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.sweeps import check
from purejaxrl_suite.sweeps.axes import Points
from purejaxrl_suite.sweeps.run import run
from tests.contract.agents import AGENTS, SIBLINGS, ends, source_of


def each(rare):
    """All agents, the rare ones by `make test-all` alone."""
    slow = [pytest.param(n, marks=pytest.mark.slow) if n in rare else n for n in AGENTS]
    return pytest.mark.parametrize("name", slow)


# An agent with a memory is one without with more.
RARE = [*SIBLINGS, "ppo", "c51", "iqn", "pqn-recurrent", "pvn"]
each_agent = each([*RARE, "rainbow", "ppo-normalized"])
each_kind = each([*RARE, "ppo-recurrent", "dcpg"])
# The engine is the same for all: an agent with a memory, and one with a replay.
each_loop = each([name for name in AGENTS if name not in ("ppo-recurrent", "dqn")])
each_seed = each([name for name in AGENTS if name != "dqn"])


def build(name):
    make_agent, make_env = AGENTS[name]
    env = make_env()
    return make_agent(env), env


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@each_agent
def test_contract(name):
    agent = build(name)[0]
    assert agent.estimate is not None
    check_agent(agent, jax.random.key(0))


# Values that must show within a few updates, where half of the default would not.
CHANGED = {
    "advantage_clip": 1e-3,
    "max_gradient_norm": 1e-3,
    "clip_range": 1e-4,
    "final_epsilon": 0.9,
    "epsilon_decay": 0.2,
    "min_history": 64.0,
    "n_step": 2.0,
    "start_n_step": 2.0,
    "warm_up": 3.0,
}


def learnt(state):
    """The parameters of every learner in a state, as a list of arrays."""
    parts = jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, Learner))
    return jax.tree.leaves([x.params for x in parts if isinstance(x, Learner)])


def rows_to_train(agent):
    """What members have in place of defaults: each hyper changed, each at each end of its Range."""
    fields = agent.hypers._asdict()
    changed = [{name: CHANGED.get(name, 0.5 * value)} for name, value in fields.items()]
    outer = [{name: x} for name, found in ends(agent).items() for x, _, inside in found if inside]
    moving = ("reset_period", "sparsity")
    still = [name for name in fields if name.endswith("learning_rate") or name in moving]
    return changed, outer, dict.fromkeys(still, 0.0)


@each_kind
def test_every_hyper_matters_every_end_is_finite_and_members_are_independent(name):
    """One program: member 0 at the defaults, the last ones without learning."""
    agent, env = build(name)
    source = source_of(agent, env) or online
    data = source(agent, env).data(env.params)
    init, _, train, *_ = make_train(agent, source(agent, env), updates_per_call=4)
    changed, outer, still = rows_to_train(agent)
    rows = [agent.hypers._replace(**row) for row in ({}, *changed, *outer, still)]
    values = {field: [getattr(row, field) for row in rows] for field in agent.hypers._fields}
    points = Points(agent.hypers, values, {"configuration": range(len(rows))})
    hypers = type(agent.hypers)(**check.hypers(agent, points))
    keys = jnp.broadcast_to(jax.random.key(3), (len(rows),))
    clock = Clock(np.int32(0), np.int32(8))

    @jax.jit
    def program(keys, hypers):
        state = jax.vmap(init, (0, 0, None))(keys, hypers, data)
        run, _ = jax.vmap(train, (0, 0, None, 0, None))(keys, hypers, data, state, clock)
        return state.agent.learner.params, run.agent

    # On the host: there, taking a row of an array compiles nothing.
    before, after = jax.device_get(program(keys, hypers))
    params = after.learner.params
    for i, row in enumerate(changed, 1):
        same = [np.array_equal(x[0], x[i]) for x in learnt(after)]
        assert not all(same), f"hypers.{row} changes nothing"
    numbers = [x for x in jax.tree.leaves(after) if x.dtype == np.float32]
    for i, row in enumerate(outer, 1 + len(changed)):
        assert all(np.all(np.isfinite(x[i])) for x in numbers), f"hypers.{row} is not finite"
    equal(jax.tree.map(lambda x: x[-1], before), jax.tree.map(lambda x: x[-1], params))
    # The same members in another order: bitwise the same results, each in its place.
    order = np.arange(len(rows))[::-1]
    shuffled = jax.tree.map(lambda x: x[order], hypers)
    again = program(keys, shuffled)[1].learner.params
    equal(jax.tree.map(lambda x: x[order], params), again)


@functools.cache
def trained(name):
    """The agent, what it is run with, how long, and what 8 updates of 3 seeds made of it."""
    agent, env = build(name)
    agent = agent._replace(after="")  # it keeps to the rules without an earlier stage, too
    steps = 8 * agent.num_envs * agent.rollout_length
    given = {"env": env, "source": source_of(agent, env)}
    return agent, given, steps, run(agent, **given, seeds=3, steps=steps)


def told(result):
    return result.curves.drop_vars("steps_per_second")


@each_loop
def test_segments_and_the_order_of_seeds_change_nothing(name):
    agent, given, steps, whole = trained(name)
    parts = run(agent, **given, seeds=[2, 0, 1], steps=steps, segments=3)
    order = np.asarray([1, 2, 0])
    equal(whole.state(), jax.tree.map(lambda x: x[order], parts.state()))
    assert told(whole).equals(told(parts).sortby("seed"))


@each_seed
def test_a_seed_alone_is_the_same(name):
    """In a program of another shape: the same random numbers, up to rounding."""
    agent, given, steps, whole = trained(name)
    alone = told(run(agent, **given, seeds=[1], steps=steps))
    for metric, variable in alone.data_vars.items():
        if "step" in variable.dims:
            ours = told(whole)[metric].sel(seed=1).values[:1]
            np.testing.assert_allclose(variable.values[0, :1], ours, 1e-3, 1e-4)
