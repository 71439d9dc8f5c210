"""Parse the command line; a mistake is reported as `FLAG: expected X, got Y`."""

import contextlib
import functools
import io
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from purejaxrl_suite.core.argument import one_of, wrong

PROGRAM = "purejaxrl-suite"
_KINDS = {
    "FLOAT": "a number",
    "INT": "an integer",
    "{None}|INT": "an integer",
    "{None}|STR": "a text",
}
FIGURES = (".pdf", ".png", ".svg")


def call(function: Callable[..., Any], command: str, arguments: Sequence[str]) -> Any:
    """Call a function whose parameters are the flags of a command, and return its result.

    Raises:
        ValueError: the words do not fit.
        SystemExit: after help.
    """
    import tyro

    later = _later(function)
    name = f"{PROGRAM} {command}"
    return _read(lambda: tyro.cli(later, prog=name, args=list(arguments)), arguments)()


def call_one(
    functions: dict[str, Callable[..., Any]],
    command: str,
    arguments: Sequence[str],
    description: str,
) -> Any:
    """Call the function that the first word names, as `call` does."""
    import tyro

    if not arguments:
        raise ValueError(f"{command}: expected one of {', '.join(functions)}, got nothing")
    if not arguments[0].startswith("-"):
        one_of(command, arguments[0], functions)
    later = {name: _later(function) for name, function in functions.items()}
    how: Any = {"prog": f"{PROGRAM} {command}", "description": description}
    read = functools.partial(tyro.extras.subcommand_cli_from_dict, later, **how)
    return _read(lambda: read(args=list(arguments)), arguments)()


def fill(form: Any, command: str, arguments: Sequence[str], description: str | None) -> Any:
    """Make an object of this type from flags, one for each field."""
    import tyro

    how: Any = {"prog": f"{PROGRAM} {command}", "description": description}
    return _read(lambda: tyro.cli(form, args=list(arguments), **how), arguments)


def told(*words: Any) -> str:
    """Write a command of the suite for the shell, with its words quoted."""
    return shlex.join([PROGRAM, *map(str, words)])


def output_file(flag: str, path: Path | None, endings: Sequence[str]) -> Path | None:
    """Return the path if a file with one of these endings can be written there; None for None."""
    if path is None:
        return None
    if path.suffix.lower() not in endings:
        raise wrong(flag, f"a file that ends in {' or '.join(endings)}", path)
    if path.is_dir():
        raise ValueError(f"{flag}: expected a file, got the folder {str(path)!r}")
    _check_writable(flag, path)
    return path


def _check_writable(flag: str, path: Path) -> None:
    """Raise ValueError unless the path can be written; missing folders are made later."""
    home = next(one for one in (path, *path.absolute().parents) if one.exists())
    if home != path and not home.is_dir():
        raise ValueError(f"{flag}: expected a path in a folder, got {str(path)!r} in a file")
    if not os.access(home, os.W_OK):
        raise ValueError(f"{flag}: expected a path that can be written, got {str(path)!r}")


def _later(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that binds its arguments, to be called when all words are parsed."""

    @functools.wraps(function)
    def bound(*given: Any, **named: Any) -> Any:
        return functools.partial(function, *given, **named)

    return bound


def _read(reader: Callable[[], Any], arguments: Sequence[str]) -> Any:
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            return reader()
    except SystemExit as stop:
        if not stop.code:
            raise
    raise ValueError(_mistake(told.getvalue(), arguments))


def _mistake(text: str, arguments: Sequence[str]) -> str:
    """Extract one line from tyro's error message."""
    # On a terminal with UTF-8 it is in a box with a title, else between lines, below the title.
    titled = re.sub("^╭.*$", "\n" + 5 * "-", text, flags=re.MULTILINE)
    lines = [line.strip(" │╰╯") for line in titled.splitlines()]
    parts = re.split(r"\n[-─]{5,}\n?", "\n" + "\n".join(line for line in lines if line))
    body = " ".join(parts[1].split()) if len(parts) > 1 else " ".join(text.split())
    flags = re.findall(r"^(--\S+)( .*)?$", "\n".join(parts[2:-1]), re.MULTILINE)
    parsed = re.match(r"Error parsing (\S+?): ", body)
    if parsed and flags and parsed[1] in arguments:
        values = list(arguments[list(arguments).index(parsed[1]) + 1 :])
        stop = next((i for i, word in enumerate(values) if word.startswith("--")), len(values))
        got = " ".join(values[:stop]) or "nothing"
        kind = flags[0][1].strip()
        return f"{parsed[1]}: expected {_KINDS.get(kind, kind)}, got {got!r}"
    choice = re.match(r"invalid choice (.*) for argument '(.*)'\. Expected one of \((.*)\)", body)
    if choice:
        known = choice[3].replace("'", "").rstrip(",")
        return f"{choice[2]}: expected one of {known}, got {choice[1]}"
    if body.startswith("Unrecognized options: "):
        words = body.removeprefix("Unrecognized options: ").replace(", ", " ")
        names = ", ".join(dict.fromkeys(name for name, _ in flags[:3]))
        return f"{words}: expected no such argument" + (f"; did you mean {names}?" if names else "")
    if body.startswith("Missing from "):
        return re.sub(rf"^Missing from {PROGRAM} (.*?):", r"\1: expected", body) + ", got nothing"
    return body[:300]
