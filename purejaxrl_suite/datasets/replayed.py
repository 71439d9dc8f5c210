"""Data sets from replay: what trained members still hold of their own training."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.buffers import Layout, Ring
from purejaxrl_suite.buffers.ring import take
from purejaxrl_suite.buffers.windows import transitions
from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Transition
from purejaxrl_suite.datasets.experience import Experience, Record, episodes, scored, taken
from purejaxrl_suite.datasets.members import Batch, Who, batches, environment
from purejaxrl_suite.sweeps.result import Result


class Remembered(NamedTuple):
    """All rows of a ring in the order of time, environment after environment: [N * rows, ...].

    kept: which of them are steps of the data set. lost: which are stored, but without a successor.
    begins, ends: the first and the last step of an episode.
    """

    steps: Transition
    kept: Array
    lost: Array
    begins: Array
    ends: Array


def from_replay(policy: Who, name: str = "medium-replay") -> Experience:
    """Read what the replay of trained members holds, in the order of time.

    The oldest step of an environment comes first, wherever the ring begins. Steps whose successor
    is not stored are dropped and counted (`Record.lost`): the newest of each environment, unless
    its episode ended there, and cuts whose place a later one has taken (`buffers.ring`). The step
    before a dropped one is then the last of its episode, which is truncated there.

    A replay does not store the successors of terminated steps, which have no value: `next_obs`
    repeats the step's own observation. Nor does it tell a lost life from the end of an episode: in
    an environment with lives each of them counts as an episode.

    Args:
        policy: a Policy, a list of them, or a Result: members of agents with replay.
        name: of the set.

    Returns:
        The data set: member after member, environment after environment, in the order of time.

    Raises:
        ValueError: an agent has no replay or nothing in it, members are of different environments,
            or members of a Result did not act: their replay holds what they were given.
    """
    if isinstance(policy, Result) and not all(one.source.acts for one in policy.layout.groups):
        raise ValueError(
            "policy: expected members that acted, got some whose replay holds what they were given"
        )
    parts: list[Remembered] = []
    agents: list[str] = []
    for batch in batches(policy):
        rings, at = _rings(batch)
        read = jax.jit(partial(_read, at))
        parts += [jax.device_get(read(tree.index(rings, i))) for i in range(batch.size)]
        agents.append(batch.agent.name)
    every = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    if not every.kept.any():
        raise ValueError("policy: expected members with steps in their replay, got none")
    found = tree.index(every, every.kept)
    record = Record(
        name=name,
        environment=environment(policy).name,
        policy=", ".join(dict.fromkeys(agents)),
        lost=int(every.lost.sum()),
    )
    each = episodes(found.steps)
    return scored(found.steps, found.begins[each.first] & found.ends[each.last], record)


def _rings(batch: Batch) -> tuple[Ring, Layout]:
    """Find the rings of the members [B, ...], and how they are laid out."""

    def is_ring(node: object) -> bool:
        return isinstance(node, Ring)

    found = list(filter(is_ring, jax.tree.leaves(batch.states, is_leaf=is_ring)))
    if len(found) != 1:
        raise ValueError(
            f"policy: expected an agent with one replay, {batch.agent.name} has {len(found)}"
        )
    n, slots, kept = batch.agent.num_envs, found[0].reward.shape[1], found[0].cut.shape[1]
    return found[0], Layout(
        observation=batch.env.observation,
        action=batch.env.action,
        extras={},
        rows=slots // n,
        num_envs=n,
        rollout_length=batch.agent.rollout_length,
        max_n=1,
        spacing=slots // kept,
    )


def _read(at: Layout, ring: Ring) -> Remembered:
    """Read the ring of one member."""
    age = jnp.arange(at.rows)  # the oldest row first; where the ring is not full, unused ones
    row = (ring.row + age) % at.rows
    slot = row[None] * at.num_envs + jnp.arange(at.num_envs)[:, None]
    shape = slot.shape
    batch = transitions(at, ring, jnp.ravel(slot), 1, 1.0)
    ends = jnp.reshape(take(ring.end, jnp.ravel(slot)) > 0, shape)
    read = jnp.reshape(batch.steps > 0, shape)  # False where the successor of a cut is lost
    stored = jnp.broadcast_to(age >= at.rows - ring.filled, shape)
    newest = jnp.broadcast_to(age == at.rows - 1, shape)  # its successor comes with the next row
    kept = stored & read & (~newest | ends)
    nothing = jnp.zeros_like(kept[:, :1])
    broken = ~ends & ~jnp.concatenate([kept[:, 1:], nothing], axis=1)
    # Of the oldest row only a ring that never was full says that an episode begins there.
    first = (age == at.rows - ring.filled) & (ring.filled < at.rows)
    begins = first[None] | jnp.concatenate([nothing, ends[:, :-1]], axis=1)
    kept, lost, begins, ends, broken = map(jnp.ravel, (kept, stored & ~kept, begins, ends, broken))
    steps = Transition(
        obs=batch.obs,
        action=taken(at.action, batch.action),
        reward=batch.reward,
        terminated=batch.terminated,
        truncated=batch.truncated | broken,
        next_obs=tree.where(batch.terminated, batch.obs, batch.next_obs),
        extras={},
    )
    return Remembered(steps, kept, lost, begins, ends)
