"""The random keys of a member, and of each of its updates: split once, into named parts."""

from typing import NamedTuple

import jax

from purejaxrl_suite.core.types import Clock, Key


class MemberKeys(NamedTuple):
    """What the key of a member is split into.

    agent, environments: how they start. updates: of all of training; fold_in makes those of one
    update of it, so it must not be used for anything else.
    """

    agent: Key
    environments: Key
    updates: Key


class UpdateKeys(NamedTuple):
    """What the key of an update is split into, whether or not all are used.

    rollout, update: of making experience and learning. look, intervention: of what is measured and
    done after it. start: of episodes that all start anew, where a phase begins. evaluation: of its
    episodes.
    """

    rollout: Key
    update: Key
    look: Key
    intervention: Key
    start: Key
    evaluation: Key


def member_keys(key: Key) -> MemberKeys:
    """The keys of a member."""
    return MemberKeys(*jax.random.split(key, len(MemberKeys._fields)))


def update_keys(keys: MemberKeys, clock: Clock) -> UpdateKeys:
    """The keys of the update at which the clock stands, of a member's own keys."""
    now = jax.random.fold_in(keys.updates, clock.update)
    return UpdateKeys(*jax.random.split(now, len(UpdateKeys._fields)))
