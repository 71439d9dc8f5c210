"""Reference scores for normalization: of a random policy and of a reference agent, per task.

Every number has its source and version, and says whether this project measured it. A published
comparison names `VERSION`; a number is never changed without a new version.
"""

from collections.abc import Mapping
from typing import NamedTuple

VERSION = "1"


class Score(NamedTuple):
    """A mean episode return, undiscounted, in the task's own units.

    source: who measured it, and where it is published. version: of that source, or of the
    environments. ours: measured by this project.
    """

    value: float
    source: str
    version: str
    ours: bool


class Reference(NamedTuple):
    """The scores that are normalized to 0 (random) and 1 (reference) on a task."""

    random: Score
    reference: Score


def _random(value: float, error: float, episodes: int, version: str = "gymnax 1.0.1") -> Score:
    source = f"uniformly random actions, mean of {episodes} episodes, standard error {error}"
    return Score(value, source, version, True)


def _gymnax(value: float) -> Score:
    source = "gymnax README, table of environments: return of the gymnax-blines checkpoints"
    return Score(value, source, "RobertTLange/gymnax 012251b", False)


def _open(value: float) -> Score:
    source = (
        "PPO with Adam, baseline of OPEN (arXiv 2407.07082): PPO_TEMP in rl_optimizer/configs.py"
    )
    return Score(value, source, "AlexGoldie/rl-learned-optimization 0e847c5", False)


def _grid(random: float, error: float) -> Reference:
    most = Score(1.0, "navix: the reward of the goal, where an episode ends", _NAVIX, False)
    return Reference(_random(random, error, 8192, _NAVIX), most)


_NAVIX = "navix 4.0.0"
REFERENCES = {
    "CartPole-v1": Reference(_random(22.02, 0.13, 8192), _gymnax(500.0)),
    "Acrobot-v1": Reference(_random(-499.07, 0.28, 1024), _gymnax(-80.0)),
    "MountainCar-v0": Reference(_random(-200.0, 0.0, 256), _gymnax(-118.0)),
    "MountainCarContinuous-v0": Reference(_random(-33.10, 0.22, 512), _gymnax(92.0)),
    "Pendulum-v1": Reference(_random(-1219.9, 6.3, 2048), _gymnax(-130.0)),
    "Catch-bsuite": Reference(_random(-0.595, 0.006, 16384), _gymnax(1.0)),
    "FourRooms-misc": Reference(_random(0.436, 0.011, 2048), _gymnax(1.0)),
    "Asterix-MinAtar": Reference(_random(0.492, 0.009, 8192), _open(15.0353)),
    "Breakout-MinAtar": Reference(_random(0.419, 0.007, 8192), _open(50.0822)),
    "Freeway-MinAtar": Reference(_random(0.398, 0.037, 256), _open(61.8369)),
    "SpaceInvaders-MinAtar": Reference(_random(4.25, 0.05, 4096), _open(167.0913)),
    "Navix-Empty-Random-5x5-v0": _grid(0.675, 0.005),
    "Navix-DoorKey-5x5-v0": _grid(0.0369, 0.0021),
    "Navix-DoorKey-6x6-v0": _grid(0.0160, 0.0014),
    "Navix-FourRooms-7x7-v0": _grid(0.429, 0.005),
}
"""Reference scores by the id that `make` takes. Random scores are ours, the others are not."""


def random_score(
    environment: str,
    metric: str = "episode_return",
    references: Mapping[str, Reference] = REFERENCES,
) -> float:
    """Look up the return of a random policy in an environment; NaN if it is not known.

    Args:
        environment: id of the environment.
        metric: `episode_return`, or `episode_return_TASK` of one of several tasks; the return of
            any other is NaN.
        references: the table.

    Returns:
        The return, or NaN.
    """
    whole = metric == "episode_return"
    task = environment if whole else metric.removeprefix("episode_return_")
    known = task in references and (whole or task != metric)
    return references[task].random.value if known else float("nan")
