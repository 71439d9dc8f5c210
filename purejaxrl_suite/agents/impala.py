"""IMPALA: actor-critic with V-trace (Espeholt et al. 2018, arXiv 1802.01561), plain or emphatic.

Returns are corrected for the difference between the policy that acted and the one that learns: of
the gradient steps since, and of stale rollouts that are replayed. The loss is a sum over steps, as
in the paper. Emphasis: Jiang et al. 2021, arXiv 2106.11779, "Emphatic algorithms for deep
reinforcement learning". States are weighted by the follow-on trace F, which goes on from rollout to
rollout and starts anew with episodes; all interest is 1. Where targets bootstrap at the end of the
rollout that is WETD, with large clips: F weighs its first step alone. Where they bootstrap after n
steps it is NETD, with large clips, and with clips of 1 and `clip_emphasis` NEVtrace.
`emphatic_policy` is ACE. How stale rollouts are replayed, and where NEVtrace clips, is our setting;
so are n-step targets of steps alone that have n steps left in the rollout.

Defaults are Cleanba's for Atari, with differences: values are bootstrapped at time limits, there
are half as many environments, rollouts are of the newest policy and not of the one before, and
RMSProp's epsilon is under the root.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import estimates, extra_losses, unrolls
from purejaxrl_suite.agents.shared.unrolls import Unrolls
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, Key, Learner, Memory, PyTree, Transition
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.nets.tasks import masked
from purejaxrl_suite.ops import losses, minibatch, optimizers, returns, successors
from purejaxrl_suite.ops.descent import Pooled, descend
from purejaxrl_suite.ops.probe import probe as probe_loss
from purejaxrl_suite.ops.probe import samples_of

DECAY = 0.99
"""Of RMSProp's second moments."""


class ImpalaConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        minibatches: gradient steps of an update, each on whole rollouts of some environments.
        n_step: steps after which targets bootstrap; 0 is at the end of the rollout.
        emphatic: weigh values by follow-on traces.
        emphatic_policy: weigh the policy gradient by them, too.
        clip_emphasis: clip the ratios in these traces at 1.
        replayed: older rollouts that are learnt from in each update, beside the fresh one.
        replay_age: updates between two replays of a rollout.
        anneal_learning_rate: decay the learning rate linearly to zero over training.
    """

    num_envs: Annotated[int, Range(1)] = 64
    rollout_length: Annotated[int, Range(1)] = 20
    minibatches: Annotated[int, Range(1)] = 4
    n_step: Annotated[int, Range(0, "rollout_length")] = 0
    emphatic: bool = False
    emphatic_policy: bool = False
    clip_emphasis: bool = False
    replayed: Annotated[int, Range(0)] = 0
    replay_age: Annotated[int, Range(1)] = 1
    anneal_learning_rate: bool = True


class ImpalaHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of RMSProp, at the start of training.
        gamma: discount per step.
        rho_clip: upper bound of the importance ratios of errors and of the policy gradient.
        c_clip: upper bound of those that hand errors back in time.
        entropy_coefficient: weight of the entropy bonus.
        value_coefficient: weight of the value loss.
        max_gradient_norm: gradients of the sum over steps are scaled down to this global norm.
        rmsprop_epsilon: of RMSProp's denominator, under the root.
    """

    learning_rate: Annotated[float, Range(0)] = 6e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    rho_clip: Annotated[float, Range(0)] = 1.0
    c_clip: Annotated[float, Range(0)] = 1.0
    entropy_coefficient: Annotated[float, Range(0)] = 0.01
    value_coefficient: Annotated[float, Range(0)] = 0.5
    max_gradient_norm: Annotated[float, Range(above=0)] = 40.0
    rmsprop_epsilon: Annotated[float, Range(above=0)] = 0.01


class ImpalaState(NamedTuple):
    """State of IMPALA.

    carried: f32[n, S], follow-on traces that the last steps of S streams hand on: of the N
    environments, then of their replays. stale: rollouts to replay. () where there are none.
    """

    learner: Learner
    carried: Any
    stale: Any


def impala(
    env: types.Environment,
    config: ImpalaConfig | None = None,
    network: types.Network | None = None,
    hypers: ImpalaHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build IMPALA for the spaces of an environment.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.actor_critic`; recurrent with `memory_units`.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the mean loss of a step; its target is f32[T, B], of the value.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: the minibatches do not divide the environments and their replays, emphasis is to
            be clipped or put on the policy and there is none, or replays have an age and there are
            none.

    Example:
        >>> env = pjs.make("CartPole-v1")
        >>> result = pjs.run(pjs.impala(env), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    extra_losses.check(extra_loss)
    config, hypers = validate.settings(config, hypers, (ImpalaConfig(), ImpalaHypers()))
    unrolls.check_effects(config)
    spaces, length = (env.observation, env.action), config.rollout_length
    network = masked(network or nets.actor_critic(*spaces), *spaces)
    distribution, sampler = nets.distribution(env.action), nets.sampler(env.action)
    sequences = config.num_envs * (1 + config.replayed)
    validate.divides("minibatches", config.minibatches, sequences, "environments with replays")

    def optimizer(hypers: ImpalaHypers) -> optax.GradientTransformation:
        clip = optimizers.clip_by_global_norm(hypers.max_gradient_norm)
        rms = optax.rmsprop(hypers.learning_rate, DECAY, hypers.rmsprop_epsilon)
        return network.constrain(Pooled(*optax.chain(clip, rms)))

    def init(key: Key, hypers: ImpalaHypers) -> ImpalaState:
        params, stale = network.init(key), ()
        if config.replayed:
            stale = unrolls.empty(agent, network, config.replayed * config.replay_age)
        carried = jnp.zeros((config.n_step or 1, sequences)) if config.emphatic else ()
        return ImpalaState(Learner(params, optimizer(hypers).init(params)), carried, stale)

    def act(noise: Any, hypers: Any, state: ImpalaState, memory: Memory, obs: Array, explore: bool):
        output, internals = network.apply(state.learner.params, obs, memory, {})
        policy = distribution(output.policy)
        action = sampler.sample(noise, output.policy) if explore else policy.mode()
        return internals.memory, action, {"log_prob": policy.log_prob(action), "memory": memory}

    def look(params: PyTree, batch: Unrolls, taps: Any) -> Any:
        return network.unroll(params, batch.obs, batch.memory, batch.starts, taps)

    def emphasize(hypers: ImpalaHypers, params: PyTree, batch: Unrolls, carried: Array):
        """Weigh steps by their follow-on traces, with ratios of the present policy."""
        policy = distribution(look(params, batch, {})[0].policy)
        ratio = jnp.exp(policy.log_prob(batch.action) - batch.log_prob)
        ratio = jnp.minimum(1.0, ratio) if config.clip_emphasis else ratio
        options = {"windowed": not config.n_step, "of_policy": config.emphatic_policy}
        return unrolls.emphasize(carried, batch, hypers.gamma * ratio, **options)

    def corrected(hypers: ImpalaHypers, steps: tuple[Any, ...]) -> returns.VTrace:
        clips = {"rho_clip": hypers.rho_clip, "c_clip": hypers.c_clip}
        if config.n_step:
            return returns.n_step_vtrace(*steps, gamma=hypers.gamma, n=config.n_step, **clips)
        clips["advantage_clip"] = hypers.rho_clip
        return returns.vtrace(*steps, gamma=hypers.gamma, **clips)

    def prepare(hypers: ImpalaHypers, params: PyTree, batch: Unrolls) -> Unrolls:
        """Compute targets and advantages with the present parameters, outside the loss."""
        output, internals = look(params, batch, {})
        log_ratio = distribution(output.policy).log_prob(batch.action) - batch.log_prob

        def value(params: PyTree, successor: tuple[Array, Memory]) -> Array:
            return network.apply(params, *successor, {})[0].value

        ends, seen = (batch.terminated, batch.truncated), (batch.next_obs, internals.memory)
        following = successors.next_values(value, params, output.value, seen, *ends)
        steps = batch.reward, output.value, following, batch.terminated, batch.done, log_ratio
        target, advantage = jax.vmap(partial(corrected, hypers), 1, 1)(steps)
        return batch._replace(target=target, advantage=advantage)

    def loss(hypers: ImpalaHypers, params: PyTree, batch: Unrolls, taps: Any, key: Any):
        output, internals = look(params, batch, taps)
        policy = distribution(output.policy)
        log_prob = policy.log_prob(batch.action)
        samples = {
            "policy_loss": -log_prob * batch.advantage * batch.policy_weight,
            "value_loss": 0.5 * jnp.square(output.value - batch.target) * batch.value_weight,
            "entropy": policy.entropy(),
            "importance_ratio": jnp.exp(log_prob - batch.log_prob),
            "emphasis": batch.value_weight,
        }
        samples = {name: x * batch.mask for name, x in samples.items()}
        found = losses.means(samples)
        total = found["policy_loss"] + hypers.value_coefficient * found["value_loss"]
        total = total - hypers.entropy_coefficient * found["entropy"] + internals.aux_loss
        learnt = jnp.maximum(jnp.mean(batch.mask), 1.0 / batch.mask.size)
        metrics = {name: x / learnt for name, x in found.items()}
        seen = {"output": output, "internals": internals, "batch": batch, "target": batch.target}
        inputs = types.LossInputs(params=params, network=network, hypers=hypers, key=key, **seen)
        total, metrics = extra_losses.add(extra_loss, total, metrics, inputs)
        return total * batch.mask.size, (metrics, internals.features)

    def update(key: Key, hypers: ImpalaHypers, state: ImpalaState, transition: Transition):
        (learner, carried, stale), batch = state, unrolls.unrolls_of(transition)
        if config.replayed:
            stale, batch = unrolls.exchange(stale, batch, config.replayed)
        if config.emphatic:
            batch, carried = emphasize(hypers, learner.params, batch, carried)
        batch = unrolls.whole(batch, config.n_step)
        index = minibatch.epochs(key, 1, sequences, config.minibatches)
        keys = extra_losses.own_keys(extra_loss, key, len(index))
        objective, rule = partial(loss, hypers), optimizer(hypers)
        targets = partial(prepare, hypers)
        learner, metrics = descend(objective, rule, learner, batch, index, keys, prepare=targets)
        return ImpalaState(learner, carried, stale), extra_losses.named(metrics)

    def probe(key: Key, hypers: ImpalaHypers, state: ImpalaState, transition: Transition):
        """Probe the loss of a fresh rollout, with traces that start with it."""
        params, batch = state.learner.params, unrolls.unrolls_of(transition)
        if config.emphatic:
            none = jnp.zeros_like(state.carried[:, : batch.reward.shape[1]])
            batch, _ = emphasize(hypers, params, batch, none)
        batch = prepare(hypers, params, unrolls.whole(batch, config.n_step))
        own = extra_losses.own_key(extra_loss, key)

        def objective(params: PyTree, taps: Any):
            total, (_, features) = loss(hypers, params, batch, taps, own)
            return total, features

        value = look(params, batch, {})[0].value
        return probe_loss(objective, params, samples_of(transition, value))

    def anneal(hypers: ImpalaHypers, clock: types.Clock) -> ImpalaHypers:
        left = 1.0 - clock.progress if config.anneal_learning_rate else 1.0
        return hypers._replace(learning_rate=hypers.learning_rate * left)

    agent = Agent(
        name="impala",
        observation=env.observation,
        action=env.action,
        hypers=hypers,
        num_envs=config.num_envs,
        rollout_length=length,
        init=init,
        act=act,
        update=update,
        probe=probe,
        noise=sampler.noise,
        memory=network.memory,
        anneal=anneal,
        network=network,
        config=config,
        gradient_steps=config.minibatches,
        estimate=estimates.of_actor_critic(network, env.action),
    )
    return agent
