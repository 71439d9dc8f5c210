"""One trained member: it acts, is evaluated, saved and loaded."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.types import Agent, Array, Box, Environment, Key, Memory, PyTree
from purejaxrl_suite.engine import acting
from purejaxrl_suite.engine.curves import versions
from purejaxrl_suite.engine.evaluate import Evaluation, make_evaluate
from purejaxrl_suite.engine.layout import structure
from purejaxrl_suite.envs.multi_task import only


class Policy(NamedTuple):
    """One trained member.

    state: the agent's. hypers: those it was trained with, f32[] each. env_params: those it was
    trained on.

    Observations are a batch [N, ...] or a single one [...]; what is told of a single one has no
    batch axis either. Each function is compiled once for each number of observations.
    """

    agent: Agent
    env: Environment
    state: Any
    hypers: Any
    env_params: PyTree

    def memory(self, batch: int = 1) -> Memory:
        """Memory before the first step of `batch` episodes; () unless the agent is recurrent."""
        return self.agent.memory(batch)

    def act(
        self, obs: Array, memory: Memory = (), key: Key | None = None, *, greedy: bool = True
    ) -> tuple[Array, Memory]:
        """Actions [N, ...] for obs [N, ...], and the next memory.

        memory: of a recurrent agent, `policy.memory(N)` before the first step, then what the last
        one returned. greedy: False samples as in training (at its end), by a `key`.
        Raises ValueError for anything that is not so.
        """
        explore = acting.sampling(key, greedy)
        obs, single = acting.check_elements("obs", self.agent.observation, obs)
        acting.check_memory(self.agent, memory, 1 if single else len(obs))
        act = acting.programs(self.agent).act
        return act(self.hypers, self.state, memory, obs, key, single, explore)

    def value(self, obs: Array, memory: Memory = ()) -> Array:
        """f32[N], the discounted return that the agent expects from here; see `Estimates`."""
        return self._estimates("value", obs, memory)

    def q(self, obs: Array, memory: Memory = (), action: Array | None = None) -> Array:
        """f32[N, A], what the agent expects of each action; with continuous ones, f32[N] of these.

        Raises ValueError where the agent does not learn that.
        """
        found = self._estimates("q", obs, memory, action)
        if action is None and isinstance(self.agent.action, Box):
            batch = spaces.describe(self.agent.action)
            raise ValueError(f"action: expected those to judge, a batch of {batch}, got none")
        return found

    def probabilities(self, obs: Array, memory: Memory = ()) -> Array:
        """f32[N, A], of each discrete action, by an agent that has such a policy.

        Raises ValueError where the agent has none.
        """
        return self._estimates("probabilities", obs, memory)

    def _estimates(self, what: str, obs: Array, memory: Memory, action: Any = None) -> Array:
        agent = self.agent
        if agent.estimate is None:
            raise ValueError(f"{what}: agent {agent.name!r} tells nothing but actions")
        obs, single = acting.check_elements("obs", agent.observation, obs)
        acting.check_memory(agent, memory, 1 if single else len(obs))
        if action is not None:
            action = acting.check_action(agent, action, obs, single)
        estimate = acting.programs(agent).estimate
        found = estimate(self.hypers, self.state, memory, obs, action, single)._asdict()
        if found[what] is None:
            has = ", ".join(name for name, x in found.items() if x is not None)
            where = f"{agent.name!r} with {spaces.describe(agent.action)} actions"
            raise ValueError(f"{what}: agent {where} has none, expected one of: {has}")
        return found[what]

    def evaluate(
        self, episodes: int = 128, *, key: Key | int = 0, explore: bool = False, **budget: int
    ) -> Evaluation:
        """One episode in each of `episodes` environments; see `make_evaluate`."""
        key = jax.random.key(key) if isinstance(key, int) else key
        evaluate = make_evaluate(self.agent, self.env, episodes=episodes, explore=explore, **budget)
        return jax.jit(evaluate)(key, self.hypers, self.env_params, self.state)

    def of_task(self, task: int) -> "Policy":
        """The same member playing one task of several, number `task`, by itself.

        Raises ValueError when there is no such task.
        """
        env = only(self.env, task)
        return self._replace(env=env, env_params=self.env_params[task])

    def save(self, path: str | Path) -> None:
        """Write the member to a new directory, from which `load_policy` restores it."""
        import orbax.checkpoint

        path = Path(path).resolve()
        with orbax.checkpoint.StandardCheckpointer() as checkpointer:
            checkpointer.save(path / "state", {"state": self.state, "hypers": self.hypers})
        record = structure(self.agent, self.env) | {"versions": versions()}
        (path / "policy.json").write_text(json.dumps(record, indent=2))


def load_policy(path: str | Path, agent: Agent, env: Environment) -> Policy:
    """Restore a member that `Policy.save` wrote, for an agent built like the one that trained it.

    Raises ValueError naming what differs when the agent, the spaces or the network do not fit.
    """
    import orbax.checkpoint

    path = Path(path).resolve()
    if not (path / "policy.json").exists():
        raise ValueError(f"{path} holds no saved policy (no policy.json)")
    saved, ours = json.loads((path / "policy.json").read_text()), structure(agent, env)
    for name in ("agent", "observation", "action", "parameters"):
        if saved[name] != ours[name]:
            raise ValueError(f"{path} was saved with {name} {saved[name]}, here it is {ours[name]}")
    hypers = jax.tree.map(jnp.float32, agent.hypers)
    like = jax.eval_shape(
        lambda: {"state": agent.init(jax.random.key(0), hypers), "hypers": hypers}
    )
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        found = checkpointer.restore(path / "state", like)
    return Policy(agent, env, found["state"], found["hypers"], env.params)
