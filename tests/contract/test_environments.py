"""Every environment keeps the contract of `Environment`; an id in a list here is an id that works."""

import jax
import pytest

from purejaxrl_suite import envs
from purejaxrl_suite.core.check import check_environment
from purejaxrl_suite.envs import gymnax, minigrid, navix, probes

# Layouts of one kind each; all ids are in the slow test.
GRIDS = (
    "Navix-Empty-5x5-v0",
    "Navix-DoorKey-5x5-v0",
    "Navix-Dynamic-Obstacles-5x5-v0",
    "Navix-KeyCorridorS3R1-v0",
    "MiniGrid-Empty-5x5-v0",
    "MiniGrid-DoorKey-5x5-v0",
    "MiniGrid-DistShift1-v0",
    "MiniGrid-LavaGapS5-v0",
)


@pytest.mark.parametrize("id", gymnax.ids())
def test_gymnax(id: str):
    check_environment(envs.make(id), jax.random.key(0), steps=32)


@pytest.mark.parametrize("probe", [*probes.PROBES, probes.tracking, probes.recall])
def test_probe(probe):
    check_environment(probe(), jax.random.key(0), steps=16)


@pytest.mark.parametrize("id", GRIDS)
def test_grid(id: str):
    check_environment(envs.make(id), jax.random.key(0), steps=32)


@pytest.mark.slow
@pytest.mark.parametrize("id", [*navix.ids(), *minigrid.ids()])
def test_every_grid(id: str):
    check_environment(envs.make(id), jax.random.key(0), steps=128)


@pytest.mark.slow
@pytest.mark.parametrize("id", gymnax.ids())
def test_every_gymnax_for_long(id: str):
    """Long enough to reach the time limit of most, and boards that seldom occur."""
    check_environment(envs.make(id), jax.random.key(1), steps=3000)
