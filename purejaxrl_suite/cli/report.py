"""`report`, `gallery` and `export`: show and export runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from purejaxrl_suite.cli import folder
from purejaxrl_suite.cli.arguments import FIGURES, call, output_file
from purejaxrl_suite.cli.study import RUNS

if TYPE_CHECKING:
    from purejaxrl_suite.studies import StudyResult


def report(arguments: list[str]) -> int:
    """Compare runs, or look at a sweep: purejaxrl-suite report RUN [RUN ...] [--figure FILE]"""
    import tyro

    def command(
        runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
        figure: Path | None = None,
        ranking: Path | None = None,
        layers: Path | None = None,
        page: Path | None = None,
        out: Path | None = None,
        metric: str | None = None,
        pair: tuple[str, str] | None = None,
    ) -> None:
        """Compare runs in one table; write a page with curves, scores, settings and plan.

        Args:
            runs: folders of runs, sweeps and studies; they may still be running.
            figure: where to write learning curves (png, pdf or svg); none by default.
            ranking: where to write final scores with intervals, best first; none by default.
            layers: where to write maps of the metric in each layer; none by default.
            page: where to write the page; report.html in `out` by default.
            out: the folder for figures and the page; that of a single run by default, none for
                several.
            metric: shown in figures, and by which the configurations of a sweep are ordered; by
                default the return of episodes, or the loss where there is no environment.
            pair: two names that a sweep varied, for a map of both in its folder.
        """
        from rich import print as print_table

        from purejaxrl_suite import report
        from purejaxrl_suite.report.configurations import configurations, main_metric

        output_file("--figure", figure, FIGURES)
        output_file("--ranking", ranking, FIGURES)
        output_file("--layers", layers, FIGURES)
        output_file("--page", page, (".html",))
        found = _open(runs)
        metric = metric or main_metric(configurations(found.curves))
        alone = len(runs) == 1 and _is_run(runs[0])
        if pair is not None and not alone:
            raise ValueError("--pair: expected the folder of one sweep")
        where = out or (runs[0] if len(runs) == 1 else None)
        if where is not None and (alone or page is None):
            folder.check_writable(where)
        if alone and where is not None:
            (curves,) = found.curves.values()
            folder.show(where, curves, metric, pair)
            print(f"Written to {where}")
        else:
            print_table(report.table(found.curves))
        figures = (report.learning_curves, figure), (report.ranked, ranking)
        for draw, path in (*figures, (report.layer_maps, layers)):
            if path is not None:
                draw(found.curves, metric, path)
                print(f"Figure: {path}")
        path = page or (where / "report.html" if where else None)
        if path is not None:
            title = ", ".join(run.name for run in runs)
            report.page(found.curves, path, title=title, metric=metric, **found.known())
            print(f"Page: {path}")

    call(command, "report", arguments)
    return 0


def export(arguments: list[str]) -> int:
    """Hand curves on: purejaxrl-suite export RUN --to tensorboard|csv|netcdf|parquet"""
    import tyro

    def command(
        run: Annotated[Path, tyro.conf.Positional],
        to: Literal["tensorboard", "csv", "netcdf", "parquet"],
        out: Path | None = None,
    ) -> None:
        """Write the curves of a run in a format that other programs read.

        Args:
            run: the folder of a run or sweep; it may still be running.
            to: event files (a folder per member), or one file of all.
            out: the file or folder to write, which must be new; in the run folder by default.
        """
        from purejaxrl_suite.report import export

        _check_runs([run])
        names = {
            "tensorboard": (export.to_tensorboard, "tensorboard"),
            "csv": (export.to_csv, "curves.csv"),
            "netcdf": (export.to_netcdf, "curves.nc"),
            "parquet": (export.to_parquet, "curves.parquet"),
        }
        write, name = names[to]
        path = out or run / name
        folder.check_writable(path.parent)
        write(_read(run)[0], path)
        print(f"Written to {path}")

    call(command, "export", arguments)
    return 0


def gallery(arguments: list[str]) -> int:
    """Write the page of all studies with their verdicts: purejaxrl-suite gallery [--out FILE]"""

    def command(runs: Path = RUNS, out: Path | None = None) -> None:
        """Write one page of all studies with results, from here or shipped; nothing runs again.

        Args:
            runs: where `study run` trained; results there take precedence over shipped ones.
            out: the file to write; gallery.html in that folder by default.
        """
        from purejaxrl_suite.report.gallery import gallery
        from purejaxrl_suite.studies.study_result import SHIPPED, find

        path = output_file("--out", out, (".html",)) or runs / "gallery.html"
        count = gallery(find(SHIPPED, runs), path)
        print(f"Written to {path}: {count} studies")

    call(command, "gallery", arguments)
    return 0


class _Runs(NamedTuple):
    """Contents of run folders: curves and config.json by label, and results of studies."""

    curves: dict[str, Any]
    records: dict[str, dict[str, Any]]
    outcomes: "list[StudyResult]"
    note: str

    def known(self) -> dict[str, Any]:
        """Return the other arguments of a page."""
        return {name: value for name, value in self._asdict().items() if name != "curves"}


def _open(runs: Sequence[Path]) -> _Runs:
    """Read runs; the folder of a study is read as its arms."""
    from purejaxrl_suite.studies import results

    arms = {run: _arms(run) for run in runs}
    found = [one for run, inside in arms.items() for one in inside or [run]]
    _check_runs(found)
    labels = [one.name for one in found]
    if len(set(labels)) < len(labels):
        labels = [str(one) for one in found]
    read = dict(zip(labels, map(_read, found), strict=True))
    return _Runs(
        {label: dataset for label, (dataset, _) in read.items()},
        dict(zip(labels, map(folder.read_record, found), strict=True)),
        [one for run, inside in arms.items() if inside for one in results(run).values()],
        ". ".join(note for _, note in read.values() if note),
    )


def _arms(run: Path) -> list[Path]:
    """List the sweeps in the folder of a study, [] for any other folder."""
    inside = sorted(path.parent for path in run.glob("*/sweep.json"))
    return [] if _is_run(run) else inside


def _check_runs(runs: Sequence[Path]) -> None:
    """Raise ValueError naming the folders without a run."""
    missing = [str(run) for run in runs if not _is_run(run)]
    if missing or not runs:
        raise ValueError(f"runs: expected run folders; not one: {', '.join(missing) or 'none'}")


def _is_run(run: Path) -> bool:
    from purejaxrl_suite.sweeps.folder import settle

    settle(run)
    return any((run / name).exists() for name in ("curves.zarr", "sweep.json"))


def _read(run: Path) -> tuple[Any, str]:
    """Read the curves of a run as far as it is trained, and a note on missing parts."""
    from purejaxrl_suite.cli.load import curves
    from purejaxrl_suite.sweeps import curves as storage
    from purejaxrl_suite.sweeps.store import Sweep

    if (run / "curves.zarr").exists():
        alone = not (run / "sweep.json").exists()
        return storage.read(run / "curves.zarr") if alone else Sweep(run).curves(), ""
    return folder.read(run, curves)
