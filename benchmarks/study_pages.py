"""What the pages of studies show, written from the results that come with the suite.

`benchmarks.tables` puts it into docs/studies.md, docs/studies/NAME.md and README.md, and writes the
page of a study that has none.
"""

import ast
import inspect
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cache
from importlib import import_module
from pathlib import Path

from purejaxrl_suite.cli.study import STUDIES, studies
from purejaxrl_suite.report import findings
from purejaxrl_suite.report.summary import engineering
from purejaxrl_suite.studies.definition import digest
from purejaxrl_suite.studies.protocol import JUDGED
from purejaxrl_suite.studies.study_result import SHIPPED, Ruling, StudyResult, find, read

ROOT = Path(__file__).resolve().parents[1]
PAGES = {name: Path(f"docs/studies/{name}.md") for name in STUDIES}
PRESETS = ("full", "standard", "quick")
"""The largest budget first."""
NARROW = "(max-width: 600px)"
EMPTY = """# {0}

<!-- question_{0} -->
<!-- end of question_{0} -->

<!-- study_{0} -->
<!-- end of study_{0} -->
"""


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


@cache
def results(name: str) -> dict[str, StudyResult]:
    """{preset: result} of a study, the largest first; {} if it has not run."""
    files = find(SHIPPED).get(name, {})
    return {preset: read(files[preset]) for preset in PRESETS if preset in files}


def index() -> str:
    """All studies with the outcome of their largest budget."""
    rows = [[f"[`{name}`](studies/{name}.md)", *_line(name)] for name in STUDIES]
    titles = ("study", "preset", "gates", "verdicts", "seeds", "steps", "of", "hours")
    return f"\n{table(titles, rows)}\n"


def counts() -> str:
    """How many claims of how many studies have which ruling."""
    judged = [one for name in STUDIES if (one := _largest(name)) and one.preset in JUDGED]
    claims = [claim for one in judged for claim in one.findings]
    found = Counter(claim.verdict for claim in claims)
    told = ", ".join(f"{found[ruling]} {ruling}" for ruling in Ruling if found[ruling])
    lost = sum(x.adjusted is not None and x.adjusted.verdict != x.verdict for x in claims)
    return (
        f"\n{len(judged)} of {len(STUDIES)} studies are judged, and of their {len(claims)} claims "
        f"are {told}. {lost} of these verdicts do not hold among all claims of their study. The "
        "other studies have run at `quick`, which judges nothing, or never.\n\n"
    )


def question(name: str) -> str:
    """What a study asks, what the paper had, and how it is asked here."""
    text = studies()[name].describe()
    command = f"`purejaxrl-suite study run {name} --preset standard`"
    rows = [
        ("paper", text.paper),
        ("what it had", text.figure),
        ("its claim", text.claim),
        ("verdicts", _verdicts(name)),
        ("run it", command),
        ("file", f"[`studies/{name}.py`](../../purejaxrl_suite/studies/{name}.py)"),
    ]
    return f"\n{table(('asks', text.question), rows)}\n{_here(name)}\n"


def outcome(name: str) -> str:
    """What a study found with each preset: figure, claims, gates, and cost."""
    known, parts = studies()[name], []
    for preset, one in results(name).items():
        same = one.digest == digest(known, known.budgets[preset])
        parts.append(_result(one, "" if same else " The study has been changed since."))
    return "\n".join(parts) or "\nNot run yet.\n\n"


def picture(wide: str, narrow: str, text: str) -> str:
    """A figure that opens in full size, and another one in its place on narrow screens."""
    source = f'<source media="{NARROW}" srcset="{narrow}">'
    shown = f'<picture>{source}<img alt="{text}" src="{wide}"></picture>'
    return f'<a href="{wide}">{shown}</a>\n'


def _result(one: StudyResult, changed: str) -> str:
    place = f"../../{SHIPPED.relative_to(ROOT)}/{one.study}/{one.preset}"
    shown = picture(f"{place}.png", f"{place}-narrow.png", f"{one.study}, {one.preset}")
    missing = findings.members(one).removeprefix("; ")
    record = [
        f"{findings.size(one.budget)}; {one.made['device']}, commit {one.made['commit'][:12]}.",
        f"{missing[:1].upper()}{missing[1:]}." if missing else "",
        changed.strip(),
    ]
    return "\n".join(
        (
            f"\n## {one.preset}\n",
            " ".join(filter(None, record)) + "\n",
            shown,
            _claims(one),
            _gates(one),
            _cost(one),
        )
    )


def _claims(one: StudyResult) -> str:
    data = [findings.trained(one, claim) for claim in one.findings]
    titles = ["claim", "expected", "found, 95 % interval", "of", "verdict"]
    rows = [
        [
            claim.statement,
            findings.expected(claim),
            findings.effect(claim, claim.unit),
            of,
            _bold(findings.verdict(claim)),
        ]
        for claim, of in zip(one.findings, data, strict=True)
    ]
    if any(claim.adjusted for claim in one.findings):
        titles.insert(3, f"among {len(one.findings)} claims")
        for row, claim in zip(rows, one.findings, strict=True):
            row.insert(3, findings.adjusted(claim))
    return _with_data("Claims", titles, rows)


def _gates(one: StudyResult) -> str:
    if not one.gates:
        return "This result is older than its gates.\n"
    rows = [
        [
            f"`{gate.name}`: {gate.statement}",
            findings.required(gate),
            findings.interval(gate),
            findings.trained(one, gate),
            "yes" if gate.passed else f"**no**, needs {gate.remedy}",
        ]
        for gate in one.gates
    ]
    return _with_data("Gates", ["gate", "asks", "measured", "of", "passed"], rows)


def _with_data(what: str, titles: list[str], rows: list[list[str]]) -> str:
    """Write a table; data that all rows share stand above it."""
    at = titles.index("of")
    data = {row[at] for row in rows}
    if len(data) > 1:
        return table(titles, rows)
    kept = [[cell for i, cell in enumerate(row) if i != at] for row in (titles, *rows)]
    return f"{what} of {data.pop()}:\n\n{table(kept[0], kept[1:])}"


def _cost(one: StudyResult) -> str:
    rows = [
        (
            name,
            arm.agent,
            f"{arm.members:,}",
            engineering(arm.steps),
            f"{arm.compile_seconds:,.0f}",
            f"{arm.wall_seconds:,.0f}",
            f"{engineering(arm.steps_per_second)}",
        )
        for name, arm in one.arms.items()
    ]
    titles = ("arm", "agent", "members", "steps of each", "compiling, s", "training, s", "steps/s")
    return f"In all {_time(one)}.\n\n{table(titles, rows)}"


def _line(name: str) -> list[str]:
    """Preset, gates, verdicts, seeds, steps, tasks and hours of the largest budget."""
    one = _largest(name)
    if one is None:
        return ["", "", "not run yet", "", "", "", ""]
    passed = sum(gate.passed for gate in one.gates)
    return [
        one.preset,
        f"{passed} of {len(one.gates)}" if one.gates else "",
        findings.tally(one),
        str(one.budget.seeds),
        engineering(one.budget.steps),
        ", ".join(one.budget.environments),
        f"{_seconds(one) / 3600:.2f}",
    ]


def _largest(name: str) -> StudyResult | None:
    return next(iter(results(name).values()), None)


def _verdicts(name: str) -> str:
    told = [f"{preset}: {findings.tally(one)}" for preset, one in results(name).items()]
    return "; ".join(told) or "not run yet"


def _here(name: str) -> str:
    """How the study asks its question: what its docstring says besides its parts."""
    module = import_module(f"purejaxrl_suite.studies.{name}")
    tree = ast.parse(inspect.getsource(module))
    _, _, *rest = (ast.get_docstring(tree) or "").split("\n\n")
    return "\n\n".join(rest) + "\n" if rest else ""


def _bold(verdict: str) -> str:
    return verdict if verdict == Ruling.NOT_JUDGED else f"**{verdict}**"


def _seconds(one: StudyResult) -> float:
    return sum(arm.compile_seconds + arm.wall_seconds for arm in one.arms.values())


def _time(one: StudyResult) -> str:
    members = sum(arm.members for arm in one.arms.values())
    steps = engineering(sum(arm.members * arm.steps for arm in one.arms.values()))
    whole = timedelta(seconds=round(_seconds(one)))
    return f"{whole} for {members:,} members and {steps} steps on {one.made['device']}"
