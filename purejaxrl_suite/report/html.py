"""HTML parts of a self-contained page: escaped text, tables, lists, styles.

Texts and attributes are escaped here and nowhere else.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from purejaxrl_suite.core.argument import place

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; }
main { max-width: 1080px; margin: 0 auto; padding: 16px; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #ddd; }
h3 { font-size: 1rem; margin: 1rem 0 .25rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; }
a { color: #0072B2; }
.note { color: #555; font-size: .875rem; }
.wide { overflow-x: auto; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr));
  gap: 8px 24px; }
.grid > * { min-width: 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .75rem .3rem 0; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #333; }
td { border-bottom: 1px solid #e6e6e6; white-space: nowrap; }
.text td { white-space: normal; }
dl { display: grid; grid-template-columns: minmax(5.5rem, max-content) 1fr; gap: .15rem 1rem;
  margin: .5rem 0; font-size: .875rem; }
dt { color: #555; }
dd { margin: 0; overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: .75rem; background: #f5f5f5; font-size: .8rem; }
summary { cursor: pointer; font-weight: 600; }
img { height: auto; }
.verdict { display: inline-block; padding: 0 .5rem; border: 2px solid; border-radius: 4px;
  font-size: .8rem; font-weight: 700; }
.CONFIRMED { color: #00614a; } .REFUTED { color: #a34700; } .EXPLORATORY { color: #7a3b69; }
.INCONCLUSIVE, .NOT_TESTED, .NOT_JUDGED { color: #555; }
"""
# Verdicts are green, vermilion and grey of the figures' palette, darkened until text of this size
# has a contrast of at least 4.5 with white.


def document(title: str, body: Iterable[str], scripts: Iterable[str] = ()) -> str:
    """Write a whole page; `scripts` are sources that the body needs."""
    head = [
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',  # otherwise browsers request one
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        *(f"<script>{source}</script>" for source in scripts),
    ]
    content = "\n".join([*head, "</head>", "<body>", "<main>", *body, "</main>", "</body>"])
    return f'<!doctype html>\n<html lang="en">\n<head>\n{content}\n</html>\n'


def element(tag: str, text: Any, **attributes: str) -> str:
    """Write a tag around escaped text; `class_` is the attribute class."""
    return raw(tag, escape(str(text)), **attributes)


def raw(tag: str, *content: str, **attributes: str) -> str:
    """Write a tag around HTML."""
    return f"{void(tag, **attributes)}{''.join(content)}</{tag}>"


def void(tag: str, **attributes: str) -> str:
    """Write a void tag, such as img."""
    given = "".join(f' {k.rstrip("_")}="{escape(v)}"' for k, v in attributes.items())
    return f"<{tag}{given}>"


def identifier(name: str) -> str:
    """Make the id of an element from any name."""
    return f"figure-{sha256(name.encode()).hexdigest()[:16]}"


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write a table that scrolls by itself if it is wider than the page."""
    head = raw("tr", *(element("th", column) for column in columns))
    body = (raw("tr", *(element("td", cell) for cell in row)) for row in rows)
    return raw("div", raw("table", head, *body), class_="wide")


def facts(known: Mapping[str, Any]) -> str:
    """Write names and values, one below the other, without values of None."""
    pairs = (
        element("dt", name) + element("dd", value)
        for name, value in known.items()
        if value is not None
    )
    return raw("dl", *pairs)


def details(summary: str, *content: str, open_: bool = False) -> str:
    """Write a part that opens by a click."""
    inner = element("summary", summary) + "".join(content)
    return f"<details{' open' * open_}>{inner}</details>"


def write(path: str | Path, page: str) -> None:
    """Write a page to a file, and make its folder."""
    where = Path(place("path", path, "a file"))
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_text(page, encoding="utf-8")
