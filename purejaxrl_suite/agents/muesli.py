"""Muesli: a regularised policy update with a model as an auxiliary loss.

Hessel et al. 2021, arXiv 2104.06159. A policy gradient with returns by Retrace, and a pull towards
the prior improved by clipped advantages (CMPO). A model, unrolled over the actions that were taken,
predicts rewards, values and CMPO policies; looking one step ahead it gives the action values of the
prior, r(s, a) + gamma v(s, a). The prior is the policy of the target network, a moving average,
which also acts. With an LSTM the memory that was acted with is replayed (our setting). Defaults are
the paper's for Atari as far as they are known from code that cites its tables, but with fewer atoms
and a smaller replay. Expectations over actions are exact here, and the leave-one-out baseline of
the paper's appendix is left out.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import extra_losses, muesli_learning, replay_learning
from purejaxrl_suite.agents.shared.muesli_learning import Steps, Targets, mean_of
from purejaxrl_suite.agents.shared.q_learning import check
from purejaxrl_suite.agents.shared.replay_learning import Target
from purejaxrl_suite.core import tree, types, validate
from purejaxrl_suite.core.types import Agent, Array, Estimates, Key, Learner, Memory, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.nets.latent_model import LatentModel
from purejaxrl_suite.ops import optimizers, policy_targets
from purejaxrl_suite.ops.policy_targets import SecondMoment
from purejaxrl_suite.ops.probe import probe as probe_loss
from purejaxrl_suite.ops.probe import samples_of


class MuesliConfig(NamedTuple):
    """What changes the compiled program; the paper's ablations among it.

    Attributes:
        num_envs: parallel environments of one member.
        rollout_length: steps in each of them between updates.
        gradient_steps: of an update.
        batch_size: sequences of a gradient step.
        fresh: how many of them are drawn from the newest rollout, the others from all of replay.
        sequence_length: steps of a sequence, which may go on in the next episode.
        capacity: steps that are kept for replay.
        unroll_length: steps that the model looks ahead (K).
        unroll_every: steps from one that it looks ahead from to the next; 1 is from all of them.
        kl_samples: actions of the prior by which the pull to CMPO is estimated; 0 is exact.
        policy_gradient: whether there is a policy gradient, beside the pull to CMPO.
        direct_mpo: pull the policy to the prior, by KL(policy || prior), not to CMPO's.
        model_policy: whether the model learns to predict CMPO policies.
        clip_advantages: clip advantages in CMPO; without it is MPO's policy.
        anneal_learning_rate: decay the learning rate linearly to zero over training.
    """

    num_envs: Annotated[int, Range(1)] = 24
    rollout_length: Annotated[int, Range(1)] = 30
    gradient_steps: Annotated[int, Range(1)] = 1
    batch_size: Annotated[int, Range(1)] = 96
    fresh: Annotated[int, Range(0, "batch_size")] = 24
    sequence_length: Annotated[int, Range(1)] = 30
    capacity: Annotated[int, Range(1)] = 200_000
    unroll_length: Annotated[int, Range(1)] = 5
    unroll_every: Annotated[int, Range(1, "sequence_length")] = 1
    kl_samples: Annotated[int, Range(0)] = 0
    policy_gradient: bool = True
    direct_mpo: bool = False
    model_policy: bool = True
    clip_advantages: bool = True
    anneal_learning_rate: bool = True


class MuesliHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of Adam, whose changes are clipped to 1 before; at the start of training.
        gamma: discount per step.
        retrace_lambda: decay of Retrace's traces.
        kl_weight: of the pull to CMPO's policy (lambda).
        advantage_clip: bound of normalised advantages in CMPO (c).
        variance_decay: of the moving second moment that normalises advantages.
        target_update_rate: how far the target network follows in each gradient step.
        uniform_prior: probability of a uniformly drawn action in the prior.
        reward_weight: of the model's rewards in the loss.
        value_weight: of the model's values in the loss.
        value_bound: the outermost atoms are at -value_bound and value_bound, of transformed values.
    """

    learning_rate: Annotated[float, Range(0)] = 3e-4
    gamma: Annotated[float, Range(0, 1)] = 0.995
    retrace_lambda: Annotated[float, Range(0, 1)] = 0.95
    kl_weight: Annotated[float, Range(0)] = 1.0
    advantage_clip: Annotated[float, Range(0)] = 1.0
    variance_decay: Annotated[float, Range(0, below=1)] = 0.99
    target_update_rate: Annotated[float, Range(0, 1)] = 0.1
    uniform_prior: Annotated[float, Range(above=0, high=1)] = 0.003
    reward_weight: Annotated[float, Range(0)] = 1.0
    value_weight: Annotated[float, Range(0)] = 0.25
    value_bound: Annotated[float, Range(above=0)] = 30.0


class MuesliState(NamedTuple):
    """State of Muesli. target: of the network that acts. moment: of advantages, to normalise."""

    learner: Learner
    target: PyTree
    moment: SecondMoment
    replay: Any


def muesli(
    env: types.Environment,
    config: MuesliConfig | None = None,
    network: LatentModel | None = None,
    hypers: MuesliHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build Muesli for the spaces of an environment.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.latent_model`; recurrent with `memory_units`.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the loss; its target is f32[L, B, A], CMPO's log-probabilities.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not Discrete, or sizes do not fit.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> result = pjs.run(pjs.muesli(env), env, seeds=4, steps=1e6)
    """
    validate.parts(env, network, LatentModel)
    extra_losses.check(extra_loss)
    config, hypers = validate.settings(config, hypers, (MuesliConfig(), MuesliHypers()))
    action = check("muesli", env)
    model = network or nets.latent_model(env.observation, action)
    sampler, length = nets.sampler(action), config.sequence_length
    recall = muesli_learning.recall_of(model.network)
    replay = muesli_learning.experience(env, config, recall.size)

    def optimizer(hypers: MuesliHypers) -> optax.GradientTransformation:
        # Adam's change is bounded before the learning rate (the paper's appendix F.1).
        parts = optimizers.adam(1.0), optax.clip(1.0), optax.scale(hypers.learning_rate)
        return model.network.constrain(optax.chain(*parts))

    def init(key: Key, hypers: MuesliHypers) -> MuesliState:
        started = replay_learning.initial_state(
            model.network.init(key), optimizer(hypers), replay.init()
        )
        moment = policy_targets.second_moment()
        return MuesliState(started.learner, started.target, moment, started.replay)

    def act(noise: Any, hypers: Any, state: MuesliState, memory: Memory, obs: Array, explore: bool):
        logits, internals = model.network.apply(state.target, obs, memory, {})
        log_probs = muesli_learning.log_prior(hypers, logits)
        drawn = sampler.sample(noise, log_probs) if explore else jnp.argmax(log_probs, axis=-1)
        chosen = jnp.take_along_axis(log_probs, drawn[:, None], axis=-1)[:, 0]
        extras = {"log_prob": chosen, **recall.extras(memory)}
        return internals.memory, drawn.astype(jnp.int32), extras

    def judge(hypers: MuesliHypers, params: PyTree, *seen: Any) -> tuple[Array, Array]:
        """Compute log-probabilities and action values of the prior, f32[T, B, A]."""
        return muesli_learning.judged(hypers, model, params, *seen)

    def prepare(key: Key, hypers: MuesliHypers, state: MuesliState):
        """Draw a batch; compute its targets with the target network, outside the loss."""
        draw_key, sample_key = jax.random.split(key)
        batch = muesli_learning.drawn(draw_key, replay, state.replay, config)
        obs = jnp.concatenate([batch.obs, batch.next_obs[-1:]])
        found = judge(hypers, state.target, obs, recall.memory(batch.memory), batch.starts)
        parts = hypers, config, state.moment, batch, *found
        targets, moment = muesli_learning.targets_of(sample_key, *parts)
        return batch, targets, moment

    def loss(key: Key, hypers: Any, state: MuesliState, batch: Steps, targets: Targets):
        """Make the loss of a batch: (params, taps) -> (f32[], (metrics, features))."""
        own, every = extra_losses.own_key(extra_loss, key), config.unroll_every
        begun = recall.memory(batch.memory), batch.starts[:-1]

        def total(params: PyTree, taps: Any):
            logits, internals = model.network.unroll(params, batch.obs, *begun, taps)
            terms = muesli_learning.policy_terms(jax.nn.log_softmax(logits), batch, targets, config)
            latent = model.start(params, internals.features)
            predicted = muesli_learning.predict(model, params, latent, batch, config)
            modelled = muesli_learning.model_terms(hypers, predicted, batch, targets, every)
            means = mean_of(terms, batch.mask) | mean_of(modelled, batch.mask[::every])
            value = internals.aux_loss + muesli_learning.weighed(hypers, config, means)
            seen = {"output": logits, "internals": internals, "batch": batch, "key": own}
            seen |= {"target": targets.log_target, "target_params": state.target}
            inputs = types.LossInputs(params=params, network=model.network, hypers=hypers, **seen)
            value, metrics = extra_losses.add(extra_loss, value, means, inputs)
            return value, (metrics, internals.features)

        return total

    def update(key: Key, hypers: MuesliHypers, state: MuesliState, transition: types.Transition):
        ring = replay.add(state.replay, transition)
        ready = replay.ready(ring, 1.0, length)

        def step(state: MuesliState, key: Key):
            batch, targets, moment = prepare(key, hypers, state._replace(replay=ring))
            objective = loss(key, hypers, state, batch, targets)
            learner, metrics, _ = replay_learning.gradient_step(
                objective, optimizer(hypers), state.learner
            )
            rule = Target(1, hypers.target_update_rate)
            target = replay_learning.follow(state.target, learner.params, jnp.int32(1), rule)
            after = MuesliState(learner, target, moment, ())
            return tree.where(ready, after, state), metrics

        keys = jax.random.split(key, config.gradient_steps)
        state, metrics = jax.lax.scan(step, state._replace(replay=()), keys)
        means = {name: jnp.where(ready, jnp.mean(x), jnp.nan) for name, x in metrics.items()}
        return state._replace(replay=ring), extra_losses.named(means)

    def probe(key: Key, hypers: Any, state: MuesliState, transition: types.Transition):
        """Probe on replayed sequences; meaningless before there are any."""
        batch, targets, _ = prepare(key, hypers, state)
        objective = loss(key, hypers, state, batch, targets)

        def features(params: PyTree, taps: Any):
            total, (_, found) = objective(params, taps)
            return total, found

        samples = samples_of(batch, targets.following)
        return probe_loss(features, state.learner.params, samples)

    def anneal(hypers: MuesliHypers, clock: types.Clock) -> MuesliHypers:
        left = 1.0 - clock.progress if config.anneal_learning_rate else 1.0
        return hypers._replace(learning_rate=hypers.learning_rate * left)

    def estimate(hypers: Any, state: MuesliState, memory: Memory, obs: Array, action: Any = None):
        now = obs[None], memory, jnp.zeros((1, len(obs)), bool)
        log_probs, q = (x[0] for x in judge(hypers, state.target, *now))
        value = muesli_learning.value_of(log_probs, q)
        # Not q: its greatest entry is not the action of the policy.
        return Estimates(value, probabilities=jnp.exp(log_probs))

    return Agent(
        name="muesli",
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
        memory=model.network.memory,
        anneal=anneal,
        network=model.network,
        model=model,
        config=config,
        gradient_steps=config.gradient_steps,
        estimate=estimate,
    )
