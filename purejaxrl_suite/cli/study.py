"""`study`: executable papers; the only place that knows them by name."""

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from purejaxrl_suite.cli import folder
from purejaxrl_suite.cli.arguments import PROGRAM, call_one
from purejaxrl_suite.cli.bar import progress_bar
from purejaxrl_suite.cli.flags import use_compilation_cache

if TYPE_CHECKING:
    from purejaxrl_suite.studies.protocol import Study

RESULTS = Path("docs/studies")
RUNS = Path("runs/studies")


def studies() -> dict[str, "Study"]:
    """Every study by its name, that of its file."""
    from purejaxrl_suite.studies import (
        bbf,
        dormant_neurons,
        grama,
        grama_continuous,
        hyperparameter_consistency,
        mind_the_gap,
        moe_mixture_of_rl,
        moe_scaling,
        mtrl_scaling,
        multitask_grids,
        multitask_scaling,
        plasticity_benchmark,
        reset_pool_is_harmless,
        statistical_precipice,
        tokenize_not_flatten,
        value_agents,
    )

    modules = (
        bbf,
        dormant_neurons,
        grama,
        grama_continuous,
        hyperparameter_consistency,
        mind_the_gap,
        moe_scaling,
        moe_mixture_of_rl,
        mtrl_scaling,
        multitask_grids,
        multitask_scaling,
        plasticity_benchmark,
        reset_pool_is_harmless,
        statistical_precipice,
        tokenize_not_flatten,
        value_agents,
    )
    return {module.__name__.rpartition(".")[2]: module.STUDY for module in modules}


def study(arguments: list[str]) -> int:
    """Executable papers and their verdicts: purejaxrl-suite study list | run NAME | show NAME"""
    import tyro

    def list_(results: Path = RESULTS) -> int:
        """List studies with the verdicts of those that have run.

        Args:
            results: the folder of results.
        """
        return _list(results)

    def run(
        name: Annotated[str, tyro.conf.Positional],
        preset: Literal["quick", "full"] = "quick",
        runs: Path = RUNS,
        results: Path = RESULTS,
    ) -> int:
        """Train the arms of a study, judge its claims, draw its figure; run again to go on with it.

        Args:
            name: of the study, as `study list` prints it.
            preset: quick takes minutes on two CPU cores, full minutes on one GPU.
            runs: where it trains, in NAME/PRESET.
            results: where its result is written, to NAME/PRESET.json and NAME/PRESET.png.
        """
        return _run(name, preset, runs / name / preset, results / name)

    def show(name: Annotated[str, tyro.conf.Positional], results: Path = RESULTS) -> int:
        """Print what a study asks, claims and trains, and what it has found.

        Args:
            name: of the study, as `study list` prints it.
            results: the folder of results.
        """
        return _show(name, results / name)

    commands = {"list": list_, "run": run, "show": show}
    text = "Executable papers: claims over arms that train and are judged by one rule."
    return call_one(commands, "study", arguments, text)


def _list(results: Path) -> int:
    from rich import print as print_table

    from purejaxrl_suite.report.studies import overview
    from purejaxrl_suite.studies import outcome

    known = studies()
    found = {name: outcome.results(results / name) for name in known}
    print_table(overview({name: one.describe() for name, one in known.items()}, found))
    return 0


def _run(name: str, preset: str, out: Path, results: Path) -> int:
    from rich import print as print_table

    from purejaxrl_suite.engine.interrupt import Interrupted
    from purejaxrl_suite.report.studies import findings, study_figure
    from purejaxrl_suite.studies import run_study, write

    chosen = _find(name)
    use_compilation_cache()
    how: Any = {"commit": folder.commit(), "watch": progress_bar}
    try:
        outcome = run_study(name, chosen, preset, out, **how)
    except Interrupted as stop:
        again = f"`{PROGRAM} study run {name} --preset {preset}` goes on"
        print(f"{PROGRAM}: {stop}; everything is saved, {again}", file=sys.stderr)
        return 130
    write(outcome, out)  # for the report of the run
    path = write(outcome, results)
    study_figure(outcome, path.with_suffix(".png"))
    print_table(findings(outcome))
    print(f"Written to {path} and {path.with_suffix('.png')}")
    return 0


def _show(name: str, results: Path) -> int:
    from rich import print as print_table

    from purejaxrl_suite.report import studies as tables
    from purejaxrl_suite.studies import outcome

    chosen = _find(name)
    print(f"{(chosen.text or '').strip()}\n")
    print_table(tables.claims(chosen))
    for preset, budget in chosen.budgets.items():
        print(f"{preset}: {tables.describe(budget)}")
        print_table(tables.arms(chosen.arms(budget)))
    for found in outcome.results(results).values():
        print_table(tables.findings(found))
    return 0


def _find(name: str) -> "Study":
    """The study of that name; ValueError naming the nearest ones."""
    known = studies()
    if name in known:
        return known[name]
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(nearest)}?" if nearest else f"known: {', '.join(known)}"
    raise ValueError(f"study: there is no study {name!r}; {hint}")
