"""Sound of training: traces of a run detune partials (Castro 2021, arXiv 2111.05128).

A note of frequency f has the partials f, 2fD, 3fD, 4fD and 5fD. Where there is no error D is 1 and
they are harmonic; the error detunes them. All phases are one sum over samples, so that no border
between frames is heard, and nothing depends on the machine's clock.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from purejaxrl_suite.core.argument import boolean, integer, number, place, wrong
from purejaxrl_suite.report import film
from purejaxrl_suite.report.configurations import Configuration, configurations, step_label
from purejaxrl_suite.report.figures import COLOURS, STYLE, axis_label, save

RATE = 44_100
"""Samples of a second."""
PARTIALS = 5
LOWEST, LOWEST_FREQUENCY = 21, 27.5
"""The A of note 21; twelve notes double the frequency."""
ATTACK, RELEASE, LONG_RELEASE, LOW = 0.1, 2.0, 8.0, 60
"""Seconds of the envelope; notes below LOW take longer to end."""
CURVATURE = 4.0
"""How steeply a note falls after its attack."""
CUTOFFS, WANDERING = (1000.0, 3000.0), 10.0
"""Lowest and highest frequency of the low-pass, in Hz, and seconds of its way there and back."""
LOUDEST = 0.9
STRENGTH = 0.05
PIXELS = 100.0


class Note(NamedTuple):
    """A note that is struck. number: of MIDI, 57 is 220 Hz. start: in seconds."""

    number: int
    start: float


class Sound(NamedTuple):
    """What was made of a trace.

    samples: f32[n] in [-1, 1], RATE of them in a second. detuning: f64[T], D of each row.
    displacement: f64[T, 3], of the three colours, in pixels. trace: f64[T], what detunes. name: of
    it.
    """

    samples: np.ndarray
    detuning: np.ndarray
    displacement: np.ndarray
    trace: np.ndarray
    name: str

    @property
    def cents(self) -> np.ndarray:
        """Compute by how much the upper partials are detuned, f64[T]; a semitone has 100."""
        return 1200.0 * np.log2(self.detuning)


def sonify(
    curves: Any,
    path: str | Path,
    *,
    at: Mapping[str, Any] | None = None,
    seed: int | None = None,
    detune: str | None = None,
    displace: Sequence[str] | None = None,
    mute: str | None = None,
    strength: float = STRENGTH,
    scale: float | None = None,
    notes: Sequence[int] = (57,),
    every: float = 2.0,
    seconds: float = 20.0,
    draws: int = 0,
    video: bool = False,
) -> Sound:
    """Write the sound of a member's training, and beside it a film (GIF) and a spectrogram (PNG).

    D is 1 + strength * error. In the film the curve of the error is drawn as it is learnt; with a
    probability of 100 errors its colours fall apart, by 100 pixels times a derivative.

    Args:
        curves: `Result.curves` of any run.
        path: the file to write, which ends in .wav.
        at: a value for each varied axis; None for a run of one configuration.
        seed: of the member; None is the first.
        detune: the metric that is the error; None is `signed_error`, else `loss`.
        displace: up to three metrics that displace red, green and blue; None takes the
            derivatives of a problem, else the first norms of gradients there are.
        mute: a metric in [0, 1] that mutes the upper partials, such as a share of dormant units;
            None mutes nothing.
        strength: D - 1 of an error of 1.
        scale: error, and size of what displaces, that count as 1; None is the largest of each.
        notes: numbers of MIDI, struck together.
        every: seconds from one stroke to the next.
        seconds: of the whole.
        draws: seed of which frames fall apart.
        video: write the film with its sound, too, as an MP4 (extra `film`).

    Returns:
        The sound.

    Raises:
        ValueError: a metric or the member is unknown, a number is out of range, nothing was
            measured, the error is so large that D leaves (0, 2), or the extra is missing.

    Example:
        >>> result = pjs.run(pjs.problems.cubic(), seeds=8, steps=2000)
        >>> sound = pjs.report.sonify(result.curves, "cubic.wav", scale=1.0)
    """
    where = Path(place("path", path, "a WAV file"))
    if where.suffix != ".wav":
        raise wrong("path", "a file that ends in .wav", path)
    member = _member(curves, at, seed)
    error = _default(member, "detune", detune, ("signed_error", "loss"))
    names = _displacing(member) if displace is None else tuple(displace)
    if len(names) > 3:
        raise wrong("displace", "up to three metrics", names)
    trace = _trace(member, "detune", error)
    moves = np.zeros((len(trace), 3))
    for i, name in enumerate(names):
        moves[:, i] = _trace(member, "displace", name)
    muted = np.zeros(len(trace)) if mute is None else _trace(member, "mute", mute)
    if muted.min() < 0 or muted.max() > 1:
        raise wrong("mute", "a metric in [0, 1]", mute)
    sound = make_sound(
        trace / _scale(scale, trace),
        moves / _scale(scale, moves),
        _strokes(notes, every, seconds),
        seconds=seconds,
        muted=muted,
        strength=strength,
        name=axis_label(member[error].attrs, error),
    )
    steps = np.asarray(member["step"].values, float)
    how: Any = {"seconds": seconds, "draws": draws, "video": video}
    write(sound, where, steps, step_label(member), **how)
    return sound


def make_sound(
    error: np.ndarray,
    moves: np.ndarray,
    strokes: Sequence[Note],
    *,
    seconds: float,
    muted: np.ndarray | None = None,
    strength: float = STRENGTH,
    name: str = "error",
) -> Sound:
    """Make the sound of traces.

    Args:
        error: f[T], what detunes.
        moves: f[T, 3], derivatives.
        strokes: the notes.
        seconds: of the whole, over which rows are spread evenly.
        muted: f[T], how much upper partials are muted; None is not at all.
        strength: D - 1 of an error of 1.
        name: of the error.

    Returns:
        The sound.

    Raises:
        ValueError: the error is so large that D leaves (0, 2), or a number is out of range.
    """
    number("seconds", seconds, above=0.0)
    number("strength", strength)
    detuning = 1.0 + strength * np.asarray(error, float)
    if not np.all((detuning > 0.0) & (detuning < 2.0)):
        worst = detuning[np.argmax(np.abs(detuning - 1.0))]
        raise ValueError(f"strength: expected one that keeps D in (0, 2), got a D of {worst:.3g}")
    muted = np.zeros(len(detuning)) if muted is None else muted
    samples = synthesised(detuning, muted, strokes, seconds)
    return Sound(samples, detuning, PIXELS * np.asarray(moves, float), np.asarray(error), name)


def frequency(note: int) -> float:
    """Compute the frequency of a note of MIDI in equal temperament, in Hz."""
    return LOWEST_FREQUENCY * 2.0 ** ((note - LOWEST) / 12.0)


def synthesised(
    detuning: np.ndarray, muted: np.ndarray, strokes: Sequence[Note], seconds: float
) -> np.ndarray:
    """Add up the partials of all notes, f32[n] in [-1, 1].

    Partial k has the amplitude (2 - D) (1 - muted)^(k - 1) / k, behind a low-pass of first order
    whose cutoff wanders.
    """
    count = round(seconds * RATE)
    time = np.arange(count) / RATE
    rows = np.linspace(0.0, seconds, len(detuning))
    d, share = np.interp(time, rows, detuning), 1.0 - np.interp(time, rows, muted)
    turns = np.concatenate([[0.0], np.cumsum(d[:-1])]) / RATE  # of the detuned partials at 1 Hz
    low, high = CUTOFFS
    cutoff = low + (high - low) * (0.5 - 0.5 * np.cos(2 * np.pi * time / WANDERING))
    total, most = np.zeros(count), np.zeros(count)
    for note in sorted(set(strokes)):
        shape, part = _envelope(note), slice(round(note.start * RATE), None)
        shape = shape[: max(count - part.start, 0)]
        part = slice(part.start, part.start + len(shape))
        f = frequency(note.number)
        for k in range(1, PARTIALS + 1):
            pitch, phase = (f, time[part]) if k == 1 else (f * d[part], turns[part])
            passed = 1.0 / np.sqrt(1.0 + np.square(k * pitch / cutoff[part]))
            size = shape * (2.0 - d[part]) * share[part] ** (k - 1) / k
            total[part] += size * passed * np.sin(2 * np.pi * k * f * phase)
            most[part] += size
    peak = most.max(initial=0.0)
    return np.clip(total * (LOUDEST / peak if peak else 0.0), -1.0, 1.0).astype(np.float32)


def _envelope(note: Note) -> np.ndarray:
    """Make the loudness of a note: a linear attack, then a fall that ends at 0."""
    release = LONG_RELEASE if note.number < LOW else RELEASE
    rise = np.arange(round(ATTACK * RATE)) / round(ATTACK * RATE)
    over = np.arange(round(release * RATE)) / round(release * RATE)
    fall = (np.exp(-CURVATURE * over) - np.exp(-CURVATURE)) / (1.0 - np.exp(-CURVATURE))
    return np.concatenate([rise, fall])


def write(
    sound: Sound,
    path: Path,
    steps: np.ndarray,
    unit: str,
    *,
    seconds: float,
    draws: int = 0,
    video: bool = False,
) -> None:
    """Write sound, film and spectrogram: files of one name that end in .wav, .gif and .png.

    With `video` also the film with its sound, in .mp4.
    """
    from scipy.io import wavfile

    integer("draws", draws, 0)
    if boolean("video", video):
        film.encoder()  # before anything is written
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, RATE, np.round(sound.samples * 32767.0).astype(np.int16))
    frames = film.frames(sound.trace, sound.displacement, seconds=seconds, draws=draws)
    film.write_gif(frames, path.with_suffix(".gif"))
    if video:
        film.write_video(frames, path, path.with_suffix(".mp4"))
    spectrogram(sound, steps, unit, path.with_suffix(".png"))


def spectrogram(sound: Sound, steps: np.ndarray, unit: str, path: str | Path) -> Figure:
    """Draw the error, and below it the spectrogram of its sound."""
    seconds = len(sound.samples) / RATE
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 5.0), layout="constrained")
        above, below = figure.subplots(2, 1, height_ratios=(2, 3))
        above.plot(steps, sound.trace, color=COLOURS[0])
        above.set_xlim(steps[0], steps[-1])
        above.set_xlabel(unit)
        above.set_ylabel(sound.name)
        with np.errstate(divide="ignore"):
            below.specgram(
                sound.samples, NFFT=4096, Fs=RATE, noverlap=2048, cmap="magma", vmin=-130, vmax=-30
            )
        below.set_ylim(0, 1500)
        below.set_xlim(0, seconds)
        below.grid(False)
        below.set_xlabel("time [s]")
        below.set_ylabel("frequency [Hz]")
        save(figure, path)
    return figure


def _strokes(notes: Sequence[int], every: float, seconds: float) -> list[Note]:
    number("every", every, above=0.0)
    number("seconds", seconds, above=0.0)
    known = [integer(f"notes[{i}]", note, LOWEST, 108) for i, note in enumerate(notes)]
    if not known:
        raise wrong("notes", "at least one", notes)
    starts = np.arange(0.0, seconds, every)
    return [Note(note, float(start)) for start in starts for note in known]


def _member(curves: Any, at: Mapping[str, Any] | None, seed: int | None) -> Any:
    """Select the curves over steps of one member; ValueError naming the choices."""
    found: list[Configuration] = configurations(curves)
    wanted = dict(at or {})
    fitting = [
        one
        for one in found
        if all(one.at.get(name, one.settings.get(name)) == x for name, x in wanted.items())
    ]
    if len(fitting) != 1:
        known = "; ".join(str(dict(one.at)) for one in found[:8])
        raise wrong("at", f"one configuration of {known}", wanted)
    seeds = fitting[0].curves["seed"].values.tolist()
    chosen = seeds[0] if seed is None else seed
    if chosen not in seeds:
        raise wrong("seed", f"one of {seeds}", seed)
    return fitting[0].curves.sel(seed=chosen)


def _default(member: Any, what: str, given: str | None, usual: Sequence[str]) -> str:
    if given is not None:
        return given
    for name in usual:
        if name in member:
            return name
    known = ", ".join(sorted(str(name) for name, x in member.data_vars.items() if x.dims))
    raise ValueError(f"{what}: expected one of {known}, as there is no {' or '.join(usual)}")


def _displacing(member: Any) -> tuple[str, ...]:
    names = [str(name) for name in member.data_vars]
    derivatives = sorted(name for name in names if name.startswith("derivative_"))
    norms = sorted(name for name in names if "gradient_norm" in name)
    return tuple((derivatives or norms)[:3])


def _trace(member: Any, what: str, name: str) -> np.ndarray:
    """Read a metric f64[T]; where it is not measured its last value stays."""
    known = [str(one) for one, x in member.data_vars.items() if x.dims == ("step",)]
    if name not in known:
        raise wrong(what, f"one of {', '.join(sorted(known))}", name)
    values = np.asarray(member[name].values, float)
    seen = np.isfinite(values)
    if not seen.any():
        raise ValueError(f"{what}: {name} was not measured")
    last = np.maximum.accumulate(np.where(seen, np.arange(len(values)), np.argmax(seen)))
    return values[last]


def _scale(given: float | None, values: np.ndarray) -> float:
    if given is not None:
        return number("scale", given, above=0.0)
    return float(np.abs(values).max()) or 1.0
