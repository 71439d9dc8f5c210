"""All studies on one page: claims, verdicts, figures and what they cost, from stored results."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from purejaxrl_suite.report import html
from purejaxrl_suite.report.figures import STYLE
from purejaxrl_suite.report.studies import describe, effect, expected, tally
from purejaxrl_suite.report.summary import engineering
from purejaxrl_suite.studies import Outcome, results

TITLE = "Executable papers"
PRESETS = ("full", "quick")
"""Of those that have run the first is shown."""
PIXELS = 96
"""Of a page, in an inch."""


def gallery(folder: str | Path, path: str | Path) -> int:
    """Write one self-contained page of all studies that have run; nothing is run again.

    folder: holds NAME/PRESET.json and NAME/PRESET.png of every study, as `study run` writes them.
    Returns how many there are. Raises ValueError where there is none, a file holds no result, or a
    figure is missing.
    """
    folder = Path(folder)
    found = {one.name: results(one) for one in sorted(folder.glob("*")) if one.is_dir()}
    found = {name: presets for name, presets in found.items() if presets}
    if not found:
        raise ValueError(f"folder: {folder} holds no results of studies")
    largest = {name: next(p[size] for size in PRESETS if size in p) for name, p in found.items()}
    body = [
        html.element("h1", TITLE),
        html.element("p", "One paper, one claim, one figure with intervals, one verdict."),
        _contents(largest),
        *(part for name, one in largest.items() for part in _study(folder / name, one)),
    ]
    html.write(path, html.document(TITLE, body))
    return len(found)


def verdicts(outcome: Outcome) -> Iterator[str]:
    """Each claim of a study with what was expected, what was found, and the verdict."""
    for one in outcome.findings:
        badge = html.element("span", one.verdict, class_=f"verdict {one.verdict}")
        yield html.raw("p", badge, " ", html.element("strong", one.statement))
        yield html.facts({"expected": expected(one), "found": effect(one)})


def _contents(found: Mapping[str, Outcome]) -> str:
    rows = "".join(
        html.raw(
            "tr",
            html.raw("td", html.element("a", one.text.question, href=f"#{name}")),
            html.element("td", tally(one.findings)),
        )
        for name, one in found.items()
    )
    head = html.raw("tr", html.element("th", "question"), html.element("th", "verdicts"))
    return html.raw("table", head, rows, class_="text")


def _study(folder: Path, one: Outcome) -> Iterator[str]:
    text = one.text
    yield html.element("h2", text.question, id=one.study)
    yield html.facts({"paper": text.paper, "figure": text.figure, "claim": text.claim})
    yield from verdicts(one)
    yield _image(folder / f"{one.preset}.png", f"Figure of {one.study}")
    yield html.facts(_cost(one))


def _image(path: Path, description: str) -> str:
    """A picture inside the page, at the size of its text; on small screens it scrolls by itself."""
    from PIL import Image

    if not path.exists():
        raise ValueError(f"folder: {path} is missing; `study run` writes it")
    with Image.open(path) as image:
        width = round(image.width * PIXELS / STYLE["savefig.dpi"])
    data = b64encode(path.read_bytes()).decode()
    size = f"width: {width}px; max-width: max(100%, {0.75 * width:.0f}px)"
    source = f"data:image/png;base64,{data}"
    image = html.void("img", src=source, alt=description, style=size)
    return html.raw("div", image, class_="wide")


def _cost(one: Outcome) -> dict[str, str]:
    arms = one.arms.values()
    seconds = sum(arm.wall_seconds + arm.compile_seconds for arm in arms)
    steps = sum(arm.members * arm.steps for arm in arms)
    return {
        "budget": f"{one.preset}: {describe(one.budget)}; {', '.join(one.budget.environments)}",
        "cost": f"{timedelta(seconds=round(seconds))} for {sum(a.members for a in arms):,} members "
        f"and {engineering(steps)} steps on {one.made['device']}",
        "again": f"purejaxrl-suite study run {one.study} --preset {one.preset}",
        "commit": str(one.made["commit"]),
    }
