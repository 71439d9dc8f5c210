"""`study`: list, run and show executable papers; the only place that knows their names."""

import difflib
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from purejaxrl_suite.cli import folder
from purejaxrl_suite.cli.arguments import PROGRAM, call_one, told
from purejaxrl_suite.cli.flags import prepare
from purejaxrl_suite.core.argument import instance
from purejaxrl_suite.core.plugins import find, is_reference

if TYPE_CHECKING:
    from purejaxrl_suite.studies.protocol import Study
    from purejaxrl_suite.studies.study_result import StudyResult

RUNS = Path("runs/studies")

STUDIES = (
    "actor_critic_representations",
    "bbf",
    "dormant_neurons",
    "emphatic",
    "expected_traces",
    "forethought_and_hindsight",
    "frodo",
    "functional_mirror_ascent",
    "grama",
    "grama_continuous",
    "hyperparameter_consistency",
    "intrinsic_rewards",
    "jaxpruner",
    "lpg",
    "mico",
    "mico_tabular",
    "mind_the_gap",
    "modac",
    "moe_mixture_of_rl",
    "moe_scaling",
    "mtrl_scaling",
    "muesli",
    "muesli_aliased",
    "multitask_grids",
    "multitask_scaling",
    "offline_q_regularisation",
    "plasticity_benchmark",
    "preferences_as_densities",
    "proto_values",
    "reincarnation",
    "reset_pool_is_harmless",
    "silicon_transitions",
    "sparse_actor_critic",
    "state_of_sparse_training",
    "statistical_precipice",
    "synthetic_returns",
    "tandem",
    "tokenize_not_flatten",
    "value_agents",
)
"""Names of all studies, those of their files."""


def studies() -> dict[str, "Study"]:
    """Return every study by its name, that of its file."""
    return {name: import_module(f"purejaxrl_suite.studies.{name}").STUDY for name in STUDIES}


def study(arguments: list[str]) -> int:
    """Executable papers and their verdicts: purejaxrl-suite study list | run NAME | show NAME"""
    import tyro

    def list_(runs: Path = RUNS) -> int:
        """List studies with their verdicts, from here or shipped with the suite.

        Args:
            runs: where `study run` trained; results there take precedence over shipped ones.
        """
        return _list(runs)

    def run(
        name: Annotated[str, tyro.conf.Positional],
        preset: Literal["quick", "standard", "full"] = "quick",
        runs: Path = RUNS,
        results: Path | None = None,
    ) -> int:
        """Train the arms of a study, judge its claims, draw its figure; run it again to resume.

        Args:
            name: of the study, as `study list` prints it; or package.module:STUDY of your own.
            preset: quick takes minutes on two CPU cores and judges nothing, standard up to three
                hours there, full needs a GPU.
            runs: where it trains, in NAME/PRESET; its result is PRESET.json and PRESET.png there.
            results: another folder to write the result to, in NAME.
        """
        return _run(name, preset, runs, results)

    def show(name: Annotated[str, tyro.conf.Positional], runs: Path = RUNS) -> int:
        """Print the question, claims and arms of a study, and its results.

        Args:
            name: of the study, as `study list` prints it; or package.module:STUDY of your own.
            runs: as in `study list`.
        """
        return _show(name, runs)

    def draw(
        names: Annotated[tuple[str, ...], tyro.conf.Positional] = (), runs: Path = RUNS
    ) -> int:
        """Draw the figures of stored results again, beside their files; nothing is run.

        Args:
            names: of studies; none are all that are there.
            runs: a folder with results in NAME or in NAME/PRESET.
        """
        return _draw(names, runs)

    def claims(out: Path = RUNS / "claims.png", runs: Path = RUNS) -> int:
        """Draw all judged claims of all studies in one figure, and in a narrow one beside it.

        Args:
            out: the figure to write.
            runs: as in `study list`.
        """
        return _claims(out, runs)

    commands = {"list": list_, "run": run, "show": show, "draw": draw, "claims": claims}
    text = "Executable papers: claims over arms that train and are judged by one rule."
    return call_one(commands, "study", arguments, text)


def _list(runs: Path) -> int:
    from rich import print as print_table

    from purejaxrl_suite.report.findings import overview

    known = studies()
    found = {name: _found(name, runs) for name in known}
    print_table(overview({name: one.describe() for name, one in known.items()}, found))
    return 0


def _run(name: str, preset: str, runs: Path, results: Path | None) -> int:
    from rich import print as print_table

    from purejaxrl_suite.report import findings
    from purejaxrl_suite.report.studies import draw_study
    from purejaxrl_suite.studies import run_study, study_result, write
    from purejaxrl_suite.sweeps.interrupt import Interrupted, exit_code

    asked = name
    name, chosen = _find(asked)
    out = runs / name / preset
    prepare()
    looks = study_result.seen(name, study_result.SHIPPED, runs, *([results] if results else []))
    try:
        found = run_study(name, chosen, preset, out, looks=looks, commit=folder.commit())
    except Interrupted as stop:
        places = {"--runs": runs if runs != RUNS else None, "--results": results}
        words = [word for flag, x in places.items() if x is not None for word in (flag, x)]
        again = told("study", "run", asked, "--preset", preset, *words)
        print(f"{PROGRAM}: {stop}; everything is saved, `{again}` goes on", file=sys.stderr)
        return exit_code(stop)
    for place in [out, *([results / name] if results else [])]:
        path = write(found, place)
        draw_study(found, place)
    print_table(findings.gates(found))
    print_table(findings.findings(found))
    print(f"Written to {path} and {path.with_suffix('.png')}")
    return 0


def _show(name: str, runs: Path) -> int:
    from rich import print as print_table

    from purejaxrl_suite.report import findings

    name, chosen = _find(name)
    print(f"{(chosen.text or '').strip()}\n")
    print_table(findings.claims(chosen))
    print_table(findings.conditions(chosen))
    for preset, budget in chosen.budgets.items():
        print(f"{preset}: {findings.size(budget)}")
        print_table(findings.arms(chosen.arms(budget)))
    for found in _found(name, runs).values():
        print_table(findings.gates(found))
        print_table(findings.findings(found))
    return 0


def _draw(names: tuple[str, ...], runs: Path) -> int:
    from purejaxrl_suite.report.studies import draw_study
    from purejaxrl_suite.studies import study_result

    found = study_result.find(runs)
    missing = sorted(set(names) - set(found))
    if missing or not found:
        raise ValueError(f"runs: expected results of {', '.join(missing) or 'studies'} in {runs}")
    for name in names or found:
        for file in found[name].values():
            print(f"Drawn: {draw_study(study_result.read(file), file.parent)}")
    return 0


def _claims(out: Path, runs: Path) -> int:
    from purejaxrl_suite.report.claims import claims_figure

    found = {name: _found(name, runs) for name in STUDIES}
    beside = out.with_stem(f"{out.stem}-narrow")
    claims_figure(found, out)
    claims_figure(found, beside, narrow=True)
    print(f"Written to {out} and {beside}")
    return 0


def _found(name: str, runs: Path) -> "dict[str, StudyResult]":
    """Return {preset: result} of a study, from the suite and from runs."""
    from purejaxrl_suite.studies import study_result

    files = study_result.find(study_result.SHIPPED, runs).get(name, {})
    return {preset: study_result.read(file) for preset, file in files.items()}


def _find(name: str) -> "tuple[str, Study]":
    """Find a study by name or reference: (its name, the study); ValueError if there is none."""
    if is_reference(name):
        from purejaxrl_suite.studies import Study

        module = name.partition(":")[0].rpartition(".")[2]
        return module, instance(f"study: {name}", find("study", name), Study)
    known = studies()
    if name in known:
        return name, known[name]
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(nearest)}?" if nearest else f"known: {', '.join(known)}"
    raise ValueError(f"study: there is no study {name!r}; {hint}")
