"""The flags `--sparse.*`: sparse training of any agent, by the name of a method."""

import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from purejaxrl_suite.cli.made import Made, numbers
from purejaxrl_suite.core.argument import integer, one_of, wrong

if TYPE_CHECKING:
    from purejaxrl_suite.core.types import Builder
    from purejaxrl_suite.sparsity import Structure, Updater

FIELDS = {
    "target": "sparsity",
    "start": "sparsity_start",
    "end": "sparsity_end",
    "drop_fraction": "drop_fraction",
}
"""{flag: field of the Hypers that it sets}."""


class SparseFlags(NamedTuple):
    """Sparse training, with masks over the agent's kernels; without a method it is dense.

    In a sweep target, start, end and drop-fraction take several values, VALUE,VALUE ..., as axes of
    one program.

    Attributes:
        method: magnitude, random, saliency, adam_fisher, global_magnitude, global_saliency,
            magnitude_ste, random_ste, ac_dc, static, set, rigl or no_prune; docs/sparse_training.md
            says what they do.
        target: share of the weights that is zero in the end, such as 0.9.
        start: fraction of training from which on weights are pruned, or replaced.
        end: fraction of training until which they are.
        drop_fraction: share of the weights that set and rigl replace at first.
        period: gradient steps between new masks; by default about 1,000.
        distribution: of the target over layers: erk or uniform.
        structure: what is kept or pruned together: 2:4 keeps two of every four, 4x4 is blocks,
            channel is whole units or filters.
    """

    method: str | None = None
    target: str | None = None
    start: str | None = None
    end: str | None = None
    drop_fraction: str | None = None
    period: int | None = None
    distribution: str | None = None
    structure: str | None = None

    def given(self) -> dict[str, Any]:
        """Return the flags that are given, by name."""
        return {name: x for name, x in self._asdict().items() if x is not None}


def methods() -> "dict[str, Callable[..., Updater]]":
    """Return what makes the updater of each method, by name."""
    from purejaxrl_suite.sparsity import updaters

    made = (
        updaters.magnitude,
        updaters.random,
        updaters.saliency,
        updaters.adam_fisher,
        updaters.global_magnitude,
        updaters.global_saliency,
        updaters.magnitude_ste,
        updaters.random_ste,
        updaters.ac_dc,
        updaters.static,
    )
    named = {make.__name__: make for make in made}
    more = {"set": updaters.sparse_evolutionary, "rigl": updaters.rigl}
    return named | more | {"no_prune": updaters.no_prune}


def sparse(flags: SparseFlags, build: "Builder", hypers: Any, *, several: bool) -> Made:
    """Make a builder of sparse agents of the flags; the builder itself where none is given.

    Args:
        flags: as given.
        build: of the agents inside.
        hypers: of the agent inside.
        several: whether numbers may have several values.

    Returns:
        The builder, with the Hypers of its agents.

    Raises:
        ValueError: a flag is wrong, or has no effect with the others.
    """
    given = flags.given()
    if not given:
        return Made(build, hypers)
    if flags.method is None:
        raise ValueError(f"{_flag(next(iter(given)))}: expected a --sparse.method with it")
    from purejaxrl_suite import sparsity
    from purejaxrl_suite.sparsity.hypers import joined, read_by

    updater = _updater(flags)
    if flags.period is not None:
        integer("--sparse.period", flags.period, 1)
        if updater.score is None:
            raise ValueError(f"--sparse.period: the masks of {flags.method} never change")
    reads = read_by(updater)
    levels = {name: _numbers(name, given[name], several) for name in FIELDS if name in given}
    for name in levels:
        if FIELDS[name] not in dict(reads):
            raise ValueError(f"{_flag(name)}: has no effect with {updater.name}")
    single = {FIELDS[name]: xs[0] for name, xs in levels.items() if len(xs) == 1}
    told = {FIELDS[name]: _flag(name) for name in levels}
    return Made(
        build=sparsity.sparse(build, updater, period=flags.period),
        hypers=joined(hypers, reads)._replace(**single),
        grid=tuple(f"{FIELDS[n]}={given[n]}" for n, xs in levels.items() if len(xs) > 1),
        told=told,
    )


def _updater(flags: SparseFlags) -> "Updater":
    """Return the updater that the flags ask for."""
    from purejaxrl_suite import sparsity

    known, method = methods(), str(flags.method)
    make = known[one_of("--sparse.method", method, known)]
    takes = inspect.signature(make).parameters
    for name in ("distribution", "structure"):
        if getattr(flags, name) is not None and name not in takes:
            raise ValueError(f"{_flag(name)}: {method} has none")
    options: dict[str, Any] = {}
    if flags.structure is not None:
        options["structure"] = _structure(flags.structure)
    if flags.distribution is not None:
        spreads = {"erk": sparsity.erk, "uniform": sparsity.uniform}
        name = one_of("--sparse.distribution", flags.distribution, spreads)
        options["distribution"] = spreads[name]()
    try:
        return make(**options)
    except ValueError as error:
        raise ValueError(f"--sparse.{error}") from None


def _structure(text: str) -> "Structure":
    """Return the structure that a text names."""
    from purejaxrl_suite import sparsity

    if text == "channel":
        return sparsity.channel()
    found = re.fullmatch(r"(\d{1,9})([:x])(\d{1,9})", text)
    if found is None:
        raise wrong("--sparse.structure", "N:M such as 2:4, HxW such as 4x4, or channel", text)
    make = sparsity.block if found[2] == "x" else sparsity.n_of_m
    try:
        return make(int(found[1]), int(found[3]))
    except ValueError as error:
        raise ValueError(f"--sparse.structure: {error}") from None


def _numbers(name: str, text: str, several: bool) -> list[float]:
    """Parse VALUE, or VALUE,VALUE ... where there may be several."""
    bounds: dict[str, Any] = {"below": 1} if name == "target" else {"high": 1}
    return numbers(_flag(name), text, several, low=0, **bounds)


def _flag(name: str) -> str:
    return f"--sparse.{name.replace('_', '-')}"
