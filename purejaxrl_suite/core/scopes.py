"""Reset scopes: what a carried leaf survives - an episode, a lifetime, everything.

A lifetime is a sequence of episodes of one task and one learner. Traces, memories and buffers that
are carried from step to step declare a scope; one function applies all of them.
"""

from enum import Enum

import jax

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, PyTree


class Scope(Enum):
    """When a carried leaf starts anew.

    EPISODE: after every episode, the last one of a lifetime included, as eligibility traces do.
    LIFETIME: after every lifetime, as the memory of a learnt reward does. NEVER: not at all, as
    running statistics.
    """

    EPISODE = "episode"
    LIFETIME = "lifetime"
    NEVER = "never"


def reset(
    scopes: PyTree, carried: PyTree, fresh: PyTree, episode_ended: Array, lifetime_ended: Array
) -> PyTree:
    """Start the leaves anew whose scope has ended, by a select without branches.

    Args:
        scopes: a `Scope`, or a tree of them: a prefix of `carried`.
        carried: leaves [..., *], with the axes of the flags first.
        fresh: like `carried`: what leaves start with.
        episode_ended: bool[...], the episode ended with this step.
        lifetime_ended: bool[...], and the lifetime did; then the episode has ended, too.

    Returns:
        Like `carried`.

    Raises:
        ValueError: a scope is something else, or the trees do not fit.
    """
    ended = {Scope.EPISODE: episode_ended | lifetime_ended, Scope.LIFETIME: lifetime_ended}

    def select(scope: Scope, old: PyTree, new: PyTree) -> PyTree:
        if not isinstance(scope, Scope):
            raise ValueError(f"scopes: expected a Scope for each part, got {scope!r}")
        return old if scope is Scope.NEVER else tree.where(ended[scope], new, old)

    return jax.tree.map(select, scopes, carried, fresh)
