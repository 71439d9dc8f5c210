"""Policies: act with, evaluate, save and load one trained member."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Never

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.argument import instance, integer
from purejaxrl_suite.core.types import Agent, Array, Box, Environment, Key, Memory, PyTree
from purejaxrl_suite.engine.evaluate import Evaluation, refuse
from purejaxrl_suite.envs.common import limits
from purejaxrl_suite.envs.multi_task import only
from purejaxrl_suite.sweeps import acting, saved
from purejaxrl_suite.sweeps.axes import fields, label
from purejaxrl_suite.sweeps.curves import made_with
from purejaxrl_suite.sweeps.identity import PROGRAM, digest_of


class Policy(NamedTuple):
    """One trained member.

    state: the agent's. hypers: those that it was trained with, f32[] each. env_params: those that
    it was trained on.
    Observations are a batch [N, ...] or a single one [...]; results for a single one have no batch
    axis either. Each function is compiled once for each number of observations.
    """

    agent: Agent
    env: Environment
    state: Any
    hypers: Any
    env_params: PyTree

    def memory(self, batch: int = 1) -> Memory:
        """Make the memory before the first step of `batch` episodes; () unless recurrent."""
        return self.agent.memory(integer("batch", batch, 1))

    def act(
        self, obs: Array, memory: Memory = (), key: Key | None = None, *, greedy: bool = True
    ) -> tuple[Array, Memory]:
        """Choose actions for observations.

        Args:
            obs: [N, ...], or a single observation [...].
            memory: for a recurrent agent, `policy.memory(N)` before the first step, then the one
                that the last step returned.
            key: for sampling.
            greedy: False samples as at the end of training, by the `key`.

        Returns:
            Actions [N, ...], and the next memory.

        Raises:
            ValueError: an argument does not fit.
        """
        explore = acting.sampling(key, greedy)
        obs, single = acting.check_elements("obs", self.agent.observation, obs)
        acting.check_memory(self.agent, memory, 1 if single else len(obs))
        act = acting.programs(self.agent).act
        return act(self.hypers, self.state, memory, obs, key, single, explore)

    def value(self, obs: Array, memory: Memory = ()) -> Array:
        """Estimate the discounted return from each observation, f32[N]; see `Estimates`."""
        return self._estimates("value", obs, memory)

    def q(self, obs: Array, memory: Memory = (), action: Array | None = None) -> Array:
        """Estimate the value of each discrete action, f32[N, A], or given continuous ones, f32[N].

        Raises:
            ValueError: the agent does not learn action values.
        """
        found = self._estimates("q", obs, memory, action)
        if action is None and isinstance(self.agent.action, Box):
            batch = spaces.describe(self.agent.action)
            raise ValueError(f"action: expected those to judge, a batch of {batch}, got none")
        return found

    def probabilities(self, obs: Array, memory: Memory = ()) -> Array:
        """Compute the probability of each discrete action, f32[N, A].

        Raises:
            ValueError: the agent's policy has no such probabilities.
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
        self,
        episodes: int = 128,
        *,
        key: Key | int = 0,
        explore: bool = False,
        steps: int | None = None,
        policy: str | None = None,
        **unknown: Never,
    ) -> Evaluation:
        """Evaluate one episode in each of `episodes` environments; see `make_evaluate`."""
        refuse(unknown, "key")
        key = acting.check_key(jax.random.key(key) if isinstance(key, int) else key)
        if steps is None and (known := limits(self.env, self.env_params)):
            steps = known[1]
        how = {"episodes": episodes, "steps": steps, "explore": explore, "policy": policy}
        evaluate = acting.evaluation(self.agent, self.env, **how)
        return evaluate(key, self.hypers, self.env_params, self.state)

    def of_task(self, task: int) -> "Policy":
        """Return the policy in one task of several, number `task`.

        Raises:
            ValueError: there is no such task.
        """
        env = only(self.env, task)
        return self._replace(env=env, env_params=self.env_params[task])

    def save(self, path: str | Path) -> None:
        """Save the policy to a folder, new or empty, for `load_policy`.

        The folder appears when it is complete.

        Raises:
            ValueError: the folder is not empty.
        """
        arrays = {name: jax.tree.map(jnp.asarray, getattr(self, name)) for name in _KEPT}
        values = {name: {k: str(x) for k, x in fields(arrays[name]).items()} for name in _KEPT[1:]}
        record = _kind(self.agent, self.env) | values | made_with()
        saved.write(path, record | {PROGRAM: _program(self.agent, self.env)}, arrays)

    def __repr__(self) -> str:
        """Describe the member and its settings in a few lines."""
        count = sum(leaf.size for leaf in jax.tree.leaves(self.state.learner.params))
        hypers = ", ".join(f"{name}={x:.6g}" for name, x in fields(self.hypers).items())
        lines = [f"Policy: {self.agent.name} on {self.env.name}, {count:,} parameters"]
        lines += [f"  hypers: {hypers}"] if hypers else []
        changed = _changed(self.env.params, self.env_params)
        lines += [f"  env_params: {', '.join(changed)}"] if changed else []
        return "\n".join(lines)

    __str__ = __repr__


_KEPT = "state", "hypers", "env_params"


def _changed(ours: PyTree, theirs: PyTree) -> list[str]:
    """List the fields of environment parameters that differ from the environment's own."""
    own = fields(ours)
    return [
        f"{name}={x}"
        for name, x in fields(theirs).items()
        if name in own and not all(map(np.array_equal, *map(jax.tree.leaves, (x, own[name]))))
    ]


def _kind(agent: Agent, env: Environment) -> dict[str, Any]:
    """Describe what a saved member fits, beside its arrays."""
    return {
        "agent": agent.name,
        "observation": spaces.describe(agent.observation),
        "action": spaces.describe(agent.action),
        "config": {name: label(x) for name, x in fields(agent.config).items()},
        "environment": env.name,
        "recipe": list(env.recipe),
    }


def _program(agent: Agent, env: Environment) -> str:
    """Digest an agent's acting on one observation, and an episode's start and step."""
    key = jax.eval_shape(jax.random.key, 0)
    hypers = jax.tree.map(jnp.float32, agent.hypers)
    state = jax.eval_shape(agent.init, key, hypers)
    obs, memory = spaces.abstract(agent.observation), jax.eval_shape(lambda: agent.memory(1))
    arguments = hypers, state, memory, obs, key, True
    traced = [acting.programs(agent).act.trace(*arguments, explore) for explore in (False, True)]
    found = [one.jaxpr for one in traced]
    action = spaces.abstract(env.action)
    if env.host is not None:  # its functions are no programs
        return digest_of(*found)
    for params in env.params if env.tasks else (env.params,):
        start, (inside, _) = jax.make_jaxpr(env.init, return_shape=True)(key, params)
        found += [start, jax.make_jaxpr(env.step)(key, params, inside, action)]
    return digest_of(*found)


def load_policy(path: str | Path, agent: Agent, env: Environment) -> Policy:
    """Load a policy that `Policy.save` wrote.

    Its hyper-parameters and environment parameters are the saved ones. For another environment with
    equal spaces load it for its own, then `policy._replace(env=other, env_params=other.params)`.

    Args:
        path: the folder.
        agent: built like the one that was trained.
        env: the environment that it was trained in.

    Returns:
        The policy.

    Raises:
        ValueError: agent, Config, spaces, environment or an array of the state differ, a file is
            missing or damaged, or functions of agent, network or environment differ (which is only
            checked under the versions that it was saved with); the message names the difference.
    """
    instance("agent", agent, Agent)
    instance("env", env, Environment)
    hypers = jax.tree.map(jnp.float32, agent.hypers)
    state = jax.eval_shape(lambda: agent.init(jax.random.key(0), hypers))
    params = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, env.params))
    like = {"state": state, "hypers": hypers, "env_params": params}
    program = partial(_program, agent, env)
    return Policy(agent=agent, env=env, **saved.read(path, _kind(agent, env), like, program))
