"""The result of a study: one small JSON file, from which figures and tables are made.

    study, preset       names; PRESET.json in the folder of the study
    text                question, paper, figure, claim
    budget              environments, seeds, steps, treatments, first seed (`Budget`)
    digest              of the study's definition (`definition.digest`); "" if not recorded
    looks               earlier results of this study that existed when it ran (`Look`)
    gates               conditions with their measures (`Checked`)
    findings            claims with their effects and rulings (`Finding`)
    arms                {name: its cost} (`Cost`)
    panels              the figure: {"lines": `Lines`}, {"intervals": `Intervals`},
                        {"bars": `Bars`}, {"heat": `Heat`}
    curves              thinned learning curves and final scores (`Curve`)
    made                versions, device, commit

A NamedTuple is an object with its fields; null stands for NaN (unknown); numbers have six digits.
"""

import enum
import json
import math
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from purejaxrl_suite.studies.panels import Bars, Heat, Interval, Intervals, Line, Lines, Panel
from purejaxrl_suite.studies.protocol import JUDGED, Budget, Text
from purejaxrl_suite.sweeps.files import replacing

DIGITS = 6
PRESETS = ("quick", *JUDGED)
SHIPPED = Path(str(files("purejaxrl_suite.studies"))) / "results"
"""Folder of the results that come with the suite."""


class Ruling(enum.StrEnum):
    """Ruling on a claim: a verdict of `stats`, or why there is none."""

    CONFIRMED = "CONFIRMED"
    REFUTED = "REFUTED"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_TESTED = "NOT TESTED"
    """A gate of the claim failed."""
    EXPLORATORY = "EXPLORATORY"
    """The study was changed after a look at these seeds; judging it needs fresh ones."""
    NOT_JUDGED = "NOT JUDGED"
    """The preset judges nothing."""


class Look(NamedTuple):
    """An earlier result: its preset, the digest of its study, and its seeds."""

    preset: str
    digest: str
    first_seed: int
    seeds: int


class Checked(NamedTuple):
    """A gate and its measure.

    name ... remedy: as in `Gate`; direction by its name. value, low, high: in its unit, all three
    equal if the measure has no interval.
    """

    name: str
    statement: str
    over: tuple[str, ...]
    direction: str
    bound: float
    unit: str
    remedy: str
    value: float
    low: float
    high: float
    passed: bool


class Adjusted(NamedTuple):
    """The interval and ruling of a finding after Holm, for all claims of its study."""

    low: float
    high: float
    verdict: Ruling


class Finding(NamedTuple):
    """A claim and its result.

    statement ... unit, counted: as in `Claim`; direction by its name. value, low, high: of the
    effect, in its unit. seeds: of the effect. needed: how many seeds would decide an inconclusive
    verdict, if that can be estimated. adjusted: for the number of claims; None without a verdict.
    failed: names of the gates that left it untested.
    """

    statement: str
    over: tuple[str, ...]
    direction: str
    against: float
    smallest: float
    unit: str
    value: float
    low: float
    high: float
    seeds: int
    counted: str
    verdict: Ruling
    needed: int | None
    adjusted: Adjusted | None = None
    failed: tuple[str, ...] = ()


class Cost(NamedTuple):
    """Cost of an arm.

    agent: its name. tasks: names of its environments. members: configurations x seeds, of all
    environments. seeds: of each configuration. steps: of each member. compile_seconds; wall_seconds
    without compiling. steps_per_second: of all members together.
    """

    agent: str
    tasks: tuple[str, ...]
    members: int
    seeds: int
    steps: float
    compile_seconds: float
    wall_seconds: float
    steps_per_second: float


class Curve(NamedTuple):
    """Learning curve and final returns of one configuration of an arm.

    settings: {name: value} of everything that was varied, including the environment.
    line: interquartile mean of returns over seeds with its 95 % interval, against environment
        steps, without members that diverged.
    final: a return per seed, the mean over the episodes of the last 5 % of training; members that
        diverged have the worst of their task; NaN if no episode ended.
    diverged: how many members did.
    parameters: of one member, by namespace of its network; {} in older files.
    """

    arm: str
    settings: Mapping[str, Any]
    line: Line
    final: tuple[float, ...]
    diverged: int
    parameters: Mapping[str, int] = {}


class StudyResult(NamedTuple):
    """The result of a study; see the module for its file.

    study, preset: names. text: of the docstring. made: versions, device and commit.
    """

    study: str
    text: Text
    preset: str
    budget: Budget
    digest: str
    looks: tuple[Look, ...]
    gates: tuple[Checked, ...]
    findings: tuple[Finding, ...]
    arms: Mapping[str, Cost]
    panels: tuple[Panel, ...]
    curves: tuple[Curve, ...]
    made: Mapping[str, Any]

    def seen(self) -> set[Look]:
        """Return all looks at results of the study, including this one."""
        own = Look(self.preset, self.digest, self.budget.first_seed, self.budget.seeds)
        return {own, *self.looks}


def write(outcome: StudyResult, folder: str | Path) -> Path:
    """Write FOLDER/PRESET.json, with a line per entry, and return its path.

    An old file stays intact until the new one is complete.
    """
    path = Path(folder) / f"{outcome.preset}.json"
    content = {name: _plain(value) for name, value in outcome._asdict().items()}
    content["panels"] = [{_KIND_OF[type(panel)]: _plain(panel)} for panel in outcome.panels]
    parts = (f"{json.dumps(name)}: {_by_line(value)}" for name, value in content.items())
    with replacing(path) as whole:
        whole.write_text("{\n" + ",\n".join(parts) + "\n}\n")
    return path


def read(path: str | Path) -> StudyResult:
    """Read a result from the file that `write` stored; ValueError if it holds none."""
    try:
        return _outcome(json.loads(Path(path).read_text()))
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no result of a study: {error!r}") from error


def results(folder: str | Path) -> dict[str, StudyResult]:
    """Read the results in the folder of a study, {preset: result}."""
    return {path.stem: read(path) for path in sorted(Path(folder).glob("*.json"))}


def find(*folders: str | Path) -> dict[str, dict[str, Path]]:
    """Find results in folders, {study: {preset: file}}; later folders take precedence.

    A file is NAME/PRESET.json, or NAME/PRESET/PRESET.json where `study run` trains; all other files
    are ignored.
    """
    found: dict[str, dict[str, Path]] = {}
    for folder in folders:
        for study, path in _files(Path(folder)):
            found.setdefault(study, {})[path.stem] = path
    return found


def seen(study: str, *folders: str | Path) -> tuple[Look, ...]:
    """Collect the looks at a study from all its results in folders."""
    found = [path for folder in folders for name, path in _files(Path(folder)) if name == study]
    return tuple(sorted({look for path in found for look in read(path).seen()}))


def _files(folder: Path) -> list[tuple[str, Path]]:
    """List the results in a folder, each with the name of its study."""
    inside = [path for path in folder.glob("*/*/*.json") if path.stem == path.parent.name]
    paths = sorted([*folder.glob("*/*.json"), *inside])
    return [(path.relative_to(folder).parts[0], path) for path in paths if path.stem in PRESETS]


def _plain(value: Any) -> Any:
    """Convert to JSON: NamedTuples to objects, tuples to lists, numbers to six digits."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {name: _plain(x) for name, x in value.items()}
    return [_plain(x) for x in value] if isinstance(value, tuple | list) else value


def _by_line(value: Any) -> str:
    """Write JSON with each entry of a list or object on its own line."""
    if isinstance(value, list):
        return "[\n" + ",\n".join(json.dumps(x) for x in value) + "\n]"
    if isinstance(value, dict):
        pairs = (f"{json.dumps(name)}: {json.dumps(x)}" for name, x in value.items())
        return "{\n" + ",\n".join(pairs) + "\n}"
    return json.dumps(value)


def _outcome(found: dict[str, Any]) -> StudyResult:
    budget: Any = {n: tuple(x) if isinstance(x, list) else x for n, x in found["budget"].items()}
    return StudyResult(
        study=found["study"],
        text=Text(**found["text"]),
        preset=found["preset"],
        budget=Budget(**budget),
        digest=found["digest"],
        looks=tuple(Look(**one) for one in found["looks"]),
        gates=tuple(_checked(one) for one in found["gates"]),
        findings=tuple(_finding(one) for one in found["findings"]),
        arms={
            n: Cost(**(one | {"tasks": tuple(one["tasks"])})) for n, one in found["arms"].items()
        },
        panels=tuple(_PANELS[kind](x) for one in found["panels"] for kind, x in one.items()),
        curves=tuple(_curve(one) for one in found["curves"]),
        made=found["made"],
    )


def _finding(found: dict[str, Any]) -> Finding:
    typed: dict[str, Any] = {name: _number(found[name]) for name in ("value", "low", "high")}
    typed |= {"over": tuple(found["over"]), "verdict": Ruling(found["verdict"])}
    typed |= {"adjusted": _adjusted(found["adjusted"]), "failed": tuple(found["failed"])}
    return Finding(**(found | typed))


def _adjusted(found: dict[str, Any] | None) -> Adjusted | None:
    if found is None:
        return None
    return Adjusted(_number(found["low"]), _number(found["high"]), Ruling(found["verdict"]))


def _checked(found: dict[str, Any]) -> Checked:
    typed: dict[str, Any] = {name: _number(found[name]) for name in ("value", "low", "high")}
    typed["over"] = tuple(found["over"])
    return Checked(**(found | typed))


def _curve(found: dict[str, Any]) -> Curve:
    typed: dict[str, Any] = {"line": _line(found["line"]), "final": _numbers(found["final"])}
    return Curve(**(found | typed))


def _line(found: dict[str, Any]) -> Line:
    typed: dict[str, Any] = {name: _numbers(found[name]) for name in Line._fields[1:]}
    return Line(**(found | typed))


def _lines(found: dict[str, Any]) -> Lines:
    lines: Any = tuple(_line(one) for one in found["lines"])
    return Lines(**(found | {"lines": lines}))


def _intervals(found: dict[str, Any]) -> Intervals:
    return Intervals(**(found | {"rows": _rows(found["rows"])}))


def _bars(found: dict[str, Any]) -> Bars:
    typed: Any = {name: tuple(found[name]) for name in ("groups", "labels")}
    typed["rows"] = tuple(map(_rows, found["rows"]))
    return Bars(**(found | typed))


def _rows(found: list[dict[str, Any]]) -> Any:
    return tuple(Interval(x["label"], *_numbers(list(x.values())[1:])) for x in found)


def _heat(found: dict[str, Any]) -> Heat:
    typed: Any = {"rows": tuple(found["rows"]), "at": _numbers(found["at"])}
    typed["values"] = tuple(map(_numbers, found["values"]))
    return Heat(**(found | typed))


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _numbers(values: list[float | None]) -> tuple[float, ...]:
    return tuple(map(_number, values))


_KIND_OF = {Lines: "lines", Intervals: "intervals", Bars: "bars", Heat: "heat"}
_PANELS = {"lines": _lines, "intervals": _intervals, "bars": _bars, "heat": _heat}
