"""Read a population from its folder, with its stored decisions; `select` is not called again."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from purejaxrl_suite.populations.cohort import Cohort, Phase, Schedule, first_cohort, lay_out_cohort
from purejaxrl_suite.populations.history import dataset
from purejaxrl_suite.sweeps import files
from purejaxrl_suite.sweeps.folder import settle
from purejaxrl_suite.sweeps.layout import Layout
from purejaxrl_suite.sweeps.result import TRAINED, Result
from purejaxrl_suite.sweeps.store import Sweep
from purejaxrl_suite.sweeps.stored import Stored

if TYPE_CHECKING:
    import xarray


def stored_population(
    laid: Layout, folder: str | Path, identity: Mapping[str, Any] | None = None
) -> Stored:
    """Read the folder of a population; its members are those of the last phase with a checkpoint.

    Args:
        laid: layout of the first configurations.
        folder: of the population.
        identity: as in `stored`.

    Returns:
        The result so far, and the share that is done.

    Raises:
        ValueError: the folder is of another run (the message names the difference), or no segment
            is finished.
    """
    settle(Path(folder))
    sweep = Sweep(Path(folder))
    told = files.read_json(sweep.path / "sweep.json")["identity"]["population"]
    sizes = sweep.open(identity or {"sweep": laid.identity(), "population": told})
    edges = (0, *told["rungs, in updates"], laid.groups[0].updates)
    schedule = Schedule(
        length=sizes["length"][0],
        edges=edges,
        window=told["window, in updates"],
        counts=told["configurations"],
        sizes=sizes["chunk"],
        blocks=sizes["block"],
        per_update=laid.groups[0].per_update,
        row=sizes["row"][0],
    )
    phases = _phases(laid, sweep, schedule)
    size, last = schedule.sizes[len(phases) - 1], lay_out_cohort(laid, phases[-1].cohort)
    finished = sweep.finished()
    found, done = (sweep.curves(), 1.0) if finished else _so_far(laid, schedule, phases)
    return Stored(Result(found, last, (size,), ((phases[-1],),)), done)


def _so_far(
    laid: Layout, schedule: Schedule, phases: list[Phase]
) -> tuple["xarray.Dataset", float]:
    """Make the curves up to the last measured row, and the share of training that they cover."""
    count, edges = len(phases), schedule.edges
    begun = schedule._replace(
        edges=edges[: count + 1], counts=schedule.counts[:count], sizes=schedule.sizes[:count]
    )
    group = laid.groups[0]._replace(updates=edges[count])
    cohorts, parts = [phase.cohort for phase in phases], [_rows(phase) for phase in phases]
    shorter = laid._replace(groups=(group,))
    found = dataset(shorter, begun, cohorts, parts=parts, compile_seconds=float("nan"))
    measured = int(np.flatnonzero(np.isfinite(found["steps_per_second"].values))[-1]) + 1
    ends = np.minimum(edges[1:], measured * schedule.row)
    work = np.asarray(schedule.counts) * np.stack([np.diff(edges), np.diff([0, *ends])])
    steps = int(work[1].sum()) * len(laid.seeds) * schedule.per_update
    done = float(work[1].sum() / work[0].sum())
    known = {"environment_steps": steps, TRAINED: done}
    return found.isel(step=slice(0, measured)).assign_attrs(known), done


def _rows(phase: Phase) -> dict[str, np.ndarray]:
    """Return the rows that the last checkpoint covers; all of a phase that dropped its states."""
    latest = phase.inner.latest()
    return phase.inner.curves((phase.until if latest is None else latest) - phase.first)


def _phases(laid: Layout, sweep: Sweep, schedule: Schedule) -> list[Phase]:
    """Return the phases that have begun, up to the last one with a checkpoint."""
    cohorts = [first_cohort(laid)]
    while (record := _record(sweep, len(cohorts))).exists():
        cohorts.append(Cohort.of(files.read_json(record)))
    stores = [sweep.chunk(0, number, 1, schedule.row) for number in range(len(cohorts))]
    begun = [number for number, store in enumerate(stores) if store.latest() is not None]
    if not begun:
        raise ValueError(f"{sweep.path}: no segment of this run is finished yet")
    many = zip(stores, schedule.spans, cohorts, strict=False)
    return [Phase(store, span, cohort, None) for store, span, cohort in many][: begun[-1] + 1]


def _record(sweep: Sweep, number: int) -> Path:
    return sweep.path / "group-000" / f"selection-{number:03}.json"
