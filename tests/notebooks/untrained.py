"""Sweeps in a notebook whose programs are traced and never compiled: their numbers are made up."""

from typing import Any

import jax
import numpy as np

from purejaxrl_suite.core.types import Clock
from purejaxrl_suite.engine.rows import row_count
from purejaxrl_suite.engine.train import Train
from purejaxrl_suite.sweeps import execute, fleet


class Started:
    """A program that begins nothing."""

    out_info = ()

    def __call__(self, *_: Any) -> tuple[()]:
        """No state at all."""
        return ()


def rows_of(train: Train, members: fleet.Members) -> list[str]:
    """The names of the numbers of an update, of one member: sizes do not matter to names."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    hypers, data = jax.tree.map(lambda x: x[0], members.hypers), members.data_of(0)
    run = jax.eval_shape(train.init, key, hypers, data)
    clock = Clock(np.int32(0), np.int32(1))
    return sorted(jax.eval_shape(train.update, key, hypers, data, run, clock)[1])


def compile_fleet(
    train: Train, members: fleet.Members, *, length: int, block: int, row: int = 1
) -> fleet.Program:
    """What `fleet.compile_fleet` gives, but that every number is drawn from (0.5, 1)."""
    names, size = rows_of(train, members), len(members.seeds)
    random = np.random.default_rng(0)

    def go(*_: Any) -> Any:
        shape = size, row_count(length, row)
        history = {name: random.uniform(0.5, 1.0, shape).astype(np.float32) for name in names}
        return (), history, np.ones(size, bool)

    sharding = jax.sharding.NamedSharding(fleet._mesh(1), jax.sharding.PartitionSpec())
    return fleet.Program(Started(), go, size, length, row, block, sharding, 1, 1)


def install() -> None:
    """From here on nothing is trained in this process."""
    execute.compile_fleet = compile_fleet
