"""The progress bar, on stderr; where that is no terminal, a line per segment."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from purejaxrl_suite.sweeps.execute import Progress


class Bar(NamedTuple):
    """announce: prints what is told before training. show: `on_segment`."""

    announce: Callable[[Any], None]
    show: Callable[["Progress"], None]


@contextmanager
def progress_bar(title: str) -> Iterator[Bar]:
    """A bar that says "preparing" until the first segment is done."""
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.TextColumn("{task.fields[text]}", markup=False),
    )
    console = Console(stderr=True)
    watched = console.is_terminal
    lost: dict[tuple[int, int], int] = {}
    how: Any = {"console": console, "redirect_stdout": False, "disable": not watched}
    with bars.Progress(*columns, **how) as bar:
        task = bar.add_task(f"preparing {title}", total=None, text="")
        if not watched:
            print(f"preparing {title}", file=sys.stderr, flush=True)

        def announce(what: Any) -> None:
            bar.stop()
            print(what)
            bar.start()

        def show(progress: "Progress") -> None:
            lost[progress.group, progress.chunk] = progress.diverged
            text = describe(progress, sum(lost.values()))
            bar.update(task, description=title, total=1.0, completed=progress.done, text=text)
            if not watched:
                print(f"{title}: {progress.done:.0%}, {text}", file=sys.stderr, flush=True)

        yield Bar(announce, show)


def describe(progress: "Progress", diverged: int) -> str:
    """Such as `group 1/2, chunk 3/4, 1.2 M steps/s, IQM 21.5, 3 diverged, 0:02:10 left`."""
    from purejaxrl_suite.report.summary import engineering
    from purejaxrl_suite.stats import final_score, iqm

    parts = [
        f"{name} {number + 1}/{of}"
        for name, number, of in (
            ("group", progress.group, progress.groups),
            ("chunk", progress.chunk, progress.chunks),
        )
        if of > 1
    ]
    rows = progress.history
    score = float(iqm(final_score(rows["episode_return"], rows["episodes"], share=1.0)))
    parts += [f"{engineering(progress.steps_per_second)} steps/s", f"IQM {engineering(score)}"]
    parts += [f"{diverged} diverged"] * (diverged > 0)
    return ", ".join([*parts, f"{timedelta(seconds=round(progress.left))} left"])
