"""FMA-PG: functional mirror ascent for policies (Vaswani et al. 2022, arXiv 2108.05828).

The loop of PPO with another surrogate: no clip, but a divergence from the policy that acted, exact
over actions, of weight 1 / eta. Which one follows from how the policy is represented:

    by logits         KL(old || new)  sPPO: E[A log(p / p_old)] - KL / eta
    by probabilities  KL(new || old)  MDPO: E[A p / p_old] - KL / eta (Tomar et al., 2005.09814)
    by probabilities  KL(old || new)  TRPO with a penalty (Schulman et al., 1502.05477)

Discrete actions and Gaussians; recurrent with a network that has a memory. `mdps.mirror_ascent` has
the same surrogates for tables, without sampling. The paper's settings for networks are not public:
defaults are those of our `ppo`, and eta is our setting.
"""

from typing import Annotated, Any, NamedTuple

from purejaxrl_suite import nets
from purejaxrl_suite.agents.ppo import actor_critic
from purejaxrl_suite.agents.shared.on_policy import Batch, PolicyRule
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.ops import losses


class FMAPGConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        softmax: the policy is represented by logits, as in sPPO; else by probabilities.
        reverse: the divergence is KL(new || old), as in MDPO; else KL(old || new).
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

    softmax: bool = True
    reverse: bool = False
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


class FMAPGHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of Adam, at the start of training.
        gamma: discount per step.
        gae_lambda: decay of the exponentially weighted advantage estimate.
        eta: step size in the space of policies; 1 / eta is the weight of the divergence.
        entropy_coefficient: weight of the entropy bonus.
        value_coefficient: weight of the value loss.
        max_gradient_norm: gradients are scaled down to this global norm.
        adam_epsilon: of Adam's denominator.
    """

    learning_rate: Annotated[float, Range(0)] = 2.5e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    gae_lambda: Annotated[float, Range(0, 1)] = 0.95
    eta: Annotated[float, Range(above=0)] = 0.5
    entropy_coefficient: Annotated[float, Range(0)] = 0.01
    value_coefficient: Annotated[float, Range(0)] = 0.5
    max_gradient_norm: Annotated[float, Range(above=0)] = 0.5
    adam_epsilon: Annotated[float, Range(above=0)] = 1e-5


def fma_pg(
    env: types.Environment,
    config: FMAPGConfig | None = None,
    network: types.Network | None = None,
    hypers: FMAPGHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build functional mirror ascent for the spaces of an environment.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults, which are sPPO.
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
        >>> mdpo = pjs.FMAPGConfig(softmax=False, reverse=True)
        >>> result = pjs.run(pjs.fma_pg(env, mdpo), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (FMAPGConfig(), FMAPGHypers()))
    kl = nets.divergence(env.action)

    def loss(
        hypers: FMAPGHypers,
        params: Any,
        policy: Any,
        log_prob: Array,
        batch: Batch,
        advantage: Array,
    ):
        log_ratio, old = log_prob - batch.log_prob, batch.policy
        apart = kl(policy, old) if config.reverse else kl(old, policy)
        surrogate = losses.mirror_surrogate(log_ratio, advantage, apart, hypers.eta, config.softmax)
        recorded = {"divergence": apart, "approximate_kl": losses.approximate_kl(log_ratio)}
        return surrogate, recorded

    rule = PolicyRule(loss, keeps_policy=True)
    return actor_critic("fma_pg", env, config, network, hypers, rule=rule, extra_loss=extra_loss)
