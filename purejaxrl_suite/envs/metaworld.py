"""Meta-World (Yu et al. 2019, arXiv 1910.10897), in its third version, played on the host.

The package's tasks are played, but not made by its own makers: there `reset(seed)` is ignored, seed
0 is none, copies of a task share one goal, tasks of a benchmark draw goals of the same number, the
number of goals is a setting of the process, and ML1 hands out the same goals for training and for
tests. Here a benchmark's goals follow from `goal_seed` alone, and the episodes of a copy, each with
one of these goals, from the copy's own seed alone.
"""

import difflib
import pickle
from collections.abc import Sequence
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from purejaxrl_suite.core.argument import boolean, integer, number, one_of
from purejaxrl_suite.core.host import Host, HostError
from purejaxrl_suite.core.types import Environment
from purejaxrl_suite.envs import host_spaces
from purejaxrl_suite.envs.gymnasium import outside
from purejaxrl_suite.envs.host import Reading, VectorHost, checked
from purejaxrl_suite.envs.recipe import called

PREFIX = "Meta-World/"
ONE = "MT1", "ML1"
"""Benchmarks of a single task."""
SEVERAL = "MT10", "MT25", "MT50", "ML10", "ML25", "ML45"
ENTRIES, MOST_STEPS = 39, 500
SUCCESS, SCORE = "success", "score"
"""Curves: whether an episode has met its task's criterion at any step; its plain return."""
_MISSING = 'metaworld is not installed: pip install "purejaxrl_suite[metaworld]"'


class Rules(NamedTuple):
    """How all tasks of a benchmark are played; see `make`."""

    reward: str
    normalize_reward: bool
    terminate_on_success: bool
    time_limit: int
    hidden: bool


class Pick(NamedTuple):
    """A task. place: in its benchmark. count: of the benchmark's tasks, 0 if it is not shown."""

    name: str
    place: int
    count: int


def ids() -> tuple[str, ...]:
    """List the ids that `make` takes; none if metaworld is not installed."""
    return tuple(PREFIX + name for name in (*ONE, *SEVERAL)) if find_spec("metaworld") else ()


def takes(id: str) -> bool:
    """Tell whether `make` is responsible for an id."""
    return id.startswith(PREFIX)


def make(
    id: str,
    *,
    task: str | None = None,
    split: str = "train",
    goals: int = 50,
    goal_seed: int = 0,
    reward: str = "v2",
    normalize_reward: bool = False,
    terminate_on_success: bool = False,
    time_limit: int = MOST_STEPS,
    asynchronous: bool = False,
    patience: float = 60.0,
) -> Environment:
    """Make a benchmark of Meta-World: f32[39] of hand, objects and goal, and the task one-hot.

    Of N environments, number i plays task i % K of the benchmark's K. The task is shown in MT10,
    MT25 and MT50; in ML benchmarks neither task nor goal is. Curves are `success`, whether an
    episode has met its task's criterion at any step, and `score`, its return before normalization.

    Args:
        id: `"Meta-World/MT1"`, `MT10`, `MT25`, `MT50`, `ML1`, `ML10`, `ML25` or `ML45`.
        task: of MT1 and ML1, such as `"reach-v3"`.
        split: of ML benchmarks, `"train"` or `"test"`: other goals in ML1, other tasks elsewhere.
        goals: of each task; an episode draws one of them.
        goal_seed: from which the goals are drawn.
        reward: `"v1"` or `"v2"`, the version of the reward functions.
        normalize_reward: divide rewards by the standard deviation of discounted returns (discount
            0.99) so far, in each copy by itself; it begins anew where training is resumed.
        terminate_on_success: end an episode where the criterion is met.
        time_limit: steps of an episode, at most 500.
        asynchronous: as in `envs.gymnasium.make`.
        patience: as in `envs.gymnasium.make`.

    Returns:
        The environment.

    Raises:
        ValueError: the id, the task or an option is unknown or out of range, or metaworld is not
            installed.
    """
    if not find_spec("metaworld"):
        raise ValueError(f"id: {id} is refused: {_MISSING}")
    benchmark = one_of("id", id.removeprefix(PREFIX), (*ONE, *SEVERAL))
    learning = benchmark.startswith("ML")
    if split != "train" and not learning:
        raise ValueError(f"split: expected train, as {id} has no other, got {split!r}")
    names = _names(benchmark, task, one_of("split", split, ("train", "test")))
    rules = Rules(
        reward=one_of("reward", reward, ("v1", "v2")),
        normalize_reward=boolean("normalize_reward", normalize_reward),
        terminate_on_success=boolean("terminate_on_success", terminate_on_success),
        time_limit=integer("time_limit", time_limit, 1, MOST_STEPS),
        hidden=learning,
    )
    drawn = integer("goals", goals, 1), integer("goal_seed", goal_seed, 0), split == "test"
    boolean("asynchronous", asynchronous)
    number("patience", patience, above=0.0)
    env = _environment(id, names, rules, drawn, asynchronous=asynchronous, patience=patience)
    told = {"task": task, "split": split, "goals": goals, "goal_seed": goal_seed}
    told |= {name: x for name, x in rules._asdict().items() if name != "hidden"}
    recipe = called("make", id, **told, asynchronous=asynchronous, patience=patience)
    return env._replace(recipe=(recipe,))


def _names(benchmark: str, task: str | None, split: str) -> tuple[str, ...]:
    """Return the tasks of a benchmark."""
    env_dict = import_module("metaworld.env_dict")
    known: tuple[str, ...] = tuple(env_dict.ALL_V3_ENVIRONMENTS)
    if benchmark in ONE:
        if task not in known:
            nearest = difflib.get_close_matches(str(task), known, n=3, cutoff=0.4)
            hint = f"; did you mean {', '.join(nearest)}?" if nearest else ", such as reach-v3"
            raise ValueError(f"task: expected one of Meta-World's tasks, got {task!r}{hint}")
        return (str(task),)
    if task is not None:
        raise ValueError(f"task: expected none, as {benchmark} has tasks of its own, got {task!r}")
    found = getattr(env_dict, f"{benchmark}_V3")
    return tuple(found[split] if benchmark.startswith("ML") else found)


def _environment(
    id: str,
    names: tuple[str, ...],
    rules: Rules,
    drawn: tuple[int, int, bool],
    *,
    asynchronous: bool,
    patience: float,
) -> Environment:
    """Make the environment of these tasks, with goals drawn as `_goals` does when it is opened."""
    shown = len(names) if len(names) > 1 and not rules.hidden else 0
    several = names if len(names) > 1 else ()
    space, action_space = _spaces(shown)
    box, read = host_spaces.observation(f"{id}: observation", space)
    action, write = host_spaces.action(f"{id}: action", action_space)
    box = box._replace(tasks=shown)
    reading = Reading(box, read, write, (SUCCESS, SCORE))

    def open(seeds: Sequence[int]) -> VectorHost:
        import gymnasium

        copies = []
        for i in range(len(seeds)):
            place = i % len(names)
            pick = Pick(names[place], place, shown)
            copies.append(checked(partial(_copy, pick, _goals(names[place], *drawn), rules), i))
        how: Any = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}
        kind = gymnasium.vector.SyncVectorEnv
        if asynchronous:
            kind, how = gymnasium.vector.AsyncVectorEnv, how | {"context": "spawn"}
        return VectorHost(id, kind(copies, **how), reading, seeds=seeds, patience=patience)

    made = outside(id, Host(open, reading.info, patience))
    return made._replace(observation=box, action=action, time_limit=rules.time_limit, tasks=several)


def _spaces(shown: int) -> tuple[Any, Any]:
    """Return the spaces of Gymnasium; bounds of goals differ between tasks, so there are none."""
    from gymnasium.spaces import Box as Space

    low = np.r_[np.full(ENTRIES, -np.inf), np.zeros(shown)].astype(np.float32)
    high = np.r_[np.full(ENTRIES, np.inf), np.ones(shown)].astype(np.float32)
    return Space(low, high, dtype=np.float32), Space(-1.0, 1.0, (4,), np.float32)


@cache
def _goals(name: str, count: int, seed: int, test: bool) -> np.ndarray:
    """Draw a task's goals, with what else its resets draw, f64[count, size].

    As the package does, by resets; from a generator of their own, not from numpy's.
    """
    known = import_module("metaworld.env_dict").ALL_V3_ENVIRONMENTS
    place = list(known).index(name)
    state = np.random.SeedSequence([seed, place, int(test)]).generate_state(1)
    env = known[name]()
    env._freeze_rand_vec, env.seeded_rand_vec, env._set_task_called = False, True, True
    env.seed(int(state[0] >> 1))
    found = []
    for _ in range(count):
        env.reset()
        found.append(np.array(env._last_rand_vec))
    env.close()
    if len(np.unique(found, axis=0)) < count:
        raise HostError(f"{name}: expected {count} different goals, got fewer")
    return np.stack(found)


def _copy(pick: Pick, goals: np.ndarray, rules: Rules) -> Any:
    """Build a copy of a task."""
    import gymnasium

    kind = import_module("metaworld.env_dict").ALL_V3_ENVIRONMENTS[pick.name]
    task = import_module("metaworld.types").Task
    label = np.eye(pick.count, dtype=np.float32)[pick.place] if pick.count else np.zeros(0)

    def told(goal: np.ndarray) -> Any:
        known = {"env_cls": kind, "rand_vec": goal, "partially_observable": rules.hidden}
        return task(env_name=pick.name, data=pickle.dumps(known))

    class Played(gymnasium.Wrapper):
        """A task whose episodes have goals drawn from the seed of its first reset."""

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            if seed is not None:
                self.drawn = np.random.default_rng(seed)
            self.goal = int(self.drawn.integers(len(goals)))
            inner: Any = self.env.unwrapped
            inner.set_task(told(goals[self.goal]))
            obs, _ = self.env.reset()
            if not np.array_equal(inner._last_rand_vec, goals[self.goal]):
                raise HostError(f"{pick.name}: it was not started with the goal that was drawn")
            self.steps, self.success, self.score = 0, False, 0.0
            return self._shown(obs), {}

        def step(self, action: Any) -> Any:
            obs, reward, _, _, info = self.env.step(action)
            self.steps += 1
            self.score += float(reward)
            self.success |= bool(info["success"])
            ended = rules.terminate_on_success and self.success
            told = {SUCCESS: float(self.success), SCORE: self.score}
            return self._shown(obs), reward, ended, self.steps == rules.time_limit, told

        def _shown(self, obs: Any) -> np.ndarray:
            return np.concatenate([obs, label]).astype(np.float32)

    made: Any = Played(kind(reward_function_version=rules.reward))
    made.observation_space, made.action_space = _spaces(pick.count)
    return gymnasium.wrappers.NormalizeReward(made) if rules.normalize_reward else made
