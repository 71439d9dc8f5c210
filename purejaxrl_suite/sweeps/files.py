"""Files and folders that appear when they are complete, and that tell when they are damaged.

A JSON file carries a checksum of its content (`write_json`, `read_json`). A folder of arrays, such
as a zarr store or a checkpoint, is listed with the checksum of each file (`manifest`, `verify`),
and who owns the folder stores that list. What is written has another name until it is complete
(`replacing`), so that a process that is killed leaves the old, or nothing, and a `.partial` folder
that the next one removes (`clean`). Every error names the file.
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
"""What desktops put into any folder that somebody looks at: nobody's data."""
_SHORT = 32  # characters of a name that are kept in the names beside it: 255 bytes are the limit


def resolve(path: str | Path) -> Path:
    """Return the absolute path, links followed; it is never read as an address or a pattern.

    Raises ValueError for what cannot be a path, and for the few names that checkpoints cannot have:
    not UTF-8, or with a backslash.
    """
    try:
        found = Path(path).resolve()
        found.as_posix().encode()
        found.exists()  # or its name is too long
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"expected a path that can be, got {str(path)!r}: {error}") from error
    if "\\" in found.as_posix():
        raise ValueError(f"expected a path without a backslash, got {str(found)!r}")
    return found


def content(folder: Path) -> list[Path]:
    """What a folder holds, but for what desktops put there."""
    return [path for path in folder.iterdir() if path.name not in DROPPINGS]


def check_writable(folder: str | Path) -> None:
    """Create, write and remove a file in a folder, so that a mistake is known before training.

    A folder that does not exist is made and removed again. Raises ValueError with the cause: no
    permission, no space, a file in place of a folder, a name that is too long.
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
    """Replace a JSON file by a new one, at once; it carries a checksum for `read_json`.

    content: what JSON has no form for is written as text.
    """
    plain = json.loads(json.dumps(content, default=str))
    text = json.dumps(plain | {"checksum": checksum(plain)}, indent=2) + "\n"
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")


def read_json(path: str | Path) -> dict[str, Any]:
    """The content that `write_json` has written.

    Raises ValueError naming the file if it is missing or is not what was written.
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
    """Put the checksum of each file of a new zarr store into the attributes of its root."""
    path = store / "zarr.json"
    root, listed = _parse(path), manifest(store)
    del listed[path.name]  # has its own
    root.setdefault("attributes", {})["files"] = json.dumps(listed)
    root["attributes"]["checksum"] = checksum(root)
    path.write_text(json.dumps(root, indent=2))


def check_seal(store: Path) -> None:
    """Raise ValueError naming the first file of a store that is missing or not as it was sealed."""
    path = store / "zarr.json"
    root = _parse(path)
    attributes = root.get("attributes")
    written = attributes.pop("checksum", None) if isinstance(attributes, dict) else None
    _check(path, written, root)
    verify(store, json.loads(root["attributes"]["files"]))


def checksum(content: Any) -> int:
    """CRC-32 of a value of JSON, whatever the order of its keys and its spaces."""
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def manifest(folder: Path) -> dict[str, int]:
    """{relative path: CRC-32} of every file in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _checksum(path) for path in files}


def verify(folder: Path, listed: Mapping[str, int]) -> None:
    """Raise ValueError naming the first file that is missing, or not as `manifest` listed it."""
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
    """Yield where to write a file or a folder that takes the place of `path` when it is complete.

    It has the name that it will have, in a `.partial` folder beside it, which a process that is
    killed leaves behind for `clean`. After an error nothing is left, and `path` is as it was.
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
    """Let an error of the system that names no file, such as that of a full disk, name this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def replace_folder(new: Path, path: Path) -> None:
    """Put a complete folder in the place of `path`, which stays complete until then.

    Killed between its two renames it leaves no `path`, and the old one under another name:
    `recover` takes it back.
    """
    recover(path)
    if path.exists():
        os.replace(path, _aside(path))
    os.replace(new, path)
    shutil.rmtree(_aside(path), ignore_errors=True)


def recover(path: Path) -> None:
    """Take back what `replace_folder` was killed over, or remove what it has replaced.

    For who has claimed `path`: while another process replaces it, its old folder is not lost.
    """
    old = _aside(path)
    if old.exists() and not path.exists():
        os.replace(old, path)
    shutil.rmtree(old, ignore_errors=True)


def replaced(path: Path) -> bool:
    """Whether there is a folder that `replace_folder` has put aside, or was about to replace."""
    return _aside(path).exists()


def _aside(path: Path) -> Path:
    unique = zlib.crc32(os.fsencode(path.name))  # of names that begin alike
    return path.with_name(f"{path.name[:_SHORT]}.{unique:08x}.replaced")


def clean(folder: Path) -> None:
    """Remove what dead processes of this machine left of, or in, a run folder: `.partial`.

    Those of a process that lives, and those of other machines, stay.
    """
    begun = f"{folder.name[:_SHORT]}.{_host()}-"  # to be put in the place of the folder itself
    found = [path for path in folder.parent.glob("*.partial") if path.name.startswith(begun)]
    for pattern in ("*.partial", "*/*.partial", "*/*/*.partial"):
        found += folder.glob(pattern)
    for path in found:
        owner, _, process = path.stem.rpartition(".")[2].rpartition("-")
        if owner == _host() and process.isdigit() and not _lives(int(process)):
            shutil.rmtree(path, ignore_errors=True)
            with suppress(OSError):  # what `check_writable` wrote is a file
                path.unlink(missing_ok=True)


def _process() -> str:
    """Who writes what is not complete yet, as `clean` reads it."""
    return f"{_host()}-{os.getpid()}"


def _host() -> str:
    return socket.gethostname().replace(".", "_")


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True
