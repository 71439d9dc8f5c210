"""Import users' functions: `package.module:function`, or an entry point of an installed package.

Modules are searched on Python's path and in the current folder.
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
    """Tell whether text is a reference `package.module:function`, not a name of the suite."""
    return ":" in text


def find(flag: str, text: str) -> Any:
    """Import what `package.module:name` names.

    Raises:
        ValueError: the text has another form, the module cannot be imported or lacks the name; the
            message names the flag.
    """
    module, _, name = text.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), *name.split(".")]):
        raise wrong(flag, "package.module:function", text)
    if "" not in sys.path:
        sys.path.append("")  # the current folder
    try:
        found = importlib.import_module(module)
    except Exception as error:  # importing a module runs its code, which may raise anything
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise ValueError(f"{flag}: {module} cannot be imported: {reason}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{flag}: {module} has no {name}")
        found = getattr(found, part)
    return found


def installed(group: str) -> dict[str, str]:
    """List entry points of installed packages, {name: `package.module:function`}; no imports."""
    return {point.name: point.value for point in entry_points(group=group)}


def called(flag: str, text: str, kind: type, **options: Any) -> Any:
    """Call the function `package.module:function` and return its result, if it is of that type."""
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
