"""Trained members at play: one episode each, side by side in a GIF."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import place
from purejaxrl_suite.core.types import ENDED, Agent, Array, Environment, Key, PyTree
from purejaxrl_suite.sweeps.policy import Policy

if TYPE_CHECKING:
    from PIL import Image

SIDE = 192
"""Pixels of the longer side of a picture, about."""
CAPTION = 18
"""Pixels above each picture."""
GAP = 6
MILLISECONDS = 80
"""Duration of a frame; that of the last one is `LAST`."""
LAST = 1500
AT_ONCE = 16
"""Frames that are drawn at once."""
SAMPLES = 8
"""Frames from which the palette is computed."""
COLOURS = 128


class Episode(NamedTuple):
    """An episode; after its end the last state is repeated.

    states: of the environment, leaves [T + 1, ...]. total: f32[T + 1], return so far.
    time: i32[T + 1], steps taken.
    """

    states: PyTree
    total: Array
    time: Array


def animate(
    policies: Sequence[Policy],
    path: str | Path,
    *,
    names: Sequence[str] = (),
    steps: int = 200,
    key: Key | int = 0,
    explore: bool = False,
) -> np.ndarray:
    """Write a GIF of members of one agent, each playing one episode, side by side.

    All start states are drawn with the same key. A finished episode shows its last state until all
    are finished.

    Args:
        policies: such as `[result.policy(seed=s) for s in range(4)]`.
        path: the file to write.
        names: written above the pictures; their numbers by default.
        steps: the most that are shown.
        key: of start states and actions.
        explore: False acts greedily, True samples as in training.

    Returns:
        f32[S], the returns of the shown episodes.

    Raises:
        ValueError: there is no policy, policies have several agents or environments, or the
            environment draws no pictures.
    """
    agent, env = _common(policies)
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    names = names or [str(number) for number in range(len(policies))]
    key = jax.random.key(key) if isinstance(key, int) else key
    hypers, params, state = (
        tree.stack([getattr(one, name) for one in policies])
        for name in ("hypers", "env_params", "state")
    )
    play = jax.jit(jax.vmap(player(agent, env, steps, explore), (None, 0, 0, 0), out_axes=1))
    episode = play(key, hypers, params, state)
    count = int(jnp.max(episode.time)) + 1
    film = _Film(env, params, episode, names)
    sampled = film.frames(np.linspace(0, count - 1, min(count, SAMPLES)).astype(int))
    where = Path(place("path", path, "a file"))
    _write(where, film.frames(np.arange(count)), _palette(list(sampled)))
    return np.asarray(episode.total[-1])


def _common(policies: Sequence[Policy]) -> tuple[Agent, Environment]:
    """Return the agent and the environment that all policies share."""
    if not policies:
        raise ValueError("policies: expected at least one, got none")
    agent, env = policies[0].agent, policies[0].env
    if any(one.agent is not agent or one.env is not env for one in policies):
        raise ValueError("policies: expected members of one agent and one environment")
    if env.render is None:
        raise ValueError(f"policies: environment {env.name!r} draws no pictures")
    return agent, env


def player(
    agent: Agent, env: Environment, steps: int, explore: bool
) -> Callable[[Key, Any, PyTree, Any], Episode]:
    """Make (key, hypers, env_params, agent state) -> an episode of one member, of `steps`."""

    def play(key: Key, hypers: Any, params: PyTree, state: Any) -> Episode:
        hypers = agent.anneal(hypers, ENDED)
        init_key, act_key, step_key = jax.random.split(key, 3)
        env_state, obs = env.init(init_key, params)

        def step(carry, xs):
            noise, step_key = xs
            env_state, obs, memory, total, time, over = carry
            memory, action, _ = agent.act(noise, hypers, state, memory, obs[None], explore)
            after, now = env.step(step_key, params, env_state, action[0])
            total = total + jnp.where(over, 0.0, now.reward)
            env_state = tree.where(over, env_state, after)
            carry = env_state, now.obs, memory, total, time + ~over
            return (*carry, over | now.terminated | now.truncated), (env_state, total, time + ~over)

        noise = jax.vmap(agent.noise, (0, None))(jax.random.split(act_key, steps), 1)
        start = env_state, jnp.float32(0.0), jnp.int32(0)
        carry = (env_state, obs, agent.memory(1), *start[1:], jnp.bool_(False))
        _, rest = jax.lax.scan(step, carry, (noise, jax.random.split(step_key, steps)))
        return Episode(
            *jax.tree.map(lambda first, later: jnp.concatenate([first[None], later]), start, rest)
        )

    return play


class _Film(NamedTuple):
    """Pictures of episodes with leaves [T + 1, S, ...]."""

    env: Environment
    params: PyTree
    episode: Episode
    names: Sequence[str]

    def frames(self, index: np.ndarray) -> Iterator["Image.Image"]:
        """Draw the frames at some times, a few at once."""
        render: Any = self.env.render
        draw = jax.jit(jax.vmap(jax.vmap(render), (None, 0)))
        for start in range(0, len(index), AT_ONCE):
            now = index[start : start + AT_ONCE]
            padded = np.pad(now, (0, AT_ONCE - len(now)), mode="edge")
            drawn = np.asarray(draw(self.params, tree.index(self.episode.states, padded)))
            for time, pictures in zip(now, drawn, strict=False):
                yield _mosaic(pictures, self.captions(time))

    def captions(self, time: int) -> list[str]:
        """Write a line for each member."""
        total, steps = (np.asarray(x[time]) for x in (self.episode.total, self.episode.time))
        columns = zip(self.names, total, steps, strict=True)
        return [f"{name}   return {found:.3g}   step {step}" for name, found, step in columns]


def _mosaic(pictures: np.ndarray, captions: Sequence[str]) -> "Image.Image":
    """Arrange the pictures of all members in a grid, each below its caption."""
    from PIL import Image, ImageDraw, ImageFont

    tiles = [_resized(picture) for picture in pictures]
    columns = int(np.ceil(np.sqrt(len(tiles))))
    rows = -(-len(tiles) // columns)
    width, height = tiles[0].width + GAP, tiles[0].height + CAPTION + GAP
    mosaic = Image.new("RGB", (columns * width + GAP, rows * height + GAP), "white")
    write, font = ImageDraw.Draw(mosaic), ImageFont.load_default(size=11)
    for number, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        row, column = divmod(number, columns)
        x, y = GAP + column * width, GAP + row * height
        write.text((x, y), caption, fill="black", font=font)
        mosaic.paste(tile, (x, y + CAPTION))
    return mosaic


def _resized(picture: np.ndarray) -> "Image.Image":
    """Resize a picture: by whole pixels to enlarge it, smoothly to shrink it."""
    from PIL import Image

    image, side = Image.fromarray(picture), max(picture.shape[:2])
    if side <= SIDE:
        times = SIDE // side
        return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    size = round(image.width * SIDE / side), round(image.height * SIDE / side)
    return image.resize(size, Image.Resampling.LANCZOS)


def _palette(frames: Sequence["Image.Image"]) -> "Image.Image":
    """Make one palette for all frames, so that still parts stay equal and the file small."""
    from PIL import Image

    strip = Image.fromarray(np.concatenate([np.asarray(frame) for frame in frames]))
    return strip.quantize(COLOURS, dither=Image.Dither.NONE)


def _write(path: Path, frames: Iterator["Image.Image"], palette: "Image.Image") -> None:
    """Write a GIF that repeats."""
    from PIL import Image

    few = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    path.parent.mkdir(parents=True, exist_ok=True)
    times = [MILLISECONDS] * (len(few) - 1) + [LAST]
    few[0].save(path, format="GIF", save_all=True, append_images=few[1:], duration=times, loop=0)
