"""Report how training from the command line ends: stopped or failed, and what goes on then."""

import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from purejaxrl_suite.cli.arguments import PROGRAM


class Ended:
    """The end of a training.

    code: the exit code. result: what was trained. announced: whether training has begun.
    """

    def __init__(self) -> None:
        """Begin with nothing trained."""
        self.code = 0
        self.result: Any = None
        self.announced = False

    def announce(self, what: object) -> None:
        """Note that training begins; an `announce` of `sweep`."""
        del what
        self.announced = True


@contextmanager
def training(out: Path, again: str) -> Iterator[Ended]:
    """Report how training in a folder ends, if it does so early.

    Args:
        out: the folder.
        again: the command that goes on.

    Yields:
        The end; its `code` is not 0 if training was stopped, or failed after it had begun.

    Raises:
        ValueError, OSError: before training has begun.
    """
    ended = Ended()
    try:
        with _quiet_writers():
            yield ended
    except KeyboardInterrupt as stop:
        ended.code = _stopped(stop, again, training=ended.announced)
    except (OSError, ValueError) as error:
        if not ended.announced:
            raise
        ended.code = _failed(error, out, again)


@contextmanager
def _quiet_writers() -> Iterator[None]:
    """Silence the tracebacks that orbax logs of its threads: their errors are raised here."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _stopped(stop: KeyboardInterrupt, again: str, *, training: bool) -> int:
    from purejaxrl_suite.sweeps.interrupt import Interrupted, exit_code

    if isinstance(stop, Interrupted):
        text = f"{stop}; everything is saved, `{again}` goes on"
    elif training:
        text = f"stopped at once; what checkpoints hold is safe, `{again}` goes on from there"
    else:
        text = "stopped before training; nothing has changed"
    print(f"{PROGRAM}: {text}", file=sys.stderr)
    return exit_code(stop)


def _failed(error: Exception, out: Path, again: str) -> int:
    """Print what failed, and what is saved; returns the exit code."""
    reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
    where = "" if str(out) in reason else f"{out}: "
    print(f"{PROGRAM}: {where}{reason}", file=sys.stderr)
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "space left" in reason
    then = "Once the disk has free space" if full else "Once the cause is gone"
    if any((out / name).exists() for name in ("sweep.json", "stages.json")):
        text = f"`{again}` goes on from the last complete checkpoints."
        print(f"Nothing of what they hold is lost. {then}, {text}", file=sys.stderr)
    else:
        print("Nothing was trained yet.", file=sys.stderr)
    return 1
