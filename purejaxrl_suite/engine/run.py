"""Many seeds of one experiment as one compiled program: vmap(seeds) of a loop over updates."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite.core.types import Agent, Array, Clock, Environment, Key, PyTree, Run
from purejaxrl_suite.engine import curves
from purejaxrl_suite.engine.result import Result
from purejaxrl_suite.engine.train import make_train


class Progress(NamedTuple):
    """What `on_segment` is told after each segment.

    update, updates: done and in all. step, steps: environment steps of one seed, done and in all.
    seconds: since the compiled program started. steps_per_second: of all seeds together, in this
    segment. history: {metric: f32[seeds, updates of this segment]}.
    """

    update: int
    updates: int
    step: int
    steps: int
    seconds: float
    steps_per_second: float
    history: dict[str, np.ndarray]


def run(
    agent: Agent,
    env: Environment,
    *,
    seeds: int | Sequence[int],
    steps: float,
    hypers: Any = None,
    env_params: PyTree = None,
    segments: int = 1,
    reset_pool: int = 1,
    on_segment: Callable[[Progress], None] | None = None,
) -> Result:
    """Train one member per seed, all of them in one program.

    seeds: how many (0 .. seeds - 1), or which. The random numbers of a member depend on its own
        seed only.
    steps: environment steps of each seed, rounded down to whole updates.
    hypers, env_params: in place of `agent.hypers` and `env.params`, equal for all seeds.
    segments: how many times the program returns to the host before the end, to call `on_segment`;
        changes no number and compiles nothing more.
    reset_pool: start states per environment and rollout; 0 resets exactly (see engine.rollout).

    Raises ValueError before anything is compiled if an argument makes no sense.
    """
    hypers = check_hypers(agent, agent.hypers if hypers is None else hypers)
    seeds = _check_seeds(seeds)
    updates = _check_steps(agent, steps)
    if not 1 <= segments <= updates:
        raise ValueError(f"segments must be between 1 and the {updates} updates, got {segments}")
    params = env.params if env_params is None else env_params
    train = make_train(agent, env, updates_per_call=-(-updates // segments), reset_pool=reset_pool)

    def start(seeds: Array, hypers: Any, params: PyTree) -> tuple[Key, Run]:
        keys = jax.vmap(jax.random.key)(seeds)
        return keys, jax.vmap(train.init, (0, 0, None))(keys, hypers, params)

    began = time.perf_counter()
    members = jax.tree.map(lambda x: np.full(len(seeds), x, np.float32), hypers)
    keys, state = jax.jit(start)(np.asarray(seeds, np.uint32), members, params)
    advance = jax.jit(jax.vmap(train.train, (0, 0, None, 0, None)), donate_argnums=3)
    clock = Clock(np.int32(0), np.int32(updates))
    advance = advance.lower(keys, members, params, state, clock).compile()
    compiled = time.perf_counter()

    parts, rates = [], []
    per_update = agent.num_envs * agent.rollout_length
    for update in range(0, updates, -(-updates // segments)):
        started = time.perf_counter()
        clock = clock._replace(update=np.int32(update))
        state, history = advance(keys, members, params, state, clock)
        parts.append({name: np.asarray(x)[:, : updates - update] for name, x in history.items()})
        done = update + parts[-1]["episodes"].shape[1]
        now = time.perf_counter()
        rate = (done - update) * per_update * len(seeds) / (now - started)
        rates.append(np.full(done - update, rate))
        if on_segment is not None:
            size = done * per_update, updates * per_update
            on_segment(Progress(done, updates, *size, now - compiled, rate, parts[-1]))
    history = {name: np.concatenate([part[name] for part in parts], 1) for name in parts[0]}
    seconds = compiled - began, time.perf_counter() - compiled
    dataset = curves.dataset(agent, env, hypers, seeds, history, np.concatenate(rates), *seconds)
    return Result(dataset, state, agent, env, members, params, keys)


def check_hypers(agent: Agent, hypers: Any) -> Any:
    """The hypers themselves, if they are finite numbers of the agent's own type."""
    if type(hypers) is not type(agent.hypers):
        raise ValueError(f"hypers must be a {type(agent.hypers).__name__}, got {hypers!r}")
    for name, value in hypers._asdict().items():
        if not (np.ndim(value) == 0 and np.isfinite(value)):
            raise ValueError(f"hypers.{name} must be one finite number, got {value!r}")
    return hypers


def _check_seeds(seeds: int | Sequence[int]) -> list[int]:
    chosen = list(range(seeds)) if isinstance(seeds, int) else [int(seed) for seed in seeds]
    if not chosen or len(set(chosen)) < len(chosen) or not all(0 <= s < 2**32 for s in chosen):
        raise ValueError(f"seeds must be a positive number or distinct integers >= 0, got {seeds}")
    return chosen


def _check_steps(agent: Agent, steps: float) -> int:
    per_update = agent.num_envs * agent.rollout_length
    if not (np.isfinite(steps) and steps >= per_update):
        raise ValueError(
            f"steps={steps} is less than one update: {agent.num_envs} environments x "
            f"{agent.rollout_length} steps = {per_update}"
        )
    return int(steps) // per_update
