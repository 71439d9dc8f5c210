"""What Muesli learns from: targets of sequences, computed outside the loss, and the loss's terms.

Hessel et al. 2021, arXiv 2104.06159. Sequences are stretches of replay, across episodes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import buffers
from purejaxrl_suite.buffers import windows
from purejaxrl_suite.buffers.windows import Stretch
from purejaxrl_suite.core.types import Array, Box, Environment, Key, Memory, Network, PyTree
from purejaxrl_suite.envs.common import shortest_limit
from purejaxrl_suite.nets.latent_model import LatentModel, Predicted
from purejaxrl_suite.ops import policy_targets, returns, value_transforms
from purejaxrl_suite.ops.policy_targets import SecondMoment

MEMORY = "memory"
"""The name of the memory before a step among the extras of replay."""


class Steps(NamedTuple):
    """B sequences of L steps, leaves [L, B, ...].

    log_prob: f32, of the action under the policy that acted. mask: f32, 0 for steps that are not
    learnt from: those that were cut, whose successor is not at hand. last: bool, returns end here:
    with the episode, before a step that was cut, or with the sequence.
    """

    obs: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array
    next_obs: Array
    log_prob: Array
    mask: Array
    last: Array
    starts: Array
    memory: Any = ()


def steps_of(found: Stretch) -> Steps:
    """Take what is learnt from of stretches of replay."""
    left = found.terminated | ~found.truncated
    after = jnp.concatenate([left[1:], jnp.zeros_like(left[:1])])
    ends = found.terminated | found.truncated
    return Steps(
        obs=found.obs[:-1],
        action=found.action,
        reward=found.reward,
        terminated=found.terminated,
        truncated=found.truncated,
        next_obs=found.obs[1:],
        log_prob=found.extras["log_prob"],
        mask=left.astype(jnp.float32),
        last=ends | ~after,
        starts=jnp.concatenate([jnp.zeros_like(ends[:1]), ends]),
        memory=found.extras[MEMORY][0] if MEMORY in found.extras else (),
    )


class Targets(NamedTuple):
    """Constants of the loss.

    log_prior: f32[L, B, A], of the prior. log_target: f32[L, B, A], of CMPO. advantage: f32[L, B],
    of the actions taken, normalised. actions, weights: [L, B, N], samples of the prior and what
    they weigh in place of log_target; () without samples. following: f32[L, B], values of the
    states after each step: returns, where they end bootstrapped, and 0 after a termination.
    """

    log_prior: Array
    log_target: Array
    advantage: Array
    actions: Any
    weights: Any
    following: Array


def value_of(log_prior: Array, q: Array) -> Array:
    """Compute v(s) = E q(s, A) under the prior: f32[...] from f32[..., A]."""
    return jnp.sum(jnp.exp(log_prior) * q, axis=-1)


def retrace(hypers: Any, batch: Steps, log_prior: Array, q: Array) -> Array:
    """Compute returns G f32[L, B] of the taken actions, from values f32[L + 1, B, A] of the prior.

    They bootstrap where they end without a termination.
    """
    taken = jnp.take_along_axis(log_prior[:-1], batch.action[..., None], -1)[..., 0]
    prior = jnp.exp(log_prior[1:])
    ends, ratios = (batch.terminated, batch.last), taken - batch.log_prob
    whole = partial(
        returns.retrace_from_action_values, gamma=hypers.gamma, lambda_=hypers.retrace_lambda
    )
    steps = batch.reward, q[:-1], batch.action, q[1:], prior, *ends, ratios
    return jax.vmap(whole, 1, 1)(*steps)


def seen(moment: SecondMoment, errors: Array, mask: Array, decay: Array | float) -> SecondMoment:
    """Add errors f32[L, B], those that are masked left out, to a moving second moment."""
    share = jnp.maximum(jnp.mean(mask), 1.0 / mask.size)
    known = jnp.where(mask > 0.0, errors, 0.0) / jnp.sqrt(share)
    return policy_targets.update_second_moment(moment, known, decay)


def targets_of(
    key: Key,
    hypers: Any,
    config: Any,
    moment: SecondMoment,
    batch: Steps,
    log_prior: Array,
    q: Array,
) -> tuple[Targets, SecondMoment]:
    """Compute targets from log-probabilities and values f32[L + 1, B, A] of the prior.

    Args:
        key: for the samples, if there are any.
        hypers: the agent's.
        config: the agent's.
        moment: of errors in earlier batches.
        batch: sequences.
        log_prior: log-probabilities of the prior at every observation, also that after the last.
        q: its action values there.

    Returns:
        The targets, and the moment with this batch, which they are normalised by.
    """
    value = value_of(log_prior, q)
    found = retrace(hypers, batch, log_prior, q)
    moment = seen(moment, found - value[:-1], batch.mask, hypers.variance_decay)
    advantage = policy_targets.normalized(moment, found - value[:-1])
    each = policy_targets.normalized(moment, (q - value[..., None])[:-1])
    clip = hypers.advantage_clip if config.clip_advantages else jnp.inf
    log_prior = log_prior[:-1]

    def everywhere(function: Any) -> Any:
        return jax.vmap(jax.vmap(function))

    log_target = everywhere(partial(policy_targets.cmpo_policy, clip=clip))(log_prior, each)
    actions, weights = (), ()
    if config.kl_samples:
        shape = (config.kl_samples, *log_prior.shape[:2])
        actions = jnp.moveaxis(jax.random.categorical(key, log_prior, shape=shape), 0, -1)
        sampled = jnp.take_along_axis(each, actions, axis=-1)
        weights = everywhere(partial(policy_targets.cmpo_weights, clip=clip))(sampled)
    # Where returns end the state after a step has no return but its value.
    after = jnp.where(batch.terminated, 0.0, value[1:])
    further = jnp.concatenate([found[1:], after[-1:]])
    following = jnp.where(batch.last, after, further)
    return Targets(log_prior, log_target, advantage, actions, weights, following), moment


def gradient_term(log_probs: Array, batch: Steps, targets: Targets) -> Array:
    """Compute the policy gradient's surrogate f32[L, B] (equation 10).

    The importance weight of the taken action, at most 1, is a constant; its gradient is that of the
    log-probability.
    """
    taken = jnp.take_along_axis(log_probs, batch.action[..., None], -1)[..., 0]
    weight = jax.lax.stop_gradient(jnp.exp(jnp.minimum(0.0, taken - batch.log_prob)))
    return -weight * targets.advantage * taken


def regulariser(config: Any, log_probs: Array, targets: Targets) -> Array:
    """Compute the pull f32[L, B] of the policy to CMPO's, or to the prior (direct MPO)."""
    if config.direct_mpo:
        return jnp.sum(jnp.exp(log_probs) * (log_probs - targets.log_prior), axis=-1)
    if config.kl_samples:
        sampled = jnp.take_along_axis(log_probs, targets.actions, axis=-1)
        return jax.vmap(jax.vmap(policy_targets.sampled_distillation))(sampled, targets.weights)
    return jax.vmap(jax.vmap(policy_targets.distillation))(log_probs, targets.log_target)


def policy_terms(log_probs: Array, batch: Steps, targets: Targets, config: Any) -> dict[str, Array]:
    """Compute the losses f32[L, B] of a policy f32[L, B, A]: `policy_loss` and `kl_loss`."""
    losses = {
        "policy_loss": gradient_term(log_probs, batch, targets),
        "kl_loss": regulariser(config, log_probs, targets),
    }
    return {name: batch.mask * x for name, x in losses.items()}


class Ahead(NamedTuple):
    """Where the K steps from each of S are, [K, S, B].

    place: i32[K, S], without the axis of sequences. known: f32, whether the step is of the same
    episode and sequence, and learnt from. on: f32, whether so is the one after it.
    """

    place: Array
    known: Array
    on: Array


def ahead(batch: Steps, steps: int, every: int = 1) -> Ahead:
    """Look at K = steps steps from steps of sequences, S of L: itself, and those after it."""
    length = len(batch.mask)
    first = jnp.arange(0, length, every)
    place = jnp.minimum(first[None] + jnp.arange(steps)[:, None], length - 1)
    goes_on = jnp.where(batch.last, 0.0, 1.0)[place]
    # The last step of a sequence ends it, so none beyond it is reached.
    reached = jnp.concatenate([jnp.ones_like(goes_on[:1]), jnp.cumprod(goes_on, 0)[:-1]])
    known = reached * batch.mask[place]
    return Ahead(place, known, known * goes_on)


def model_terms(
    hypers: Any, predicted: Predicted, batch: Steps, targets: Targets, every: int = 1
) -> dict[str, Array]:
    """Compute the model's losses f32[S, B], means over its K steps (section 4.3).

    What lies beyond the episode or the sequence is left out; the value after a termination is 0.

    Args:
        hypers: the agent's.
        predicted: leaves [K, S, B, ...], from S steps of the sequences.
        batch: sequences.
        targets: of them.
        every: how far these S steps are apart.

    Returns:
        `model_policy_loss`, `reward_loss` and `value_loss`.
    """
    place, known, on = ahead(batch, len(predicted.reward), every)
    bound = hypers.value_bound

    def categorical(logits: Array, wanted: Array) -> Array:
        loss = partial(value_transforms.categorical_value_loss, low=-bound, high=bound)
        flat = jnp.reshape(logits, (-1, logits.shape[-1])), jnp.ravel(wanted)
        return known * jnp.reshape(jax.vmap(loss)(*flat), known.shape)

    log_probs = jax.nn.log_softmax(predicted.policy)
    after = jnp.minimum(place + 1, len(batch.mask) - 1)
    wanted = targets.log_target[after]
    divergence = jnp.sum(jnp.exp(wanted) * (wanted - log_probs), axis=-1)
    losses = {
        "model_policy_loss": on * divergence,
        "reward_loss": categorical(predicted.reward, batch.reward[place]),
        "value_loss": categorical(predicted.value, targets.following[place]),
    }
    return {name: jnp.mean(x, axis=0) for name, x in losses.items()}


def experience(env: Environment, config: Any, memory: int = 0) -> buffers.Uniform:
    """Make the replay, which keeps log-probabilities of actions, and `memory` numbers if not 0."""
    extras = {"log_prob": Box((), "float32")}
    extras |= {MEMORY: Box((memory,), "float32")} if memory else {}
    return buffers.uniform(
        env.observation,
        env.action,
        capacity=config.capacity,
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        max_n=config.sequence_length,
        time_limit=shortest_limit(env),
        extras=extras,
    )


class Recall(NamedTuple):
    """How the memory of a recurrent network is kept in replay.

    size: numbers of one sequence (M); 0 without a memory. extras: memory [B, ...] -> what is kept
    beside a step. memory: what was kept of steps -> memory.
    """

    size: int
    extras: Callable[[Memory], dict[str, Array]]
    memory: Callable[[Any], Memory]


def recall_of(network: Network) -> Recall:
    """Tell how the memory of a network is kept, one row f32[M] for each step."""
    leaves, tree = jax.tree.flatten(jax.eval_shape(lambda: network.memory(1)))
    ends = np.cumsum([leaf.shape[-1] for leaf in leaves]).tolist()
    if not leaves:
        return Recall(0, lambda memory: {}, lambda kept: ())

    def extras(memory: Memory) -> dict[str, Array]:
        return {MEMORY: jnp.concatenate(jax.tree.leaves(memory), axis=-1)}

    def memory(kept: Array) -> Memory:
        return jax.tree.unflatten(tree, jnp.split(kept, ends[:-1], axis=-1))

    return Recall(ends[-1], extras, memory)


def drawn(key: Key, replay: buffers.Uniform, ring: Any, config: Any) -> Steps:
    """Draw sequences of a batch, fresh ones first."""
    keys, length = jax.random.split(key), config.sequence_length
    newest = config.rollout_length / replay.layout.rows
    parts = zip(keys, (config.fresh, config.batch_size - config.fresh), (newest, 1.0), strict=True)
    slots = [replay.draw(key, ring, n, length, of).slot for key, n, of in parts]
    return steps_of(windows.stretches(replay.layout, ring, jnp.concatenate(slots), length))


def log_prior(hypers: Any, logits: Array) -> Array:
    """Mix a policy with the uniform one: log-probabilities f32[..., A] of the prior."""
    share = hypers.uniform_prior
    return jnp.log((1.0 - share) * jax.nn.softmax(logits) + share / logits.shape[-1])


def judged(
    hypers: Any, model: LatentModel, params: PyTree, obs: Array, memory: Memory, starts: Array
) -> tuple[Array, Array]:
    """Compute log-probabilities and action values of the prior, f32[T, B, A], at obs [T, B, ...].

    Values are those of the model, one step ahead: r(s, a) + gamma v(s, a).
    """
    logits, internals = model.network.unroll(params, obs, memory, starts, {})
    found = model.ahead(params, model.start(params, internals.features))
    shape = found.reward.shape[:-1]
    bounds = {"low": -hypers.value_bound, "high": hypers.value_bound}
    number = jax.vmap(partial(value_transforms.value_of, **bounds))
    reward, value = (
        jnp.reshape(number(jnp.reshape(x, (-1, x.shape[-1]))), shape)
        for x in (found.reward, found.value)
    )
    return log_prior(hypers, logits), reward + hypers.gamma * value


def predict(
    model: LatentModel, params: PyTree, latent: Array, batch: Steps, config: Any
) -> Predicted:
    """Unroll the model from latent states f32[L, B, D], of S steps: leaves [K, S, B, ...]."""
    place = ahead(batch, config.unroll_length, config.unroll_every).place
    taken, latent = batch.action[place], latent[:: config.unroll_every]
    rows = jnp.reshape(latent, (-1, latent.shape[-1]))
    found = model.predict(params, rows, jnp.reshape(taken, (len(place), -1)))
    return jax.tree.map(lambda x: jnp.reshape(x, (*taken.shape, x.shape[-1])), found)


def mean_of(terms: dict[str, Array], mask: Array) -> dict[str, Array]:
    """Average terms f32[S, B], 0 where they are masked, over the steps that are not."""
    size = jnp.sum(mask)
    return {name: jnp.sum(x) / jnp.maximum(size, 1.0) for name, x in terms.items()}


def weighed(hypers: Any, config: Any, means: dict[str, Array]) -> Array:
    """Sum the terms of the loss, with the weights of the Hypers and the switches of the Config."""
    total = hypers.kl_weight * means["kl_loss"]
    total += hypers.reward_weight * means["reward_loss"]
    total += hypers.value_weight * means["value_loss"]
    total += means["policy_loss"] if config.policy_gradient else 0.0
    return total + (means["model_policy_loss"] if config.model_policy else 0.0)
