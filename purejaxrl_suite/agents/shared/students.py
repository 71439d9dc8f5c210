"""Students: any value agent's builder, with a teacher and a method of reincarnation.

The teacher's parameters are part of the student's state, so each member has its own; a stage's
`begin` puts them there (`sweeps.reincarnate`). The agent inside is built anew while an update is
traced, with a term of its loss that reads the teacher and lambda: nothing outlives the trace.

Lambda follows the student's evaluations: with the share of the gap to the teacher that is closed,
G = (score - random score) / (teacher's score - random score + 1e-8), it becomes max(1 - G, 0) after
each of them while it is above 0, and 0 for good after `weaning_end`. The learning rate falls with
it, from learning_rate to the share `weaned_learning_rate`; a lambda above 1, of a student that is
worse than random, does not raise it. In the offline phase lambda is 1.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from purejaxrl_suite.agents.shared import extra_losses
from purejaxrl_suite.agents.shared.teachers import Teacher, experience_of, make_teacher
from purejaxrl_suite.buffers import PrioritisedState, mixed, uniform, unprioritised
from purejaxrl_suite.core import joined, spaces
from purejaxrl_suite.core.argument import boolean, function, instance, shown
from purejaxrl_suite.core.joined import Defaults
from purejaxrl_suite.core.tree import Constant
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Clock,
    Discrete,
    Environment,
    ExtraLoss,
    Key,
    Learner,
    LossInputs,
    Memory,
    Transition,
)
from purejaxrl_suite.core.validate import Range

SCORE = "evaluation_return"
"""The metric of evaluations that lambda follows."""
GUIDE = 0x6D1DE
"""Folded into a key of noise, makes that of the steps that a teacher acts."""
TEACHER = 0x7EAC4
"""Folded into an agent's key, makes that of an untrained teacher."""

Told = tuple[Array, Mapping[str, Array]]
"""(term f32[], metrics {name: f32[]})."""


class ReincarnationHypers(NamedTuple):
    """Hyper-parameters of methods; a student has those that its method reads.

    distillation_coefficient: weight of KL(teacher || student), at lambda 1.
    distillation_temperature: of the softmax of both action values.
    margin: that the value of the teacher's action must have over others.
    margin_coefficient: weight of what lacks of it, at lambda 1.
    conservative_coefficient: weight of CQL's penalty.
    conservative_temperature: that divides the values in it.
    teacher_fraction: probability that an element of a batch is the teacher's experience.
    guide_steps: H, the most steps of an episode that the teacher acts at first.
    guide_decay: factor of H after each evaluation.
    weaning_end: fraction of training after which lambda is 0.
    weaned_learning_rate: at lambda 0, as a fraction of learning_rate.
    """

    distillation_coefficient: Annotated[Any, Range(0)] = 3.0
    distillation_temperature: Annotated[Any, Range(above=0)] = 0.1
    margin: Annotated[Any, Range(0)] = 1.0
    margin_coefficient: Annotated[Any, Range(0)] = 1.0
    conservative_coefficient: Annotated[Any, Range(0)] = 1.0
    conservative_temperature: Annotated[Any, Range(above=0)] = 0.1
    teacher_fraction: Annotated[Any, Range(0, 1)] = 0.5
    guide_steps: Annotated[Any, Range(0)] = 100.0
    guide_decay: Annotated[Any, Range(0, 1)] = 0.8
    weaning_end: Annotated[Any, Range(0, 1)] = 0.6
    weaned_learning_rate: Annotated[Any, Range(0, 1)] = 0.1


class Inputs(NamedTuple):
    """What a method's term reads.

    q: f32[B, A], the student's values, differentiable. action: i32[B], of the batch. hypers: in
    force. log_policy: temperature -> f32[B, A], the teacher's. greedy: () -> i32[B], its actions.
    """

    q: Array
    action: Array
    hypers: Any
    log_policy: Callable[[Array], Array]
    greedy: Callable[[], Array]


class Method(NamedTuple):
    """How a student learns from a teacher; made by the functions of `agents.reincarnation`.

    name: of the method. hypers: those that it reads, with defaults. term: Inputs -> (f32[],
    metrics), its weight at lambda 1. offline: whether it begins with the teacher's replay alone.
    online: whether the term is there online, too. weans: whether lambda follows evaluations.
    guides: the teacher acts at the start of episodes. rehearses: batches have some of its
    experience. keeps_optimizer: from the offline phase to the online one. continues: the student is
    the teacher itself.
    """

    name: str
    hypers: Defaults = ()
    term: Callable[[Inputs], Told] | None = None
    offline: bool = False
    online: bool = True
    weans: bool = False
    guides: bool = False
    rehearses: bool = False
    keeps_optimizer: bool = True
    continues: bool = False


class Prior(NamedTuple):
    """What a student has of its teacher.

    teacher: its state without the replay. weaning: f32[], lambda. teacher_score, random_score:
    f32[], undiscounted returns. guide_steps: f32[], H.
    """

    teacher: Constant
    weaning: Array
    teacher_score: Array
    random_score: Array
    guide_steps: Array


class StudentState(NamedTuple):
    """State of a student: that of the agent inside, and its prior.

    learner, replay: of the agent. rest: all else of its state, which has () for these two.
    """

    learner: Learner
    replay: Any
    rest: Any
    prior: Prior


class Guided(NamedTuple):
    """Memory of a student whose teacher acts first. step, until: i32[N], of the episode."""

    step: Array
    until: Array


class StudentBuilder(Protocol):
    """Builds students, with the arguments of the builder that it was made of."""

    def __call__(
        self,
        env: Environment,
        config: Any = None,
        network: Any = None,
        hypers: Any = None,
        **more: Any,
    ) -> Agent:
        """The agent."""
        ...


def whole(state: StudentState) -> Any:
    """Return the state of the agent inside."""
    return state.rest._replace(learner=state.learner, replay=state.replay)


def parted(inner: Any, prior: Prior) -> StudentState:
    """Make a student's state of that of the agent inside and its prior."""
    rest = inner._replace(learner=(), replay=())
    return StudentState(inner.learner, inner.replay, rest, prior)


def hypers_of(method: Method, *, weaning: bool) -> Defaults:
    """Name the hyper-parameters that a student has beside those of the agent inside."""
    if weaning:
        return *method.hypers, *((("weaning_end", 0.6),) if method.weans else ())
    unread = {"guide_decay"} | ({"weaned_learning_rate"} if method.weans else set())
    return tuple(one for one in method.hypers if one[0] not in unread)


def join(method: Method, inner: Any, *, weaning: bool = True, given: Any = None) -> Any:
    """Join Hypers of the agent inside with those of a method, defaults or those of `given`."""
    own = hypers_of(method, weaning=weaning)
    return joined.joined(inner, ReincarnationHypers, own, "Reincarnated", given)


def reincarnated(
    builder: Any, method: Method, teacher: Agent, *, offline: bool = False, weaning: bool = True
) -> StudentBuilder:
    """Make the builder of students of a teacher.

    A student begins with an untrained teacher: a stage's `begin` gives it a trained one, as
    `reincarnate` does. Its hypers are those of the agent inside and those of the method. Online it
    is evaluated during training where it is weaned, and refused without `evaluate_every`.

    Args:
        builder: of a value agent: `dqn`, `c51`, `qr_dqn`, `iqn`, `munchausen`, `rainbow`.
        method: such as `qdagger()`.
        teacher: any agent with the student's spaces and without a memory, built as it was trained.
        offline: for the offline phase: a frozen replay, that of the teacher, and lambda 1.
        weaning: False keeps lambda at 1, and the learning rate and the guide's steps as they are.

    Returns:
        The builder, with the same arguments, for `run`, `sweep` and `stages`.

    Raises:
        ValueError: an argument is of another kind, the method has no offline phase, or, from the
            builder, agent and teacher do not fit.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> build = pjs.reincarnated(pjs.dqn, pjs.kickstarting(), pjs.ppo(env))
        >>> build(env).hypers.distillation_temperature
        0.1
    """
    function("builder", builder, 4, "(env, config, network, hypers) -> Agent")
    instance("method", method, Method)
    instance("teacher", teacher, Agent)
    boolean("weaning", weaning)
    if boolean("offline", offline) and not method.offline:
        raise ValueError(f"offline: expected False, as {method.name} has no offline phase")
    if method.term is not None:
        _check_takes(builder, "extra_loss", method)
    if offline or method.rehearses:
        _check_takes(builder, "replay", method)

    def build(
        env: Environment,
        config: Any = None,
        network: Any = None,
        hypers: Any = None,
        **more: Any,
    ) -> Agent:
        inner = joined.of_agent(hypers, ReincarnationHypers)
        base = builder(env, config, network, inner)
        replay = _replay(method, teacher, env, base, offline=offline)
        given = {**getattr(builder, "keywords", {}), **more}  # of a functools.partial, too
        if replay is not None and given.get("replay") is not None:
            text = f"expected no replay of its own, as {method.name} has the teacher's"
            raise ValueError(f"builder: {text}, got {shown(given['replay'])}")
        more |= {} if replay is None else {"replay": replay}
        known = base.model or base.network

        def made(term: ExtraLoss | None) -> Agent:
            both = extra_losses.both(given.get("extra_loss"), term)
            terms = more if both is None else {**more, "extra_loss": both}
            return builder(env, base.config, known, base.hypers, **terms)

        kept = make_teacher(teacher, env)
        agent = _student(method, made, base, kept, offline=offline, weaning=weaning)
        phase = " offline" if offline else ""
        still = "" if weaning or not (method.weans or method.guides) else ", not weaned"
        return agent._replace(
            name=f"{base.name} with {method.name}{phase} of {teacher.name}{still}",
            hypers=join(method, base.hypers, weaning=weaning, given=hypers),
        )

    own = hypers_of(method, weaning=weaning)
    build.__annotations__ |= joined.annotations(builder, ReincarnationHypers, own, "Reincarnated")
    return build


def _check_takes(builder: Any, name: str, method: Method) -> None:
    """Raise ValueError unless a builder takes an argument of this name."""
    known = inspect.signature(builder).parameters
    if name not in known and not any(x.kind is x.VAR_KEYWORD for x in known.values()):
        text = f"expected one that takes {name}=, as {method.name} needs it"
        raise ValueError(f"builder: {text}, got {shown(builder)}")


def _student(
    method: Method,
    made: Callable[[ExtraLoss | None], Agent],
    base: Agent,
    teacher: Teacher,
    *,
    offline: bool,
    weaning: bool,
) -> Agent:
    """Make the student of the agent `base`, which `made` makes anew with a term of its loss."""
    applies = method.term is not None and (offline or method.online)
    plain, guided = made(None), method.guides
    like = _check(plain)

    def inner(hypers: Any) -> Any:
        return joined.of_agent(hypers, ReincarnationHypers)

    def init(key: Key, hypers: Any) -> StudentState:
        state = plain.init(key, inner(hypers))
        prior = Prior(
            teacher=teacher.init(jax.random.fold_in(key, TEACHER)),
            weaning=jnp.float32(offline or applies),
            teacher_score=jnp.zeros(()),
            random_score=jnp.zeros(()),
            guide_steps=jnp.asarray(getattr(hypers, "guide_steps", 0.0), jnp.float32),
        )
        return parted(state, prior)

    def taught(hypers: Any, prior: Prior) -> Agent:
        """The agent inside, with the method's term."""
        term, estimate = method.term, plain.estimate
        if not applies or term is None or estimate is None:
            return plain

        def extra(inputs: LossInputs) -> Told:
            obs, learner = inputs.batch.obs, Learner(inputs.params, ())
            state = like._replace(learner=learner)
            q = estimate(inputs.hypers, state, (), obs).q
            assert q is not None
            asked = Inputs(
                q=q,
                action=inputs.batch.action,
                hypers=hypers,
                log_policy=lambda temperature: teacher.log_policy(prior.teacher, obs, temperature),
                greedy=lambda: teacher.greedy(prior.teacher, obs),
            )
            found, metrics = term(asked)
            return prior.weaning * found, metrics

        return made(extra)

    def in_force(hypers: Any, prior: Prior) -> Any:
        """The hypers of the agent inside, whose learning rate follows lambda."""
        own, share = inner(hypers), getattr(hypers, "weaned_learning_rate", None)
        if share is None:
            return own
        weight = jnp.minimum(prior.weaning, 1.0)
        return own._replace(learning_rate=own.learning_rate * (weight + (1.0 - weight) * share))

    def update(key: Key, hypers: Any, state: StudentState, transition: Transition):
        if method.rehearses:
            share = jnp.asarray(hypers.teacher_fraction, jnp.float32)
            state = state._replace(replay=state.replay._replace(share=share))
        agent, own = taught(hypers, state.prior), in_force(hypers, state.prior)
        after, metrics = agent.update(key, own, whole(state), transition)
        told = {"weaning": state.prior.weaning} if applies else {}
        told |= {"guide_steps": state.prior.guide_steps} if guided else {}
        return parted(after, state.prior), {**metrics, **told}

    def probe(key: Key, hypers: Any, state: StudentState, transition: Transition) -> Any:
        agent, own = taught(hypers, state.prior), in_force(hypers, state.prior)
        return agent.probe(key, own, whole(state), transition)

    def noise(key: Key, batch: int) -> Any:
        own = plain.noise(key, batch)
        if not guided:
            return own
        return own, jax.random.uniform(jax.random.fold_in(key, GUIDE), (batch,))

    def memory(batch: int) -> Memory:
        zeros = jnp.zeros(batch, jnp.int32)
        return Guided(zeros, jnp.zeros_like(zeros)) if guided else plain.memory(batch)

    def act(noise: Any, hypers: Any, state: StudentState, memory: Any, obs: Array, explore: bool):
        own, now = inner(hypers), whole(state)
        if not guided:
            return plain.act(noise, own, now, memory, obs, explore)
        _, action, extras = plain.act(noise[0], own, now, (), obs, explore)
        if not explore:
            return memory, action, extras
        most = state.prior.guide_steps
        drawn = jnp.where(most >= 1.0, 1.0 + jnp.floor(noise[1] * most), 0.0).astype(jnp.int32)
        until = jnp.where(memory.step == 0, drawn, memory.until)
        shown = teacher.greedy(state.prior.teacher, obs)
        action = jnp.where(memory.step < until, shown, action)
        return Guided(memory.step + 1, until), action, extras

    def anneal(hypers: Any, clock: Clock) -> Any:
        return hypers._replace(**plain.anneal(inner(hypers), clock)._asdict())

    def estimate(hypers: Any, state: StudentState, memory: Memory, obs: Array, action: Any = None):
        assert plain.estimate is not None
        return plain.estimate(inner(hypers), whole(state), (), obs, action)

    def maintain(
        key: Key, clock: Clock, hypers: Any, state: StudentState, transition: Transition
    ) -> tuple[StudentState, Mapping[str, Array]]:
        """Set lambda to 0 after `weaning_end`."""
        past = (clock.update + 1) / jnp.float32(clock.updates) > hypers.weaning_end
        prior = state.prior._replace(weaning=jnp.where(past, 0.0, state.prior.weaning))
        return state._replace(prior=prior), {}

    def evaluated(hypers: Any, state: StudentState, means: Mapping[str, Array]) -> StudentState:
        prior = state.prior
        if method.weans:
            prior = prior._replace(weaning=weaned(prior, means[SCORE]))
        if guided:
            fewer = jnp.floor(hypers.guide_decay * prior.guide_steps)
            prior = prior._replace(guide_steps=fewer)
        return state._replace(prior=prior)

    weans = weaning and not offline
    return plain._replace(
        init=init,
        act=act,
        update=update,
        probe=probe,
        noise=noise,
        memory=memory,
        anneal=anneal,
        estimate=estimate,
        initial=(*plain.initial, "guide_steps") if guided else plain.initial,
        maintain=maintain if weans and method.weans else None,
        evaluated=evaluated if weans and (method.weans or guided) else None,
    )


def _check(agent: Agent) -> Any:
    """Return the least state that the agent tells values by: a learner beside nothing.

    Raises:
        ValueError: it tells no values of discrete actions by its learner alone, or does more than
            to act and to learn.
    """
    expected = f"builder: expected that of a value agent, such as dqn, got {agent.name}"
    hypers, key = jax.tree.map(jnp.float32, agent.hypers), jax.eval_shape(jax.random.key, 0)
    state = jax.eval_shape(agent.init, key, hypers)
    less = state._replace(**dict.fromkeys(state._fields, ()))

    def values(params: Any, obs: Array) -> Any:
        assert agent.estimate is not None
        state = less._replace(learner=Learner(params, ()))
        return agent.estimate(hypers, state, agent.memory(1), obs).q

    obs = spaces.abstract(agent.observation, 1)
    try:
        told = jax.eval_shape(values, state.learner.params, obs)
    except Exception as error:
        raise ValueError(expected) from error
    if told is None or not isinstance(agent.action, Discrete) or "target" not in state._fields:
        raise ValueError(expected)
    if agent.maintain is not None or agent.evaluated is not None or agent.policies:
        raise ValueError(f"{expected}; make it sparse afterwards, sparse(reincarnated(...), ...)")
    return less


def weaned(prior: Prior, score: Array) -> Array:
    """Compute lambda after an evaluation: it follows the gap to the teacher, and stays 0 at 0.

    It is 0, too, if the teacher is not better than a random policy: there is no gap to follow.
    """
    gap = prior.teacher_score - prior.random_score
    closed = (score - prior.random_score) / (gap + 1e-8)
    follows = (prior.weaning > 0.0) & (gap > 0.0)
    return jnp.where(follows, jnp.maximum(1.0 - closed, 0.0), 0.0)


def _replay(method: Method, teacher: Agent, env: Environment, base: Agent, *, offline: bool) -> Any:
    """What makes the student's replay, if that is not its own."""
    if not (offline or method.rehearses):
        return None
    hypers = jax.tree.map(jnp.float32, base.hypers)
    state = jax.eval_shape(base.init, jax.eval_shape(jax.random.key, 0), hypers)
    weighed = isinstance(state.replay, PrioritisedState)
    other = experience_of(teacher, env, base.config.max_n_step)
    if offline:
        # As much as there is, whatever the student waits for online.
        kept = other._replace(
            add=lambda ring, transition: ring,
            ready=lambda ring, min_history, n: other.ready(ring, 1, n),
        )
        return lambda *spaces, **sizes: unprioritised(kept) if weighed else kept
    if weighed:
        raise ValueError(
            f"builder: expected one with a uniform replay to rehearse in, got {base.name}"
        )
    return lambda *spaces, **sizes: mixed(uniform(*spaces, **sizes), other)
