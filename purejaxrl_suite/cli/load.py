"""`load`: read the result of a run from its folder, in another process.

Names become functions here: the agent by its name, the environment by its recipe, the network by
the flags of the command that wrote the folder. The result is then compared with the run, including
the digest of the program, so numbers are never attributed to another experiment.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from purejaxrl_suite.core.types import Builder, Environment, Metric
    from purejaxrl_suite.sweeps.experiment import MakesSource
    from purejaxrl_suite.sweeps.layout import Layout
    from purejaxrl_suite.sweeps.rebuild import Parts
    from purejaxrl_suite.sweeps.result import Result

OWN = "pass your own functions as the run had them (env=, network=, builder=, intervention= ...)"


def load(
    folder: str | Path,
    *,
    env: "Environment | Sequence[Environment] | None" = None,
    network: Any = None,
    builder: "Builder | None" = None,
    config: Any = None,
    intervention: Any = None,
    metrics: "Sequence[Metric]" = (),
    measure_every: int = 10,
    source: "MakesSource | None" = None,
    announce: Callable[[str], None] = print,
) -> "Result":
    """Load the result of a run, sweep or population: `pjs.load("runs/ppo-CartPole-v1")`.

    A folder that the command line wrote is enough; so is one with the suite's own agents,
    environments and wrappers. Of functions of your own the folder only has the names: pass them as
    they were in the run.

    Args:
        folder: of the run.
        env: as in `sweep`.
        network: as in `sweep`.
        builder: of an agent of your own.
        config: a Config with the values that no folder can hold, such as functions.
        intervention: as in `sweep`.
        metrics: as in `sweep`.
        measure_every: as in `sweep`.
        source: as in `sweep`.
        announce: called with the progress of an unfinished run. Its curves end there, and its
            members are those of the last checkpoints.

    Returns:
        The result.

    Raises:
        ValueError: the folder has no run, a file is missing or damaged, or a function has to be
            passed, or is not the one that was trained.
    """
    from purejaxrl_suite.core.argument import place
    from purejaxrl_suite.core.compiling import use_compilation_cache
    from purejaxrl_suite.populations.stored_population import stored_population
    from purejaxrl_suite.sweeps import files
    from purejaxrl_suite.sweeps.stored import stored

    path = files.resolve(place("folder", folder, "a run"))
    identity = _identity(path)
    given = {"env": env, "network": network, "builder": builder, "config": config}
    given |= {"intervention": intervention, "metrics": tuple(metrics) or None, "source": source}
    use_compilation_cache()
    if _typed(path) and not any(x is not None for x in given.values()):
        laid = _of_command(path)
    else:
        laid = _of_record(identity.get("sweep", identity), given, measure_every)
    try:
        found = (stored_population if "population" in identity else stored)(laid, path)
    except ValueError as error:
        if "another experiment" not in str(error):
            raise
        raise ValueError(f"{error}: {OWN}") from None
    if other := _other_versions(path):
        announce(f"{path} was trained with {other}: functions were not compared")
    if found.done < 1:
        announce(_unfinished(path, found.done))
    return found.result


def curves(folder: Path, *, announce: Callable[[str], None] = print) -> Any:
    """Load the curves of a run, sweep or population from its folder, as far as it is trained.

    No policy is made, so networks, interventions, metrics and data are neither needed nor compared.

    Raises:
        ValueError: as in `load`.
    """
    from purejaxrl_suite.engine.sebulba import acting
    from purejaxrl_suite.populations.stored_population import stored_population
    from purejaxrl_suite.sweeps.rebuild import layout_of
    from purejaxrl_suite.sweeps.record import attributes
    from purejaxrl_suite.sweeps.stored import stored

    identity = _identity(folder)
    record = dict(identity.get("sweep", identity))
    if _typed(folder):
        laid = _of_command(folder)
    else:
        nothing: dict[str, Any] = dict.fromkeys(
            ("env", "network", "builder", "config", "intervention", "metrics", "source")
        )
        parts = _parts(record, nothing, 1)
        unknown = {"network": lambda known: None, "intervention": lambda known: None}
        parts = parts._replace(**unknown, source=acting)
        laid = layout_of(record, parts, acting=False)
    found = (stored_population if "population" in identity else stored)(laid, folder, identity)
    if found.done < 1:
        announce(_unfinished(folder, found.done))
    record["groups"] = [
        {name: x for name, x in known.items() if name != "program"} for known in record["groups"]
    ]
    return found.result.curves.assign_attrs(attributes(record))


def _unfinished(path: Path, done: float) -> str:
    return f"{path} is not finished: {done:.0%} of it is trained"


def _names(record: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(known["agent"] for known in record["groups"]))


def _identity(path: Path) -> dict[str, Any]:
    from purejaxrl_suite.sweeps import files
    from purejaxrl_suite.sweeps.folder import settle

    settle(path)
    if not (path / "sweep.json").exists():
        saved = "; `load_policy` reads saved policies" * (path / "policy.json").exists()
        there = "holds no run (no sweep.json)" if path.exists() else "is no folder"
        raise ValueError(f"folder: expected one of a run, got {path}, which {there}{saved}")
    return files.read_json(path / "sweep.json")["identity"]


def _other_versions(path: Path) -> str:
    """Name versions of the run that differ from the present ones: then programs differ anyway."""
    from purejaxrl_suite.sweeps import files
    from purejaxrl_suite.sweeps.curves import made_with
    from purejaxrl_suite.sweeps.identity import changes

    changed = changes(files.read_json(path / "sweep.json")["made with"], made_with())
    return ", ".join(f"{name} {there} ({here} here)" for name, (there, here) in changed.items())


def _typed(path: Path) -> bool:
    """Tell whether the command line wrote the folder."""
    from purejaxrl_suite.sweeps import files

    config = path / "config.json"
    return config.exists() and "command" in files.read_json(config)


def _of_command(path: Path) -> "Layout":
    from purejaxrl_suite.cli import experiment

    return experiment.lay_out(experiment.stored(path))


def _of_record(record: Mapping[str, Any], given: Mapping[str, Any], every: int) -> "Layout":
    """Lay out a run from its record and the given functions."""
    from purejaxrl_suite.sweeps.rebuild import layout_of

    return layout_of(record, _parts(record, given, every))


def _parts(record: Mapping[str, Any], given: Mapping[str, Any], every: int) -> "Parts":
    from purejaxrl_suite.sweeps import check
    from purejaxrl_suite.sweeps.rebuild import Parts

    networks, _ = check.networks(given["network"])
    interventions, _ = check.interventions(given["intervention"])

    def intervention(known: Mapping[str, Any]) -> Any:
        from purejaxrl_suite.core.interventions import observed

        done = _chosen("intervention", known, dict(interventions))
        made, told = observed(done, given["metrics"] or (), every), known["intervention"]
        ours = None if made is None else made.name
        if ours != told:
            how = "pass intervention=, metrics= and measure_every= as the run had them"
            raise ValueError(
                f"intervention: expected {told or 'none'}, got {ours or 'none'}: {how}"
            )
        return made

    names, alone = _names(record), "problem" in record["groups"][0]
    made = (names, given["builder"], given["config"])
    builder, config = _problem(*made) if alone else _agent(*made)
    return Parts(
        builder=builder,
        config=config,
        env=lambda known: _environment(known, given["env"]),
        network=lambda known: _chosen("network", known, dict(networks)),
        intervention=intervention,
        source=given["source"],
    )


def _agent(names: Sequence[str], builder: Any, config: Any) -> tuple[Any, Any]:
    """Return the builder, and a Config to start from."""
    from purejaxrl_suite.cli.agents import agents
    from purejaxrl_suite.cli.learners import learners
    from purejaxrl_suite.sweeps import check

    if builder is not None:
        kind = check.declared(builder).get("config")
        return builder, kind() if config is None and kind is not None else config
    entry = (agents() | learners()).get(names[0])
    if entry is None or len(names) > 1:
        raise ValueError(
            f"builder: this run is of {', '.join(names)}, which is not one of the suite's own "
            "agents: pass builder=, a function (env, config, network, hypers) -> Agent"
        )
    return entry.build, entry.config if config is None else config


def _problem(names: Sequence[str], builder: Any, config: Any) -> tuple[Any, Any]:
    """Return what makes a problem, and a Config to start from."""
    from purejaxrl_suite.cli.problems import problems
    from purejaxrl_suite.engine.problem import Problem
    from purejaxrl_suite.sweeps import check

    if isinstance(builder, Problem):
        return lambda config, hypers: builder, builder.config or None
    if builder is not None:
        kind = check.declared(builder, 2).get("config")
        return builder, kind() if config is None and kind is not None else config
    found = problems().get(names[0])
    if found is None or len(names) > 1:
        raise ValueError(
            f"builder: this run is of {', '.join(names)}, which is not one of the suite's own "
            "problems: pass builder=, a Problem or a function (config, hypers) -> Problem"
        )
    return found.build, found.config if config is None else config


def _environment(known: Mapping[str, Any], given: Any) -> "Environment":
    """Return the given environment of this name, or make it from its recipe."""
    from purejaxrl_suite.envs.remake import remake
    from purejaxrl_suite.sweeps import check

    if given is not None:
        found = {one.name: one for one in check.environments(given)[0]}
        if known["environment"] not in found:
            raise ValueError(f"env: expected {known['environment']}, got {', '.join(found)}")
        return found[known["environment"]]
    made = remake(known["recipe"])
    if made is None:
        recipe = " > ".join(known["recipe"]) or "of your own"
        raise ValueError(
            f"env: no folder holds the functions of {known['environment']} ({recipe}): pass env="
        )
    return made


def _chosen(what: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """Return the argument for the label of a group, "" without such an axis; None by default."""
    label = known["labels"].get(what, "")
    if label not in given:
        names = ", ".join(given) or "none"
        raise ValueError(f"{what}: expected a mapping with {label!r}, got {names}: pass {what}=")
    return given[label]
