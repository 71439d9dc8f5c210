"""The Arcade Learning Environment (Bellemare et al. 2013, arXiv 1207.4708), played on the host.

Discrete actions, or continuous ones as in CALE (Farebrother and Castro 2024, arXiv 2410.23810). The
emulator is ale-py's `AtariVectorEnv`, with every option set here, since its defaults depend on how
it is made. Scores, clipping and lives are kept here: with ale-py's `episodic_life` a lost life
restarts the whole game.
"""

import difflib
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from purejaxrl_suite.core.argument import boolean, integer, number, one_of
from purejaxrl_suite.core.host import Host, HostStep
from purejaxrl_suite.core.types import Box, Environment
from purejaxrl_suite.envs import host_spaces
from purejaxrl_suite.envs.gymnasium import outside
from purejaxrl_suite.envs.host import Reading, VectorHost
from purejaxrl_suite.envs.recipe import called

PREFIX = "ALE/"
SCORE = "score"
"""Curve of the game's own score of each episode, whatever is clipped."""
_MISSING = 'ale-py is not installed: pip install "purejaxrl_suite[atari]"'


class Protocol(NamedTuple):
    """How a game is played.

    Attributes:
        repeat_action_probability: that the emulator repeats the last action instead, at each frame.
        full_action_space: all 18 actions, rather than those that the game has.
        noop_max: the most frames without an action at the start of an episode, drawn uniformly.
        use_fire_reset: press FIRE at the start of an episode, in games that wait for it.
        life_loss: agents learn from a lost life as from a termination; the game goes on.
        clip_reward: agents learn from rewards clipped to -1 .. 1.
        frame_skip: frames for each action; the last two are max-pooled.
        frames: the last frames that an observation has.
        max_frames: frames after which an episode is truncated.
    """

    repeat_action_probability: float = 0.25
    full_action_space: bool = True
    noop_max: int = 0
    use_fire_reset: bool = False
    life_loss: bool = False
    clip_reward: bool = True
    frame_skip: int = 4
    frames: int = 4
    max_frames: int = 108_000


PROTOCOLS = {
    "machado": Protocol(),
    "noframeskip": Protocol(
        repeat_action_probability=0.0,
        full_action_space=False,
        noop_max=30,
        use_fire_reset=True,
        life_loss=True,
    ),
}
"""Machado et al. 2018 (arXiv 1709.06009): sticky actions, all actions, lives are not shown. And the
older one of DQN (Mnih et al. 2015), in ids such as PongNoFrameskip-v4 with its usual wrappers."""


def ids() -> tuple[str, ...]:
    """List the ids that `make` takes; none if ale-py is not installed."""
    if not find_spec("ale_py"):
        return ()
    from ale_py import roms
    from ale_py.registration import rom_id_to_name

    return tuple(PREFIX + rom_id_to_name(rom) for rom in sorted(roms.get_all_rom_ids()))


def takes(id: str) -> bool:
    """Tell whether `make` is responsible for an id."""
    return id.startswith(PREFIX)


def make(
    id: str,
    *,
    protocol: str = "machado",
    continuous: bool = False,
    action_threshold: float = 0.5,
    patience: float = 60.0,
    **options: Any,
) -> Environment:
    """Make a game: 84 x 84 grey pixels of the last frames, newest last, u8[84, 84, frames].

    The first frames of an episode have zeros before them. `score` is a curve, the game's own.

    Args:
        id: such as `"ALE/Pong"`.
        protocol: `"machado"` or `"noframeskip"`.
        continuous: actions (radius, angle, fire) of CALE, which reach all 18 actions.
        action_threshold: of CALE: where radius times cosine or sine of the angle, or fire, exceeds
            it, the stick is moved or the button pressed.
        patience: seconds after which games that do not answer end training.
        **options: fields of `Protocol`, in place of those of the protocol.

    Returns:
        The environment.

    Raises:
        ValueError: the id or an option is unknown, an option is out of range, or ale-py is not
            installed.
    """
    if not find_spec("ale_py"):
        raise ValueError(f"id: {id} is refused: {_MISSING}")
    if id not in (known := ids()):
        nearest = difflib.get_close_matches(id, known, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(nearest)}?" if nearest else ""
        raise ValueError(f"id: there is no game {id!r}{hint}")
    rules = PROTOCOLS[one_of("protocol", protocol, PROTOCOLS)]
    if unknown := sorted(set(options) - set(Protocol._fields)):
        raise ValueError(f"{id} has no option {', '.join(unknown)}; it has {Protocol._fields}")
    rules = _checked(rules._replace(**options))
    boolean("continuous", continuous)
    if not continuous and action_threshold != 0.5:
        raise ValueError(f"action_threshold: expected continuous=True with {action_threshold}")
    number("action_threshold", action_threshold, above=0.0, below=1.0)
    # Every option of the emulator, since its own defaults differ between `make` and `make_vec`.
    how = {
        "repeat_action_probability": float(rules.repeat_action_probability),
        "full_action_space": rules.full_action_space,
        "continuous": continuous,
        "continuous_action_threshold": float(action_threshold),
        "noop_max": rules.noop_max,
        "use_fire_reset": rules.use_fire_reset,
        "frameskip": rules.frame_skip,
        "stack_num": rules.frames,
        "max_num_frames_per_episode": rules.max_frames,
    }
    made = _environment(id, how, rules, patience)
    told = {"protocol": protocol, "continuous": continuous, "action_threshold": action_threshold}
    return made._replace(recipe=(called("make", id, **told, patience=patience, **rules._asdict()),))


def _environment(id: str, how: dict[str, Any], rules: Protocol, patience: float) -> Environment:
    from ale_py import roms
    from ale_py.registration import rom_id_to_name

    rom = {rom_id_to_name(rom): rom for rom in roms.get_all_rom_ids()}[id.removeprefix(PREFIX)]
    build = partial(_vector, rom, how)
    first = build(1)
    action, write = host_spaces.action(f"{id}: action", first.single_action_space)
    first.close()
    stack = rules.frames if rules.frames > 1 else 0
    box = Box((84, 84, rules.frames), "uint8", 0.0, 255.0, frames=stack)
    reading = Reading(box, _channels_last, write)

    def open(seeds: Sequence[int]) -> "AtariHost":
        vector = build(len(seeds))
        return AtariHost(id, vector, reading, rules=rules, seeds=seeds, patience=patience)

    host = Host(open, (SCORE,), number("patience", patience, above=0.0), lives=rules.life_loss)
    limit = rules.max_frames // rules.frame_skip
    return outside(id, host)._replace(observation=box, action=action, time_limit=limit)


def _checked(rules: Protocol) -> Protocol:
    """Return the protocol; ValueError naming an option that is out of range."""
    number("repeat_action_probability", rules.repeat_action_probability, 0.0, "", 1.0)
    for name in ("full_action_space", "use_fire_reset", "life_loss", "clip_reward"):
        boolean(name, getattr(rules, name))
    for name, least in (("noop_max", 0), ("frame_skip", 1), ("frames", 1)):
        integer(name, getattr(rules, name), least)
    integer("max_frames", rules.max_frames, rules.frame_skip)
    return rules


def _vector(rom: str, how: dict[str, Any], count: int) -> Any:
    """Make the emulators of `count` games."""
    from ale_py.vector_env import AtariVectorEnv
    from gymnasium.vector import AutoresetMode

    return AtariVectorEnv(
        rom,
        count,
        batch_size=count,  # with fewer, results depend on the threads
        autoreset_mode=AutoresetMode.SAME_STEP,
        img_height=84,
        img_width=84,
        grayscale=True,
        maxpool=True,
        episodic_life=False,
        life_loss_info=False,
        reward_clipping=False,
        **how,
    )


def _channels_last(batch: Any) -> np.ndarray:
    return np.moveaxis(np.asarray(batch), 1, -1)


class AtariHost(VectorHost):
    """N games: scores, lives and clipping are kept here."""

    def __init__(self, name: str, vector: Any, reading: Reading, *, rules: Protocol, **how: Any):
        """Take over the emulators; see `VectorHost`."""
        super().__init__(name, vector, reading, **how)
        self.rules = rules
        self.seeds: Any = np.asarray(self.seeds, np.int64)
        self.score = np.zeros(self.num_envs)
        self.lives = np.zeros(self.num_envs, np.int32)

    def step(self, action: np.ndarray) -> HostStep:
        """Take actions [N, ...]; see `HostEnvironments`."""
        before = self.lives
        step = super().step(action)
        done = step.terminated | step.truncated
        self.score += step.reward
        info = {SCORE: np.where(done, self.score, 0.0).astype(np.float32)}
        self.score[done] = 0.0
        lost = (self.lives < before) & ~done if self.rules.life_loss else None
        reward = np.clip(step.reward, -1.0, 1.0) if self.rules.clip_reward else step.reward
        return step._replace(reward=reward, info=info, life_lost=lost)

    def _reset(self, **how: Any) -> Any:
        found = super()._reset(**how)
        self.lives = np.array(found[1]["lives"])
        return found

    def _step(self, action: Any) -> Any:
        found = super()._step(action)
        self.lives = np.array(found[4]["lives"])
        return found
