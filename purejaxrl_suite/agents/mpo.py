"""MPO: maximum a posteriori policy optimisation (Abdolmaleki et al. 2018, arXiv 1806.06920).

Values of actions are learnt from replayed sequences, with returns by Retrace. The policy is fitted
to the target network's, improved by exp(q / eta), and a multiplier holds its divergence from that.
Temperature eta and multiplier are learnt by the paper's duals. Expectations over Discrete actions
are exact. Sizes and rates are our setting.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import (
    extra_losses,
    mpo_learning,
    muesli_learning,
    replay_learning,
)
from purejaxrl_suite.agents.shared.mpo_learning import Parts
from purejaxrl_suite.agents.shared.q_learning import check
from purejaxrl_suite.agents.shared.replay_learning import ReplayState, Target
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, Key, Memory, Transition
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.ops.probe import probe as probe_loss
from purejaxrl_suite.ops.probe import samples_of, without_metrics


class MPOConfig(NamedTuple):
    """Sizes of rollouts, of the replay and of its batches: what changes the compiled program.

    num_envs, rollout_length: of what is added in an update. gradient_steps: of an update, each on
    batch_size sequences of sequence_length steps. capacity: steps that are kept.
    """

    num_envs: Annotated[int, Range(1)] = 16
    rollout_length: Annotated[int, Range(1)] = 16
    gradient_steps: Annotated[int, Range(1)] = 4
    batch_size: Annotated[int, Range(1)] = 32
    sequence_length: Annotated[int, Range(1)] = 16
    capacity: Annotated[int, Range(1)] = 100_000


class MPOHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of Adam.
        multiplier_learning_rate: of Adam on the logarithms of temperature and multiplier.
        gamma: discount per step.
        retrace_lambda: decay of Retrace's traces.
        temperature_bound: of KL(improved || target's policy), which the temperature is learnt by.
        kl_bound: of KL(target's policy || policy), which the multiplier is learnt by.
        target_update_period: gradient steps between copies to the target network.
    """

    learning_rate: Annotated[float, Range(0)] = 1e-3
    multiplier_learning_rate: Annotated[float, Range(0)] = 1e-2
    gamma: Annotated[float, Range(0, 1)] = 0.99
    retrace_lambda: Annotated[float, Range(0, 1)] = 0.95
    temperature_bound: Annotated[float, Range(0)] = 0.1
    kl_bound: Annotated[float, Range(0)] = 0.01
    target_update_period: Annotated[float, Range(1, integer=True)] = 25.0


def mpo(
    env: types.Environment,
    config: MPOConfig | None = None,
    network: types.Network | None = None,
    hypers: MPOHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build MPO for the spaces of an environment; by default with `nets.actor_critic`.

    The target of an extra loss is f32[L, B, A], log-probabilities of the improved policy.

    Raises:
        ValueError: actions are not Discrete, or the network has a memory or no values of actions.

    Example:
        >>> env = pjs.make("CartPole-v1")
        >>> result = pjs.run(pjs.mpo(env), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    extra_losses.check(extra_loss)
    config, hypers = validate.settings(config, hypers, (MPOConfig(), MPOHypers()))
    action = check("mpo", env)
    made = mpo_learning.network_of(env, network, action)
    replay_learning.check_network("mpo", made)
    sampler, distribution = nets.sampler(action), nets.distribution(action)
    replay = muesli_learning.experience(env, config)
    parts = Parts(made, replay, config, extra_loss)

    optimizer = partial(mpo_learning.optimizer_of, made)

    def init(key: Key, hypers: MPOHypers) -> ReplayState:
        return replay_learning.initial_state(made.init(key), optimizer(hypers), replay.init())

    def act(noise: Any, hypers: Any, state: ReplayState, memory: Memory, obs: Array, explore: bool):
        logits = made.apply(state.learner.params, obs)[0].policy
        policy = distribution(logits)
        drawn = sampler.sample(noise, logits) if explore else policy.mode()
        return memory, drawn, {"log_prob": policy.log_prob(drawn)}

    def update(key: Key, hypers: MPOHypers, state: ReplayState, transition: Transition):
        state = state._replace(replay=replay.add(state.replay, transition))

        def step(key: Key, state: ReplayState):
            loss, *_ = mpo_learning.objective(key, hypers, state, parts)
            return replay_learning.gradient_step(loss, optimizer(hypers), state.learner)

        ready = replay.ready(state.replay, 1.0, config.sequence_length)
        rule = Target(hypers.target_update_period, 1.0)
        keys = jax.random.split(key, config.gradient_steps)
        state, metrics, _ = replay_learning.learn(keys, state, ready, rule=rule, step=step)
        return state, extra_losses.named(metrics)

    def probe(key: Key, hypers: Any, state: ReplayState, transition: Transition):
        """Probe on replayed sequences; meaningless before there are any."""
        loss, batch, targets = mpo_learning.objective(key, hypers, state, parts)

        samples = samples_of(batch, targets.returns)
        return probe_loss(without_metrics(loss), state.learner.params, samples)

    return Agent(
        name="mpo",
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
        network=made,
        config=config,
        gradient_steps=config.gradient_steps,
        estimate=mpo_learning.estimates_of(made),
    )
