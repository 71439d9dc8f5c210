"""Show progress: a bar in a terminal or a notebook, elsewhere a line per segment.

It goes to stderr (in a notebook below the cell), so stdout is left to the program. Errors of the
display are ignored: neither a closed stream nor a bug here ends training.
"""

import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np

from purejaxrl_suite.core.argument import function, instance
from purejaxrl_suite.sweeps.layout import Group, Layout
from purejaxrl_suite.sweeps.settings import Progress, Watch

NOTEBOOK = {"purejaxrl_suite": "progress"}
"""Metadata that marks the bar among the outputs of a cell."""


@contextmanager
def watched(
    title: str,
    progress: bool,
    announce: Callable[[object], None] | None = None,
    on_segment: Callable[[Progress], None] | None = None,
) -> Iterator[Watch]:
    """Yield a Watch that shows progress and then calls the user's functions.

    Args:
        title: what is trained, in a few words.
        progress: False shows nothing.
        announce: as in `Watch`; its errors are raised.
        on_segment: as in `Watch`; its errors are raised.

    Returns:
        A context manager of the Watch.
    """
    for name, one in (("announce", announce), ("on_segment", on_segment)):
        if one is not None:
            function(name, one, 1, "(what is told) -> None")
    display = _Display(title, instance("progress", progress, bool))

    def announced(what: object) -> None:
        display.announce(what)
        if announce is not None:
            announce(what)

    def told(progress: Progress) -> None:
        display.on_segment(progress)
        if on_segment is not None:
            on_segment(progress)

    try:
        yield Watch(display.compiling, announced, told)
    finally:
        display.close()


def title_of(laid: Layout) -> str:
    """Describe a layout in a few words: `ppo on CartPole-v1, Acrobot-v1`."""
    names = ", ".join(dict.fromkeys(group.name for group in laid.groups))
    envs = list(dict.fromkeys(group.place for group in laid.groups))
    if envs == [""]:
        return names
    return f"{names} on {', '.join(envs) if len(envs) < 4 else f'{len(envs)} tasks'}"


def describe(progress: Progress, diverged: int) -> str:
    """Write `group 1/2, chunk 3/4, 1,234,567 steps/s, IQM 21.5, 3 diverged, 0:02:10 left`."""
    parts = [
        f"{name} {number + 1}/{of}"
        for name, number, of in (
            ("group", progress.group, progress.groups),
            ("chunk", progress.chunk, progress.chunks),
        )
        if of > 1
    ]
    parts += [f"{progress.steps_per_second:,.0f} steps/s"]
    rows = progress.history
    if "episode_return" in rows:
        parts += [f"IQM {_iqm_of_returns(rows['episode_return'], rows['episodes']):.4g}"]
    parts += [f"{diverged} diverged"] * (diverged > 0)
    return ", ".join([*parts, f"{timedelta(seconds=round(progress.left))} left"])


def _iqm_of_returns(returns: np.ndarray, episodes: np.ndarray) -> float:
    """Compute the IQM over members of their means over all episodes; NaN if none ended.

    returns, episodes: f32[B, R]. In numpy, because the device is busy with the next segment.
    """
    count = np.nansum(episodes, axis=1)
    with np.errstate(over="ignore", invalid="ignore"):  # from members that diverged
        total = np.nansum(returns * episodes, axis=1)[count > 0]
        scores = np.sort(total / count[count > 0])
        cut = len(scores) // 4
        return float(np.mean(scores[cut : len(scores) - cut])) if len(scores) else float("nan")


class _Screen(NamedTuple):
    """Functions of a display.

    busy: shows an activity of unknown duration. say: prints a permanent text. show: shows the share
    of training that is done, and a text. close: ends the display and leaves its last state.
    """

    busy: Callable[[str], None]
    say: Callable[[str], None]
    show: Callable[[float, str], None]
    close: Callable[[], None]


class _Display:
    """A Watch that shows progress, and stops doing so at the first error of its screen."""

    def __init__(self, title: str, progress: bool):
        self.title = title
        self.screen: _Screen | None = None
        self.diverged: dict[tuple[int, int], int] = {}
        if progress and sys.stderr is not None:
            with self._harmless():
                self.screen = _screen(title)

    def compiling(self, group: Group) -> None:
        self._tell("busy", lambda: f"compiling {_name_of(group)}")

    def announce(self, what: object) -> None:
        self._tell("say", lambda: str(what))

    def on_segment(self, progress: Progress) -> None:
        def text() -> str:
            self.diverged[progress.group, progress.chunk] = progress.diverged
            return describe(progress, sum(self.diverged.values()))

        self._tell("show", lambda: progress.done, text)

    def close(self) -> None:
        self._tell("close")

    def _tell(self, what: str, *arguments: Callable[[], Any]) -> None:
        if self.screen is not None:
            with self._harmless():
                getattr(self.screen, what)(*(argument() for argument in arguments))

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            screen, self.screen = self.screen, None
            if screen is not None:
                with suppress(Exception):
                    screen.close()
            with suppress(Exception):  # logging also writes to stderr
                logging.getLogger(__name__).warning("progress is no longer shown", exc_info=True)


def _name_of(group: Group) -> str:
    """Describe a group: `dqn on Breakout-MinAtar, network=large`."""
    labels = (f"{axis}={x}" for axis, x in group.labels.items() if axis != "environment")
    return ", ".join([group.title, *labels])


def _screen(title: str) -> _Screen:
    from rich.console import Console

    stream: Any = _Stream(sys.stderr)
    console = Console(file=stream)
    if console.is_jupyter:
        return _notebook(title, console)
    if stream.isatty() and console.is_interactive:
        return _terminal(title, console)
    return _lines(title, stream)


class _Stream:
    """A stream that ignores writes after its first error: the reader of a pipe may be gone."""

    def __init__(self, stream: Any):
        self.stream, self.works = stream, True

    def write(self, text: str) -> int:
        return self._attempt(self.stream.write, text) or 0

    def flush(self) -> None:
        self._attempt(self.stream.flush)

    def _attempt(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments) if self.works else None
        except (OSError, ValueError):  # ValueError: it is closed
            self.works = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _lines(title: str, stream: Any) -> _Screen:
    """Make the display for a pipe or a log: lines only."""
    began = math.inf

    def say(text: str) -> None:
        nonlocal began
        seconds, began = time.perf_counter() - began, math.inf
        if seconds >= 1:
            print(f"  {seconds:.1f} s", file=stream)
        print(text, file=stream, flush=True)

    def busy(text: str) -> None:
        nonlocal began
        say(f"{text} ...")
        began = time.perf_counter()

    def show(done: float, text: str) -> None:
        say(f"{title}: {done:.0%}, {text}")

    return _Screen(busy, say, show, lambda: None)


def _terminal(title: str, console: Any) -> _Screen:
    bar = _bar(console)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    bar.start()
    return _with_bar(title, bar, say=say, refresh=bar.refresh, close=bar.stop)


def _notebook(title: str, console: Any) -> _Screen:
    """Make the display for a notebook: a bar without widgets, whose output is replaced."""
    from IPython.display import display

    bar = _bar(console)
    handle: Any = display(bar, display_id=True, metadata=NOTEBOOK)

    def refresh() -> None:
        handle.update(bar, metadata=NOTEBOOK)

    return _with_bar(title, bar, say=print, refresh=refresh, close=refresh)


def _bar(console: Any) -> Any:
    from rich import progress as bars

    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.TextColumn("{task.fields[text]}", markup=False),
        bars.TimeElapsedColumn(),
    )
    # The program's own output goes above the bar, if both are in the same terminal.
    same = sys.stdout is not None and sys.stdout.isatty()
    how: Any = {"refresh_per_second": 4, "redirect_stdout": same}
    return bars.Progress(*columns, console=console, **how)


def _with_bar(
    title: str,
    bar: Any,
    *,
    say: Callable[[str], None],
    refresh: Callable[[], None],
    close: Callable[[], None],
) -> _Screen:
    """Make the display with a line for activities before training, and one for training."""
    before = bar.add_task(f"preparing {title}", total=None, text="")
    training = bar.add_task(title, total=1.0, text="", visible=False, start=False)

    def busy(text: str) -> None:
        bar.reset(before, description=text, visible=True)
        refresh()

    def said(text: str) -> None:
        say(text)
        show(0.0, "")

    def show(done: float, text: str) -> None:
        bar.update(before, visible=False)
        bar.start_task(training)
        bar.update(training, completed=done, text=text, visible=True)
        refresh()

    def closed() -> None:
        if not bar.tasks[training].completed:  # there was nothing left to train
            bar.update(training, visible=False)
        close()

    return _Screen(busy, said, show, closed)
