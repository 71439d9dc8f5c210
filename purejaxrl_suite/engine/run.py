"""Many seeds of one experiment as one program: a sweep that varies nothing but the seed."""

from collections.abc import Callable, Sequence
from typing import Any

from purejaxrl_suite.core.argument import instance
from purejaxrl_suite.core.types import Agent, Environment, Intervention, Metric, PyTree
from purejaxrl_suite.engine.execute import Progress, Settings, execute
from purejaxrl_suite.engine.layout import lay_out
from purejaxrl_suite.engine.result import Result


def run(
    agent: Agent,
    env: Environment,
    *,
    seeds: int | Sequence[int],
    steps: float,
    hypers: Any = None,
    env_params: PyTree = None,
    segments: int = 1,
    memory: str | int | float | None = None,
    reset_pool: int = 1,
    intervention: Intervention | None = None,
    metrics: Sequence[Metric] = (),
    measure_every: int = 10,
    on_segment: Callable[[Progress], None] | None = None,
) -> Result:
    """Train one member per seed, all of them in one program.

    seeds: how many (0 .. seeds - 1), or which. The random numbers of a member depend on its own
        seed only.
    steps: environment steps of each seed, rounded down to whole updates.
    hypers, env_params: in place of `agent.hypers` and `env.params`, equal for all seeds.
    segments: how many times at most the program returns to the host, to call `on_segment`;
        changes no number and compiles nothing more.
    memory: as in `sweep`: seeds that do not fit at once are trained in turns.
    reset_pool: start states per environment and rollout; 0 resets exactly (see engine.rollout).
    intervention: what is done to each member's learner between updates. metrics, measure_every:
        what is measured of it, and after every how many updates. See `purejaxrl_suite.plasticity`.

    Raises ValueError before anything is compiled if an argument makes no sense.
    """
    instance("agent", agent, Agent)
    instance("env", env, Environment)
    laid = lay_out(
        lambda env, config, network, hypers: agent,
        env,
        hypers=agent.hypers if hypers is None else hypers,
        config=None,
        network=None,
        env_params=env_params,
        seeds=seeds,
        steps=steps,
        intervention=intervention,
        metrics=metrics,
        measure_every=measure_every,
        reset_pool=reset_pool,
    )
    settings = Settings(segments=segments, memory=memory)
    return execute(laid, settings, None, on_segment=on_segment)
