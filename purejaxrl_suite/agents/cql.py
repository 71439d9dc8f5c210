"""CQL(H): conservative Q-learning on SAC (Kumar et al. 2020, arXiv 2006.04779).

The critics' loss is that of SAC without the entropy in its targets, plus `conservative_weight` *
(log of the integral over actions of exp Q(s, a), less Q(s, a) of the data), summed over critics.
The integral is estimated with actions that are uniform, of the policy at s, and of the policy at
the successor of s, each weighted by its density (the paper's appendix F). Defaults are those of the
released code for MuJoCo with a fixed weight; the Lagrange form, which adapts it, and the cloning of
the behaviour at the start are not here, and critics, actor and temperature are learnt in the order
of `sac`. Values are bootstrapped at time limits. For discrete actions see `discrete_cql`.
"""

import math
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import (
    action_scaling,
    continuous_learning,
    estimates,
    extra_losses,
    offline_learning,
    temperatures,
)
from purejaxrl_suite.agents.shared.continuous_learning import Drawn, moved_by, partial_step
from purejaxrl_suite.agents.shared.temperatures import Temperature
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, Key, Learner, Memory, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.ops import offline
from purejaxrl_suite.ops.schedules import counted


class CQLConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        gradient_steps: in an update.
        batch_size: transitions of the data set in a gradient step.
        sampled_actions: of each of the three kinds, for each observation.
        normalize_observations: by mean and standard deviation of the data set.
    """

    gradient_steps: Annotated[int, Range(1)] = 10
    batch_size: Annotated[int, Range(1)] = 256
    sampled_actions: Annotated[int, Range(1)] = 10
    normalize_observations: bool = False


class CQLHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        actor_learning_rate: of the actor's Adam.
        critic_learning_rate: of the critics' Adam.
        temperature_learning_rate: of the Adam of the temperature's logarithm; 0 keeps it fixed.
        temperature: the weight of the policy's entropy at the start.
        target_entropy: per dimension of the action; a uniform policy has log 2 in each.
        gamma: discount per step.
        target_update_rate: how far target critics move to the critics at each of their steps.
        conservative_weight: of the penalty in the critics' loss; 0 is SAC on the data set.
    """

    actor_learning_rate: Annotated[float, Range(0)] = 1e-4
    critic_learning_rate: Annotated[float, Range(0)] = 3e-4
    temperature_learning_rate: Annotated[float, Range(0)] = 1e-4
    temperature: Annotated[float, Range(above=0)] = 1.0
    target_entropy: Annotated[float, Range()] = -1.0
    gamma: Annotated[float, Range(0, 1)] = 0.99
    target_update_rate: Annotated[float, Range(0, 1)] = 0.005
    conservative_weight: Annotated[float, Range(0)] = 5.0


class CQLState(NamedTuple):
    """State: actor and critics, targets of the critics, temperature; i32[], gradient steps."""

    learner: Learner
    target: PyTree
    temperature: Temperature
    steps: Array


class Sampled(NamedTuple):
    """Actions to estimate the integral with: f32[K, B, A], and their log-densities f32[K, B]."""

    action: Array
    log_density: Array


def cql(
    env: types.Environment,
    config: CQLConfig | None = None,
    network: types.Network | None = None,
    hypers: CQLHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build CQL(H) for the spaces of an environment with continuous actions.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.actor_critics(hidden=(256, 256, 256))`.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the critics' loss and to the actor's; each only moves its own
            parameters. Its target is that of the critics, f32[B], and None in the actor's loss,
            whose metrics are recorded. The temperature is learnt without it.

    Returns:
        The agent, which learns from a data set only.

    Raises:
        ValueError: actions are not a Box of one axis with finite bounds, or sizes do not fit.

    Example:
        >>> from functools import partial
        >>> env, steps = pjs.make("Pendulum-v1"), ...
        >>> source = partial(pjs.engine.dataset, steps=steps)
        >>> result = pjs.run(pjs.cql, env, seeds=4, steps=256e4, source=source)  # 10,000 batches
    """
    validate.parts(env, network, types.Network)
    extra_losses.check(extra_loss)
    config, hypers = validate.settings(config, hypers, (CQLConfig(), CQLHypers()))
    units = action_scaling.units("cql", env)
    network = network or nets.actor_critics(env.observation, env.action, hidden=(256, 256, 256))
    continuous_learning.check_network("cql", env, network, policy=nets.Gaussian, subset=0)
    rates = partial(continuous_learning.optimizers, network)
    add_extra = partial(continuous_learning.add_extra, extra_loss, network=network)
    sample = nets.squashed(units.free)

    def init(key: Key, hypers: CQLHypers) -> CQLState:
        learner = continuous_learning.initial_learner(key, network, rates(hypers))
        temperature = temperatures.initial_temperature(hypers.temperature)
        return CQLState(learner, jax.tree.map(jnp.copy, learner.params), temperature, jnp.int32(0))

    def act(noise: Any, hypers: CQLHypers, state: CQLState, memory: Memory, obs: Array, explore):
        gaussian = network.apply(state.learner.params, obs)[0].policy
        unit = sample(noise, gaussian)[0] if explore else units.hold(jnp.tanh(gaussian.mean))
        return memory, units.outside(unit), {}

    def sampled(state: CQLState, drawn: Drawn) -> Sampled:
        """Draw the three kinds of actions; the critics judge all of them at the batch's obs."""
        batch, count = drawn.batch, config.sampled_actions
        uniform_key, *keys = jax.random.split(drawn.key, 3)
        shape = count, *batch.action.shape
        uniform = jax.random.uniform(uniform_key, shape, minval=-1.0, maxval=1.0)
        flat = jnp.full(shape[:2], -math.log(2.0) * sum(units.free))
        parts = [(jax.vmap(units.hold)(uniform), flat)]
        for key, obs in zip(keys, (batch.obs, batch.next_obs), strict=True):
            gaussian = network.apply(state.learner.params, obs)[0].policy
            noise = jax.random.normal(key, shape)
            parts.append(jax.vmap(sample, (0, None))(noise, gaussian))
        return Sampled(*(jnp.concatenate(x) for x in zip(*parts, strict=True)))

    def penalties(params: PyTree, drawn: Drawn, found: Sampled, values: Array) -> Array:
        """Compute the penalties f32[B, M]; values: f32[B, M], of the actions of the data."""
        count, rows = found.log_density.shape
        obs = jnp.tile(drawn.batch.obs, (count, *(1,) * (drawn.batch.obs.ndim - 1)))
        flat = jnp.reshape(found.action, (count * rows, -1))
        judged = network.apply(params, obs, action=flat)[0].values
        judged = jnp.reshape(judged, (count, rows, -1))
        over_critics = jax.vmap(offline.sampled_log_partition, (1, None))
        each = jax.vmap(over_critics, (1, 1))(judged, found.log_density)
        return each - values

    def critic_objective(hypers: CQLHypers, state: CQLState, drawn: Drawn):
        """Make (params, taps) -> (f32[], (metrics, features)); the target is outside the loss."""
        batch, others = drawn.batch, sampled(state, drawn)
        gaussian = network.apply(state.learner.params, batch.next_obs)[0].policy
        action, _ = sample(drawn.noise, gaussian)
        following = network.apply(state.target, batch.next_obs, action=action)[0].values
        target = continuous_learning.critic_target(batch, jnp.min(following, axis=-1))

        def loss(params: PyTree, taps: Any):
            params = moved_by("critic", params, state.learner.params)
            seen = network.apply(params, batch.obs, (), taps, action=batch.action)
            error, metrics = continuous_learning.critic_errors(seen[0].values, batch, target)
            penalty = jnp.mean(jnp.sum(penalties(params, drawn, others, seen[0].values), axis=-1))
            total = error + seen[1].aux_loss + hypers.conservative_weight * penalty
            metrics = metrics | {"conservative_penalty": penalty}
            known = {"params": params, "drawn": drawn, "hypers": hypers, "target": target}
            known |= {"target_params": state.target}
            total, metrics = add_extra((total, metrics), seen=seen, **known)
            return total, (metrics, seen[1].features)

        return loss

    def actor_objective(hypers: CQLHypers, state: CQLState, drawn: Drawn):
        """Make (params, taps) -> (f32[], (metrics, log-probabilities f32[B]))."""
        obs, weight = drawn.batch.obs, jnp.exp(state.temperature.log[0])

        def loss(params: PyTree, taps: Any):
            params = moved_by("actor", params, state.learner.params)
            action, log_prob = sample(drawn.noise, network.apply(params, obs, (), taps)[0].policy)
            values = network.apply(params, obs, action=action)[0].values
            total = jnp.mean(weight * log_prob - jnp.min(values, axis=-1))
            metrics = {"actor_loss": total, "entropy": -jnp.mean(log_prob)}
            known = {"params": params, "drawn": drawn, "hypers": hypers}
            known |= {"target_params": state.target}
            total, metrics = add_extra((total, metrics), **known)
            return total, (metrics, log_prob)

        return loss

    def step(hypers: CQLHypers, state: CQLState, drawn: Drawn):
        loss = critic_objective(hypers, state, drawn)
        learner, of_critic, _ = partial_step("critic", loss, rates(hypers), state.learner)
        target = optax.incremental_update(learner.params, state.target, hypers.target_update_rate)
        state = state._replace(learner=learner, target=target, steps=counted(state.steps))
        loss = actor_objective(hypers, state, drawn)
        learner, of_actor, log_prob = partial_step("actor", loss, rates(hypers), state.learner)
        seen = log_prob, jnp.zeros(log_prob.shape, jnp.int32)
        rate, wanted = hypers.temperature_learning_rate, hypers.target_entropy * sum(units.free)
        temperature = temperatures.adjust(state.temperature, seen, rate, wanted)
        metrics = of_critic | of_actor | {"temperature": jnp.exp(temperature.log[0])}
        return state._replace(learner=learner, temperature=temperature), metrics

    update, probe = offline_learning.update_and_probe(
        config,
        network,
        units.inside,
        units.size,
        step=step,
        objectives=(critic_objective, actor_objective),
    )

    def noise(key: Key, batch: int) -> Array:
        return jax.random.normal(key, (batch, units.size))

    judge = partial(jnp.min, axis=-1)
    estimate = estimates.of_critics(network, units, lambda policy: jnp.tanh(policy.mean), judge)
    return offline_learning.assemble(
        env,
        config,
        standardize=config.normalize_observations,
        name="cql",
        network=network,
        hypers=hypers,
        init=init,
        act=act,
        update=update,
        probe=probe,
        noise=noise,
        estimate=estimate,
    )
