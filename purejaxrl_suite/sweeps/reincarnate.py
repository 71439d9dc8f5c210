"""Reincarnation in stages: a teacher, a student that learns from its replay, and that one online.

What is carried over is decided here, for each method: `from_teacher`, `from_offline` and `go_on`
are the `begin` of its stages.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.agents.shared.acting import at_random
from purejaxrl_suite.agents.shared.students import (
    Method,
    ReincarnationHypers,
    StudentState,
    join,
    reincarnated,
)
from purejaxrl_suite.agents.shared.teachers import make_teacher, ring_of
from purejaxrl_suite.buffers import Mixed, Ring
from purejaxrl_suite.core import joined, tree
from purejaxrl_suite.core.argument import boolean, instance, integer, wrong
from purejaxrl_suite.core.types import Agent, Environment, Key, PyTree, Run
from purejaxrl_suite.engine.evaluate import Evaluating, Evaluation, make_evaluate
from purejaxrl_suite.engine.source import idle
from purejaxrl_suite.sweeps import check
from purejaxrl_suite.sweeps.axes import Points
from purejaxrl_suite.sweeps.before import Begin
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.layout import Group, lay_out
from purejaxrl_suite.sweeps.result import Result
from purejaxrl_suite.sweeps.stages import Stage, Stages, stages

ONCE = 128
"""Episodes by which a teacher is judged where the student is not evaluated."""


def reincarnate(
    method: Method,
    teacher: Experiment | Result,
    student: Experiment,
    *,
    offline_gradient_steps: int | None = None,
    weaning: bool = True,
    origin: Callable[[int], int] | None = None,
    **how: Any,
) -> Stages:
    """Train a teacher, or take one, and students that learn from it by a method.

    The stages are `teacher`, `offline` if the method has that phase, and `online`. The teacher and
    a random policy are scored once, as the student is evaluated; the curves of the student have
    `weaning`, which is lambda, and what its method tells, such as `teacher_kl`.

    Args:
        method: such as `qdagger()`.
        teacher: what trains it, with one setting; or the Result of that, which `load` reads.
        student: of a value agent's builder, such as `dqn`; its steps are those online. Hypers are
            the agent's, or those that it has with the method (`student_hypers`). Metrics and the
            intervention are for the online stage.
        offline_gradient_steps: of the offline phase, for methods that have one, and only for them.
        weaning: False keeps lambda at 1, and of `jsrl()` the guide's steps, as an ablation.
        origin: the student's seed -> the teacher's; None is the teacher's seed number
            `(student's seed + 1) % their number`, which is another seed if there is one: members of
            equal seeds begin with equal parameters, if their networks are alike. In fine-tuning it
            is number `student's seed % their number`.
        **how: of `stages`: `out`, `resume`, `segments` ...

    Returns:
        Curves and results of the stages: `found["online"].evaluate()`.

    Raises:
        ValueError: an argument is invalid, or teacher and student do not fit; before anything is
            compiled. Or as in `stages`.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> teacher = pjs.Experiment(pjs.dqn, env, seeds=8, steps=1e6)
        >>> student = pjs.Experiment(pjs.dqn, env, seeds=32, steps=2e5, evaluate_every=2500)
        >>> found = pjs.reincarnate(pjs.qdagger(), teacher, student, offline_gradient_steps=50_000)
    """
    parts = reincarnation_stages(
        method,
        teacher,
        student,
        offline_gradient_steps=offline_gradient_steps,
        weaning=weaning,
        origin=origin,
    )
    return stages(*parts, **how)


def reincarnation_stages(
    method: Method,
    teacher: Experiment | Result,
    student: Experiment,
    *,
    offline_gradient_steps: int | None = None,
    weaning: bool = True,
    origin: Callable[[int], int] | None = None,
) -> tuple[Stage, ...]:
    """Make the stages of `reincarnate`, whose arguments these are, to change or to train them."""
    instance("method", method, Method)
    instance("student", student, Experiment)
    layout = teacher.layout if isinstance(teacher, Result) else lay_out(_experiment(teacher))
    if len(layout.groups) != 1 or layout.traced:
        raise ValueError("teacher: expected one setting, got several: pick one with its own run")
    agent = _as_trained(layout.groups[0])
    if origin is None:
        origin = (_modulo if method.continues else _another)(layout.seeds)
    first = Stage("teacher", teacher)
    steps = _offline_steps(method, offline_gradient_steps)
    if not boolean("weaning", weaning) and not (method.weans or method.guides):
        raise wrong("weaning", f"True, as {method.name} weans nobody", weaning)
    if method.continues:
        return first, Stage("online", student, go_on, origin)
    env, params = _environment(student)
    hypers = _joined(method, student.hypers, weaning=weaning)
    build = partial(reincarnated, student.builder, method, agent, weaning=weaning)
    online = student._replace(builder=build(), hypers=hypers)
    scored = {"offline": method.offline, "scored": method.weans and weaning}
    begin = from_teacher(agent, env, params, student.evaluate_every, **scored)
    if steps is None:
        return first, Stage("online", online, begin, origin)
    alone = online._replace(builder=build(offline=True), source=idle)
    defaults = Experiment._field_defaults
    parts = {name: defaults[name] for name in ("metrics", "intervention", "reset_pool")}
    alone = alone._replace(**parts)
    alone = alone._replace(steps=_counted(alone, steps))
    then = from_offline(method)
    return first, Stage("offline", alone, begin, origin), Stage("online", online, then)


def student_hypers(method: Method, hypers: Any, *, weaning: bool = True) -> Any:
    """Join an agent's Hypers with those of a method, to change or to sweep them.

    Example:
        >>> hypers = pjs.student_hypers(pjs.qdagger(), pjs.DQNHypers(n_step=3))
        >>> points = pjs.search.grid(hypers, distillation_coefficient=[1.0, 3.0])
    """
    return join(instance("method", method, Method), hypers, weaning=weaning)


def from_teacher(
    teacher: Agent,
    env: Environment,
    params: PyTree,
    how: int | Evaluating | None = None,
    *,
    offline: bool = False,
    scored: bool = True,
) -> Begin:
    """Make the `begin` of the first stage of a student, after that of its teacher.

    The student's own parts are fresh. It gets the teacher's parameters, and its experience if that
    is what it replays; the teacher and a random policy are scored in the environment.

    Args:
        teacher: the agent, as it was built.
        env: in which it is scored.
        params: of the environment.
        how: the evaluation of the student, which theirs is like; None is of `ONCE` episodes.
        offline: whether the stage is the offline phase, on the teacher's replay.
        scored: whether anything reads the scores; else they stay 0.
    """
    kept = make_teacher(teacher, env)
    judges = _judges(teacher, env, params, how) if scored else []
    hypers = jax.tree.map(jnp.float32, teacher.hypers)

    def begin(key: Key, before: Run, fresh: Run) -> Run:
        student: StudentState = fresh.agent
        prior = student.prior._replace(teacher=kept.keep(before.agent))
        if judges:
            scores = [
                jnp.mean(judge(key, hypers, params, before.agent).episode_return)
                for judge, key in zip(judges, jax.random.split(key), strict=True)
            ]
            prior = prior._replace(teacher_score=scores[0], random_score=scores[1])
        replay = student.replay
        if offline or isinstance(replay, Mixed):
            ring = _ring(before.agent.replay)
            replay = replay._replace(other=ring) if isinstance(replay, Mixed) else ring
        return fresh._replace(agent=student._replace(prior=prior, replay=replay))

    return begin


def _judges(
    teacher: Agent, env: Environment, params: PyTree, how: int | Evaluating | None
) -> list[Callable[..., Evaluation]]:
    """Make the evaluations of a teacher and of a random policy."""
    given = check.evaluation(Evaluating(1, ONCE) if how is None else how, env, params)
    assert given is not None
    sizes = {"episodes": given.episodes, "steps": given.steps, "explore": given.explore}
    return [make_evaluate(one, env, **sizes) for one in (teacher, _random(teacher))]


def from_offline(method: Method) -> Begin:
    """Make the `begin` of the online stage of a student, after its offline stage.

    Parameters and the teacher are kept, and the optimizer's state where the method says so; the
    target becomes a copy of the parameters; replay, counters and lambda are fresh.
    """

    def begin(key: Key, before: Run, fresh: Run) -> Run:
        student, old = fresh.agent, before.agent
        params = old.learner.params
        fresh_one = tree.with_constants_of(student.learner.opt_state, old.learner.opt_state)
        kept = old.learner.opt_state if method.keeps_optimizer else fresh_one
        target = jax.tree.map(jnp.copy, params)
        prior = old.prior._replace(
            weaning=student.prior.weaning, guide_steps=student.prior.guide_steps
        )
        learner = student.learner._replace(params=params, opt_state=kept)
        rest = student.rest._replace(target=target)
        return fresh._replace(agent=student._replace(learner=learner, rest=rest, prior=prior))

    return begin


def go_on(key: Key, before: Run, fresh: Run) -> Run:
    """Begin a stage with all that the agent of the previous one has.

    Environments go on as they stood, so that the last steps in the replay have their successors; in
    another number of them, or others, they are fresh, and those steps have none.
    """
    parts = [(run.env, run.obs, run.pool) for run in (before, fresh)]
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), part) for part in parts]
    kept = before if shapes[0] == shapes[1] else fresh
    return kept._replace(agent=before.agent, intervention=fresh.intervention)


def _ring(replay: Any) -> Ring:
    """Return the ring of an agent's own experience, whatever its replay."""
    return ring_of(replay.own if isinstance(replay, Mixed) else replay)


def _random(agent: Agent) -> Agent:
    """An agent that acts at random, for the agent's spaces."""
    act, noise = at_random(agent.observation, agent.action)
    return agent._replace(act=act, noise=noise, policies={})


def _experiment(given: Any) -> Experiment:
    if not isinstance(given, Experiment):
        raise wrong("teacher", "an Experiment, or the Result of one", given)
    return given


def _modulo(seeds: tuple[int, ...]) -> Callable[[int], int]:
    return lambda seed: seeds[seed % len(seeds)]


def _another(seeds: tuple[int, ...]) -> Callable[[int], int]:
    """Make the map from a student's seed to a teacher's, which is another one if there is any."""

    def origin(seed: int) -> int:
        after = [seeds[(seed + i) % len(seeds)] for i in (1, 2)]
        return after[0] if after[0] != seed else after[1]

    return origin


def _as_trained(group: Group) -> Agent:
    """The agent of a group of one setting, with the hypers that it was trained with."""
    hypers = jax.tree.map(lambda x: float(np.asarray(x)[0]), group.members.hypers)
    return group.agent._replace(hypers=hypers)


def _offline_steps(method: Method, given: Any) -> int | None:
    """Check the gradient steps of the offline phase; None for a method without one."""
    name = "offline_gradient_steps"
    if method.offline:
        return integer(name, given, 1)
    if given is not None:
        raise wrong(name, f"None, as {method.name} has no offline phase", given)
    return None


def _environment(student: Experiment) -> tuple[Environment, PyTree]:
    """The student's environment and its parameters, in which the teacher is scored once."""
    env = instance("student: env", student.env, Environment)
    if isinstance(student.env_params, Points):
        raise wrong("student: env_params", "one setting, in which its teacher is scored", "points")
    return env, env.params if student.env_params is None else student.env_params


def _joined(method: Method, given: Any, *, weaning: bool) -> Any:
    """The student's hypers, or their points, with those of the method."""
    base = given.base if isinstance(given, Points) else given
    if base is None or joined.of_agent(base, ReincarnationHypers) is not base:
        return given
    whole = join(method, base, weaning=weaning)
    return given._replace(base=whole) if isinstance(given, Points) else whole


def _counted(alone: Experiment, steps: int) -> int:
    """Count the steps of a stage of so many gradient steps, rounded up to whole updates."""
    groups = lay_out(alone._replace(steps=2**30, seeds=1)).groups
    sizes = {(group.per_update, group.agent.gradient_steps or 1) for group in groups}
    if len(sizes) > 1:
        raise ValueError("student: config: expected settings of equally many steps in an update")
    ((per_update, each),) = sizes
    return -(-steps // each) * per_update
