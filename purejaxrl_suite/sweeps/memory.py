"""Memory in bytes: parse and write it, and measure that of this machine."""

import math
import re
from pathlib import Path

from purejaxrl_suite.core.argument import number, wrong

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_bytes(memory: str | int | float) -> int:
    """Parse `"8GiB"`, `"512 MB"` (as MiB) or a number of bytes; ValueError for anything else."""
    found = memory
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*(\d+\.?\d*)\s*([KMGT]?)(i?B)?\s*", memory, re.IGNORECASE)
        found = float(match[1]) * UNITS[match[2].upper()] if match else math.nan
    try:
        return int(number("memory", found, 1))
    except ValueError:
        raise wrong("memory", "bytes such as '8GiB'", memory) from None


def describe_bytes(count: float) -> str:
    """Write bytes for people: `1.50 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1000:
            break
        count, unit = count / 1024, {"B": "KiB", "KiB": "MiB", "MiB": "GiB", "GiB": "TiB"}[unit]
    return f"{count:.3g} {unit}"


def resident() -> int:
    """Return the bytes of memory that this process uses."""
    import psutil

    return psutil.Process().memory_info().rss


def available() -> int:
    """Return the free bytes of the system, or of the container."""
    import psutil

    free = psutil.virtual_memory().available
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and limit.read_text().strip().isdigit():
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return free
