"""PVN: proto-value networks (Farebrother et al. 2023, arXiv 2304.12567).

Features from which the discounted visits of many sets of observations are predicted, those of a
policy that acts uniformly at random. Each set is a task: its reward is 1 on the set
(`agents.shared.indicators`), and its action values are learnt by expected temporal differences, all
tasks from one representation. Rewards of the environment are never read. The agent acts at random;
it may as well learn from a data set of any policy (`engine.dataset`), as in the paper. Afterwards
`nets.frozen` keeps the representation, on which another agent learns a linear function.

Defaults are those of the released code but for the network, the warm-up and how quantiles start:
at those of the first rollout, and of a rollout where a task is drawn anew (ours).
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import extra_losses, indicators, replay_learning
from purejaxrl_suite.agents.shared.indicators import Indicators
from purejaxrl_suite.agents.shared.q_learning import check, taken
from purejaxrl_suite.core import tree, types, validate
from purejaxrl_suite.core.types import Agent, Array, Key, Learner, Memory, PyTree, Transition
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.ops import minibatch, optimizers
from purejaxrl_suite.ops.probe import probe as probe_loss
from purejaxrl_suite.ops.probe import samples_of, without_metrics
from purejaxrl_suite.ops.schedules import counted


class PVNConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        minibatches: gradient steps on a rollout; divides N * T.
        tasks: indicators whose visits are predicted.
        tasks_per_network: outputs of each random network; divides tasks.
        hash_buckets: tasks are hashes of observations of integers, 1 for one of so many values, in
            place of random networks; 0 for those.
    """

    num_envs: Annotated[int, Range(1)] = 64
    rollout_length: Annotated[int, Range(1)] = 16
    minibatches: Annotated[int, Range(1)] = 4
    tasks: Annotated[int, Range(1)] = 100
    tasks_per_network: Annotated[int, Range(1)] = 10
    hash_buckets: Annotated[int, Range(0)] = 0


class PVNHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of Adam; 6.25e-5 (B / 32)^(1/4) at a batch of B = 256 in the released code.
        quantile_learning_rate: of the Adam of biases.
        adam_epsilon: of Adam's denominator.
        gamma: discount per step.
        activation: p, the share of observations on which a task of random networks has reward 1.
        warm_up: gradient steps in which biases are fitted, and nothing else is learnt.
        target_update_rate: how far the target moves, in each gradient step, to the parameters
            before that step.
    """

    learning_rate: Annotated[float, Range(0)] = 1.051e-4
    quantile_learning_rate: Annotated[float, Range(0)] = 1.051e-4
    adam_epsilon: Annotated[float, Range(above=0)] = 1.5e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    activation: Annotated[float, Range(above=0, high=0.5)] = 0.01
    warm_up: Annotated[float, Range(0, integer=True)] = 1000.0
    target_update_rate: Annotated[float, Range(0, 1)] = 0.01


class PVNState(NamedTuple):
    """State of PVN: as of an agent with replay, and that of its tasks.

    steps: i32[], gradient steps.
    """

    learner: Learner
    target: PyTree
    steps: Array
    tasks: Indicators


class Batch(NamedTuple):
    """B steps. outputs: f32[B, tasks], of the random networks."""

    obs: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array
    next_obs: Array
    outputs: Array


def pvn(
    env: types.Environment,
    config: PVNConfig | None = None,
    network: types.Network | None = None,
    hypers: PVNHypers | None = None,
    *,
    indicator: types.Network | None = None,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build PVN for the spaces of an environment.

    Its metrics are `td_loss`, `activation`, the mean share of observations with reward 1,
    `activated`, the share of tasks whose share is within a factor of 2 of `activation`,
    `dead_tasks` and `redrawn_tasks`. In a small rollout few of the tasks are counted right.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: of values f32[B, A, tasks]; None for `nets.q_network(..., atoms=tasks)`. The paper
            has Impala's encoder, 8 times as wide, with 4,096 units behind it.
        hypers: what may be swept; None for the defaults.
        indicator: random network with `tasks_per_network` outputs; None for the default encoder and
            64 units. The paper has DQN's network.
        extra_loss: a term to add to the loss; its target is f32[B, tasks].

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not Discrete, sizes do not fit, or hashes cannot be taken.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> result = pjs.run(pjs.pvn(env), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    extra_losses.check(extra_loss)
    config, hypers = validate.settings(config, hypers, (PVNConfig(), PVNHypers()))
    action, count = check("pvn", env), config.num_envs * config.rollout_length
    made = {"layer_norm": False, "atoms": config.tasks}
    network = network or nets.q_network(env.observation, action, **made)
    replay_learning.check_network("pvn", network)
    validate.divides("minibatches", config.minibatches, count, "steps of a rollout")
    each, buckets = config.tasks_per_network, config.hash_buckets
    tasks = indicators.made(env, config.tasks, each, hash_buckets=buckets, network=indicator)

    def rule(hypers: PVNHypers) -> optax.GradientTransformation:
        return network.constrain(optimizers.adam(hypers.learning_rate, hypers.adam_epsilon))

    def of_bias(hypers: PVNHypers) -> optax.GradientTransformation:
        return optimizers.adam(hypers.quantile_learning_rate, hypers.adam_epsilon)

    def init(key: Key, hypers: PVNHypers) -> PVNState:
        network_key, task_key = jax.random.split(key)
        params = network.init(network_key)
        learner = Learner(params, rule(hypers).init(params))
        of_tasks = indicators.initial(task_key, tasks, of_bias(hypers))
        return PVNState(learner, jax.tree.map(jnp.copy, params), jnp.int32(0), of_tasks)

    def noise(key: Key, batch: int) -> Array:
        return jax.random.randint(key, (batch,), 0, action.n)

    def act(noise: Array, hypers: Any, state: PVNState, memory: Memory, obs: Array, explore: bool):
        return memory, noise if explore else jnp.zeros_like(noise), {}

    def values(params: PyTree, obs: Array) -> Array:
        """Average over actions, which are uniform: f32[B, tasks]."""
        return jnp.mean(network.apply(params, obs)[0], axis=1)

    def objective(hypers: PVNHypers, state: PVNState, batch: Batch, key: Any):
        reward = indicators.rewards(state.tasks, batch.outputs)
        following = values(state.target, batch.next_obs)
        ended = batch.terminated[:, None]
        target = reward + jnp.where(ended, 0.0, hypers.gamma * following)

        def loss(params: PyTree, taps: Any):
            found, internals = network.apply(params, batch.obs, (), taps)
            error = 0.5 * jnp.mean(jnp.square(taken(found, batch.action) - target))
            seen = {"output": found, "internals": internals, "batch": batch, "target": target}
            known = {"hypers": hypers, "key": key, "target_params": state.target}
            inputs = types.LossInputs(params=params, network=network, **seen, **known)
            total, metrics = error + internals.aux_loss, {"td_loss": error}
            total, metrics = extra_losses.add(extra_loss, total, metrics, inputs)
            return total, (metrics, internals.features)

        return loss

    def step(hypers: PVNHypers, state: PVNState, batch: Batch, key: Any):
        before, warm = state.learner.params, state.steps < hypers.warm_up
        loss = objective(hypers, state, batch, key)
        learner, metrics, _ = replay_learning.gradient_step(loss, rule(hypers), state.learner)
        rate = hypers.target_update_rate
        target = optax.incremental_update(before, state.target, rate)
        # Masked, not skipped: members differ in their warm-up.
        learner = tree.where(warm, state.learner, learner)
        target = tree.where(warm, state.target, target)
        of_tasks = indicators.fitted(
            tasks, of_bias(hypers), state.tasks, batch.outputs, hypers.activation
        )
        of_tasks = tree.where(warm, of_tasks, state.tasks)
        return PVNState(learner, target, counted(state.steps), of_tasks), metrics

    def prepared(state: PVNState, transition: Transition) -> Batch:
        known = tree.merge({name: getattr(transition, name) for name in Batch._fields[:-1]})
        return Batch(**known, outputs=tasks.outputs(state.tasks.params, known["obs"]))

    def update(key: Key, hypers: PVNHypers, state: PVNState, transition: Transition):
        task_key, key = jax.random.split(key)
        obs = tree.merge(transition.obs)
        first, warm = state.steps == 0, state.steps < hypers.warm_up
        of_tasks = indicators.renewed(
            task_key, tasks, state.tasks, obs, hypers.activation, warm=warm, first=first
        )
        state = state._replace(tasks=of_tasks)
        batch = prepared(state, transition)
        index = minibatch.minibatch_indices(key, count, config.minibatches)
        keys = extra_losses.own_keys(extra_loss, key, config.minibatches)

        def one(state: PVNState, drawn: tuple[Array, Any]):
            part = jax.tree.map(lambda x: x[drawn[0]], batch)
            return step(hypers, state, part, drawn[1])

        state, metrics = jax.lax.scan(one, state, (index, keys))
        wanted = 1.0 / buckets if buckets else hypers.activation
        told = indicators.measured(state.tasks, batch.outputs, wanted)
        told["gradient_steps"] = state.steps.astype(jnp.float32)
        means = {name: jnp.mean(x) for name, x in metrics.items()}
        return state, extra_losses.named(means | told)

    def probe(key: Key, hypers: PVNHypers, state: PVNState, transition: Transition) -> types.Probe:
        batch, params = prepared(state, transition), state.learner.params
        loss = objective(hypers, state, batch, extra_losses.own_key(extra_loss, key))

        value = jnp.mean(values(params, batch.obs), axis=1)
        return probe_loss(without_metrics(loss), params, samples_of(batch, value))

    def estimate(hypers: Any, state: PVNState, memory: Memory, obs: Array, action: Any = None):
        """Visits of all tasks together, whose sets are a sample of observations."""
        return types.Estimates(jnp.mean(values(state.learner.params, obs), axis=1))

    return Agent(
        name="pvn",
        observation=env.observation,
        action=env.action,
        hypers=hypers,
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        init=init,
        act=act,
        update=update,
        probe=probe,
        noise=noise,
        network=network,
        config=config,
        gradient_steps=config.minibatches,
        estimate=estimate,
    )
