"""`lpg_rule`: agents with a learned update rule, from the folder of a run or a saved file."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from purejaxrl_suite.core.argument import place, wrong

if TYPE_CHECKING:
    from purejaxrl_suite.meta.learned import BuildsLearned, LearnedConfig, LearnedHypers
    from purejaxrl_suite.meta.lpg_rule import LearnedRule
    from purejaxrl_suite.sweeps.result import Result

FLAG = "lpg_rule:"
"""How the command line names an agent with a learned rule, before the path of the rule."""


def lpg_rule(
    path: str | Path, *, config: Mapping[str, Any] | None = None, seed: int = 0
) -> "BuildsLearned":
    """Make the builder of agents that learn by a learned rule, for any discrete environment.

    Args:
        path: a file of `meta.save_rule`, or the folder of a run or sweep of `lpg`.
        config: of a folder, a value for each varied axis, as in `Result.policy`.
        seed: of a folder, whose rule it is.

    Returns:
        (env, config, network, hypers) -> the agent, as `meta.learned` makes it.

    Raises:
        ValueError: nothing of that kind is there, the run is of another agent, or there is no such
            member; the message names the choices.

    Example:
        >>> build = pjs.lpg_rule("rule.npz")
        >>> env = pjs.make("CartPole-v1")
        >>> result = pjs.sweep(build, env, seeds=8, steps=1e6)
    """
    from purejaxrl_suite.meta.learned import learned

    return learned(_read(path, config or {}, seed))


def agent(path: str) -> "tuple[BuildsLearned, LearnedConfig, LearnedHypers]":
    """Return the agents of a rule for the command line: builder, and defaults of its settings.

    Args:
        path: as in `lpg_rule`; of a folder, the only configuration with seed 0.

    Returns:
        The builder, its Config and its Hypers.

    Raises:
        ValueError: as in `lpg_rule`.
    """
    from purejaxrl_suite.meta.learned import LearnedConfig, LearnedHypers, learned

    rule = _read(path, {}, 0)
    return learned(rule), LearnedConfig(), LearnedHypers(gamma=rule.gamma)


def rule_of(
    result: "Result", config: Mapping[str, Any] | None = None, seed: int = 0
) -> "LearnedRule":
    """Take the rule of one member of a result of `lpg`.

    Args:
        result: of `run` or `sweep`.
        config: as in `Result.policy`.
        seed: of the member.

    Returns:
        The rule.

    Raises:
        ValueError: the result is of another agent, or there is no such member.
    """
    from purejaxrl_suite.meta.lpg_rule import LearnedRule

    found = result.policy(config, seed)
    if found.agent.name != "lpg":
        raise wrong("result", "one of `lpg`", found.agent.name)
    return LearnedRule(found.state.learner.params, float(found.hypers.gamma))


def _read(path: str | Path, config: Mapping[str, Any], seed: int) -> "LearnedRule":
    from purejaxrl_suite.cli.load import load
    from purejaxrl_suite.meta.lpg import lpg
    from purejaxrl_suite.meta.lpg_rule import read_rule
    from purejaxrl_suite.sweeps import files

    where = Path(place("path", path, "a learned rule, a file or the folder of a run"))
    if not (where / "sweep.json").exists():
        return read_rule(where)
    identity = files.read_json(where / "sweep.json")["identity"]
    names = {known["agent"] for known in identity.get("sweep", identity)["groups"]}
    if names != {"lpg"}:
        raise wrong("path", "the folder of a run of `lpg`", f"one of {', '.join(sorted(names))}")
    return rule_of(load(where, builder=lpg), config, seed)
