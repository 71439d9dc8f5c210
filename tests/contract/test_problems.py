"""What every problem keeps: arrays, one trace, members that are alone, finite at every bound."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import problems
from purejaxrl_suite.cli import problems as cli
from purejaxrl_suite.cli.plugins import defaults
from purejaxrl_suite.core import validate
from purejaxrl_suite.core.types import Clock

SMALL = partial(problems.tabular, (0.25, 0.35, 0.4), ((0.5, 0.3, 0.2),))
SIZES = {"items": SMALL, "pairs": 64, "draws": 16, "batch": 8, "look_every": 2}
SIZES |= {"transitions": 32, "hidden": (8,), "batch_size": 16}
MADE = {name: entry.build for name, entry in cli.problems().items()}
every = pytest.mark.parametrize("name", MADE)


def small(name, **hypers):
    config, given = defaults(name, MADE[name])
    config = config._replace(**{n: x for n, x in SIZES.items() if n in config._fields})
    return MADE[name](config, given._replace(**hypers))


def values(made, count=1):
    return jax.tree.map(lambda x: jnp.full(count, x, jnp.float32), made.hypers)


@pytest.fixture(scope="module")
def programs():
    """{problem: (start of members, one update of them)}, each traced once."""
    found = {}
    for name in MADE:
        made = small(name)

        def init(keys, hypers, train=made.train, data=made.data):
            return jax.vmap(train.init, (0, 0, None))(keys, hypers, data)

        def update(keys, hypers, run, clock, train=made.train, data=made.data):
            return jax.vmap(train.update, (0, 0, None, 0, None))(keys, hypers, data, run, clock)

        found[name] = made, jax.jit(init), jax.jit(update)
    return found


def trained(program, seeds, hypers=None, steps=4):
    made, init, update = program
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
    hypers = values(made, len(seeds)) if hypers is None else hypers
    run = init(keys, hypers)
    for i in range(steps):
        run, row = update(keys, hypers, run, Clock(jnp.int32(i), jnp.int32(steps)))
    return run, row


@every
def test_states_are_arrays_of_a_fixed_structure(name, programs):
    made, init, update = programs[name]
    run, row = trained(programs[name], [0, 1], steps=1)
    again, _ = trained(programs[name], [0, 1], steps=3)
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), one) for one in (run, again)]
    assert shapes[0] == shapes[1]
    assert not any(x.weak_type for x in jax.tree.leaves(run))
    assert all(x.shape == (2,) for x in row.values()) and made.metric in row
    assert update._cache_size() <= 1 and init._cache_size() <= 1


@every
def test_members_are_alone(name, programs):
    one, row = trained(programs[name], [3, 5])
    other, rows = trained(programs[name], [5, 7])
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a[1], b[0])
    np.testing.assert_array_equal(row["loss"][1], rows["loss"][0])


@every
def test_training_is_finite_at_every_bound(name, programs):
    made = programs[name][0]
    for field, (_, allowed) in validate.ranges(type(made.hypers)).items():
        for bound in (allowed.low, allowed.high):
            if np.isfinite(bound):
                hypers = values(made, 2)._replace(**{field: jnp.full(2, bound, jnp.float32)})
                run, row = trained(programs[name], [0, 1], hypers)
                assert all(np.isfinite(x).all() for x in jax.tree.leaves(run)), (field, bound)
                assert np.isfinite(row["loss"]).all(), (field, bound)


@every
def test_every_hyper_parameter_has_an_effect(name, programs):
    made = programs[name][0]
    plain = trained(programs[name], [0, 1])[1]["loss"]
    for field in made.hypers._fields:
        factor = 1e6 if field == "tolerance" else 0.5
        moved = values(made, 2)
        moved = moved._replace(**{field: factor * getattr(moved, field)})
        assert np.any(trained(programs[name], [0, 1], moved)[1]["loss"] != plain), field


@every
def test_builders_take_config_and_hypers_and_check_both(name):
    assert [*inspect.signature(MADE[name]).parameters] == ["config", "hypers"]
    assert MADE[name].__doc__
    with pytest.raises(ValueError, match="config: expected a"):
        MADE[name](3)
    with pytest.raises(ValueError, match="hypers: expected a"):
        MADE[name](None, 3)
    assert small(name).name == name
