"""Store the rows of a chunk: one zarr array [metric, member, row], one file per segment.

Each file has a checksum (crc32c), and so does the description of the array, which is written
atomically. A row may be NaN if a metric is; a missing file means that its segment was not trained
yet, and `read` is told how many rows there must be.
"""

from pathlib import Path
from typing import Any

import numpy as np

from purejaxrl_suite.sweeps import files

_CONFIG: Any = {"write_empty_chunks": True}  # so that a segment of NaN is a file, too


def create(path: Path, attributes: dict[str, Any], shape: tuple[int, int], length: int) -> None:
    """Create the array: f32[B, R] for each of `metrics`, with `length` rows per file."""
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec
    from zarr.storage import LocalStore

    count = len(attributes["metrics"])
    with files.replacing(path) as new:
        zarr.create_array(
            LocalStore(new),
            shape=(count, *shape),
            chunks=(count, shape[0], length),
            dtype="float32",
            fill_value=np.nan,
            compressors=(ZstdCodec(level=0), Crc32cCodec()),
            config=_CONFIG,
            dimension_names=("metric", "member", "row"),
            attributes=attributes,
        )
        files.seal(new)


def open_array(path: Path, *, writable: bool = False) -> Any:
    """Open the array; ValueError naming the file if its description is missing or damaged."""
    import zarr
    from zarr.storage import LocalStore

    files.check_seal(path)
    store = LocalStore(path, read_only=not writable)
    return zarr.open_array(store, mode="r+" if writable else "r", config=_CONFIG)


def read(path: Path, needed: int) -> dict[str, np.ndarray]:
    """Read all rows {metric: f32[B, R]}, NaN where there are none yet.

    needed: how many must exist.

    Raises:
        ValueError: a file, which is named, is missing or damaged.
    """
    stored = open_array(path)
    for start in range(0, needed, stored.chunks[2]):
        if not _file(path, stored, start).exists():
            raise ValueError(f"{_file(path, stored, start)} is missing")
    try:
        return dict(zip(stored.attrs["metrics"], np.asarray(stored), strict=True))
    except Exception as error:  # codecs raise many types, without the file's name
        raise ValueError(f"{_damaged(path, stored)} is damaged: {_line(error)}") from error


def _damaged(path: Path, stored: Any) -> Path:
    """Find the first file that cannot be read."""
    for start in range(0, stored.shape[2], stored.chunks[2]):
        try:
            stored[:, :, start : start + stored.chunks[2]]
        except Exception:
            return _file(path, stored, start)
    return path


def _file(path: Path, stored: Any, row: int) -> Path:
    return path / "c" / "0" / "0" / str(row // stored.chunks[2])


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
