"""Problems of the command line: what is trained without an environment."""

from typing import TYPE_CHECKING, Any, NamedTuple

from purejaxrl_suite.cli.plugins import defaults

if TYPE_CHECKING:
    from purejaxrl_suite.engine.problem import MakesProblem

BUILDERS = (
    "cubic",
    "dpo",
    "geometric_average",
    "ipo",
    "likelihood",
    "lissajous",
    "reward_model",
    "slic",
)
"""Names of all problems, those of the functions that make them."""


class ProblemEntry(NamedTuple):
    """A problem of the command line: what makes it, and its defaults."""

    build: "MakesProblem"
    config: Any
    hypers: Any


def problems() -> dict[str, ProblemEntry]:
    """Return every problem by its name."""
    from purejaxrl_suite import problems as own

    found = {name: getattr(own, name) for name in BUILDERS}
    return {name: entry(name, build) for name, build in found.items()}


def entry(name: str, build: Any) -> ProblemEntry:
    """Make the entry of a function (config, hypers) -> Problem."""
    return ProblemEntry(build, *defaults(name, build))
