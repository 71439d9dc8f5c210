"""Count the parameters of networks, and find the size that matches a count."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax

from purejaxrl_suite.core.types import Network, PyTree


def parameter_count(network: Network | PyTree, depth: int = 1) -> dict[str, int]:
    """Count the parameters of a network, by namespace, without drawing any.

    Args:
        network: the network, or its parameters.
        depth: names in a path; with 2, `trunk/dense_0` is counted, too.

    Returns:
        {"": all, "trunk": those of one namespace ...}.
    """
    params: Any = network
    if isinstance(network, Network):
        params = jax.eval_shape(network.init, jax.eval_shape(jax.random.key, 0))
    return _counted(params, "", depth)


def _counted(node: PyTree, name: str, depth: int) -> dict[str, int]:
    found = {name: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(node))}
    if depth == 0 or not isinstance(node, Mapping):
        return found
    for child, subtree in node.items():
        found |= _counted(subtree, f"{name}/{child}".removeprefix("/"), depth - 1)
    return found


def matching(
    build: Callable[[int], Network], parameters: int, *, tolerance: float = 0.01
) -> tuple[int, Network]:
    """Find the size of a network with a given number of parameters, by bisection.

    For example a dense baseline of a mixture. Nothing is compiled.

    Args:
        build: size (1, 2 ...) -> network, with more parameters for a larger size, such as
            `lambda n: q_network(..., hidden=(n,))`.
        parameters: how many it should have.
        tolerance: allowed relative deviation.

    Returns:
        The size and its network.

    Raises:
        ValueError: no size comes within the tolerance.
    """

    def count(size: int) -> int:
        return parameter_count(build(size))[""]

    low, high = 0, 1
    while count(high) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if count(middle) >= parameters else (middle, high)
    off, size = min((abs(count(n) - parameters), n) for n in (low, high) if n > 0)
    if off > tolerance * parameters:
        raise ValueError(
            f"parameters={parameters}: the nearest is size {size}, which has {count(size)}"
        )
    return size, build(size)
