"""PPO: Proximal Policy Optimization (Schulman et al. 2017, arXiv 1707.06347).

With the implementation details that matter in practice (Engstrom et al. 2020, arXiv 2005.12729;
Huang et al. 2022, "The 37 implementation details of PPO"). Discrete and continuous actions;
recurrent with a network that has a memory. Defaults are PureJaxRL's for CartPole, but values are
bootstrapped at time limits.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import estimates, extra_losses, normalize, on_policy
from purejaxrl_suite.agents.shared.configs import OnPolicyConfig
from purejaxrl_suite.agents.shared.on_policy import Batch, PolicyRule
from purejaxrl_suite.core import tree, types, validate
from purejaxrl_suite.core.types import Agent, Array, Key, Learner, Memory, PyTree, Transition
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.envs.multi_task import task_labels
from purejaxrl_suite.nets.tasks import masked
from purejaxrl_suite.ops import losses, minibatch, optimizers, statistics
from purejaxrl_suite.ops.descent import Pooled, descend
from purejaxrl_suite.ops.probe import probe as probe_loss
from purejaxrl_suite.ops.probe import samples_of


class PPOConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        epochs: passes over a rollout.
        minibatches: gradient steps in an epoch; divides N * T, or N if the network is recurrent.
        anneal_learning_rate: decay the learning rate linearly to zero over training.
        normalize_advantages: to mean 0 and standard deviation 1 in each minibatch.
        normalize_each_task: normalize the advantages of each of several tasks by themselves.
        clip_value_loss: clip changes of the value by `clip_range` too.
        normalize_observations: by running mean and standard deviation.
        normalize_rewards: by the running standard deviation of the discounted return.
        exact_permutation: shuffle by sorting instead of by a keyed bijection (slower).
    """

    num_envs: Annotated[int, Range(1)] = 4
    rollout_length: Annotated[int, Range(1)] = 128
    epochs: Annotated[int, Range(1)] = 4
    minibatches: Annotated[int, Range(1)] = 4
    anneal_learning_rate: bool = True
    normalize_advantages: bool = True
    normalize_each_task: bool = False
    clip_value_loss: bool = True
    normalize_observations: bool = False
    normalize_rewards: bool = False
    exact_permutation: bool = False


class PPOHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of Adam, at the start of training.
        gamma: discount per step.
        gae_lambda: decay of the exponentially weighted advantage estimate.
        clip_range: how far the probability ratio may move from 1 before its gradient is cut.
        entropy_coefficient: weight of the entropy bonus.
        value_coefficient: weight of the value loss.
        max_gradient_norm: gradients are scaled down to this global norm.
        adam_epsilon: of Adam's denominator.
    """

    learning_rate: Annotated[float, Range(0)] = 2.5e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    gae_lambda: Annotated[float, Range(0, 1)] = 0.95
    clip_range: Annotated[float, Range(above=0)] = 0.2
    entropy_coefficient: Annotated[float, Range(0)] = 0.01
    value_coefficient: Annotated[float, Range(0)] = 0.5
    max_gradient_norm: Annotated[float, Range(above=0)] = 0.5
    adam_epsilon: Annotated[float, Range(above=0)] = 1e-5


class PPOState(NamedTuple):
    """State of PPO: only its learner."""

    learner: Learner


def ppo(
    env: types.Environment,
    config: PPOConfig | None = None,
    network: types.Network | None = None,
    hypers: PPOHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build PPO for the spaces of an environment.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.actor_critic`; recurrent with `memory_units`.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the loss; its target is f32[L, B], of the value.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: the minibatches do not divide the rollout, or `normalize_each_task` without
            several tasks.

    Example:
        >>> env = pjs.make("CartPole-v1")
        >>> result = pjs.run(pjs.ppo(env), env, seeds=4, steps=1e5)
    """
    config, hypers = validate.settings(config, hypers, (PPOConfig(), PPOHypers()))
    rule = PolicyRule(on_policy.clipped_surrogate)
    if config.clip_value_loss:
        rule = rule._replace(value_clip=lambda hypers: hypers.clip_range)
    return actor_critic("ppo", env, config, network, hypers, rule=rule, extra_loss=extra_loss)


def actor_critic(
    name: str,
    env: types.Environment,
    config: OnPolicyConfig,
    network: types.Network | None,
    hypers: Any,
    *,
    rule: PolicyRule,
    extra_loss: types.ExtraLoss | None,
) -> Agent:
    """Build an agent with PPO's loop: GAE, epochs of minibatches, a rule for the policy.

    hypers: with the fields of `PPOHypers` but `clip_range`; other arguments as of `ppo`.
    """
    validate.parts(env, network, types.Network)
    extra_losses.check(extra_loss)
    spaces = env.observation, env.action
    network = masked(network or nets.actor_critic(*spaces), *spaces)
    labels = task_labels(env) if config.normalize_each_task else None
    distribution, sampler = nets.distribution(env.action), nets.sampler(env.action)
    recurrent = bool(jax.tree.leaves(jax.eval_shape(lambda: network.memory(1))))
    # A minibatch has single steps, or for recurrent networks whole rollouts of environments.
    sequences = config.num_envs * (1 if recurrent else config.rollout_length)
    validate.divides("minibatches", config.minibatches, sequences, "sequences of a rollout")
    permutation = minibatch.exact_permutation if config.exact_permutation else minibatch.permutation

    def optimizer(hypers: Any) -> optax.GradientTransformation:
        clip = optimizers.clip_by_global_norm(hypers.max_gradient_norm)
        adam = optimizers.adam(hypers.learning_rate, hypers.adam_epsilon)
        return network.constrain(Pooled(*optax.chain(clip, adam)))

    def init(key: Key, hypers: Any) -> PPOState:
        params = network.init(key)
        return PPOState(Learner(params, optimizer(hypers).init(params)))

    def act(noise: Any, hypers: Any, state: PPOState, memory: Memory, obs: Array, explore: bool):
        output, internals = network.apply(state.learner.params, obs, memory, {})
        policy = distribution(output.policy)
        action = sampler.sample(noise, output.policy) if explore else policy.mode()
        return internals.memory, action, {"log_prob": policy.log_prob(action), "memory": memory}

    def prepare(hypers: Any, params: PyTree, transition: Transition) -> Batch:
        """Compute advantages and targets, outside the loss."""
        memory = tree.index(transition.extras["memory"], 0)
        batch = on_policy.prepared(network, hypers, params, transition, memory, extra_loss)
        old = batch.policy if rule.keeps_policy else None
        task = labels(transition.done) if labels else None
        batch = batch._replace(policy=old, task=task)
        return batch if recurrent else minibatch.single_steps(batch)

    def loss(hypers: Any, params: PyTree, batch: Batch, taps: Any, key: Any):
        output, internals = network.unroll(params, batch.obs, batch.memory, batch.starts, taps)
        policy = distribution(output.policy)
        log_prob, advantage = policy.log_prob(batch.action), batch.advantage
        if config.normalize_advantages:
            advantage = statistics.standardize(advantage, batch.task, len(env.tasks))
        surrogate, recorded = rule.loss(hypers, params, output.policy, log_prob, batch, advantage)
        clip = rule.value_clip(hypers)
        errors = losses.clipped_value_loss(output.value, batch.value, batch.target, clip)
        samples = {"policy_loss": surrogate, "value_loss": errors, "entropy": policy.entropy()}
        metrics = losses.means(samples | recorded)
        total = metrics["policy_loss"] + hypers.value_coefficient * metrics["value_loss"]
        total = total - hypers.entropy_coefficient * metrics["entropy"] + internals.aux_loss
        seen = {"output": output, "internals": internals, "batch": batch, "target": batch.target}
        inputs = types.LossInputs(params=params, network=network, hypers=hypers, key=key, **seen)
        total, metrics = extra_losses.add(extra_loss, total, metrics, inputs)
        return total, (metrics, internals.features)

    def update(key: Key, hypers: Any, state: PPOState, transition: Transition):
        with jax.named_scope("returns"):
            batch = prepare(hypers, state.learner.params, transition)
        index = minibatch.epochs(key, config.epochs, sequences, config.minibatches, permutation)
        keys = extra_losses.own_keys(extra_loss, key, len(index))
        objective, rule = partial(loss, hypers), optimizer(hypers)
        learner, metrics = descend(objective, rule, state.learner, batch, index, keys)
        metrics["explained_variance"] = losses.explained_variance(batch.value, batch.target)
        return PPOState(learner), extra_losses.named(metrics)

    def probe(key: Key, hypers: Any, state: PPOState, transition: Transition) -> types.Probe:
        batch = prepare(hypers, state.learner.params, transition)
        own = extra_losses.own_key(extra_loss, key)

        def objective(params: PyTree, taps: Any):
            total, (_, features) = loss(hypers, params, batch, taps, own)
            return total, features

        value = jnp.reshape(batch.value, transition.reward.shape)
        return probe_loss(objective, state.learner.params, samples_of(transition, value))

    def anneal(hypers: Any, clock: types.Clock) -> Any:
        left = 1.0 - clock.progress if config.anneal_learning_rate else 1.0
        return hypers._replace(learning_rate=hypers.learning_rate * left)

    agent = Agent(
        name=name,
        observation=env.observation,
        action=env.action,
        hypers=hypers,
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        init=init,
        act=act,
        update=update,
        probe=probe,
        noise=sampler.noise,
        memory=network.memory,
        anneal=anneal,
        network=network,
        config=config,
        gradient_steps=config.epochs * config.minibatches,
        estimate=estimates.of_actor_critic(network, env.action),
        discounted=env.discounted,
    )
    return normalize.as_configured(agent, config)
