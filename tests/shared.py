"""What tests of a module share where they try folders, and not compilers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from purejaxrl_suite.sweeps import execute, identity, sweep


def once(function: Callable[..., Any], key: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called once for each key of its arguments, which are kept: so are their ids."""
    known = {}

    def called(*arguments: Any, **named: Any) -> Any:
        what = key(*arguments, **named)
        if what not in known:
            known[what] = function(*arguments, **named), arguments, named
        return known[what][0]

    return called


@contextmanager
def compiled_once() -> Iterator[None]:
    """Sweeps of equal arguments have one layout, whose programs are traced and compiled once.

    Functions are equal if they are the same, so networks and environments must not be made anew.
    """
    laid = once(sweep.lay_out, lambda *arguments, **named: repr((arguments, named)))

    def of_fleet(single: Any, members: Any, **sizes: Any) -> Any:
        return id(single), len(members.seeds), *sorted(sizes.items())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "lay_out", laid)
        patch.setattr(execute, "compile_fleet", once(execute.compile_fleet, of_fleet))
        patch.setattr(identity, "digest", once(identity.digest, lambda single, _: id(single)))
        yield
