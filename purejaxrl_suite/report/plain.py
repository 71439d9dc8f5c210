"""Write names literally, never as markup, in tables, figures and file names.

Metrics, hyper-parameters, environments, agents and labels may have any name. Pages escape them in
`report.html`.
"""

import re
from html import escape
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PlainTable(Table):
    """A table of rich that shows texts such as `[red]` or `:smile:` literally."""

    def __init__(self, *headers: Any, caption: str | None = None, **options: Any):
        """As rich's."""
        super().__init__(*headers, caption=_plain(caption), **options)

    def add_column(self, header: Any = "", *arguments: Any, **options: Any) -> None:
        """As rich's."""
        super().add_column(_plain(header), *arguments, **options)

    def add_row(self, *cells: Any, **options: Any) -> None:
        """As rich's."""
        super().add_row(*map(_plain, cells), **options)


def _plain(text: Any) -> Any:
    return Text(text) if isinstance(text, str) else text


def without_formulas(figure: "Figure") -> None:
    """Show `$` literally in the texts of a figure; numeric ticks keep their exponents."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    numbers = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter):
                numbers |= {id(tick.label1) for tick in axis.majorTicks}
            numbers |= {id(tick.label1) for tick in axis.minorTicks}
    for text in figure.findobj(Text):
        if isinstance(text, Text) and id(text) not in numbers:
            text.set_parse_math(False)


def in_file_name(text: str) -> str:
    """Make a text safe as part of a file name."""
    return re.sub(r"[^\w=.,-]+", "_", text)


def in_plotly(text: Any) -> str:
    """Escape a text for plotly, which interprets some HTML, and `%{x}` in templates."""
    return escape(str(text), quote=False).replace("%", "&#37;")
