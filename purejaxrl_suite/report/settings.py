"""Settings of runs, read from the curves: of the whole run, and of each configuration."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from purejaxrl_suite.report.configurations import Configuration

VARIED = "varied"


def record(curves: Any) -> dict[str, Any]:
    """Return the record of a run (`sweeps.record`); {} for older curves without one."""
    return json.loads(curves.attrs.get("record", "{}"))


def tables(known: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Tabulate a record as {title: {name: value}}; the value is `varied` if members differ."""
    groups = known["groups"]
    merged = {name: _merged([group.get(name) for group in groups]) for name in groups[0]}
    if "problem" in merged:
        return {
            "Data": merged["problem"],
            "Hypers": _each(merged["hypers"], known),
            "Config": merged["config"],
            "Parameters": merged["parameter counts"],
            "Training": {"seeds": _seeds(known["seeds"]), "updates": merged["updates"]},
        }
    environment = {name: merged[name] for name in ("environment", "observation", "action")}
    environment |= {"time limit": merged["time limit"]}
    environment |= {str(i): line for i, line in enumerate(_lines(merged["recipe"]), 1)}
    names = ("intervention", "reset_pool", "updates", "environment steps per update")
    training = {"seeds": _seeds(known["seeds"]), "steps": known["steps"]}
    training |= _evaluation(merged)
    return {
        "Environment": environment,
        "Environment parameters": _each(merged["env_params"], known),
        "Hypers": _each(merged["hypers"], known),
        "Config": merged["config"],
        "Parameters": merged["parameter counts"],
        "Layers": merged["layers"],
        "Training": training | {name: merged[name] for name in names},
    }


def settings(one: Configuration, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return all settings of a configuration, flat; `env.NAME` for those of the environment.

    known: the record; None is that of its curves.
    """
    known = record(one.curves) if known is None else known
    attributes = one.curves.attrs
    found = {name: attributes[name] for name in ("agent", "device") if name in attributes}
    if not known:
        return found | json.loads(attributes.get("hypers", "{}")) | dict(one.settings)
    group, row = _group(one, known), _row(one, known)
    found |= group["config"]
    for prefix, part in (("", "hypers"), ("env.", "env_params")):
        for name, value in group.get(part, {}).items():
            many = _many(value, known)
            if not many or row is not None:
                found[prefix + name] = value[row] if many else value
    if "problem" in group:
        return found | dict(one.settings)
    found |= {"recipe": " > ".join(group["recipe"]) or f"own({group['environment']!r})"}
    for name in ("intervention", "reset_pool"):
        found[name] = group[name]
    found |= _evaluation(group)
    return found | dict(one.settings)


def _evaluation(known: Mapping[str, Any]) -> dict[str, str]:
    """Describe evaluation during training; {} without."""
    how = known.get("evaluation")
    if not isinstance(how, dict):
        return {}
    acts = "sampled" if how["explore"] else "greedy"
    each = f"{how['episodes']} episodes of {how['steps']} steps at most, {acts}"
    return {"evaluation": f"every {how['every']} updates, {each}"}


def _many(value: Any, known: Mapping[str, Any]) -> bool:
    """Tell whether a value of Hypers or environment parameters has one for each configuration."""
    count = math.prod(len(labels) for labels in known["traced axes"].values())
    return isinstance(value, list) and len(value) == count


def _group(one: Configuration, known: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the group of a configuration."""
    for group in known["groups"]:
        if all(one.at.get(axis, label) == label for axis, label in group["labels"].items()):
            return group
    return known["groups"][0]


def _row(one: Configuration, known: Mapping[str, Any]) -> int | None:
    """Return its place among the traced configurations; None if a population made it."""
    place = 0
    for axis, labels in known["traced axes"].items():
        if one.at.get(axis) not in labels:
            return None
        place = place * len(labels) + labels.index(one.at[axis])
    return place


def _merged(values: Sequence[Any]) -> Any:
    """Return the value that all groups share; for dictionaries entry by entry."""
    if all(isinstance(value, dict) for value in values):
        names = dict.fromkeys(name for value in values for name in value)
        return {name: _merged([value.get(name) for value in values]) for name in names}
    return values[0] if all(value == values[0] for value in values) else VARIED


def _each(values: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    return {name: VARIED if _many(x, known) else x for name, x in values.items()}


def _lines(recipe: Any) -> Sequence[str]:
    return [recipe] if isinstance(recipe, str) else recipe


def _seeds(seeds: Sequence[int]) -> str:
    whole = list(seeds) == list(range(seeds[0], seeds[0] + len(seeds)))
    return f"{seeds[0]} .. {seeds[-1]}" if whole and len(seeds) > 1 else ", ".join(map(str, seeds))
