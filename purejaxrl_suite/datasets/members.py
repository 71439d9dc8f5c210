"""The trained members that make experience: of a Policy, of several, or of a Result."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import instances, wrong
from purejaxrl_suite.core.types import Agent, Environment, PyTree
from purejaxrl_suite.sweeps import fleet
from purejaxrl_suite.sweeps.policy import Policy
from purejaxrl_suite.sweeps.result import Result

Who = Policy | Sequence[Policy] | Result


class Batch(NamedTuple):
    """B members of one agent and environment.

    states, hypers: leaves [B, ...]. params: of the environment, leaves [B, ...] where `axes`, the
    `in_axes` of `jax.vmap`, say so.
    """

    agent: Agent
    env: Environment
    states: Any
    hypers: Any
    params: PyTree
    axes: PyTree

    @property
    def size(self) -> int:
        """Return B."""
        return len(jax.tree.leaves(self.states)[0])


def environment(who: Who) -> Environment:
    """Return the environment, of several members that of the first; ValueError as `batches`."""
    if isinstance(who, Result | Policy):
        return who.env
    return instances("policy", who, Policy)[0].env


def batches(who: Who) -> Iterator[Batch]:
    """Yield the members, those of one program together.

    Raises:
        ValueError: it is neither a Policy, nor a list of them, nor a Result; or members are of
            different environments.
    """
    first = environment(who)
    for batch in _of_result(who) if isinstance(who, Result) else _of_policies(who):
        ours, theirs = ((x.name, x.observation, x.action, x.recipe) for x in (batch.env, first))
        if ours != theirs:
            raise wrong("policy", f"members in {first.name}, as the first is", batch.env.name)
        yield batch


def _of_policies(who: Policy | Sequence[Policy]) -> Iterator[Batch]:
    given = (who,) if isinstance(who, Policy) else who
    alike: dict[tuple[int, int], list[Policy]] = {}
    for policy in given:
        alike.setdefault((id(policy.agent), id(policy.env)), []).append(policy)
    for policies in alike.values():
        states, hypers, params = (
            tree.stack([getattr(one, field) for one in policies])
            for field in ("state", "hypers", "env_params")
        )
        first = policies[0]
        axes = jax.tree.map(lambda _: 0, params)
        yield Batch(first.agent, first.env, states, hypers, params, axes)


def _of_result(result: Result) -> Iterator[Batch]:
    """Yield the members of each chunk, without its padding."""
    for number, group in enumerate(result.layout.groups):
        size = result.sizes[number]
        axes = fleet.in_axes(group.source.env_params(group.members.varied))
        for chunk in range(len(result.chunks[number])):
            count = min(size, len(group.members.seeds) - chunk * size)
            members = group.members.take(chunk * size + np.arange(count))
            states = tree.index(result.state(number, chunk).agent, slice(count))
            params = group.source.env_params(members.data)
            yield Batch(group.agent, group.env, states, members.hypers, params, axes)
