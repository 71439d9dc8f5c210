"""Agents that live with options: a manager, policies of options, and rules that say what these are.

The manager chooses among options and actions. An option acts until it terminates, an action lasts
one step (call and return; Sutton, Precup and Singh 1999). What an option is to achieve, its rewards
and terminations, are parameters of a rule, as in `meta.inner`: its lessons are computed outside of
the inner gradient. Rewards of the task teach the manager alone, and neither options nor their rules
see what tells the goal.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Box,
    Discrete,
    Environment,
    Key,
    Learner,
    Memory,
    Network,
    PyTree,
    Transition,
)
from purejaxrl_suite.meta import inner
from purejaxrl_suite.meta.inner import Look, Optimizer
from purejaxrl_suite.nets.builders import check_discrete
from purejaxrl_suite.nets.encoders import expansion
from purejaxrl_suite.ops import descent


class OptionHypers(NamedTuple):
    """Hyper-parameters of an agent that lives with options, f[] each.

    learning_rate: of the manager. option_learning_rate: of the options' policies and values.
    switching_cost: of each choice of the manager. rule: parameters of rewards and terminations.
    """

    learning_rate: Any
    option_learning_rate: Any
    gamma: Any
    entropy_coefficient: Any
    value_coefficient: Any
    switching_cost: Any
    rule: PyTree = ()


class OptionState(NamedTuple):
    """State of the agent. learner: parameters are {"manager": ..., "options": ...}."""

    learner: Learner


class Parts(NamedTuple):
    """What such an agent is made of, as functions.

    options: their number K. actions: A. manager: network over K + A choices, options first. policy:
    network of one option, whose parameters are stacked over options; its critic is that of the
    option's own return. hide: observations -> those without what tells the goal. rewards: (rule,
    hidden observations [T, N, ...]) -> f[T, N, K, A]. terminations: (rule, hidden observations, b)
    -> their logits f[..., K], for observations with b axes of a batch.
    """

    options: int
    actions: int
    manager: Network
    policy: Network
    hide: Callable[[Array], Array]
    rewards: Callable[[PyTree, Array], Array]
    terminations: Callable[[PyTree, Array, int], Array]


class Choices(NamedTuple):
    """Choices of a rollout, in `Transition.extras`.

    option: i32[T, N], in force; K + a is action a. before: i32[T, N], that of the step before, K
    or more where none can go on. chosen: bool[T, N], where the manager chose.
    """

    option: Array
    before: Array
    chosen: Array


def choices_of(transition: Transition) -> Choices:
    """Read the choices of a rollout."""
    return Choices(**{name: transition.extras[name] for name in Choices._fields})


def hidden_goal(observation: Box, entries: int) -> tuple[Box, Callable[[Array], Array]]:
    """Return the space of observations without their last entries, and the function that cuts.

    Raises:
        ValueError: nothing would be left, or bounds differ between entries.
    """
    shape = tuple(observation.shape)
    integer("goal_entries", entries, 0, (shape[-1] if shape else 1) - 1)
    if not entries:
        return observation, lambda obs: obs
    cut = slice(-entries)
    low, high = (b[cut] if isinstance(b, tuple) else b for b in (observation.low, observation.high))
    space = observation._replace(
        shape=(*shape[:-1], shape[-1] - entries),
        low=low,
        high=high,
        categories=observation.categories[cut],
    )
    return space, lambda obs: obs[..., cut]


def parts_of(
    env: Environment, options: int, goal_entries: int, network: Network | None = None
) -> Parts:
    """Make the parts of an agent with options for the spaces of an environment.

    Args:
        env: with discrete actions.
        options: K, 0 for an agent with actions alone.
        goal_entries: the last entries of an observation, which options do not see.
        network: of the manager; None for a table where observations are numbers of states, else
            `nets.actor_critic`.

    Returns:
        The parts.

    Raises:
        ValueError: actions are not discrete, the network has a memory, or too many entries are
            hidden.
    """
    actions = check_discrete(env.action).n
    space, hide = hidden_goal(env.observation, goal_entries)
    many = env._replace(action=Discrete(options + actions))
    manager = network or inner.default_network(many)
    inner.check_network(manager)
    read = partial(_read, expansion(space)[0])
    return Parts(
        options=options,
        actions=actions,
        manager=manager,
        policy=inner.default_network(env._replace(observation=space)),
        hide=hide,
        rewards=partial(_rewards, read, options, actions),
        terminations=partial(_terminations, read),
    )


FIRST_TERMINATION = -2.0
"""Logit of terminations at first: a probability of 0.12."""


def init_rule(env: Environment, options: int, units: int, goal_entries: int, key: Key) -> PyTree:
    """Draw parameters of rewards and terminations.

    Args:
        env: as in `parts_of`.
        options: as in `parts_of`.
        units: of their hidden layers; 0 for functions that are linear in the observation, expanded:
            tables where it is the number of a state.
        goal_entries: as in `parts_of`.
        key: to draw with.

    Returns:
        The parameters.
    """
    space, _ = hidden_goal(env.observation, goal_entries)
    inputs, actions = math.prod(expansion(space)[1]), check_discrete(env.action).n
    sizes, keys = {"rewards": options * actions, "terminations": options}, jax.random.split(key, 2)
    made = {}
    for one, (name, outputs) in zip(keys, sizes.items(), strict=True):
        of_hidden, of_head = jax.random.split(one)
        hidden = {"hidden": _dense(of_hidden, inputs, units)} if units else {}
        made[name] = {**hidden, "head": _dense(of_head, units or inputs, outputs)}
    made["terminations"]["head"]["bias"] += FIRST_TERMINATION
    return made


def _dense(key: Key, inputs: int, outputs: int) -> PyTree:
    draw = jax.nn.initializers.lecun_normal()
    return {"kernel": draw(key, (inputs, outputs)), "bias": jnp.zeros(outputs)}


def _read(expand: Callable[[Array], Array], params: PyTree, obs: Array, batch: int) -> Array:
    """Apply a rule's network to observations with `batch` leading axes."""
    leading = obs.shape[:batch]
    x = expand(jnp.reshape(obs, (-1, *obs.shape[batch:])))
    x = jnp.reshape(x, (len(x), -1))
    if "hidden" in params:
        x = jnp.tanh(x @ params["hidden"]["kernel"] + params["hidden"]["bias"][None])
    found = x @ params["head"]["kernel"] + params["head"]["bias"][None]
    return jnp.reshape(found, (*leading, found.shape[-1]))


def _rewards(read: Callable[..., Array], options: int, actions: int, rule: PyTree, obs: Array):
    found = jnp.tanh(read(rule["rewards"], obs, 2))
    return jnp.reshape(found, (*found.shape[:-1], options, actions))


def _terminations(read: Callable[..., Array], rule: PyTree, obs: Array, batch: int) -> Array:
    return read(rule["terminations"], obs, batch)


def options_agent(
    env: Environment,
    parts: Parts,
    *,
    name: str,
    hypers: OptionHypers,
    num_envs: int,
    rollout_length: int,
    optimizer: Optimizer,
) -> Agent:
    """Make the agent that lives with options and makes one gradient step for each rollout.

    An option o that acts at t has the return r^o(s, a) + gamma (1 - beta^o(s')) (G or, where it
    ends or the rollout does, v^o(s')); the manager that of the task, less the switching cost of
    each choice, from each of its choices on. Both are actor-critics, with their losses averaged
    over all steps.

    Args:
        env: whose spaces it is built for.
        parts: as `parts_of` makes them.
        name: of the agent.
        hypers: its own hyper-parameters.
        num_envs: N.
        rollout_length: T.
        optimizer: of its parameters; see `meta.differentiable`.

    Returns:
        The agent. It remembers the option in force.
    """

    def init(key: Key, hypers: OptionHypers) -> OptionState:
        of_manager, of_options = jax.random.split(key)
        each = jax.random.split(of_options, max(parts.options, 1))
        options = jax.vmap(parts.policy.init)(each) if parts.options else ()
        params = {"manager": parts.manager.init(of_manager), "options": options}
        return OptionState(Learner(params, _optimizer(optimizer, hypers).init(params)))

    def update(key: Key, hypers: OptionHypers, state: OptionState, transition: Transition):
        params = state.learner.params
        lessons = lessons_of(parts, hypers, params, transition)
        objective = partial(_loss, parts, hypers, transition, lessons)
        gradient, found = jax.grad(objective, has_aux=True)(params)
        learner = descent.move(_optimizer(optimizer, hypers), state.learner, gradient)
        used = _use(parts, transition)
        metrics = {**found, **used, "step_reward": jnp.mean(transition.reward)}
        return OptionState(learner), metrics

    def probe(key: Key, hypers: OptionHypers, state: OptionState, transition: Transition):
        raise ValueError(f"agent: expected one that is measured alone, got {name}, which lives")

    return Agent(
        name=name,
        observation=env.observation,
        action=env.action,
        hypers=hypers,
        num_envs=num_envs,
        rollout_length=rollout_length,
        init=init,
        act=partial(_act, parts),
        update=update,
        probe=probe,
        noise=partial(_noise, parts),
        memory=lambda n: jnp.full(n, parts.options, jnp.int32),
        gradient_steps=1,
    )


def _optimizer(optimizer: Optimizer, hypers: OptionHypers) -> optax.GradientTransformation:
    rates = {"manager": hypers.learning_rate, "options": hypers.option_learning_rate}
    each: Any = {part: optimizer(rate) for part, rate in rates.items()}
    return optax.partition(each, {part: part for part in rates})


def _noise(parts: Parts, key: Key, n: int) -> dict[str, Array]:
    of_end, of_choice, of_action = jax.random.split(key, 3)
    spaces = Discrete(parts.options + parts.actions), Discrete(parts.actions)
    choice, action = (nets.sampler(space) for space in spaces)
    return {
        "end": jax.random.uniform(of_end, (n,)),
        "choice": choice.noise(of_choice, n),
        "action": action.noise(of_action, n),
    }


def _act(
    parts: Parts,
    noise: dict[str, Array],
    hypers: OptionHypers,
    state: OptionState,
    memory: Memory,
    obs: Array,
    explore: bool,
) -> tuple[Memory, Array, dict[str, Array]]:
    """Go on with the option in force, or choose anew; greedily one ends if it is likely to."""
    params, before = state.learner.params, memory
    many, few = Discrete(parts.options + parts.actions), Discrete(parts.actions)

    def draw(space: Discrete, part: str, logits: Array) -> Array:
        if explore:
            return nets.sampler(space).sample(noise[part], logits)
        return nets.distribution(space)(logits).mode()

    chosen = draw(many, "choice", parts.manager.apply(params["manager"], obs, (), {})[0].policy)
    if not parts.options:
        always = jnp.ones(before.shape, bool)
        return chosen, chosen, {"option": chosen, "before": before, "chosen": always}
    hidden = parts.hide(obs)
    logits = at(parts.terminations(hypers.rule, hidden, 1), before)
    drawn = noise["end"] if explore else 0.5
    ends = (before >= parts.options) | (drawn < jax.nn.sigmoid(logits))
    option = jnp.where(ends, chosen, before)
    apply = jax.vmap(lambda one: parts.policy.apply(one, hidden, (), {})[0].policy)
    own = draw(few, "action", at(jnp.moveaxis(apply(params["options"]), 0, 1), option))
    action = jnp.where(option < parts.options, own, option - parts.options)
    return option, action, {"option": option, "before": before, "chosen": ends}


def at(x: Array, index: Array) -> Array:
    """Take entries f[..., *] of f[..., K, *] by index i32[...]; where it is K or more, any."""
    axis = index.ndim
    place = jnp.minimum(index, x.shape[axis] - 1)
    place = jnp.reshape(place, (*index.shape, *[1] * (x.ndim - axis)))
    return jnp.squeeze(jnp.take_along_axis(x, place, axis=axis), axis)


class OptionLook(NamedTuple):
    """A rollout as the options in force see it; rows in which none is mean nothing.

    acts: bool[T, N], where an option is in force. log_prob, entropy, value, next_value: f[T, N].
    """

    acts: Array
    log_prob: Array
    entropy: Array
    value: Array
    next_value: Array


def look_of_options(parts: Parts, params: PyTree, transition: Transition) -> OptionLook:
    """Look at a rollout with the parameters of options, as a function of them."""
    option = choices_of(transition).option
    of_all = jax.vmap(lambda one, obs: inner.outputs(parts.policy, one, obs), (0, None))

    def outputs(obs: Array) -> Any:
        found = of_all(params, parts.hide(obs))
        return jax.tree.map(lambda x: at(jnp.moveaxis(x, 0, 2), option), found)

    now = outputs(transition.obs)
    policy = nets.distribution(Discrete(parts.actions))(now.policy)
    return OptionLook(
        acts=option < parts.options,
        log_prob=policy.log_prob(transition.action),
        entropy=policy.entropy(),
        value=now.value,
        next_value=outputs(transition.next_obs).value,
    )


def look_of_manager(parts: Parts, hypers: Any, params: PyTree, transition: Transition) -> Look:
    """Look at a rollout as the manager does: its choices, and rewards less what choices cost."""
    choices = choices_of(transition)
    reward = transition.reward - hypers.switching_cost * choices.chosen
    steps = transition._replace(action=choices.option, reward=reward)
    return inner.look_at(parts.manager, Discrete(parts.options + parts.actions), params, steps)


class Lessons(NamedTuple):
    """What is learnt from a rollout: advantages and targets f[T, N] of manager and options."""

    manager: tuple[Array, Array]
    options: tuple[Array, Array] | None


def lessons_of(
    parts: Parts, hypers: OptionHypers, params: PyTree, transition: Transition
) -> Lessons:
    """Compute what manager and options learn from a rollout."""
    look = look_of_manager(parts, hypers, params["manager"], transition)
    manager = inner.lambda_estimates(hypers.gamma, 1.0, look)
    if not parts.options:
        return Lessons(manager, None)
    own = look_of_options(parts, params["options"], transition)
    returns = option_returns(parts, hypers, transition, own.next_value)
    return Lessons(manager, (returns - own.value, returns))


def option_returns(
    parts: Parts, hypers: OptionHypers, transition: Transition, next_value: Array
) -> Array:
    """Compute the returns of the options in force, from their own rewards and terminations.

    Args:
        parts: of the agent.
        hypers: with the parameters of rewards and terminations.
        transition: [T, N].
        next_value: f[T, N], values of the true successors for the option in force.

    Returns:
        f[T, N]; rows in which no option is in force mean nothing.
    """
    option, _, chosen = choices_of(transition)
    rewards = at(
        at(parts.rewards(hypers.rule, parts.hide(transition.obs)), option), transition.action
    )
    logits = at(parts.terminations(hypers.rule, parts.hide(transition.next_obs), 2), option)
    discount = jnp.where(transition.terminated, 0.0, hypers.gamma * jax.nn.sigmoid(-logits))
    ended = jnp.concatenate([chosen[1:], jnp.ones_like(chosen[:1])]) | transition.done

    def step(later: Array, now: tuple[Array, ...]) -> tuple[Array, Array]:
        reward, discount, ended, following = now
        found = reward + discount * jnp.where(ended, following, later)
        return found, found

    steps = rewards, discount, ended, next_value
    return jax.lax.scan(step, jnp.zeros_like(next_value[0]), steps, reverse=True)[1]


def _loss(
    parts: Parts,
    hypers: OptionHypers,
    transition: Transition,
    lessons: Lessons,
    params: PyTree,
) -> tuple[Array, dict[str, Array]]:
    """Compute the loss of both actor-critics, with targets that are constants."""
    chosen = choices_of(transition).chosen
    output = inner.outputs(parts.manager, params["manager"], transition.obs)
    policy = nets.distribution(Discrete(parts.options + parts.actions))(output.policy)
    log_prob = policy.log_prob(choices_of(transition).option)
    samples = log_prob, policy.entropy(), output.value
    found = _actor_critic(hypers, lessons.manager, chosen, *samples)
    total, metrics = found.pop("loss"), found
    if lessons.options is None:
        return total, metrics
    look = look_of_options(parts, params["options"], transition)
    own = _actor_critic(hypers, lessons.options, look.acts, look.log_prob, look.entropy, look.value)
    metrics |= {f"option_{name}": x for name, x in own.items() if name != "loss"}
    return total + own["loss"], metrics


def _actor_critic(
    hypers: OptionHypers,
    lesson: tuple[Array, Array],
    counts: Array,
    log_prob: Array,
    entropy: Array,
    value: Array,
) -> dict[str, Array]:
    """Compute the means over all steps of the parts of a loss, 0 where a step does not count."""
    advantage, target = lesson
    samples = {
        "policy_loss": -advantage * log_prob,
        "entropy": entropy,
        "value_loss": 0.5 * jnp.square(target - value),
    }
    found = {name: jnp.mean(jnp.where(counts, x, 0.0)) for name, x in samples.items()}
    total = found["policy_loss"] - hypers.entropy_coefficient * found["entropy"]
    return {**found, "loss": total + hypers.value_coefficient * found["value_loss"]}


def _use(parts: Parts, transition: Transition) -> dict[str, Array]:
    """Compute shares of steps: in options, at which options begin, with a choice."""
    option, _, chosen = choices_of(transition)
    inside = option < parts.options
    shares = {"option_share": inside, "option_starts": inside & chosen, "switches": chosen}
    return {name: jnp.mean(x, dtype=transition.reward.dtype) for name, x in shares.items()}
