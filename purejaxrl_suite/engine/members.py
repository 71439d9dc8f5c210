"""The final states of all members in a folder, as a sweep keeps its own."""

from pathlib import Path
from typing import TYPE_CHECKING

from purejaxrl_suite.engine.curves import made_with
from purejaxrl_suite.engine.layout import Layout
from purejaxrl_suite.engine.result import Result
from purejaxrl_suite.engine.store import Sweep

if TYPE_CHECKING:
    import xarray


def save(result: Result, folder: str | Path) -> None:
    """Write the states of a run that was kept in memory to a new folder, for `load`."""
    sweep = Sweep(Path(folder))
    sweep.check_new()
    sizes = {"chunk": list(result.sizes)}
    for g, chunks in enumerate(result.chunks):
        for k, chunk in enumerate(chunks):
            update, state = chunk.restore(None)
            stored = sweep.chunk(g, k, keep=1)
            stored.save(update, state)
            stored.close()
    sweep.create(result.layout.identity(), sizes, made_with())


def load(laid: Layout, folder: str | Path, curves: "xarray.Dataset") -> Result:
    """The result of a finished sweep, or of a run that was saved, from its folder.

    laid: as it was trained. curves: of it. States are read when they are asked for.
    Raises ValueError naming what differs where the folder is of something else.
    """
    sweep = Sweep(Path(folder))
    sizes = sweep.open(laid.identity())["chunk"]
    chunks = tuple(
        tuple(sweep.chunk(g, k, keep=1) for k in range(-(-len(group.members.seeds) // size)))
        for g, (group, size) in enumerate(zip(laid.groups, sizes, strict=True))
    )
    return Result(curves, laid, tuple(sizes), chunks)
