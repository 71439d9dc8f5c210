"""Many seeds of one experiment as one program: a sweep that varies nothing but the seed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from purejaxrl_suite.core.argument import instance
from purejaxrl_suite.core.types import Agent, Environment, Intervention, Metric, PyTree
from purejaxrl_suite.engine.evaluate import Evaluating
from purejaxrl_suite.sweeps.axes import Points
from purejaxrl_suite.sweeps.execute import Progress, Settings, execute
from purejaxrl_suite.sweeps.folder import choose
from purejaxrl_suite.sweeps.layout import lay_out
from purejaxrl_suite.sweeps.result import Result


def run(
    agent: Agent,
    env: Environment,
    *,
    seeds: int | Sequence[int],
    steps: float,
    hypers: Any = None,
    env_params: PyTree = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    segments: int = 20,
    checkpoint_every: int = 1,
    keep: int = 2,
    memory: str | int | float | None = None,
    accept_changes: bool = False,
    reset_pool: int = 1,
    intervention: Intervention | None = None,
    metrics: Sequence[Metric] = (),
    measure_every: int = 10,
    evaluate_every: int | Evaluating | None = None,
    announce: Callable[[object], None] = lambda what: None,
    on_segment: Callable[[Progress], None] | None = None,
) -> Result:
    """Train one member per seed, all of them in one program.

    seeds: how many (0 .. seeds - 1), or which; a member's random numbers depend on its own only.
    steps: environment steps of each seed, rounded down to whole updates.
    hypers, env_params: in place of `agent.hypers` and `env.params`, equal for all seeds.
    out, resume, segments, checkpoint_every, keep, memory, accept_changes, announce, on_segment: as
        in `sweep`, of which this is one without axes: with `out` it is stored while it trains, and
        the same call goes on.
    reset_pool: start states per environment and rollout; 0 resets exactly (see engine.resets).
    intervention: what is done to each member's learner between updates. metrics, measure_every:
        what is measured of it, and after every how many updates. See `purejaxrl_suite.plasticity`.
    evaluate_every: updates from one evaluation of each member to the next, or an `Evaluating`.

    Raises what `sweep` does.
    """
    instance("agent", agent, Agent)
    instance("env", env, Environment)
    if isinstance(hypers, Points) or isinstance(env_params, Points):
        what = "hypers" if isinstance(hypers, Points) else "env_params"
        raise ValueError(f"{what}: expected one setting, got several: `sweep` trains each of them")
    watched: Any = {"intervention": intervention, "metrics": metrics}
    watched |= {"measure_every": measure_every, "evaluate_every": evaluate_every}
    laid = lay_out(
        lambda env, config, network, hypers: agent,
        env,
        hypers=agent.hypers if hypers is None else hypers,
        config=None,
        network=None,
        env_params=env_params,
        seeds=seeds,
        steps=steps,
        reset_pool=reset_pool,
        **watched,
    )
    settings = Settings(segments, checkpoint_every, keep, memory, accept_changes)
    told = {"announce": announce, "on_segment": on_segment}
    return execute(laid, settings, choose(out, resume), resuming=resume is not None, **told)
