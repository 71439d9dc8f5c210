"""Draw random minibatches without sorting.

`jax.random.permutation` sorts random keys, several times; in a small training step that sort is a
large part of the work. A keyed bijection of the indices costs a few integer operations per index
and fuses into one kernel.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import validate
from purejaxrl_suite.core.types import Array, Key, PyTree

# Differences of neighbours are visibly not uniform after 3 rounds, and after 4 if p << q.
ROUNDS = 5
SMALLEST_FACTOR = 8  # with fewer rows than this the Feistel rounds mix too little


def _balanced_factor(n: int) -> int:
    """Find the largest divisor of n that is at most sqrt(n)."""
    return next(p for p in range(math.isqrt(n), 0, -1) if n % p == 0)


def _hash(x: Array, key: Array) -> Array:
    """Hash uint32 by a key: two multiply-xorshift rounds with the odd constants of xxHash32."""
    x = (x ^ key) * jnp.uint32(0x9E3779B1)
    x = (x ^ (x >> 15)) * jnp.uint32(0x85EBCA77)
    return x ^ (x >> 13)


def permutation(key: Key, n: int) -> Array:
    """Draw a pseudo-random permutation i32[n] of 0 .. n-1 without sorting; n is static.

    A Feistel network (Luby and Rackoff 1988) on the digits of i = x * q + y, n = p * q, with
    modular addition in place of xor (Black and Rogaway 2002): every half-round is invertible,
    whatever the hash, so the whole is a bijection. An n without a divisor from 8 to its square
    root uses `exact_permutation`.
    """
    _check_size(n)
    p = _balanced_factor(n)
    if p < SMALLEST_FACTOR:
        return exact_permutation(key, n)
    q = n // p
    keys = jax.random.bits(key, (2 * ROUNDS,), jnp.uint32)
    index = jnp.arange(n, dtype=jnp.uint32)
    x, y = index // q, index % q
    for i in range(ROUNDS):
        x = (x + _hash(y, keys[2 * i]) % p) % p
        y = (y + _hash(x, keys[2 * i + 1]) % q) % q
    return (x * q + y).astype(jnp.int32)


def exact_permutation(key: Key, n: int) -> Array:
    """Draw a uniform random permutation i32[n] of 0 .. n-1 by sorting."""
    _check_size(n)
    return jax.random.permutation(key, jnp.arange(n, dtype=jnp.int32))


def minibatch_indices(
    key: Key,
    n: int,
    minibatches: int,
    permutation: Callable[[Key, int], Array] = permutation,
) -> Array:
    """Draw the minibatches of one epoch, which visit each of n samples once.

    Args:
        key: of the permutation.
        n: samples.
        minibatches: into how many parts they are split.
        permutation: (key, n) -> i32[n].

    Returns:
        Indices i32[minibatches, n // minibatches].

    Raises:
        ValueError: the minibatches do not divide n.
    """
    validate.divides("minibatches", minibatches, n, "samples")
    return jnp.reshape(permutation(key, n), (minibatches, n // minibatches))


def _check_size(n: int) -> None:
    if n < 1:
        raise ValueError(f"n={n}: expected at least one index")


def epochs(
    key: Key,
    epochs: int,
    n: int,
    minibatches: int,
    permutation: Callable[[Key, int], Array] = permutation,
) -> Array:
    """Draw the minibatches of several epochs, each of which visits each sample once.

    Args:
        key: of the permutations.
        epochs: passes over the samples.
        n: samples.
        minibatches: into how many parts an epoch is split.
        permutation: (key, n) -> i32[n].

    Returns:
        Indices i32[epochs * minibatches, n // minibatches].

    Raises:
        ValueError: the minibatches do not divide n.
    """

    def shuffle(key: Key) -> Array:
        return minibatch_indices(key, n, minibatches, permutation)

    indices = jax.vmap(shuffle)(jax.random.split(key, epochs))
    return jnp.reshape(indices, (epochs * minibatches, n // minibatches))


def single_steps(batch: PyTree) -> PyTree:
    """Reshape leaves [T, N, ...] to [1, T * N, ...]: every step is a sequence of its own."""
    return jax.tree.map(lambda x: jnp.reshape(x, (1, -1, *x.shape[2:])), batch)
