"""Data sets: steps, where they are from, and what their episodes return."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import spaces, tree
from purejaxrl_suite.core.argument import instances, wrong
from purejaxrl_suite.core.types import Array, Box, Space, Transition
from purejaxrl_suite.datasets import stored
from purejaxrl_suite.engine.source import dataset
from purejaxrl_suite.sweeps.experiment import MakesSource


class Record(NamedTuple):
    """Where a data set is from, and what it scores; None where it is not known.

    name: of the set, such as "medium". environment: name of the environment. policy: names of the
    agents that acted. seeds: of the collections. episodes: how many whole ones it has, from their
    first step to an end that the environment made. mean_return: of those, undiscounted.
    random_return, expert_return: those of a random and of an expert policy, which normalize scores.
    lost: steps of a replay that could not be used, as their successors are not stored.
    """

    name: str = ""
    environment: str = ""
    policy: str = ""
    seeds: tuple[int, ...] = ()
    episodes: int = 0
    mean_return: float | None = None
    random_return: float | None = None
    expert_return: float | None = None
    lost: int = 0

    def normalized(self, score: float) -> float:
        """Map a return to 0 for the random and 100 for the expert policy, as D4RL does.

        Fu et al. 2020, arXiv 2004.07219.

        Raises:
            ValueError: the returns of these policies are not known, or are equal.
        """
        random, expert = self.random_return, self.expert_return
        if random is None or expert is None or random == expert:
            text = "returns of a random and of an expert policy that differ"
            raise ValueError(f"record: expected {text}, got {random} and {expert}")
        return 100.0 * (score - random) / (expert - random)


class Experience(NamedTuple):
    """A data set.

    steps: leaves [E, ...], numpy arrays in the order of time, episode after episode; the last step
        of an incomplete episode is truncated.
    record: where it is from.
    """

    steps: Transition
    record: Record = Record()

    @property
    def source(self) -> MakesSource:
        """Return the `source` of an `Experiment` that learns from this data set."""
        return partial(dataset, steps=self.steps)

    def save(self, path: str | Path) -> None:
        """Save the data set to a folder, new or empty, for `load`.

        Raises:
            ValueError: the folder is not empty, or `extras` are no nested dicts with plain names.
        """
        stored.write(path, self.steps, self.record._asdict())

    def __repr__(self) -> str:
        """Describe the data set in one line."""
        one, size = self.record, sum(x.nbytes for x in jax.tree.leaves(self.steps))
        score = "" if one.mean_return is None else f", mean return {one.mean_return:.4g}"
        return (
            f"{one.name or 'data set'} of {one.environment} by {one.policy}: "
            f"{len(self.steps.reward):,} steps, {one.episodes:,} whole episodes{score}; "
            f"{size / 2**20:,.1f} MiB"
        )

    __str__ = __repr__


class Episodes(NamedTuple):
    """The K episodes of steps, whole or not.

    first, last: i64[K], their first and last steps. episode_return: f64[K], undiscounted.
    """

    first: np.ndarray
    last: np.ndarray
    episode_return: np.ndarray


def ends(steps: Transition) -> np.ndarray:
    """Tell which steps end an episode, bool[E]: truncated, or terminated by more than a life."""
    terminated, truncated = np.asarray(steps.terminated), np.asarray(steps.truncated)
    return truncated | (terminated if steps.life_lost is None else terminated & ~steps.life_lost)


def episodes(steps: Transition) -> Episodes:
    """Find the episodes of steps [E, ...], and their returns."""
    ended = ends(steps)
    ended[-1:] = True
    last = np.flatnonzero(ended)
    first = np.concatenate([np.zeros(1, last.dtype), last[:-1] + 1])[: len(last)]
    return Episodes(first, last, np.add.reduceat(np.asarray(steps.reward, np.float64), first))


def scored(steps: Transition, whole: np.ndarray, record: Record) -> Experience:
    """Make a data set with the mean return of those of its episodes that are `whole`, bool[K]."""
    returns = episodes(steps).episode_return[whole]
    mean = float(np.mean(returns)) if len(returns) else None
    return Experience(steps, record._replace(episodes=len(returns), mean_return=mean))


def cut(steps: Transition, at: np.ndarray) -> Transition:
    """Truncate the episodes that go on after the steps `at`, bool[E]."""
    return steps._replace(truncated=steps.truncated | (at & ~ends(steps)))


def load(path: str | Path) -> Experience:
    """Load a data set that `Experience.save` wrote.

    Whether it fits an environment is checked where it is used.

    Raises:
        ValueError: a file is missing or damaged, which is named, or it is no data set.
    """
    steps, record = stored.read(path)
    if record.keys() != set(Record._fields):  # of another version
        known, got = ", ".join(Record._fields), ", ".join(record)
        raise ValueError(f"{path}: expected a record of {known}, got {got}")
    return Experience(steps, Record(**{**record, "seeds": tuple(record["seeds"])}))


def taken(space: Space, action: Array) -> Array:
    """Return the actions [..., *shape] that an environment takes, in the dtype of their space.

    Beyond the bounds of a Box it takes the bound: a normal distribution samples such actions, and
    rounding makes some where a policy is squashed.
    """
    action = action.astype(spaces.abstract(space).dtype)
    if isinstance(space, Box) and np.issubdtype(action.dtype, np.floating):
        low, high = (np.broadcast_to(np.asarray(x, action.dtype), space.shape) for x in space[2:4])
        shape = (1,) * (action.ndim - low.ndim) + low.shape
        action = jnp.clip(action, np.reshape(low, shape), np.reshape(high, shape))
    return action


def concatenate(sets: Sequence[Experience], name: str = "") -> Experience:
    """Concatenate data sets of one environment, such as medium and expert to medium-expert.

    Args:
        sets: in this order.
        name: of the result; the names of the sets, joined, if it is empty.

    Returns:
        The data set. References of scores on which the sets do not agree are not known.

    Raises:
        ValueError: fields, shapes, dtypes or environments differ, or a set is empty or ends within
            an episode that is not truncated.
    """
    sets = instances("sets", sets, Experience)
    for i, one in enumerate(sets):
        _check_alike(i, one, sets[0])
    records = [one.record for one in sets]

    def shared(field: str) -> float | None:
        values = {getattr(one, field) for one in records}
        return values.pop() if len(values) == 1 else None

    count = sum(one.episodes for one in records)
    total = sum(one.episodes * (one.mean_return or 0.0) for one in records)
    record = Record(
        name=name or " + ".join(one.name for one in records),
        environment=records[0].environment,
        policy=" + ".join(dict.fromkeys(one.policy for one in records)),
        seeds=tuple(seed for one in records for seed in one.seeds),
        episodes=count,
        mean_return=total / count if count else None,
        random_return=shared("random_return"),
        expert_return=shared("expert_return"),
        lost=sum(one.lost for one in records),
    )
    steps = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(one.steps for one in sets))
    return Experience(steps, record)


def _check_alike(number: int, one: Experience, first: Experience) -> None:
    what = f"sets[{number}]"
    ours, theirs = tree.named(one.steps), tree.named(first.steps)
    if ours.keys() != theirs.keys():
        raise wrong(f"{what}: steps", f"the fields {', '.join(theirs)}", ", ".join(ours))
    for name, x in ours.items():
        found, expected = ((y.dtype.name, *y.shape[1:]) for y in (x, theirs[name]))
        if found != expected:
            raise wrong(f"{what}: steps.{name}", f"{expected} as in the first set", found)
    if one.record.environment != first.record.environment:
        raise wrong(f"{what}: environment", first.record.environment, one.record.environment)
    if not ends(one.steps)[-1:].all() or not len(one.steps.reward):
        raise wrong(f"{what}: steps", "a last step that ends an episode or is truncated", "another")
