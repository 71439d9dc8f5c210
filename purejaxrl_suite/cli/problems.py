"""Problems of the command line: what is trained without an environment."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from purejaxrl_suite.cli.plugins import defaults

if TYPE_CHECKING:
    from purejaxrl_suite.engine.problem import MakesProblem

BUILDERS = {
    "problems": (
        "cubic",
        "dpo",
        "geometric_average",
        "ipo",
        "likelihood",
        "lissajous",
        "reward_model",
        "slic",
    ),
    "microscopy": ("hop_rates",),
}
"""Names of all problems by package, those of the functions that make them."""


class ProblemEntry(NamedTuple):
    """A problem of the command line: what makes it, and its defaults."""

    build: "MakesProblem"
    config: Any
    hypers: Any


def problems() -> dict[str, ProblemEntry]:
    """Return every problem by its name."""
    packages = {name: import_module(f"purejaxrl_suite.{name}") for name in BUILDERS}
    return {
        name: entry(name, getattr(packages[package], name))
        for package, names in BUILDERS.items()
        for name in names
    }


def entry(name: str, build: Any) -> ProblemEntry:
    """Make the entry of a function (config, hypers) -> Problem."""
    return ProblemEntry(build, *defaults(name, build))
