"""Results of runs and sweeps: labelled curves, and members to evaluate and act with."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Never

import jax
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Agent, Environment
from purejaxrl_suite.engine.evaluate import refuse
from purejaxrl_suite.envs.common import limits
from purejaxrl_suite.sweeps import acting, fleet, plan, summary
from purejaxrl_suite.sweeps import curves as labelled
from purejaxrl_suite.sweeps.axes import label
from purejaxrl_suite.sweeps.layout import Group, Layout
from purejaxrl_suite.sweeps.policy import Policy

if TYPE_CHECKING:
    import xarray

TRAINED = "trained"
"""Attribute of the curves of an unfinished run: the trained share."""


class Result(NamedTuple):
    """The result of a run or sweep, also of an unfinished one.

    curves: xarray.Dataset over (varied axes ..., seed, step). layout: its groups and members.
    sizes: members that were trained at once, of each group. chunks: stores of their states.
    """

    curves: "xarray.Dataset"
    layout: Layout
    sizes: tuple[int, ...]
    chunks: tuple[tuple[Any, ...], ...]

    def __repr__(self) -> str:
        """Describe in a few lines what was trained, its scores, and where it is stored."""
        return summary.describe(self.curves, summary.place(self.chunks))

    __str__ = __repr__

    @property
    def agent(self) -> Agent:
        """Return the agent; with several groups, that of the first."""
        return self.layout.groups[0].agent

    @property
    def env(self) -> Environment:
        """Return the environment; with several groups, that of the first."""
        return self.layout.groups[0].env

    @property
    def parameters(self) -> "xarray.DataArray":
        """Count the parameters of one member, i64 over (static axes ..., namespace) of its network.

        0 for a namespace that a network does not have; the sum over namespaces is the total.
        """
        import xarray

        counts = [plan.parameters(group) for group in self.layout.groups]
        names = list(dict.fromkeys(name for one in counts for name in one))
        axes = {axis: [label(x) for x in found] for axis, found in self.layout.static.items()}
        rows = np.asarray([[one.get(name, 0) for name in names] for one in counts])
        table = np.reshape(rows, (*(len(found) for found in axes.values()), len(names)))
        return xarray.DataArray(table, axes | {"namespace": names}, (*axes, "namespace"))

    def state(self, group: int = 0, chunk: int = 0) -> Any:
        """Return the final state of a chunk's members, leaves [B, ...]; the last may be padding.

        It is a `Run` of an agent, and of a problem what its `init` makes. For an unfinished run it
        is the last stored one.

        Raises:
            ValueError: the checkpoint, which is named, is missing or damaged.
        """
        found, size = self.layout.groups[group], self.sizes[group]
        members = found.members.chunk(0, size)
        shape = fleet.abstract_run(found.train, members, len(found.members.seeds))
        until = None if TRAINED in self.curves.attrs else found.updates
        kept = self.chunks[group][chunk].restore(shape, until)
        if kept is None:
            raise ValueError(f"chunk {chunk} of group {group} has no checkpoint yet: nobody to act")
        return tree.from_host(shape, kept[1])

    def breaks(self) -> list[dict[str, Any]]:
        """List where episodes on the host were broken off, in the order of groups and chunks.

        Each has the `update` that was being collected, the `actor` (None for all), the `cause`, and
        `then`: restarted, training ended, or all episodes began anew, where training went on.
        """
        return [
            {"group": group, "chunk": chunk, **one}
            for group, stores in enumerate(self.chunks)
            for chunk, store in enumerate(stores)
            for one in store.noted()
        ]

    def member(self, config: Mapping[str, Any] | None = None, seed: int = 0) -> Any:
        """Return the state of one member, such as the `Fit` of a problem; else as `policy`."""
        group, member = self._find(config or {}, seed)
        chunk, row = divmod(member, self.sizes[group])
        return tree.index(self.state(group, chunk), row)

    def policy(self, config: Mapping[str, Any] | None = None, seed: int = 0) -> Policy:
        """Return the policy of one member: `result.policy({"learning_rate": 3e-4}, seed=2)`.

        config: a value for each varied axis, as in the coordinates of `curves`.

        Raises:
            ValueError: there is no such member, or more than one; the message names the choices.
        """
        group, member = self._find(config or {}, seed)
        found = self.layout.groups[group]
        agent, env = found.agent, found.env
        chunk, row = divmod(member, self.sizes[group])
        state = tree.index(self.state(group, chunk).agent, row)
        hypers = tree.index(found.members.hypers, member)
        # Put on the device once; otherwise every call would transfer it.
        state, hypers = jax.device_put((state, hypers))
        return Policy(
            agent=agent,
            env=env,
            state=state,
            hypers=hypers,
            env_params=found.params_of(member),
        )

    def evaluate(
        self,
        episodes: int = 128,
        *,
        explore: bool = False,
        steps: int | None = None,
        policy: str | None = None,
        **unknown: Never,
    ) -> "xarray.Dataset":
        """Evaluate every member: variables over (varied axes ..., seed, episode).

        Args:
            episodes: of each member, one per environment.
            explore: False acts greedily, True samples as in training.
            steps: budget of an episode; None is the largest time limit among the members.
            policy: None is the one that acts in training, else one of `Agent.policies`.
            **unknown: refused, with a message that names the arguments.

        Returns:
            An xarray.Dataset with the fields of `Evaluation`.
        """
        import xarray

        refuse(unknown)
        made = []
        for number, group in enumerate(self.layout.groups):
            how = {"episodes": episodes, "explore": explore, "policy": policy}
            rows = self._evaluate(number, group, steps, how)
            variables = {
                name: labelled.variable(self.layout, name, x, ("episode",))
                for name, x in rows.items()
            }
            found = xarray.Dataset(variables, labelled.coordinates(self.layout))
            made.append(found.expand_dims({axis: [label(x)] for axis, x in group.labels.items()}))
        return labelled.join(self.layout, made)

    def _evaluate(
        self, number: int, group: Group, steps: int | None, how: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """Evaluate one group, with arguments of `make_evaluate`: {name: [C * S, episodes]}."""
        known = limits(group.env, group.env_params)
        steps = known[1] if steps is None and known else steps
        varied = group.source.env_params(group.members.varied)
        evaluate = acting.evaluations(group.agent, group.env, varied, steps=steps, **how)
        size, parts = self.sizes[number], []
        for chunk in range(len(self.chunks[number])):
            members = group.members.chunk(chunk * size, size)
            states = self.state(number, chunk).agent
            params = group.source.env_params(members.data)
            found = evaluate(members.seeds, members.hypers, params, states)
            found = found._asdict() | found.info
            parts.append({name: np.asarray(x) for name, x in found.items() if name != "info"})
        count = len(group.members.seeds)
        return {name: np.concatenate([p[name] for p in parts])[:count] for name in parts[0]}

    def _find(self, config: Mapping[str, Any], seed: int) -> tuple[int, int]:
        """Find group and member of a configuration and a seed."""
        axes = {**self.layout.static, **self.layout.traced}
        unknown = sorted(set(config) - set(axes))
        if unknown:
            raise ValueError(
                f"config: {', '.join(unknown)} was not varied; "
                f"the axes are: {', '.join(axes) or 'none'}"
            )
        group = _position(self.layout.static, config)
        row = _position(self.layout.traced, config)
        seeds = self.layout.seeds
        if seed not in seeds:
            raise ValueError(f"seed {seed} was not trained, these were: {list(seeds)}")
        return group, row * len(seeds) + seeds.index(seed)


def _position(axes: Mapping[str, Any], config: Mapping[str, Any]) -> int:
    """Compute the index of a point in the product of the axes."""
    position = 0
    for name, labels in axes.items():
        known = [label(x) for x in labels]
        if name not in config and len(known) > 1:
            raise ValueError(f"config: {name} is not given, expected one of {known}")
        wanted = label(config.get(name, known[0]))
        if wanted not in known:
            raise ValueError(f"config: {name}={wanted!r} was not trained, expected one of {known}")
        position = position * len(known) + known.index(wanted)
    return position
