"""The sound of training: harmonics, continuity, the same bits; and its film."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile
from scipy.stats import spearmanr

import purejaxrl_suite as pjs
from purejaxrl_suite.report import film, pianist, sound
from tests.shared import command

LONG = 4.0


def made(error, seconds=2.0, number=69, **how):
    error = np.asarray(error, float)
    moves = how.pop("moves", np.zeros((len(error), 3)))
    return sound.make_sound(error, moves, [sound.Note(number, 0.0)], seconds=seconds, **how)


def peaks(samples, count=5):
    """Frequencies of the strongest `count` lines of a spectrum, in Hz, sorted."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    inner = (spectrum[1:-1] > spectrum[:-2]) & (spectrum[1:-1] > spectrum[2:])
    at = np.flatnonzero(inner) + 1
    best = at[np.argsort(spectrum[at])[-count:]]
    return np.sort(best) * sound.RATE / len(samples)


def test_without_error_partials_are_harmonic():
    found = peaks(made(np.zeros(10)).samples)
    np.testing.assert_allclose(found, 440.0 * np.arange(1, 6), atol=0.5)
    assert np.all(made(np.zeros(10)).cents == 0.0)


def test_an_error_detunes_all_but_the_fundamental():
    found = peaks(made(np.ones(10), strength=0.05).samples)
    np.testing.assert_allclose(found, 440.0 * np.array([1, 2.1, 3.15, 4.2, 5.25]), atol=0.5)
    np.testing.assert_allclose(made(np.ones(10)).cents, 1200 * np.log2(1.05))


def test_notes_are_in_equal_temperament():
    assert sound.frequency(69) == pytest.approx(440.0) and sound.frequency(21) == 27.5
    assert sound.frequency(81) / sound.frequency(69) == pytest.approx(2.0)


def test_no_click_is_heard_however_the_error_jumps():
    """No sample is further from the next than the fastest partials can move in between."""
    error = np.tile([0.0, 1.0, -1.0, 0.3], 50)
    jumpy = made(error, seconds=LONG, strength=0.5)
    k = np.arange(1, sound.PARTIALS + 1)
    speed = (
        2 * np.pi * 440.0 / sound.RATE
    )  # of partial k with D (2 - D) / k, which is 1 / k at most
    change = 1.0 / (sound.ATTACK * sound.RATE * k) + 60.0 / sound.RATE  # of envelope, D and filter
    bound = sound.LOUDEST * np.sum(speed + change) / np.sum(1.0 / k)
    assert np.abs(np.diff(jumpy.samples)).max() < bound < 0.15
    again = np.diff(made(np.zeros(4), seconds=LONG).samples[: 2 * sound.RATE])
    assert np.abs(again[:20]).max() < 0.01  # it begins from nothing


def test_strokes_of_notes_do_not_click_either():
    strokes = [sound.Note(57, x) for x in (0.0, 0.5, 1.0, 1.013)]
    both = sound.make_sound(np.zeros(4), np.zeros((4, 3)), strokes, seconds=2.0)
    alone = sound.make_sound(np.zeros(4), np.zeros((4, 3)), strokes[:1], seconds=2.0)
    step = [np.abs(np.diff(x.samples)).max() for x in (both, alone)]
    assert step[0] < 1.5 * step[1]


def test_samples_stay_in_range_and_muting_leaves_the_fundamental():
    loud = made(-np.ones(4), strength=0.9)
    assert np.abs(loud.samples).max() <= sound.LOUDEST
    muted = made(np.zeros(4), muted=np.ones(4)).samples
    strongest = np.abs(np.fft.rfft(muted)).argmax() * sound.RATE / len(muted)
    assert strongest == pytest.approx(440.0, abs=0.5)
    spectrum = np.abs(np.fft.rfft(muted * np.hanning(len(muted))))
    assert spectrum[round(880 * 2)] < 1e-3 * spectrum.max()


def test_a_gradient_of_0_leaves_the_image_and_others_displace_colours():
    frame = np.random.default_rng(0).integers(0, 255, (4, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(film.displaced(frame, (0.0, 0.0, 0.0)), frame)
    np.testing.assert_array_equal(film.displaced(frame, (0.4, -0.4, 0.0)), frame)
    moved = film.displaced(frame, (2.0, -1.0, 0.0))
    np.testing.assert_array_equal(moved[:, 2:, 0], frame[:, :-2, 0])
    np.testing.assert_array_equal(moved[:, :-1, 1], frame[:, 1:, 1])
    np.testing.assert_array_equal(moved[..., 2], frame[..., 2])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "cubic"
    pjs.run(pjs.problems.cubic(), seeds=4, steps=400, progress=False, out=out)
    return out


@pytest.fixture(scope="module")
def cubics(folder):
    return pjs.load(folder).curves


def test_files_are_the_same_bits(cubics, tmp_path):
    for name in ("one", "other"):
        pjs.report.sonify(cubics, tmp_path / f"{name}.wav", seconds=1.0, draws=3)
    one, other = ((tmp_path / f"{name}.wav").read_bytes() for name in ("one", "other"))
    assert one == other
    rate, samples = wavfile.read(tmp_path / "one.wav")
    assert rate == sound.RATE and samples.shape == (sound.RATE,) and samples.dtype == np.int16
    one, other = ((tmp_path / f"{name}.gif").read_bytes() for name in ("one", "other"))
    assert one == other and (tmp_path / "one.png").exists()
    with Image.open(tmp_path / "one.gif") as image:
        assert image.size == film.SIZE[::-1] and image.n_frames == film.FRAMES
    pjs.report.sonify(cubics, tmp_path / "third.wav", seconds=1.0, seed=2)
    assert (tmp_path / "third.wav").read_bytes() != (tmp_path / "one.wav").read_bytes()


def test_a_video_has_the_frames_and_the_sound(cubics, tmp_path):
    program = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    how = {"seconds": 1.0, "scale": 0.1}
    pjs.report.sonify(cubics, tmp_path / "a.wav", video=True, **how)
    read = [program, "-i", str(tmp_path / "a.mp4")]
    told = subprocess.run(read, capture_output=True, text=True).stderr
    height, width = film.SIZE
    for part in (f"{width}x{height}", f"{film.FRAMES} fps", "Audio: aac", "Duration: 00:00:01.0"):
        assert part in told, told
    raw = [*read, "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    pixels = subprocess.run(raw, capture_output=True, check=True).stdout
    shown = np.frombuffer(pixels, np.uint8).reshape(-1, height, width, 3)
    made = pjs.report.sonify(cubics, tmp_path / "b.wav", **how)
    drawn = film.frames(made.trace, made.displacement, seconds=1.0)
    assert len(shown) == len(drawn) == film.FRAMES
    for one, other in zip(shown, drawn, strict=True):  # as far as compression leaves them
        assert np.abs(one.astype(float) - other).mean() < 5.0


def test_without_the_extra_no_video_is_promised(cubics, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ValueError, match="video: the extra `film`"):
        pjs.report.sonify(cubics, tmp_path / "a.wav", video=True, seconds=0.5)
    assert not (tmp_path / "a.wav").exists()


def test_a_trace_is_scaled_or_taken_as_it_is(cubics, tmp_path):
    path = tmp_path / "a.wav"
    raw = pjs.report.sonify(cubics, path, seed=1, scale=1.0, seconds=0.5)
    error = cubics["signed_error"].sel(seed=1).values
    np.testing.assert_allclose(raw.detuning, 1.0 + 0.05 * error, rtol=1e-6)
    derivatives = [cubics[f"derivative_{i}"].sel(seed=1).values for i in (1, 2, 3)]
    np.testing.assert_allclose(raw.displacement, 100 * np.stack(derivatives, axis=1), rtol=1e-5)
    loud = pjs.report.sonify(cubics, path, seed=1, detune="loss", strength=0.5, seconds=0.5)
    assert loud.detuning.max() == pytest.approx(1.5)


MISTAKES = {
    "path: expected a file that ends in .wav": {"path": "a.mp3"},
    "detune: expected one of": {"detune": "reward"},
    "seed: expected one of": {"seed": 9},
    "at: expected one configuration": {"at": {"beta": 2.0}},
    "strength: expected one that keeps D": {"strength": 3.0},
    "notes: expected at least one": {"notes": ()},
    "displace: expected up to three": {"displace": ["loss"] * 4},
    "mute: expected a metric in": {"mute": "signed_error", "scale": 1.0},
    "scale: expected": {"scale": 0.0},
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_named(message, cubics, tmp_path):
    how = {"path": tmp_path / "a.wav"} | MISTAKES[message]
    with pytest.raises(ValueError, match=message):
        pjs.report.sonify(cubics, **how)


def test_the_command(folder, capsys):
    assert command(f"sonify {folder} --seed 1 --seconds 0.5") == 0
    assert (folder / "sound.wav").exists() and (folder / "sound.gif").exists()
    assert "cents at first" in capsys.readouterr().out
    assert command(f"sonify {folder} --detune nothing") == 2


def midi(path, notes):
    """Write a file of (note, start, end) in seconds."""
    mido = pytest.importorskip("mido")
    file = mido.MidiFile()
    track = mido.MidiTrack()
    file.tracks.append(track)
    events = [(start, "note_on", note) for note, start, _ in notes]
    events += [(end, "note_off", note) for note, _, end in notes]
    now, beat = 0.0, file.ticks_per_beat
    for time, kind, note in sorted(events):
        ticks = round((time - now) * 2 * beat)  # 120 beats a minute
        track.append(mido.Message(kind, note=note, velocity=64, time=ticks))
        now = time
    file.save(path)
    return path


def test_a_pianist_makes_steps(tmp_path):
    path = midi(tmp_path / "a.mid", [(40, 0.0, 0.1), (60, 0.5, 1.5), (64, 2.0, 2.01)])
    played = pianist.read(path, 48)
    assert played.draws[0] and played.draws.sum() == 1
    assert played.steps[15] == 1 and played.steps[16:46].sum() == 30  # struck, and held for 1 s
    assert played.steps.sum() == 32 and [note.number for note in played.strokes] == [40, 60, 64]
    found = pjs.report.perform(pjs.problems.cubic(), path, tmp_path / "a.wav")
    assert len(found.trace) == len(played.steps)
    assert np.all(found.trace[:15] == 0.0)  # nothing is known before the first step
    assert np.all(np.diff(found.trace[16:45]) != 0.0)  # each frame makes a step
    assert np.all(np.diff(found.trace[47:60]) == 0.0)


def test_steps_of_a_pianist_are_those_of_training(tmp_path):
    path = midi(tmp_path / "a.mid", [(60, 0.0, 0.5)])
    played = pianist.read(path, 48)
    rows = pianist.trained(pjs.problems.cubic(), played, seed=5)
    import jax
    import jax.numpy as jnp

    from purejaxrl_suite.core.types import Clock

    made, own = pjs.problems.cubic(), jax.random.fold_in(jax.random.key(5), 0)
    hypers = jax.tree.map(jnp.float32, made.hypers)
    run, total = made.train.init(own, hypers, ()), int(played.steps.sum())
    losses = []
    for i in range(total):
        run, row = made.train.update(own, hypers, (), run, Clock(jnp.int32(i), jnp.int32(total)))
        losses.append(row["loss"])
    np.testing.assert_allclose(np.asarray(rows["loss"])[:total], losses, rtol=1e-4)


def test_files_without_notes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="midi: expected a file with notes"):
        pianist.read(midi(tmp_path / "a.mid", []), 48)
    (tmp_path / "b.mid").write_text("no music")
    with pytest.raises(ValueError, match="midi: expected a MIDI file"):
        pianist.read(tmp_path / "b.mid", 48)


@pytest.mark.slow
@pytest.mark.parametrize("problem, steps, heard", [("cubic", 6000, 6000), ("lissajous", 1000, 200)])
def test_convergence_is_heard(problem, steps, heard):
    """Of each of 32 seeds the detuning by the loss falls until it stops, and ends near 0."""
    made = getattr(pjs.problems, problem)()
    curves = pjs.run(made, seeds=32, steps=steps, progress=False).curves
    found, last = [], []
    for seed in range(32):
        loss = curves["loss"].sel(seed=seed).values
        going = np.flatnonzero(loss[:heard] > made.hypers.tolerance)
        cents = np.abs(1200 * np.log2(1.0 + 0.05 * loss))
        found.append(spearmanr(going, cents[going]).statistic)
        last.append(cents[-1])
    assert max(found) < -0.9 and max(last) < 5.0


def test_any_run_is_heard_by_its_loss_gradients_and_dormant_units(tmp_path):
    """Curves of an agent: what is measured now and then keeps its last value."""
    import xarray

    steps = np.arange(1.0, 41.0)
    fall = np.tile(np.exp(-steps / 10.0), (2, 1, 1))
    rare = np.where(np.arange(40) % 10 == 5, fall, np.nan)
    over = ("learning_rate", "seed", "step")
    known = {"value_loss": 5.0 * fall, "dormant_0.1": 0.5 * rare}
    known |= {f"raw_gradient_norm.{name}": k * fall for k, name in enumerate("abc", 1)}
    curves = xarray.Dataset(
        {name: (over, x) for name, x in known.items()},
        {"learning_rate": [0.1, 0.2], "seed": [7], "step": steps},
        {"agent": "any", "environment": "any"},
    )
    how = {"at": {"learning_rate": 0.2}, "mute": "dormant_0.1", "seconds": 0.5}
    with pytest.raises(ValueError, match="detune: expected one of .*value_loss"):
        pjs.report.sonify(curves, tmp_path / "a.wav", **how)
    found = pjs.report.sonify(curves, tmp_path / "a.wav", detune="value_loss", **how)
    np.testing.assert_allclose(found.detuning, 1.0 + 0.05 * fall[0, 0] / fall.max(), rtol=1e-6)
    expected = 100 * fall[0, 0][:, None] * np.array([1.0, 2.0, 3.0]) / (3 * fall.max())
    np.testing.assert_allclose(found.displacement, expected, rtol=1e-6)
    calm = pjs.report.sonify(
        curves, tmp_path / "b.wav", detune="value_loss", at={"learning_rate": 0.2}, seconds=0.5
    )
    assert np.any(calm.samples != found.samples)
