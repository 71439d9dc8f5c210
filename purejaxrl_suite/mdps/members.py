"""Map a function of one member over thousands of them, in blocks, on every local device."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from purejaxrl_suite.core.argument import integer, wrong
from purejaxrl_suite.core.types import PyTree

AXIS = "members"


def map_members(function: Callable[[PyTree], PyTree], members: PyTree, block: int = 250) -> PyTree:
    """Map a function over members: `jax.vmap` within a block, block after block, devices at once.

    A block bounds memory, and on a CPU its tables stay in a cache. Blocks are the same on any
    number of devices, so results are, too. Where blocks do not fill up, or devices have no equal
    number of them, the last member is computed again and dropped. Call it under `jax.jit`.

    Args:
        function: member -> results, a pure function of one member, unbatched.
        members: leaves [B, ...], such as keys.
        block: members that are vmapped; all of them if B is smaller. 1 is without vmap, which is
            better where a step changes a few entries of large tables.

    Returns:
        Results of all members, leaves [B, ...].

    Raises:
        ValueError: `members` has no leaf, its leaves differ in B, or `block` is below 1.

    Example:
        >>> keys = jax.random.split(jax.random.key(0), 1_000)
        >>> walk = lambda key: jnp.sum(jax.random.rademacher(key, (100,)))
        >>> jax.jit(lambda keys: pjs.mdps.map_members(walk, keys))(keys).shape
        (1000,)
    """
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(members)}
    if len(sizes) != 1 or not next(iter(sizes)):
        raise wrong("members", "leaves with one and the same leading axis", sorted(sizes))
    count = next(iter(sizes))[0]
    block = min(integer("block", block, 1), count)
    mesh = Mesh(np.array(jax.local_devices()), (AXIS,))
    whole = block * mesh.size
    rows = jnp.minimum(jnp.arange(-(-count // whole) * whole), count - 1)
    spread = jax.tree.map(lambda leaf: leaf[rows], members)

    def of_device(share: PyTree) -> PyTree:
        if block == 1:
            return jax.lax.map(function, share)
        blocks = jax.tree.map(lambda leaf: leaf.reshape(-1, block, *leaf.shape[1:]), share)
        found = jax.lax.map(jax.vmap(function), blocks)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), found)

    everywhere = jax.shard_map(
        of_device, mesh=mesh, in_specs=P(AXIS), out_specs=P(AXIS), check_vma=False
    )
    return jax.tree.map(lambda leaf: leaf[:count], everywhere(spread))
