"""What tests of a module share where they try folders, and not compilers."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import cli
from purejaxrl_suite.core.types import Network
from purejaxrl_suite.populations import population
from purejaxrl_suite.studies import run as study
from purejaxrl_suite.sweeps import execute, identity, run, stages, sweep


def command(text: str) -> int:
    """Run the command line with the words of a text: its exit status."""
    return cli.main(text.split())


def press_ctrl_c(*_: Any) -> str:
    """Interrupt the process, as a handler that is told anything."""
    signal.raise_signal(signal.SIGINT)
    return ""


def drawn(network: Network) -> Network:
    """The network with parameters of one uniform draw: orthogonal kernels take long to compile."""

    def init(key: Any) -> Any:
        leaves, structure = jax.tree.flatten(jax.eval_shape(network.init, key))
        ends = np.cumsum([leaf.size for leaf in leaves])
        numbers = jax.random.uniform(key, (int(ends[-1]),), minval=-0.5, maxval=0.5)
        parts = zip(jnp.split(numbers, ends[:-1]), leaves, strict=True)
        return structure.unflatten([part.reshape(leaf.shape) for part, leaf in parts])

    return network._replace(init=init)


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
    """Experiments of equal arguments have one layout, whose programs are traced and compiled once.

    Functions are equal if they are the same, so networks and environments must not be made anew.
    """
    laid = once(sweep.lay_out, lambda *arguments, **named: repr((arguments, named)))

    def of_fleet(single: Any, members: Any, **sizes: Any) -> Any:
        return id(single), len(members.seeds), *sorted(sizes.items())

    with pytest.MonkeyPatch.context() as patch:
        for front in (run, sweep, stages, population, study):
            patch.setattr(front, "lay_out", laid)
        patch.setattr(execute, "compile_fleet", once(execute.compile_fleet, of_fleet))
        patch.setattr(identity, "digest", once(identity.digest, lambda single, _: id(single)))
        yield
