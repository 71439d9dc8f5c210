"""Data sets in the format of Minari (extra `minari`): written to and read from its local folder.

Minari stores episodes: T + 1 observations, T actions, rewards, terminations and truncations. It
keeps dtypes as they come, asks for neither flag at the end of an episode, and compresses images as
JPEG, which changes them, unless it is told not to. In its formats arrow and parquet an episode of
more than 32,767 steps is read in pieces that take the places of later episodes (Minari 0.5.4): such
sets are refused.
"""

import shutil
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.argument import instance, wrong
from purejaxrl_suite.core.types import Box, Discrete, Environment, Space, Transition
from purejaxrl_suite.datasets.experience import Experience, Record, ends, episodes, scored
from purejaxrl_suite.engine.source import check_steps


def to_minari(experience: Experience, env: Environment, dataset_id: str, **metadata: Any) -> Any:
    """Write a data set to Minari's local folder, which is `MINARI_DATASETS_PATH`.

    Observations, actions, rewards, flags and the order of episodes stay as they are; `extras` are
    not written. The format is HDF5, with images as they are.

    Args:
        experience: the data set.
        env: the environment, whose spaces become those of the Minari set.
        dataset_id: its name with a version, such as `cartpole/medium-v0`; a new one.
        **metadata: of `minari.create_dataset_from_buffers`, such as `author`, `author_email`,
            `code_permalink` and `description`.

    Returns:
        The `minari.MinariDataset`.

    Raises:
        ValueError: minari is not installed, steps do not fit the environment, a successor is not
            the next observation of its episode, the last episode has no end, lives are lost, or the
            id has another form or is taken.
    """
    minari = _load("minari")
    steps = check_steps(env, instance("experience", experience, Experience).steps)
    _check_episodes(steps)
    folder = _new(dataset_id)
    record = experience.record
    given = {"algorithm_name": record.policy or None} | metadata
    try:
        with warnings.catch_warnings():  # it warns of each piece of metadata that is not given
            warnings.simplefilter("ignore", UserWarning)
            made = minari.create_dataset_from_buffers(
                dataset_id,
                list(_buffers(steps)),
                observation_space=_space(env.observation),
                action_space=_space(env.action),
                data_format="hdf5",
                jpeg_encoding=False,
                **given,
            )
        scores = {"ref_min_score": record.random_return, "ref_max_score": record.expert_return}
        made.storage.update_metadata({name: x for name, x in scores.items() if x is not None})
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # half a set would have the id for ever
        raise
    return made


def from_minari(dataset: Any, env: Environment) -> Experience:
    """Read a Minari data set of an environment's spaces.

    Numbers get the dtypes of the spaces, and rewards are float32: what Minari has in float64 is
    rounded. An episode that ends without a flag is truncated there.

    Args:
        dataset: a `minari.MinariDataset`, also a filtered one, or the id of a local one.
        env: the environment.

    Returns:
        The data set, with the reference scores of the Minari set if it has any.

    Raises:
        ValueError: minari is not installed, there is no such set, its spaces are not those of the
            environment, an episode is incomplete, or a number does not fit.
    """
    minari = _load("minari")
    found = _opened(minari, dataset)
    _check_space("observation", found.observation_space, env.observation)
    _check_space("action", found.action_space, env.action)
    told = found.storage.get_episode_metadata(found.episode_indices)
    lengths = [int(one["total_steps"]) for one in told]
    read = list(found.iterate_episodes())
    pairs = zip(read, lengths, strict=True)
    parts = [_steps(env, episode, length) for episode, length in pairs if length]
    if not parts:
        raise wrong("dataset", "one with steps", found.id)
    fields: list[Any] = [np.concatenate(x) for x in zip(*parts, strict=True)]
    steps = Transition(*fields, extras={})
    flagged = ends(steps)
    steps = _ended(steps, [len(part[0]) for part in parts])
    known = found.storage.metadata
    record = Record(
        name=found.id,
        environment=env.name,
        policy=known.get("algorithm_name", ""),
        random_return=known.get("ref_min_score"),
        expert_return=known.get("ref_max_score"),
    )
    return scored(check_steps(env, steps), flagged[episodes(steps).last], record)


def _load(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(
            f'Minari needs more packages: pip install "purejaxrl_suite[minari]" ({error})'
        ) from error


def _check_episodes(steps: Transition) -> None:
    """Raise ValueError for steps that episodes of T + 1 observations cannot hold."""
    if steps.life_lost is not None and np.any(steps.life_lost):
        raise ValueError("steps.life_lost: expected no lost lives, Minari knows ends of episodes")
    goes_on = ~ends(steps)
    if goes_on[-1]:
        raise ValueError("steps: expected a last step that is terminated or truncated, got another")
    same = steps.next_obs[:-1] == steps.obs[1:]
    off = np.flatnonzero(goes_on[:-1] & ~same.reshape(len(same), -1).all(axis=1))
    if off.size:
        raise ValueError(
            "steps.next_obs: expected the next observation within an episode, got another in step "
            f"{off[0]}"
        )


def _new(dataset_id: str) -> Any:
    """Return the folder that a new id stands for."""
    form = "a new name with a version, such as cartpole/medium-v0"
    try:
        import_module("minari.dataset.minari_dataset").parse_dataset_id(dataset_id)
    except (TypeError, ValueError):  # it takes no id without a version
        raise wrong("dataset_id", form, dataset_id) from None
    folder = import_module("minari.storage").get_dataset_path(dataset_id)
    if folder.exists():
        raise ValueError(f"dataset_id: expected {form}, got {dataset_id!r}: {folder} is there")
    return folder


def _buffers(steps: Transition) -> Iterator[Any]:
    """Make the buffer of each episode, in their order."""
    buffer = import_module("minari.data_collector").EpisodeBuffer
    found = episodes(steps)
    for first, last in zip(found.first, found.last, strict=True):
        part = slice(first, last + 1)
        yield buffer(
            observations=np.concatenate([steps.obs[part], steps.next_obs[last][None]]),
            actions=steps.action[part],
            rewards=steps.reward[part],
            terminations=steps.terminated[part],
            truncations=steps.truncated[part],
        )


def _space(space: Space) -> Any:
    """Make the space of gymnasium."""
    gym = import_module("gymnasium.spaces")
    if isinstance(space, Discrete):
        return gym.Discrete(space.n)
    dtype = np.dtype(space.dtype)
    low, high = (np.broadcast_to(np.asarray(x, np.float64), space.shape) for x in space[2:4])
    if dtype.kind in "iu":  # which have no infinity
        most = np.iinfo(dtype)
        low, high = np.clip(low, most.min, most.max), np.clip(high, most.min, most.max)
    if dtype.kind == "b":
        low, high = np.zeros(space.shape), np.ones(space.shape)
    return gym.Box(low.astype(dtype), high.astype(dtype), tuple(space.shape), dtype)


def _opened(minari: Any, dataset: Any) -> Any:
    if isinstance(dataset, minari.MinariDataset):
        return dataset
    if not isinstance(dataset, str):
        raise wrong("dataset", "a MinariDataset or the id of a local one", dataset)
    try:
        return minari.load_dataset(dataset)
    except (FileNotFoundError, TypeError, ValueError) as error:
        raise ValueError(f"dataset: expected the id of a local one, got {error}") from error


def _check_space(what: str, theirs: Any, ours: Space) -> None:
    """Raise ValueError for a space of gymnasium that is not that of the environment.

    Bounds are those of actions, which agents scale by them; observations may have any.
    """
    kind = type(theirs).__name__
    if isinstance(ours, Discrete):
        fits = kind == "Discrete" and (int(theirs.n), int(theirs.start)) == (ours.n, 0)
    else:
        fits = kind == "Box" and tuple(theirs.shape) == tuple(ours.shape)
    if fits and isinstance(ours, Box) and what == "action":
        fits = all(
            np.array_equal(np.broadcast_to(np.asarray(x, np.float32), ours.shape), np.float32(y))
            for x, y in ((ours.low, theirs.low), (ours.high, theirs.high))
        )
    if not fits:
        text = " ".join(str(theirs).split())
        raise ValueError(f"dataset: expected the {what} space {ours}, got {text}")


def _steps(env: Environment, episode: Any, length: int) -> tuple[np.ndarray, ...]:
    """Convert an episode to the first six fields of its Transition."""
    read = len(episode.rewards), len(episode.observations) - 1
    if read != (length, length):
        raise ValueError(
            f"dataset: expected {length} steps and one observation more in episode {episode.id}, "
            f"got {read[0]} and {read[1] + 1} observations; Minari cuts episodes of more than "
            "32,767 steps in its formats arrow and parquet: write them as hdf5"
        )
    obs = _converted("observations", episode, env.observation)
    action = _converted("actions", episode, env.action)
    reward = np.asarray(episode.rewards, np.float32)
    flags = (np.asarray(x, bool) for x in (episode.terminations, episode.truncations))
    return obs[:-1], action, reward, *flags, obs[1:]


def _converted(name: str, episode: Any, space: Space) -> np.ndarray:
    """Give numbers of an episode the dtype of their space; only floats may be rounded."""
    wanted, found = spaces.abstract(space).dtype, np.asarray(getattr(episode, name))
    made = found.astype(wanted)
    rounds = found.dtype.kind == "f" and wanted.kind == "f"
    if not rounds and not np.array_equal(made, found):
        place = f"dataset: {name} of episode {episode.id}"
        raise ValueError(f"{place}: expected numbers of {wanted}, got {found.dtype} beyond it")
    return made


def _ended(steps: Transition, lengths: list[int]) -> Transition:
    """Truncate episodes of these lengths that end without a flag."""
    last = np.cumsum(lengths) - 1
    truncated = steps.truncated.copy()
    truncated[last] |= ~ends(steps)[last]
    return steps._replace(truncated=truncated)
