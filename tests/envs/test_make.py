"""One entry point for all ids; what cannot be made says why."""

import subprocess
import sys

import pytest

from purejaxrl_suite import envs


def test_ids_are_unique_and_of_every_family():
    ids = envs.ids()
    assert len(ids) == len(set(ids))
    assert {"CartPole-v1", "Navix-Empty-5x5-v0", "MiniGrid-Empty-5x5-v0"} <= set(ids)
    assert "MNISTBandit-bsuite" not in ids
    assert sum(id.startswith("Navix-") for id in ids) == 83


@pytest.mark.parametrize(
    ("id", "nearest"),
    [
        ("CartPole-v0", "CartPole-v1"),
        ("breakout-minatar", "Breakout-MinAtar"),
        ("Navix-DoorKey-8x8", "Navix-DoorKey-8x8-v0"),
        ("MiniGrid-DorKey-8x8-v0", "MiniGrid-DoorKey-8x8-v0"),
    ],
)
def test_an_unknown_id_gets_the_nearest_names(id: str, nearest: str):
    with pytest.raises(ValueError, match=f"did you mean .*{nearest}"):
        envs.make(id)


def test_refusals_say_why():
    with pytest.raises(ValueError, match="downloads MNIST"):
        envs.make("MNISTBandit-bsuite")
    with pytest.raises(ValueError, match="see ids"):
        envs.make("?")
    with pytest.raises(ValueError, match="^id: expected ids .* a . between .*, got 'CartPole-v1.'"):
        envs.make("CartPole-v1+")
    with pytest.raises(ValueError, match="there is no environment None"):
        envs.make(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("id", ["CartPole-v1", "Navix-Empty-5x5-v0", "MiniGrid-Empty-5x5-v0"])
def test_an_unknown_option_gets_the_possible_ones(id: str):
    with pytest.raises(ValueError, match=f"{id} has no option colour; it has .*max_steps"):
        envs.make(id, colour=1)


def test_families_are_imported_when_first_made():
    program = """
import sys
from purejaxrl_suite import envs
assert not {"gymnax", "navix", "flax"} & set(sys.modules)
envs.make("CartPole-v1")
assert "gymnax" in sys.modules and "navix" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
