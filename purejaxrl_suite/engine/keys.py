"""Random keys of a member and of each of its updates, split once into named parts."""

from typing import NamedTuple

import jax

from purejaxrl_suite.core.types import Clock, Key


class MemberKeys(NamedTuple):
    """Parts of a member's key.

    agent: for its initial state. environments: for their first states. updates: for training;
    fold_in makes the key of each update from it, so it must not be used for anything else.
    """

    agent: Key
    environments: Key
    updates: Key


class UpdateKeys(NamedTuple):
    """Parts of the key of an update, whether or not all are used.

    rollout: for experience. update: for learning. look: for the inspection. intervention: for what
    is done after the update. start: for episodes that all start anew where a phase begins.
    evaluation: for its episodes. maintain: for what the agent does after its update.
    """

    rollout: Key
    update: Key
    look: Key
    intervention: Key
    start: Key
    evaluation: Key
    maintain: Key


def member_keys(key: Key) -> MemberKeys:
    """Split the key of a member."""
    return MemberKeys(*jax.random.split(key, len(MemberKeys._fields)))


def update_keys(keys: MemberKeys, clock: Clock) -> UpdateKeys:
    """Make the keys of the update at which the clock stands."""
    now = jax.random.fold_in(keys.updates, clock.update)
    return UpdateKeys(*jax.random.split(now, len(UpdateKeys._fields)))
