"""Find what users wrote: `package.module:function`, or an entry point of an installed package.

A module is looked for where Python finds modules, and in the folder that the command runs in.
"""

import importlib
import sys
from importlib.metadata import entry_points
from typing import Any

from purejaxrl_suite.core.argument import a, shown, wrong

AGENTS = "purejaxrl_suite.agents"
"""Entry points whose values build agents."""
ENVIRONMENTS = "purejaxrl_suite.environments"
"""Entry points whose values make environments."""


def is_reference(text: str) -> bool:
    """Whether a name says where something is, and is not one of the suite's own."""
    return ":" in text


def find(flag: str, text: str) -> Any:
    """Import what `package.module:name` names.

    Raises ValueError naming the flag for what is no such text, a module that cannot be imported,
    and a name that it does not have.
    """
    module, _, name = text.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), *name.split(".")]):
        raise wrong(flag, "package.module:function", text)
    if "" not in sys.path:
        sys.path.append("")  # the folder that the command runs in
    try:
        found = importlib.import_module(module)
    except Exception as error:  # what a module does while it is imported may fail in any way
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise ValueError(f"{flag}: {module} cannot be imported: {reason}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{flag}: {module} has no {name}")
        found = getattr(found, part)
    return found


def installed(group: str) -> dict[str, str]:
    """{name: `package.module:function`} of what installed packages offer; nothing is imported."""
    return {point.name: point.value for point in entry_points(group=group)}


def called(flag: str, text: str, kind: type, **options: Any) -> Any:
    """What the function `package.module:function` returns, if it is of that type."""
    make = find(flag, text)
    if isinstance(make, kind):
        return make
    if not callable(make):
        raise wrong(f"{flag}: {text}", f"a function that returns {a(kind)}", make)
    try:
        found = make(**options)
    except TypeError as error:
        raise ValueError(f"{flag}: {text}: {error}") from error
    if not isinstance(found, kind):
        raise ValueError(f"{flag}: expected {text} to return {a(kind)}, got {shown(found)}")
    return found
