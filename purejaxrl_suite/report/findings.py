"""Findings of studies in words and tables: gates, claims with rulings, and all studies together.

Every result is shown with its seeds, steps and tasks.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text as RichText

from purejaxrl_suite.report.plain import PlainTable
from purejaxrl_suite.report.summary import engineering, unlike
from purejaxrl_suite.stats import MINIMUM_SEEDS
from purejaxrl_suite.studies.protocol import Arm, Budget, Computation, Continuation, Study, Text
from purejaxrl_suite.studies.study_result import Checked, Finding, Ruling, StudyResult
from purejaxrl_suite.sweeps.layout import lay_out

STYLE = {
    Ruling.CONFIRMED: "green",
    Ruling.REFUTED: "red",
    Ruling.INCONCLUSIVE: "yellow",
    Ruling.EXPLORATORY: "magenta",
}


def findings(outcome: StudyResult) -> Table:
    """Tabulate claims: expectation, finding with its data, ruling. Print it with rich."""
    made, count = outcome.made, len(outcome.findings)
    caption = f"{outcome.preset}: {size(outcome.budget)}; {made['device']}, commit {made['commit']}"
    caption += members(outcome)
    table = PlainTable(box=SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("claim", overflow="fold", ratio=3)
    table.add_column("expected", overflow="fold", ratio=2)
    table.add_column("found, 95 % interval", overflow="fold", ratio=2)
    table.add_column(f"among {count} claims", overflow="fold", ratio=2)
    table.add_column("of", overflow="fold", ratio=2)
    table.add_column("verdict", overflow="fold", ratio=1)
    for one in outcome.findings:
        ruling = RichText(verdict(one), style=STYLE.get(one.verdict, ""))
        cells = expected(one), effect(one), adjusted(one), trained(outcome, one), ruling
        table.add_row(one.statement, *cells)
    return table


def members(outcome: StudyResult) -> str:
    """Say how many members diverged or have no final return, for a caption; "" if none."""
    curves = outcome.curves
    missing = sum(score != score for one in curves for score in one.final)
    total, lost = sum(len(one.final) for one in curves), sum(one.diverged for one in curves)
    return unlike(total, lost, missing)


def gates(outcome: StudyResult) -> Table:
    """Tabulate gates: condition, and measure with its data. Print it with rich."""
    table = PlainTable(box=SIMPLE_HEAD)
    for name in ("gate", "asks", "measured", "of"):
        table.add_column(name, overflow="fold", ratio=2)
    table.add_column("passed", overflow="fold", ratio=1)
    for one in outcome.gates:
        passed = RichText("yes" if one.passed else "no", style="" if one.passed else "red")
        cells = f"{one.name}: {one.statement}", required(one), interval(one)
        table.add_row(*cells, trained(outcome, one), passed)
    return table


def claims(study: Study) -> Table:
    """Tabulate the claims of a study: subject, expectation and gates. Print it with rich."""
    table = PlainTable(box=SIMPLE_HEAD)
    table.add_column("claim", overflow="fold", ratio=3)
    table.add_column("arms", overflow="fold", ratio=1)
    table.add_column("expected", overflow="fold", ratio=2)
    table.add_column("gates", overflow="fold", ratio=1)
    for one in study.claims:
        hangs_on = ", ".join(study.hangs_on(one))
        table.add_row(one.statement, ", ".join(one.over), expected(one), hangs_on)
    return table


def conditions(study: Study) -> Table:
    """Tabulate the gates of a study: condition, and remedy. Print it with rich."""
    table = PlainTable(box=SIMPLE_HEAD)
    for name in ("gate", "asks", "if not"):
        table.add_column(name, overflow="fold", ratio=2)
    for one in study.gates:
        table.add_row(f"{one.name}: {one.statement}", required(one), f"needs {one.remedy}")
    return table


def arms(planned: Mapping[str, Arm]) -> Table:
    """Tabulate arms: what is trained. Print it with rich."""
    table = PlainTable(box=SIMPLE_HEAD)
    for name in ("arm", "agent", "environments"):
        table.add_column(name, overflow="fold")
    for name in ("configurations", "seeds", "steps of each", "steps in all"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, arm in planned.items():
        if isinstance(arm, Computation | Continuation):
            total = len(arm.seeds) * len(arm.tasks) * arm.steps
            sizes = "1", str(len(arm.seeds)), engineering(arm.steps), engineering(total)
            what = arm.name if isinstance(arm, Computation) else f"after {', '.join(arm.after)}"
            table.add_row(name, what, ", ".join(arm.tasks), *sizes)
            continue
        laid = lay_out(arm)
        groups, seeds = laid.groups, len(laid.seeds)
        members = sum(len(group.members.seeds) for group in groups)
        tasks = list(dict.fromkeys(group.env.name for group in groups))
        count, total = members // (seeds * len(tasks)), members * arm.steps
        sizes = str(count), str(seeds), engineering(arm.steps), engineering(total)
        table.add_row(name, groups[0].agent.name, ", ".join(tasks), *sizes)
    return table


def overview(texts: Mapping[str, Text], results: Mapping[str, Mapping[str, StudyResult]]) -> Table:
    """Tabulate the results of studies: how many claims hold, on what data. Print it with rich.

    texts: {study: its text}. results: {study: {preset: result}}, empty for studies without one.
    """
    table = PlainTable(box=SIMPLE_HEAD)
    table.add_column("study", no_wrap=True)
    for name in ("question", "verdicts", "of"):
        table.add_column(name, overflow="fold")
    for name, text in texts.items():
        if not results[name]:
            table.add_row(name, text.question, "not run", "")
        for preset, one in results[name].items():
            table.add_row(name, text.question, f"{preset}: {tally(one)}", size(one.budget))
    return table


def tally(one: StudyResult) -> str:
    """Count rulings, such as `2 CONFIRMED, 1 INCONCLUSIVE`."""
    count = Counter(found.verdict for found in one.findings)
    if count[Ruling.NOT_JUDGED]:
        return f"{count[Ruling.NOT_JUDGED]} effects, not judged"
    return ", ".join(f"{count[ruling]} {ruling}" for ruling in Ruling if count[ruling])


def size(budget: Budget) -> str:
    """Write a budget, such as `16 seeds x 100 k steps, Catch-bsuite`."""
    amount = f"{budget.seeds} seeds x {engineering(budget.steps)} steps"
    return ", ".join((amount, *budget.environments))


def trained(outcome: StudyResult, one: Finding | Checked) -> str:
    """Write the data of a finding or gate, such as `ppo, 16 seeds x 100 k steps, Catch-bsuite`."""
    costs = [outcome.arms[name] for name in one.over]
    agents = dict.fromkeys(cost.agent for cost in costs)
    seeds = min(cost.seeds for cost in costs)
    steps = sorted({cost.steps for cost in costs})
    each = " - ".join(dict.fromkeys(map(engineering, (steps[0], steps[-1]))))
    played = {task for cost in costs for task in cost.tasks}
    tasks = [id for id in outcome.budget.environments if id in played]
    amount = f"{seeds} seeds x {each} steps"
    return ", ".join((*agents, amount, *(tasks or outcome.budget.environments)))


def expected(one: Any) -> str:
    """Write the expectation of a claim or finding, such as `more than 0 by 0.05, THC`."""
    name = getattr(one.direction, "name", one.direction)
    link = "to" if name == "equal" else "than"
    within = f" ±{one.smallest:g}" if name == "equal" else f", at least by {one.smallest:g}"
    return f"{name} {link} {one.against:g}{within * (one.smallest > 0)} ({one.unit})"


def required(one: Any) -> str:
    """Write the condition of a gate, such as `more than 0.3 (normalized score)`."""
    name = getattr(one.direction, "name", one.direction)
    return f"{name} than {one.bound:g} ({one.unit})"


def interval(one: Any) -> str:
    """Write `0.123 [0.05, 0.2]`, or only a number without an interval."""
    return engineering(one.value) if one.low == one.value == one.high else _numbers(one)


def effect(one: Finding, unit: str = "") -> str:
    """Write `0.123 [0.05, 0.2]`, the sample if not seeds, and how many seeds would decide.

    Also says if there is no verdict because too few seeds have a score.
    """
    few = one.verdict == Ruling.INCONCLUSIVE and one.seeds < MINIMUM_SEEDS
    lacking = f"; only {one.seeds} {one.counted or 'seeds'} have a score" * few
    counted = f"; {one.seeds} {one.counted}" if one.counted not in ("seeds", "") else ""
    needed = f"; about {one.needed} {one.counted} would decide" if one.needed is not None else ""
    return f"{_numbers(one)} {unit}".strip() + counted + lacking + needed


def _numbers(one: Any) -> str:
    """Write `0.123 [0.05, 0.2]`, or what is unknown."""
    if one.value != one.value:
        return "unknown"
    value, low, high = map(engineering, (one.value, one.low, one.high))
    known = one.low == one.low and one.high == one.high
    return value + (f" [{low}, {high}]" if known else ", no interval")


def adjusted(one: Finding) -> str:
    """Write interval and verdict after adjustment for all claims of the study; "" without."""
    found = one.adjusted
    if found is None:
        return ""
    return f"[{engineering(found.low)}, {engineering(found.high)}] {found.verdict}"


def verdict(one: Finding) -> str:
    """Write the ruling, and which gates failed."""
    return f"{one.verdict}: {', '.join(one.failed)}" if one.failed else str(one.verdict)


def shortfalls(outcome: StudyResult) -> dict[str, str]:
    """Return {gate: its measure and remedy} of failed gates."""
    return {
        one.name: f"{interval(one)}, asked for {required(one)}; needs {one.remedy}"
        for one in outcome.gates
        if not one.passed
    }


def history(outcome: StudyResult) -> str:
    """Write the seeds of a result, and earlier looks at its study; "" if not recorded."""
    if not outcome.digest:
        return ""
    first, count = outcome.budget.first_seed, outcome.budget.seeds
    others = [look for look in outcome.looks if look.digest != outcome.digest]
    return (
        f"seeds {first} - {first + count - 1}, definition {outcome.digest}"
        + f", {len(others)} earlier results of other definitions" * bool(others)
    )
