"""Learn from a data set without acting: parts that offline agents share.

An update is given windows that `engine.dataset` has drawn uniformly, as many as its gradient steps
need, and learns from each once: there is no replay. A window is one step, or two where an agent
needs the action that followed in the data.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import (
    action_scaling,
    continuous_learning,
    extra_losses,
    replay_learning,
)
from purejaxrl_suite.agents.shared.action_scaling import Units
from purejaxrl_suite.agents.shared.continuous_learning import Drawn
from purejaxrl_suite.agents.shared.normalize import standardize_observations
from purejaxrl_suite.buffers import Batch
from purejaxrl_suite.core import spaces, tree, types
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Box,
    Discrete,
    Estimate,
    Estimates,
    Key,
    Network,
    Probe,
    Space,
    Transition,
)
from purejaxrl_suite.ops.episodes import next_actions

Metrics = dict[str, Array]
Inside = Callable[[Array], Array]
"""Actions of the data [B, ...] -> actions as the network reads them, f32[B, A]."""
NEXT = "next_action"
"""The extra of a batch with the actions that followed in the data, where windows are two steps."""


class OfflineConfig(Protocol):
    """Config of agents that learn from a data set."""

    @property
    def gradient_steps(self) -> int:
        """Return the gradient steps in an update."""
        ...

    @property
    def batch_size(self) -> int:
        """Return the transitions in a gradient step (B)."""
        ...


def batch_of(hypers: Any, inside: Inside, windows: Transition) -> Batch:
    """Make a batch of the first steps of windows [T, B], T = 1 or 2.

    With T = 2 it has the extra `NEXT`, and the weight of a step is 0 where that action is needed
    and not known: at the end of an episode that was cut, and that did not terminate.
    """
    first, n = tree.index(windows, 0), windows.reward.shape[1]
    weight, extras = jnp.ones(n), {}
    if len(windows.reward) > 1:
        following = tree.index(jax.vmap(next_actions, 1, 1)(windows), 0)
        weight = jnp.asarray(following.valid | first.terminated, jnp.float32)
        extras = {NEXT: inside(following.action)}
    return Batch(
        obs=first.obs,
        action=inside(first.action),
        reward=first.reward,
        discount=jnp.broadcast_to(jnp.asarray(hypers.gamma, jnp.float32), (n,)),
        next_obs=first.next_obs,
        terminated=first.terminated,
        truncated=first.truncated,
        steps=jnp.ones(n, jnp.int32),
        weight=weight,
        slot=jnp.arange(n),
        extras=extras,
    )


def dealt(
    key: Key, hypers: Any, inside: Inside, windows: Transition, shape: tuple[int, ...], size: int
) -> Drawn:
    """Deal windows [T, N] out to minibatches: leaves [*shape, ...], of which the last axis is B.

    size: of the actions (A), for their noise.
    """
    noise_key, key = jax.random.split(key)
    batch = batch_of(hypers, inside, windows)
    batch = jax.tree.map(lambda x: jnp.reshape(x, (*shape, *x.shape[1:])), batch)
    noise = jax.random.normal(noise_key, (*shape, size))
    return Drawn(batch, noise, jax.random.split(key, shape[:-1]))


def learn(
    step: Callable[[Any, Drawn], tuple[Any, Metrics]], state: Any, drawn: Drawn
) -> tuple[Any, Metrics]:
    """Make a step on each minibatch (leading axis); return the state and means of the metrics."""
    state, metrics = jax.lax.scan(step, state, drawn)
    return state, {name: jnp.mean(x) for name, x in metrics.items()}


def update_and_probe(
    config: OfflineConfig,
    network: Network,
    inside: Inside,
    size: int,
    *,
    step: Callable[[Any, Any, Drawn], tuple[Any, Metrics]],
    objectives: tuple[Callable[[Any, Any, Drawn], Any], ...],
) -> tuple[Callable[..., Any], Callable[..., Probe]]:
    """Make `Agent.update` and `Agent.probe` of an agent that makes a step on each minibatch.

    Args:
        config: sizes.
        network: of actor and critics.
        inside: actions of the data -> as the network reads them.
        size: of the actions (A).
        step: (hypers, state, drawn) -> (state, metrics); the state counts `steps`.
        objectives: (hypers, state, drawn) -> loss, of critics, of the actor, and others.
    """

    def update(key: Key, hypers: Any, state: Any, windows: Transition) -> Any:
        shape = config.gradient_steps, config.batch_size
        drawn = dealt(key, hypers, inside, windows, shape, size)
        state, metrics = learn(partial(step, hypers), state, drawn)
        metrics["gradient_steps"] = state.steps.astype(jnp.float32)
        return state, extra_losses.named(metrics)

    def probe(key: Key, hypers: Any, state: Any, windows: Transition) -> Probe:
        drawn = dealt(key, hypers, inside, windows, windows.reward.shape[1:], size)
        of_each = (objective(hypers, state, drawn) for objective in objectives)
        return continuous_learning.probe(network, state.learner.params, drawn.batch, *of_each)

    return update, probe


def no_noise(key: Key, batch: int) -> tuple[()]:
    """Draw no random numbers, for agents that always act greedily."""
    return ()


def assemble(
    env: types.Environment,
    config: OfflineConfig,
    *,
    window: int = 1,
    standardize: bool = False,
    noise: Callable[[Key, int], Any] = no_noise,
    **known: Any,
) -> Agent:
    """Make an agent, for `env`, from its fields.

    window: steps of the windows that it is given. standardize: whether its observations are, by
    the data set. noise: that it acts with.
    """
    agent = Agent(
        observation=env.observation,
        action=env.action,
        num_envs=config.gradient_steps * config.batch_size,
        rollout_length=window,
        config=config,
        gradient_steps=config.gradient_steps,
        offline=lambda state, steps: state,
        noise=noise,
        **known,
    )
    return standardize_observations(agent) if standardize else agent


class Actions(NamedTuple):
    """Actions and policies of an agent whose network is `nets.actor_critics`, on either space.

    Continuous actions are scaled by their bounds. Discrete ones are one-hot, and the network's
    deterministic policy is their logits.

    discrete: whether they are. box: the space that the network is built for.
    inside: actions [B, ...] -> f32[B, A]. noise: (key, B) -> f32[B, A].
    sample: (noise, policy) -> actions. greedy: policy -> actions.
    log_likelihood: (policy, f32[B, A]) -> f32[B]; of a deterministic policy over continuous actions
    it is minus the mean squared error, as of a normal distribution up to constants.
    """

    discrete: bool
    box: Any
    inside: Inside
    noise: Callable[[Key, int], Array]
    sample: Callable[[Array, Any], Array]
    greedy: Callable[[Any], Array]
    log_likelihood: Callable[[Any, Array], Array]


def box_of(space: Space) -> Space:
    """Return the space that `nets.actor_critics` is built for: discrete actions are one-hot."""
    return Box((space.n,), "float32", 0.0, 1.0) if isinstance(space, Discrete) else space


def actions(name: str, env: types.Environment) -> Actions:
    """Make the actions of `env`, for the agent `name`.

    Raises:
        ValueError: they are continuous without finite bounds, or some tasks lack some of them.
    """
    space = env.action
    if not isinstance(space, Discrete):
        return _continuous(space, action_scaling.units(name, env))
    if space.valid:
        raise ValueError(f"{name}: the tasks of {env.name} differ in actions, expected all alike")

    def chosen(scores: Array) -> Array:
        return jnp.argmax(scores, axis=-1).astype(jnp.int32)

    return Actions(
        discrete=True,
        box=box_of(space),
        inside=lambda action: jax.nn.one_hot(action, space.n),
        noise=lambda key, batch: jax.random.gumbel(key, (batch, space.n)),
        sample=lambda noise, logits: chosen(logits + noise),
        greedy=chosen,
        log_likelihood=lambda logits, seen: jnp.sum(seen * jax.nn.log_softmax(logits), axis=-1),
    )


def _continuous(space: Box, units: Units) -> Actions:
    def mean(policy: Any) -> Array:
        return units.hold(jnp.tanh(policy.mean if isinstance(policy, nets.Gaussian) else policy))

    def sample(noise: Array, policy: Any) -> Array:
        spread = jnp.exp(policy.log_std) * noise if isinstance(policy, nets.Gaussian) else 0.0
        return units.outside(units.hold(jnp.clip(mean(policy) + spread, -1.0, 1.0)))

    def log_likelihood(policy: Any, seen: Array) -> Array:
        off = seen - mean(policy)
        if not isinstance(policy, nets.Gaussian):
            return -jnp.mean(jnp.square(off), axis=-1)
        size = jnp.square(off * jnp.exp(-policy.log_std)) + math.log(2.0 * math.pi)
        return -jnp.sum(units.hold(0.5 * size + policy.log_std), axis=-1)

    return Actions(
        discrete=False,
        box=space,
        inside=units.inside,
        noise=lambda key, batch: jax.random.normal(key, (batch, units.size)),
        sample=sample,
        greedy=lambda policy: units.outside(mean(policy)),
        log_likelihood=log_likelihood,
    )


def network(
    name: str,
    env: types.Environment,
    given: Network | None,
    *,
    actions: Actions,
    deterministic: bool,
    value: bool = False,
) -> Network:
    """Return the network of the agent `name`, checked; None is `nets.actor_critics`.

    deterministic: whether the default's policy is, of continuous actions. value: whether it must
    have a value stream.

    Raises:
        ValueError: it is not from `nets.actor_critics`, or its outputs do not fit.
    """
    discrete = isinstance(env.action, Discrete)
    if given is None:
        logits = deterministic or discrete
        given = nets.actor_critics(env.observation, actions.box, deterministic=logits, value=value)
    replay_learning.check_network(name, given)
    key, obs = jax.eval_shape(jax.random.key, 0), spaces.abstract(env.observation, 1)
    output = jax.eval_shape(lambda key, obs: given.apply(given.init(key), obs)[0], key, obs)
    shaped = isinstance(output, nets.ActorCritics)
    gaussian = shaped and isinstance(output.policy, nets.Gaussian)
    if not shaped or (gaussian and discrete) or (value and output.value is None):
        more = ", deterministic=True" * discrete + ", value=True" * value
        raise ValueError(f"network: {name} expects nets.actor_critics(observation, box{more})")
    return given


def estimating(network: Network, actions: Actions, judge: Callable[[Array], Array]) -> Estimate:
    """Make the estimates of a policy and critics; of discrete actions, with its probabilities.

    judge: values f32[N, M] of the critics -> f32[N].
    """

    def estimate(hypers: Any, state: Any, memory: Any, obs: Array, action: Any = None) -> Estimates:
        params = state.learner.params
        policy = network.apply(params, obs)[0].policy
        chosen = actions.greedy(policy) if action is None else action
        q = judge(network.apply(params, obs, action=actions.inside(chosen))[0].values)
        if actions.discrete:
            return Estimates(q, probabilities=jax.nn.softmax(policy))
        return Estimates(q, q)

    return estimate
