"""Multipliers of constraints: positive numbers learnt beside a network, by the same gradient steps.

They are the exponentials of leaves f32[] under `aux`, so whatever holds parameters (checkpoints,
resets, target networks) holds them, too.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Key, Network, PyTree

NAME = "multipliers"
"""The name of their leaves under `aux`."""


def beside(network: Network, start: Mapping[str, float]) -> Network:
    """Add multipliers to the parameters of a network, with the values that they start at."""

    def init(key: Key) -> PyTree:
        params = network.init(key)
        logs = {name: jnp.full((), math.log(x), jnp.float32) for name, x in start.items()}
        return params | {"aux": params.get("aux", {}) | {NAME: logs}}

    return network._replace(init=init)


def learnt(params: PyTree) -> dict[str, Array]:
    """Read the multipliers {name: f32[]} of parameters."""
    return {name: jnp.exp(log) for name, log in params["aux"][NAME].items()}


def among(params: PyTree) -> Any:
    """Tell of each leaf of parameters whether it is a multiplier."""
    return jax.tree.map_with_path(
        lambda path, x: NAME in {str(getattr(part, "key", "")) for part in path}, params
    )
