"""Handle Ctrl-C and SIGTERM without losses: they wait until a segment is finished and saved."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ASKING = signal.SIGINT, signal.SIGTERM
"""Signals that ask to stop: Ctrl-C, and what clusters send before they kill."""


class Stopped(KeyboardInterrupt):
    """Training stopped at once, on the second request.

    number: of the signal.
    """

    def __init__(self, text: str, number: int = signal.SIGINT):
        """Make a KeyboardInterrupt, so that code that does not know this class stops, too."""
        super().__init__(text)
        self.number = number


class Interrupted(Stopped):
    """Training stopped on request, with everything so far saved."""


def exit_code(stop: KeyboardInterrupt) -> int:
    """Return the exit code of a command: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


@contextmanager
def interruptible() -> Iterator[Callable[[], int]]:
    """Yield () -> the signal that asked to stop, 0 without one; a second signal stops at once.

    Outside the main thread signals cannot be caught, and nothing changes.
    """
    asked = []

    def remember(number: int, frame: object) -> None:
        if asked:
            raise Stopped("stopped at once", number)
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {number: signal.signal(number, remember) for number in ASKING}
    try:
        yield lambda: asked[0] if asked else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
