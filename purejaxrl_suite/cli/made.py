"""What flags make of an agent's builder, such as one of sparse agents."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from purejaxrl_suite.core.argument import number, wrong

if TYPE_CHECKING:
    from purejaxrl_suite.core.types import Builder


class Made(NamedTuple):
    """A builder and the Hypers of its agents.

    grid: texts NAME=VALUE,VALUE of the flags with several values. told: {field of the Hypers: flag
    that sets it}.
    """

    build: "Builder"
    hypers: Any
    grid: tuple[str, ...] = ()
    told: dict[str, str] = {}

    def check(self, texts: Sequence[str]) -> None:
        """Raise ValueError where --grid or --sample vary what a flag sets."""
        for text in texts:
            name = text.partition("=")[0].replace("-", "_")
            if name in self.told:
                raise ValueError(f"--grid, --sample: {self.told[name]} sets {name} already")


def numbers(flag: str, text: str, several: bool, **bounds: Any) -> list[float]:
    """Parse VALUE, or VALUE,VALUE ... where there may be several; bounds: of `number`."""
    parts = text.split(",")
    if len(parts) > 1 and not several:
        raise ValueError(f"{flag}: expected one number, got {text!r}; `sweep` takes several")
    try:
        found = [float(part) for part in parts]
    except ValueError:
        raise wrong(flag, "numbers" if several else "a number", text) from None
    return [number(flag, x, **bounds) for x in found]
