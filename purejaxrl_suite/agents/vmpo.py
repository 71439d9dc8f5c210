"""V-MPO: maximum a posteriori policy optimisation on policy (Song et al. 2020, arXiv 1909.12238).

The loop of PPO with another rule for the policy. The better half of a minibatch is weighed by
exp(A / eta); the policy is fitted to it, while its divergence from the policy that acted, exact
over actions, is held by a multiplier. The temperature eta and the multiplier are learnt, by the
paper's duals. Discrete actions and Gaussians, whose mean and deviation share a constraint;
recurrent with a network that has a memory. Bounds, first multipliers, advantages that are
normalized, and the policy of the rollout in place of a target network are our setting.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.ppo import actor_critic
from purejaxrl_suite.agents.shared import multipliers
from purejaxrl_suite.agents.shared.on_policy import Batch, PolicyRule
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.ops import policy_targets

START = {"temperature": 1.0, "kl_multiplier": 5.0}
"""Multipliers before learning."""


class VMPOConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        epochs: passes over a rollout.
        minibatches: gradient steps in an epoch; divides N * T, or N if the network is recurrent.
        anneal_learning_rate: decay the learning rate linearly to zero over training.
        normalize_advantages: to mean 0 and standard deviation 1 in each minibatch.
        normalize_each_task: normalize the advantages of each of several tasks by themselves.
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
    normalize_observations: bool = False
    normalize_rewards: bool = False
    exact_permutation: bool = False


class VMPOHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of Adam, at the start of training.
        gamma: discount per step.
        gae_lambda: decay of the exponentially weighted advantage estimate.
        temperature_bound: of the divergence of the weights from equal ones (epsilon_eta).
        kl_bound: of the divergence of the policy from the one that acted (epsilon_alpha).
        entropy_coefficient: weight of the entropy bonus; the paper has none.
        value_coefficient: weight of the value loss.
        max_gradient_norm: gradients are scaled down to this global norm.
        adam_epsilon: of Adam's denominator.
    """

    learning_rate: Annotated[float, Range(0)] = 1e-3
    gamma: Annotated[float, Range(0, 1)] = 0.99
    gae_lambda: Annotated[float, Range(0, 1)] = 0.95
    temperature_bound: Annotated[float, Range(0)] = 0.1
    kl_bound: Annotated[float, Range(0)] = 0.01
    entropy_coefficient: Annotated[float, Range(0)] = 0.0
    value_coefficient: Annotated[float, Range(0)] = 0.5
    max_gradient_norm: Annotated[float, Range(above=0)] = 0.5
    adam_epsilon: Annotated[float, Range(above=0)] = 1e-5


def vmpo(
    env: types.Environment,
    config: VMPOConfig | None = None,
    network: types.Network | None = None,
    hypers: VMPOHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build V-MPO for the spaces of an environment; arguments as of `pjs.ppo`.

    Raises:
        ValueError: the minibatches do not divide the rollout, or `normalize_each_task` without
            several tasks.

    Example:
        >>> env = pjs.make("CartPole-v1")
        >>> result = pjs.run(pjs.vmpo(env), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (VMPOConfig(), VMPOHypers()))
    spaces, kl = (env.observation, env.action), nets.divergence(env.action)
    network = multipliers.beside(network or nets.actor_critic(*spaces), START)

    def loss(hypers: Any, params: PyTree, policy: Any, log_prob: Array, batch: Batch, adv: Array):
        found = multipliers.learnt(params)
        apart = kl(batch.policy, policy)
        weights, dual = weighed(found["temperature"], jnp.ravel(adv), hypers.temperature_bound)
        trust = policy_targets.constrained(found["kl_multiplier"], jnp.mean(apart), hypers.kl_bound)
        # The weights sum to 1, and the loss is a mean of samples.
        fitted = -adv.size * jnp.reshape(weights, adv.shape) * log_prob
        recorded = {name: jnp.full_like(apart, x) for name, x in found.items()}
        return fitted + dual + trust, {"divergence": apart, **recorded}

    rule = PolicyRule(loss, keeps_policy=True)
    return actor_critic("vmpo", env, config, network, hypers, rule=rule, extra_loss=extra_loss)


def weighed(temperature: Array, advantages: Array, bound: Any) -> tuple[Array, Array]:
    """Weigh the better half of samples: weights f32[B] that sum to 1, and the temperature's dual.

    Equations 3 and 4: softmax(A / eta) among advantages f32[B] that are not below their median.
    """
    better = advantages >= jnp.median(advantages)
    log_prior = jnp.where(better, -jnp.log(jnp.sum(better)), -jnp.inf)
    dual = policy_targets.temperature_loss(temperature, log_prior, advantages, bound)
    fixed = advantages / jax.lax.stop_gradient(temperature)
    return jnp.exp(policy_targets.cmpo_policy(log_prior, fixed, jnp.inf)), dual
