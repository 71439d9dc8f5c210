"""Problems of the command line: what is trained without an environment."""

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from purejaxrl_suite.cli.plugins import defaults
from purejaxrl_suite.core.plugins import find, is_reference

if TYPE_CHECKING:
    from purejaxrl_suite.engine.problem import MakesProblem


class ProblemEntry(NamedTuple):
    """A problem of the command line: what makes it, and its defaults."""

    build: "MakesProblem"
    config: Any
    hypers: Any


def problems() -> dict[str, ProblemEntry]:
    """Return every problem by its name."""
    from purejaxrl_suite import problems as own

    found = {name: getattr(own, name) for name in own.BUILDERS}
    return {name: ProblemEntry(build, *defaults(name, build)) for name, build in found.items()}


def is_problem(name: str) -> bool:
    """Tell whether a name, or `package.module:function`, is that of a problem."""
    if not is_reference(name):
        return name in problems()
    build = find(name, name)
    return callable(build) and [*inspect.signature(build).parameters] == ["config", "hypers"]


def entry(name: str) -> ProblemEntry:
    """Return a problem by its name, or as `package.module:function`."""
    if not is_reference(name):
        return problems()[name]
    build: Any = find(name, name)
    return ProblemEntry(build, *defaults(name, build))
