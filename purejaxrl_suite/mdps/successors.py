"""Learn low-rank successor measures: the tabular form of proto-value networks.

Farebrother et al. 2023, Proto-value networks, arXiv 2304.12567: features from which the discounted
visits of many sets of states are predicted, here of every single state.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.mdps.mdp import MDP
from purejaxrl_suite.mdps.solve import discounted_chain, product


class Successors(NamedTuple):
    """psi = features @ weights, near the successor measure. features: f[S, K]. weights: f[K, S]."""

    features: Array
    weights: Array


def learn_successors(
    key: Key, mdp: MDP, policy: Array, features: int, steps: int, learning_rate: float = 0.05
) -> Successors:
    """Learn features and weights by expected temporal differences, all states at once.

    psi moves towards I + gamma P psi, whose gradient is not taken; reward is that of the state
    itself, as in `successor_measure`. With as many features as states psi becomes that; with fewer
    and a symmetric P, such as that of a uniform policy in a grid, the features span its first left
    singular vectors.

    Args:
        key: for the first features and weights, normal with variance 1 / S.
        mdp: the MDP.
        policy: f[S, A].
        features: how many (K).
        steps: of gradient descent.
        learning_rate: of features and weights; it is divided by the bound 1 / (1 - gamma).

    Returns:
        Features and weights.

    Raises:
        ValueError: a number of features or steps is not positive.
    """
    count = integer("features", features, 1)
    integer("steps", steps, 1)
    chain = discounted_chain(mdp, policy)
    size, rate = len(chain), learning_rate * (1.0 - jnp.asarray(mdp.gamma))
    own = jnp.eye(size, dtype=chain.dtype)
    of_features, of_weights = jax.random.split(key)
    start = Successors(
        jax.random.normal(of_features, (size, count), chain.dtype) * size**-0.5,
        jax.random.normal(of_weights, (count, size), chain.dtype) * size**-0.5,
    )

    def step(now: Successors, _: None) -> tuple[Successors, None]:
        psi = product(now.features, now.weights)
        error = psi - (own + product(chain, psi))
        moved = Successors(product(error, now.weights.T), product(now.features.T, error))
        return jax.tree.map(lambda x, g: x - rate * g, now, moved), None

    return jax.lax.scan(step, start, None, length=steps)[0]
