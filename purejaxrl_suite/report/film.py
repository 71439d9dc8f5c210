"""Film of training: a curve as it is learnt, whose colours fall apart (arXiv 2111.05128).

In a frame, with a probability of 100 errors, red, green and blue are displaced by what three
derivatives say.
"""

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FRAMES = 12
"""Frames of a second."""
SIZE = 160, 240
"""Rows and columns of a frame."""
MARGIN = 8
"""Pixels around the curve."""


def frames(
    trace: np.ndarray, displacement: np.ndarray, *, seconds: float, draws: int = 0
) -> list[np.ndarray]:
    """Draw the frames u8[H, W, 3] of a film.

    Args:
        trace: f[T], the error; rows are spread evenly over the film.
        displacement: f[T, 3], of the three colours, in pixels.
        seconds: of the film.
        draws: seed of which frames fall apart.

    Returns:
        The frames.
    """
    generator, found = np.random.default_rng(draws), []
    for at in np.linspace(0, len(trace) - 1, max(2, round(seconds * FRAMES))):
        row = round(at)
        clean = _picture(trace, row)
        apart = generator.random() < min(1.0, 100.0 * abs(trace[row]))
        found.append(displaced(clean, displacement[row]) if apart else clean)
    return found


def displaced(frame: np.ndarray, pixels: Sequence[float]) -> np.ndarray:
    """Displace the colours of a frame u8[H, W, 3] to the right; edges repeat."""
    columns = np.arange(frame.shape[1])
    planes = [
        frame[:, np.clip(columns - round(float(shift)), 0, frame.shape[1] - 1), i]
        for i, shift in enumerate(pixels)
    ]
    return np.stack(planes, axis=-1)


def write_gif(shown: Iterable[np.ndarray], path: Path) -> None:
    """Write frames u8[H, W, 3] as a GIF."""
    from PIL import Image

    first, *rest = map(Image.fromarray, shown)
    how: Any = {"save_all": True, "append_images": rest, "duration": 1000 // FRAMES, "loop": 0}
    first.save(path, format="GIF", **how)


def write_video(shown: Iterable[np.ndarray], sound: Path, path: Path) -> None:
    """Write frames u8[H, W, 3] with a WAV file as their sound, as an MP4 (extra `film`).

    Raises:
        OSError: ffmpeg could not write it.
    """
    height, width = SIZE
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{FRAMES}")
    coded = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac")
    # Not by the module's own writer, whose way to start a program is refused by JAX's threads.
    command = [encoder().get_ffmpeg_exe(), "-y", "-v", "error", *raw, "-i", "-", "-i", str(sound)]
    film = b"".join(np.ascontiguousarray(frame).tobytes() for frame in shown)
    done = subprocess.run([*command, *coded, str(path)], input=film, capture_output=True)
    if done.returncode:
        raise OSError(f"{path}: ffmpeg failed: {done.stderr.decode(errors='replace').strip()}")


def encoder() -> Any:
    """Return the module that encodes videos; ValueError if the extra `film` is not installed."""
    try:
        import imageio_ffmpeg
    except ImportError:
        message = "video: the extra `film` writes it: pip install imageio-ffmpeg"
        raise ValueError(message) from None
    return imageio_ffmpeg


def _picture(trace: np.ndarray, row: int) -> np.ndarray:
    """Draw the trace up to a row, white on black: u8[H, W, 3]."""
    from PIL import Image, ImageDraw

    height, width = SIZE
    low, high = trace.min(), trace.max()
    span = (high - low) or 1.0
    image = Image.new("RGB", (width, height), "black")
    x = np.linspace(MARGIN, width - 1 - MARGIN, len(trace))[: row + 1]
    share = (trace[: row + 1] - low) / span
    y = height - 1 - MARGIN - share * (height - 1 - 2 * MARGIN)
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    draw = ImageDraw.Draw(image)
    draw.line(points, fill="white", width=2)
    (across, down), size = points[-1], 4
    draw.ellipse([across - size, down - size, across + size, down + size], "white")
    return np.asarray(image)
