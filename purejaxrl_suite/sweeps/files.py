"""Atomic, checksummed files and folders.

A JSON file has a checksum of its content (`write_json`, `read_json`). A folder of arrays, such as a
zarr store or a checkpoint, is listed with the checksum of each file (`manifest`, `verify`), and the
owner of the folder stores that list. Files have a temporary name until they are complete
(`replacing`), so a killed process leaves the old file, or none, and a `.partial` folder that the
next process removes (`clean`). Every error names the file.
"""

import json
import os
import shutil
import socket
import uuid
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

SEAL = "files", "checksum"
"""Attributes of a zarr store that `seal` adds."""

DROPPINGS = ".DS_Store", "Thumbs.db", "desktop.ini"
"""Files that desktops put into folders, which are ignored."""
_SHORT = 32  # characters of a name that temporary names keep, as 255 bytes are the limit


def resolve(path: str | Path) -> Path:
    """Return the absolute path with links followed; it is never parsed as a URL or a pattern.

    Raises:
        ValueError: it cannot be a path, or is a name that checkpoints cannot have: not UTF-8, or
            with a backslash.
    """
    try:
        found = Path(path).resolve()
        found.as_posix().encode()
        found.exists()  # raises if the name is too long
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"expected a path that can be, got {str(path)!r}: {error}") from error
    if "\\" in found.as_posix():
        raise ValueError(f"expected a path without a backslash, got {str(found)!r}")
    return found


def content(folder: Path) -> list[Path]:
    """List the content of a folder, without files of desktops."""
    return [path for path in folder.iterdir() if path.name not in DROPPINGS]


def check_writable(folder: str | Path) -> None:
    """Create, write and remove a file in a folder, to find problems before training.

    A missing folder is made and removed again.

    Raises:
        ValueError: with the cause: no permission, no space, a file in place of a folder, a name
            that is too long.
    """
    folder = resolve(folder)
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    probe = folder / f"{uuid.uuid4().hex[:8]}.{_process()}.partial"
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with probe.open("xb") as file:
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
            for path in new:
                with suppress(OSError):
                    path.rmdir()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"expected a folder to write to, got {folder}: {reason}") from error


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file atomically, with a checksum for `read_json`.

    content: values that JSON does not have are written as text.
    """
    plain = json.loads(json.dumps(content, default=str))
    text = json.dumps(plain | {"checksum": checksum(plain)}, indent=2) + "\n"
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")


def read_json(path: str | Path) -> dict[str, Any]:
    """Read what `write_json` has written.

    Raises:
        ValueError: the file, which is named, is missing or damaged.
    """
    path = Path(path)
    content = _parse(path)
    _check(path, content.pop("checksum", None), content)
    return content


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path} is missing") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it is no JSON text ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: it holds no named values")
    return content


def _check(path: Path, written: Any, content: dict[str, Any]) -> None:
    if written is None:
        raise ValueError(f"{path} is damaged, or of an older version: it has no checksum")
    if written != checksum(content):
        raise ValueError(f"{path} is damaged: its content does not fit its checksum")


def seal(store: Path) -> None:
    """Write the checksum of each file of a new zarr store into the attributes of its root."""
    path = store / "zarr.json"
    root, listed = _parse(path), manifest(store)
    del listed[path.name]  # this file has its own checksum
    root.setdefault("attributes", {})["files"] = json.dumps(listed)
    root["attributes"]["checksum"] = checksum(root)
    path.write_text(json.dumps(root, indent=2))


def check_seal(store: Path) -> None:
    """Raise ValueError naming the first file of a store that is missing or changed since `seal`."""
    path = store / "zarr.json"
    root = _parse(path)
    attributes = root.get("attributes")
    written = attributes.pop("checksum", None) if isinstance(attributes, dict) else None
    _check(path, written, root)
    verify(store, json.loads(root["attributes"]["files"]))


def checksum(content: Any) -> int:
    """Compute the CRC-32 of a JSON value, independent of the order of keys and of spaces."""
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def manifest(folder: Path) -> dict[str, int]:
    """Return {relative path: CRC-32} of every file in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _checksum(path) for path in files}


def verify(folder: Path, listed: Mapping[str, int]) -> None:
    """Raise ValueError naming the first file that is missing, or changed since `manifest`."""
    for name, expected in listed.items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{path} is missing")
        if _checksum(path) != expected:
            raise ValueError(f"{path} is damaged: its content does not fit its checksum")


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            value = zlib.crc32(block, value)
    return value


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a place to write a file or folder, which replaces `path` when it is complete.

    The place has the final name, in a `.partial` folder beside it, which a killed process leaves
    for `clean`. After an error nothing is left, and `path` is unchanged.
    """
    path = resolve(path)
    partial = path.with_name(f"{path.name[:_SHORT]}.{_process()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with naming(path):
            partial.mkdir(parents=True)
            yield partial / path.name
        if path.is_dir():
            replace_folder(partial / path.name, path)
        else:
            os.replace(partial / path.name, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add this file's name to errors of the system without one, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def replace_folder(new: Path, path: Path) -> None:
    """Replace the folder `path` by a complete one; `path` stays complete until then.

    A process killed between its two renames leaves no `path`, and the old folder under another
    name: `recover` restores it.
    """
    recover(path)
    if path.exists():
        os.replace(path, _aside(path))
    os.replace(new, path)
    shutil.rmtree(_aside(path), ignore_errors=True)


def recover(path: Path) -> None:
    """Restore a folder after a killed `replace_folder`, or remove the one that it replaced.

    Only for the process that has claimed `path`: another process may be replacing it.
    """
    old = _aside(path)
    if old.exists() and not path.exists():
        os.replace(old, path)
    shutil.rmtree(old, ignore_errors=True)


def replaced(path: Path) -> bool:
    """Tell whether there is a folder that `replace_folder` put aside, or was about to replace."""
    return _aside(path).exists()


def _aside(path: Path) -> Path:
    unique = zlib.crc32(os.fsencode(path.name))  # of names that begin alike
    return path.with_name(f"{path.name[:_SHORT]}.{unique:08x}.replaced")


def clean(folder: Path) -> None:
    """Remove `.partial` folders that dead processes of this machine left beside or in a run folder.

    Those of living processes, and of other machines, stay.
    """
    begun = f"{folder.name[:_SHORT]}.{_host()}-"  # replacements of the folder itself
    found = [path for path in folder.parent.glob("*.partial") if path.name.startswith(begun)]
    for pattern in ("*.partial", "*/*.partial", "*/*/*.partial"):
        found += folder.glob(pattern)
    for path in found:
        owner, _, process = path.stem.rpartition(".")[2].rpartition("-")
        if owner == _host() and process.isdigit() and not _lives(int(process)):
            shutil.rmtree(path, ignore_errors=True)
            with suppress(OSError):  # `check_writable` leaves a file
                path.unlink(missing_ok=True)


def _process() -> str:
    """Name this process in temporary names, for `clean`."""
    return f"{_host()}-{os.getpid()}"


def _host() -> str:
    return socket.gethostname().replace(".", "_")


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's process
        return True
    return True
