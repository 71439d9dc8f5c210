"""A pianist who trains: notes of a MIDI file make gradient steps.

Castro 2021, arXiv 2111.05128, where a keyboard takes the place of the file.
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.argument import instance, integer, place, wrong
from purejaxrl_suite.core.types import Array, Clock
from purejaxrl_suite.engine.problem import Problem
from purejaxrl_suite.report.sound import STRENGTH, Note, Sound, make_sound, write

FRAMES = 30
"""Frames of a second in which a held note makes steps."""
REST = 2.0
"""Seconds of sound after the last note has ended."""


class Played(NamedTuple):
    """What was played, in frames.

    strokes: the notes. draws: bool[T], whether a new problem is drawn. steps: i32[T], gradient
    steps. seconds: of the whole.
    """

    strokes: list[Note]
    draws: np.ndarray
    steps: np.ndarray
    seconds: float


def perform(
    problem: Problem,
    midi: str | Path,
    path: str | Path,
    *,
    seed: int = 0,
    bass: int = 48,
    strength: float = STRENGTH,
    video: bool = False,
) -> Sound:
    """Train as a pianist plays, and write sound, film and spectrogram (extra `sound`).

    A note below `bass` draws a new problem and new parameters. Every other note makes a gradient
    step, and another one in each video frame for as long as it is held.

    Args:
        problem: such as `problems.cubic()`; its rows need `signed_error`, and derivatives for the
            film.
        midi: the file that is played.
        path: the file to write, which ends in .wav.
        seed: of the problems.
        bass: the lowest note of MIDI that makes steps.
        strength: D - 1 of an error of 1.
        video: write the film with its sound, too, as an MP4 (extra `film`).

    Returns:
        The sound, with a row for each frame.

    Raises:
        ValueError: the problem has no such rows, the file has no notes or cannot be read, an error
            is so large that D leaves (0, 2), or an extra is missing.
    """
    instance("problem", problem, Problem)
    integer("bass", bass, 0, 127)
    where = Path(place("path", path, "a WAV file"))
    if where.suffix != ".wav":
        raise wrong("path", "a file that ends in .wav", path)
    played = read(midi, bass)
    rows = {name: np.asarray(x, float) for name, x in trained(problem, played, seed).items()}
    if "signed_error" not in rows:
        raise wrong("problem", "one whose rows have signed_error", problem.name)
    blank = np.zeros(len(played.steps))
    moves = np.stack([rows.get(f"derivative_{i}", blank) for i in (1, 2, 3)], axis=1)
    sound = make_sound(
        rows["signed_error"], moves, played.strokes, seconds=played.seconds, strength=strength
    )
    times = np.arange(len(played.steps)) / FRAMES
    how: Any = {"seconds": played.seconds, "draws": seed, "video": video}
    write(sound, where, times, "time [s]", **how)
    return sound


def read(midi: str | Path, bass: int) -> Played:
    """Read the notes of a MIDI file, in frames."""
    try:
        import mido
    except ImportError:
        raise ValueError("midi: the extra `sound` reads it: pip install mido") from None
    name = place("midi", midi, "a MIDI file")
    try:
        messages = list(mido.MidiFile(name))
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"midi: expected a MIDI file, got {name!r}: {error}") from None
    now, struck, spans = 0.0, {}, []
    for message in messages:
        now += message.time
        if message.type not in ("note_on", "note_off"):
            continue
        if message.note in struck:
            spans.append((message.note, struck.pop(message.note), now))
        if message.type == "note_on" and message.velocity > 0:
            struck[message.note] = now
    spans += [(note, start, now) for note, start in struck.items()]
    if not spans:
        raise wrong("midi", "a file with notes", name)
    return _in_frames(sorted(spans, key=lambda one: one[1]), bass)


def _in_frames(spans: list[tuple[int, float, float]], bass: int) -> Played:
    seconds = max(end for *_, end in spans) + REST
    count = int(np.ceil(seconds * FRAMES))
    draws, steps = np.zeros(count, bool), np.zeros(count, np.int32)
    held = np.zeros(count, bool)
    for note, start, end in spans:
        first, last = (int(x * FRAMES + 1e-6) for x in (start, end))
        if note < bass:
            draws[first] = True
        else:
            steps[first] += 1
            held[first + 1 : last + 1] = True
    strokes = [Note(note, start) for note, start, _ in spans]
    return Played(strokes, draws, steps + held, seconds)


def trained(problem: Problem, played: Played, seed: int) -> dict[str, Array]:
    """Train as it was played: the last row {name: f32[T]} of each frame, and before it 0."""
    hypers = jax.tree.map(jnp.float32, problem.hypers)
    train, total = problem.train, int(played.steps.sum())

    @jax.jit
    def whole(key: Any, draws: Array, steps: Array) -> dict[str, Array]:
        def begin(number: Array) -> Any:
            return train.init(jax.random.fold_in(key, number), hypers, problem.data)

        def update(number: Array, done: Array, run: Any) -> Any:
            own = jax.random.fold_in(key, number)
            clock = Clock(done, jnp.int32(total))
            return train.update(own, hypers, problem.data, run, clock)

        def frame(carry: Any, now: tuple[Array, Array]) -> Any:
            number, done, run, row = carry
            number = number + now[0]
            run = jax.lax.cond(now[0], begin, lambda number: run, number)

            def step(i: Array, carry: Any) -> Any:
                return update(number, done + i, carry[0])

            run, row = jax.lax.fori_loop(0, now[1], step, (run, row))
            return (number, done + now[1], run, row), row

        zero = jnp.int32(0)
        run = begin(zero)
        rows = jax.eval_shape(update, zero, zero, run)[1]
        row = {name: jnp.zeros(x.shape, x.dtype) for name, x in rows.items()}
        return jax.lax.scan(frame, (zero, zero, run, row), (draws, steps))[1]

    return whole(jax.random.key(seed), jnp.asarray(played.draws), jnp.asarray(played.steps))
