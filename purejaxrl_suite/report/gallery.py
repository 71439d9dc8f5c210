"""All studies on one page: claims, verdicts, figures and costs, from stored results."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from purejaxrl_suite.report import html
from purejaxrl_suite.report.figures import STYLE
from purejaxrl_suite.report.findings import (
    adjusted,
    effect,
    expected,
    history,
    interval,
    members,
    required,
    shortfalls,
    size,
    tally,
    trained,
    verdict,
)
from purejaxrl_suite.report.summary import engineering
from purejaxrl_suite.studies.study_result import StudyResult, read

TITLE = "Executable papers"
PRESETS = ("full", "standard", "quick")
"""Presets in order of preference: the first one with a result is shown."""
PIXELS = 96
"""Pixels per inch of a page."""


def gallery(found: Mapping[str, Mapping[str, Path]], path: str | Path) -> int:
    """Write one self-contained page of all studies with results; nothing is run again.

    found: {study: {preset: PRESET.json}}, as `studies.study_result.find` gives it, each with
    PRESET.png beside it. Returns how many there are.

    Raises:
        ValueError: there is none, a file holds no result, or a figure is missing.
    """
    if not found:
        raise ValueError("found: expected results of studies, got none")
    files = {name: next(p[size] for size in PRESETS if size in p) for name, p in found.items()}
    largest = {name: read(file) for name, file in files.items()}
    body = [
        html.element("h1", TITLE),
        html.element("p", "One paper, one claim, one figure with intervals, and a verdict where "
                          "the data can bear one."),
        _contents(largest),
        *(part for name, one in largest.items() for part in _study(files[name], one)),
    ]  # fmt: skip
    html.write(path, html.document(TITLE, body))
    return len(found)


def verdicts(outcome: StudyResult) -> Iterator[str]:
    """Yield each claim of a study (expectation, finding with data, ruling, gates), then gates."""
    short = shortfalls(outcome)
    for one in outcome.findings:
        badge = html.element("span", verdict(one), class_=f"verdict {one.verdict.name}")
        yield html.raw("p", badge, " ", html.element("strong", one.statement))
        facts = {"expected": expected(one), "found": effect(one), "of": trained(outcome, one)}
        facts |= {f"among {len(outcome.findings)} claims": adjusted(one)} if one.adjusted else {}
        yield html.facts(facts | {f"gate {name}": short[name] for name in one.failed})
    rows = [
        (
            f"{one.name}: {one.statement}",
            required(one),
            interval(one),
            trained(outcome, one),
            "yes" if one.passed else f"no, needs {one.remedy}",
        )
        for one in outcome.gates
    ]
    if rows:
        yield html.table(("gate", "asks", "measured", "of", "passed"), rows)


def _contents(found: Mapping[str, StudyResult]) -> str:
    rows = "".join(
        html.raw(
            "tr",
            html.raw("td", html.element("a", one.text.question, href=f"#{name}")),
            html.element("td", f"{one.preset}: {tally(one)}"),
            html.element("td", size(one.budget)),
        )
        for name, one in found.items()
    )
    head = html.raw("tr", *(html.element("th", name) for name in ("question", "verdicts", "of")))
    return html.raw("table", head, rows, class_="text")


def _study(file: Path, one: StudyResult) -> Iterator[str]:
    text = one.text
    yield html.element("h2", text.question, id=one.study)
    yield html.facts({"paper": text.paper, "figure": text.figure, "claim": text.claim})
    yield from verdicts(one)
    yield _image(file.with_suffix(".png"), f"Figure of {one.study}")
    yield html.facts(_cost(one))


def _image(path: Path, description: str) -> str:
    """Embed a picture, at the size of the page's text; on small screens it scrolls by itself."""
    from PIL import Image

    if not path.exists():
        raise ValueError(f"found: {path} is missing; `study run` writes it")
    with Image.open(path) as image:
        width = round(image.width * PIXELS / STYLE["savefig.dpi"])
    data = b64encode(path.read_bytes()).decode()
    size = f"width: {width}px; max-width: max(100%, {0.75 * width:.0f}px)"
    source = f"data:image/png;base64,{data}"
    image = html.void("img", src=source, alt=description, style=size)
    return html.raw("div", image, class_="wide")


def _cost(one: StudyResult) -> dict[str, str | None]:
    arms = one.arms.values()
    seconds = sum(arm.wall_seconds + arm.compile_seconds for arm in arms)
    steps = sum(arm.members * arm.steps for arm in arms)
    return {
        "budget": f"{one.preset}: {size(one.budget)}",
        "record": history(one) or None,
        "final scores": members(one).removeprefix("; ") or None,
        "cost": f"{timedelta(seconds=round(seconds))} for {sum(a.members for a in arms):,} members "
        f"and {engineering(steps)} steps on {one.made['device']}",
        "again": f"purejaxrl-suite study run {one.study} --preset {one.preset}",
        "commit": str(one.made["commit"]),
    }
