"""One trained member: it acts, is evaluated, saved and loaded."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.types import Agent, Array, Environment, Key, Memory, PyTree
from purejaxrl_suite.engine.curves import versions
from purejaxrl_suite.engine.evaluate import Evaluation, make_evaluate
from purejaxrl_suite.engine.layout import structure
from purejaxrl_suite.envs.multi_task import only


class Policy(NamedTuple):
    """One trained member.

    state: the agent's. hypers: those it was trained with, f32[] each.
    """

    agent: Agent
    env: Environment
    state: Any
    hypers: Any
    env_params: PyTree

    def memory(self, batch: int) -> Memory:
        """Memory before the first step of `batch` episodes; () unless the agent is recurrent."""
        return self.agent.memory(batch)

    def act(self, obs: Array, memory: Memory = (), key: Key | None = None) -> tuple[Array, Memory]:
        """Actions [N, ...] for obs [N, ...] and the next memory: greedy, or sampled with a `key`.

        Raises ValueError when obs is not a batch of the environment's observations.
        """
        obs, space = jnp.asarray(obs), self.agent.observation
        if obs.shape[1:] != tuple(space.shape) or obs.ndim != len(space.shape) + 1:
            raise ValueError(
                f"obs has shape {obs.shape}, expected a batch of {spaces.describe(space)}"
            )
        hypers = self.agent.anneal(self.hypers, jnp.float32(1.0))
        explore = key is not None
        noise = self.agent.noise(key if explore else jax.random.key(0), len(obs))
        memory, action, _ = self.agent.act(noise, hypers, self.state, memory, obs, explore)
        return action, memory

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
