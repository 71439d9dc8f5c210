"""Parse what a sweep varies: --grid NAME=VALUE,VALUE ..., --sample COUNT NAME=LOW:HIGH ..."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from purejaxrl_suite.sweeps.axes import Points

ENV = "env."
"""Prefix of the names of environment parameters."""


class Varied(NamedTuple):
    """Points of each, or only the defaults if nothing varies."""

    hypers: Any
    config: Any
    env_params: Any


class _Bases(NamedTuple):
    """Default values of all that can be varied; env_params: None if there are none."""

    hypers: Any
    config: Any
    env_params: Any

    def home(self, flag: str, name: str) -> tuple[str, str]:
        """Find a name: (`hypers`, `config` or `env_params`, the field); ValueError if unknown."""
        from purejaxrl_suite.sweeps.axes import fields

        field = name.removeprefix(ENV).replace("-", "_")
        homes = ("env_params",) if name.startswith(ENV) else ("hypers", "config")
        for home in homes:
            if field in fields(getattr(self, home)):
                return home, field
        names = {home: ", ".join(fields(getattr(self, home))) or "none" for home in self._fields}
        raise ValueError(
            f"{flag}: {name!r} is nothing that can be varied. Hypers: {names['hypers']}. "
            f"Config: {names['config']}. Of the environment, as {ENV}NAME: {names['env_params']}"
        )


def varied(
    hypers: Any,
    config: Any,
    env_params: Any,
    grid: Sequence[str],
    sample: Sequence[str],
    **how: Any,
) -> Varied:
    """Make the points of a sweep from texts.

    Args:
        hypers: defaults.
        config: defaults.
        env_params: defaults, or None.
        grid: texts NAME=VALUE,VALUE.
        sample: a count, then texts NAME=LOW:HIGH[:log] or NAME=VALUE,VALUE.
        **how: `method` ("random" or "sobol") and `seed` of the sample.

    Returns:
        The points.

    Raises:
        ValueError: a text is wrong; the message names the flag and the text.
    """
    bases = _Bases(hypers, config, env_params)
    points = _grids(bases, grid)
    drawn = _sample(bases, sample, **how)
    for home in set(points) & set(drawn):
        raise ValueError(
            f"--grid (or a flag with several values) and --sample both vary {home}: vary those by "
            "one of them"
        )
    found = points | drawn
    return Varied(*(found.get(home, base) for home, base in bases._asdict().items()))


def _grids(bases: _Bases, texts: Sequence[str]) -> "dict[str, Points]":
    from purejaxrl_suite import search
    from purejaxrl_suite.sweeps.axes import fields

    values: dict[str, dict[str, list[Any]]] = {}
    for name, text in _pairs("--grid", texts).items():
        home, field = bases.home("--grid", name)
        default = fields(getattr(bases, home))[field]
        values.setdefault(home, {})[field] = [
            _value(f"--grid: {name}", part, default, home) for part in text.split(",")
        ]
    return {home: search.grid(getattr(bases, home), **varied) for home, varied in values.items()}


def _sample(bases: _Bases, texts: Sequence[str], *, method: str, seed: int) -> "dict[str, Points]":
    from purejaxrl_suite import search

    if not texts:
        return {}
    count, *ranges = texts
    if not count.isdecimal() or not ranges:
        raise ValueError(f"--sample: expected COUNT NAME=LOW:HIGH ..., got {' '.join(texts)!r}")
    quantiles = {}
    homes = set()
    for name, text in _pairs("--sample", ranges).items():
        home, field = bases.home("--sample", name)
        homes.add(home)
        quantiles[field] = _range(f"--sample: {name}", text)
    if homes == {"config"} or len(homes) > 1:
        raise ValueError(
            "--sample: expected Hypers only, or parameters of the environment only; a field of the "
            f"Config compiles a program per value and belongs in --grid; got {' '.join(ranges)}"
        )
    (home,) = homes
    draw = {"random": search.random, "sobol": search.sobol}[method]
    return {home: draw(getattr(bases, home), int(count), seed=seed, **quantiles)}


def _pairs(flag: str, texts: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, separator, values = text.partition("=")
        if not separator or not values:
            raise ValueError(f"{flag}: expected NAME=VALUES, got {text!r}")
        if name in found:
            raise ValueError(f"{flag}: {name} is given twice")
        found[name] = values
    return found


def _range(what: str, text: str) -> Any:
    """Parse a range: `1e-5:1e-2:log`, `0.9:0.999` or `0.9,0.99`."""
    from purejaxrl_suite import search

    if ":" not in text:
        return search.choice([_number(what, part) for part in text.split(",")])
    low, high, *log = text.split(":")
    if log not in ([], ["log"]):
        raise ValueError(f"{what}: expected LOW:HIGH or LOW:HIGH:log, got {text!r}")
    make = search.log_uniform if log else search.uniform
    return make(_number(what, low), _number(what, high))


def _value(what: str, text: str, default: Any, home: str) -> Any:
    """Parse a value of the type of `default`."""
    if home == "hypers":
        return float(_number(what, text))
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{what}: expected true or false, got {text!r}")
        return text.lower() == "true"
    if isinstance(default, str):
        return text
    if home == "config" and not isinstance(default, int | float):
        raise ValueError(f"{what}: cannot be typed, only set in Python (it is {default!r})")
    number = _number(what, text)
    if isinstance(default, int) and number != int(number):
        raise ValueError(f"{what}: expected integers, got {text!r}")
    return int(number) if isinstance(default, int) else number


def _number(what: str, text: str) -> int | float:
    """Parse a number, as an int if it is written as one."""
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        raise ValueError(f"{what}: expected numbers, got {text!r}") from None
