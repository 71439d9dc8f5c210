"""Names that would be HTML, markup of rich, formulas or paths are shown as names everywhere."""

import json
from html.parser import HTMLParser
from io import StringIO

import pytest
from matplotlib.text import Text as Drawn
from rich.console import Console

from purejaxrl_suite import report
from purejaxrl_suite.cli.folder import write_figures
from purejaxrl_suite.report.findings import findings, gates, overview
from purejaxrl_suite.report.gallery import gallery
from purejaxrl_suite.report.studies import study_figure
from purejaxrl_suite.studies import Ruling, write
from purejaxrl_suite.studies.protocol import Text
from purejaxrl_suite.studies.study_result import find
from tests.report.test_gallery import outcome
from tests.report.test_page import sweep

PAGE = {
    "html", "head", "meta", "link", "title", "style", "script", "body", "main", "h1", "h2", "h3",
    "p", "dl", "dt", "dd", "div", "table", "tr", "th", "td", "pre", "span", "strong", "a", "img",
}  # fmt: skip
ATTRIBUTES = {"lang", "charset", "name", "content", "rel", "href", "class", "id", "style", "src"}


def hostile(name):
    """The name, and all that might be done with it."""
    tags = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    return f"{name}{tags}\"'`&amp;[red][/]$x_{{%{{x}}../"


class Reader(HTMLParser):
    """Tags with their attributes, and texts, as a browser finds them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.scripts, self.within = [], [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.within = tag
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        self.within = ""

    def handle_data(self, data):
        (self.scripts if self.within == "script" else self.texts).append(data)


def read(path):
    """What a page holds, if that is nothing but what pages are made of."""
    found = Reader(path.read_text())
    for tag, attributes in found.tags:
        assert tag in PAGE, tag
        assert set(attributes) <= ATTRIBUTES | {"alt", "type"}, (tag, attributes)
        assert not attributes.get("src", "data:").startswith("x")
    return found


def renamed(hostile=hostile):
    """The sweep of the page's own test, in which everything is called something hostile."""
    one = sweep().drop_vars("never")
    names = {name: hostile(name) for name in (*one.data_vars, "learning_rate", "gamma")}
    names.pop("diverged")
    one = one.rename(names)
    for x in one.data_vars.values():
        x.attrs = {key: hostile(str(text)) for key, text in x.attrs.items()}
    del one[names["entropy"]].attrs["long_name"]
    one = one.assign_coords({names["gamma"]: [hostile("low"), hostile("high")]})
    known = {"record": record(hostile), "versions": {hostile("jax"): hostile("0.11")}}
    attributes = {key: hostile(key) for key in ("agent", "environment", "device")}
    attributes |= {key: json.dumps(value) for key, value in known.items()}
    return one.assign_attrs(attributes), names


def record(hostile):
    """A record of what ran, in which everything has a hostile name."""
    group = {name: hostile(name) for name in ("environment", "observation", "action")}
    group |= {"intervention": hostile("cure"), "recipe": [hostile("recipe")], "labels": {}}
    group |= {"config": {hostile("field"): hostile("value")}, "hypers": {hostile("gae"): 0.95}}
    group |= {name: {hostile(name): 1} for name in ("env_params", "parameter counts", "layers")}
    numbers = "time limit", "reset_pool", "updates", "environment steps per update"
    group |= dict.fromkeys(numbers, 1)
    axes = {"static axes": {}, "traced axes": {}, "seeds": [0, 1, 2, 3], "steps": 1.0}
    return axes | {"groups": [group]}


@pytest.fixture(scope="module")
def named():
    return renamed()


def hostile_outcome():
    one = outcome("full", Ruling.NOT_TESTED)
    text = Text(*(hostile(field) for field in Text._fields))
    finding = one.findings[0]._replace(
        statement=hostile("statement"),
        unit=hostile("unit"),
        over=(hostile("a"), hostile("b")),
        failed=(hostile("gate"),),
    )
    gate = one.gates[0]._replace(
        name=hostile("gate"), remedy=hostile("remedy"), over=(hostile("a"),)
    )
    budget = one.budget._replace(environments=(hostile("Maze"),))
    made = {key: hostile(key) for key in ("device", "commit")} | {"versions": {}}
    arms = {hostile(name): cost for name, cost in one.arms.items()}
    known = {"text": text, "findings": (finding,), "gates": (gate,), "budget": budget}
    return one._replace(**known, made=made, arms=arms)


def test_a_page_shows_names_as_they_are(named, tmp_path):
    curves, names = named
    record = {
        "command": [hostile("command")],
        "plan": hostile("plan"),
        "started": hostile("started"),
        "commit": hostile("commit"),
    }
    how = {"title": hostile("title"), "note": hostile("note"), "outcomes": [hostile_outcome()]}
    label, path = hostile("label"), tmp_path / "report.html"
    datasets = {label: curves, hostile("other"): curves}
    records = {label: record, hostile("other"): record}
    for shown, known in ((curves, {"": record}), (datasets, records)):
        report.page(shown, path, metric=names["episode_return"], records=known, **how)
        page = read(path)
        text = "\n".join(page.texts)
        wanted = ["title", "note", "agent", "environment", "device", "commit", "plan", "field"]
        wanted += ["recipe", "env_params", "parameter counts", "layers", "cure", "started"]
        for name in [*wanted, "value", "statement", "question", "gae", "jax"]:
            assert hostile(name) in text, name
        ids = [x["id"] for _, x in page.tags if "id" in x]
        assert len(ids) == len(set(ids)) > 1
        # plotly's own sources aside: what is shown inside figures is no HTML, either.
        figures = "".join(x for x in page.scripts if len(x) < 10**6)
        assert "<script" not in figures and "<img" not in figures and "\\u003cimg" not in figures
        assert "&lt;img" in figures.replace("\\u0026", "&")
    assert label in text


def test_a_gallery_shows_names_as_they_are(tmp_path):
    one = hostile_outcome()._replace(study=hostile("study"))
    folder = tmp_path / "studies" / "helping"
    study_figure(one, write(one, folder).with_suffix(".png"))
    gallery(find(tmp_path / "studies"), tmp_path / "gallery.html")
    page = read(tmp_path / "gallery.html")
    (picture,) = (attributes for tag, attributes in page.tags if tag == "img")
    assert picture["alt"] == f"Figure of {one.study}" and picture["src"].startswith(
        "data:image/png"
    )
    assert {"lang"} == set(page.tags[0][1])
    for name in ("question", "paper", "figure", "claim", "statement", "device", "commit", "gate"):
        assert hostile(name) in "\n".join(page.texts), name


def printed(table):
    console = Console(file=StringIO(), width=3000, color_system=None)
    console.print(table)
    return console.file.getvalue()


def test_a_terminal_shows_names_as_they_are(named):
    curves, names = named
    ranking = report.best(curves, names["episode_return"])
    one = hostile_outcome()
    text = printed(ranking) + printed(findings(one)) + printed(gates(one))
    assert hostile("low") in text and hostile("statement") in text and hostile("commit") in text
    assert names["gamma"] in text and f"{Ruling.NOT_TESTED}: {hostile('gate')}" in text
    plain = sweep().assign_attrs(agent=hostile("agent"), environment=hostile("environment"))
    assert hostile("environment") in printed(report.table({hostile("run"): plain}))
    assert hostile("question") in printed(overview({"a": one.text}, {"a": {"quick": one}}))


def test_figures_show_names_as_they_are_and_stay_in_their_folder(tmp_path):
    """Names are short here: no figure has room for the others."""
    kept = "episodes", "finished_once"
    curves, names = renamed(lambda name: name if name in kept else f"../{name[:5]}$_{{$[/]")
    folder, metric = tmp_path / "a" / "b", names["episode_return"]
    write_figures(folder, curves, metric, (names["learning_rate"], names["gamma"]))
    found = sorted(path.relative_to(folder / "figures") for path in tmp_path.rglob("*.png"))
    assert len(found) == 3 and all(len(path.parts) == 1 for path in found)
    drawn = report.learning_curves(curves, metric).findobj(Drawn)
    shown = [text for text in drawn if "$_{$" in text.get_text()]
    assert len(shown) > 2 and not any(text.get_parse_math() for text in shown)
    assert any(text.get_parse_math() for text in drawn), "ticks may have exponents"
