"""Targets of Q-learning from replay, for one transition; for a batch use `jax.vmap`.

All functions share one convention. `reward` is the discounted sum of the rewards of up to n steps,
`discount` is the factor of the value of the state after them (gamma to the power of the steps), and
where `terminated` that state has no value. Agents pass errors to `losses.huber`, which is half the
square for an infinite `delta`.
"""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


def bootstrap(reward: Array, discount: Array, terminated: Array, value: Array) -> Array:
    """Compute reward + discount * value, or the reward alone where terminated.

    Sutton and Barto 2018, equation 7.1.

    Args:
        reward: f32[], discounted sum of rewards.
        discount: f32[], of the value after them.
        terminated: bool[], the state after them has no value.
        value: f32[] or f32[M], of that state.

    Returns:
        f32 of the shape of `value`.
    """
    # A select, not a product: an infinite value would make 0 * inf = NaN.
    return reward + jnp.where(terminated, 0.0, discount * value)


def q_target(
    reward: Array, discount: Array, terminated: Array, next_values: Array, selector: Array
) -> Array:
    """Compute the target of Q-learning or double Q-learning.

    Args:
        reward: f32[], discounted sum of rewards.
        discount: f32[], of the value after them.
        terminated: bool[], the state after them has no value.
        next_values: f32[A], the target network's, or f32[A, M] for quantiles.
        selector: f32[A], the first of its greatest entries is the action whose value counts: the
            target network's values in Q-learning (Mnih et al. 2015, Nature 518), the online
            network's in double Q-learning (van Hasselt et al. 2016, arXiv 1509.06461, equation 4).

    Returns:
        f32[] or f32[M], the target.

    Example:
        >>> from purejaxrl_suite.ops.value import q_target
        >>> target, online = jnp.array([1.0, 2.0]), jnp.array([5.0, 3.0])
        >>> float(q_target(1.0, 0.5, False, target, selector=online))  # double Q-learning
        1.5
    """
    return bootstrap(reward, discount, terminated, next_values[jnp.argmax(selector)])


def scaled_log_policy(q_values: Array, temperature: Array | float) -> Array:
    """Compute temperature * log softmax(q / temperature), f32[A], exact at small temperatures.

    q_values: f32[A]. temperature: greater than 0. Vieillard et al. 2020, arXiv 2007.14430,
    appendix B.
    """
    shifted = q_values - jnp.max(q_values)
    return shifted - temperature * jax.nn.logsumexp(shifted / temperature)


def munchausen_bonus(
    q_values: Array,
    action: Array,
    alpha: Array | float,
    temperature: Array | float,
    lowest: Array | float = -1.0,
) -> Array:
    """Compute the Munchausen bonus alpha * clip(temperature * log pi(a|s), lowest, 0).

    Vieillard et al. 2020, arXiv 2007.14430, section 3.

    Args:
        q_values: f32[A], the target network's at the state acted in; pi is their softmax.
        action: i32[], taken.
        alpha: factor of the bonus.
        temperature: of the softmax.
        lowest: of the scaled log-probability.

    Returns:
        f32[], never positive.
    """
    return alpha * jnp.clip(scaled_log_policy(q_values, temperature)[action], lowest, 0.0)


def soft_value(values: Array, q_values: Array, temperature: Array | float) -> Array:
    """Compute the value of the softmax policy with its entropy bonus.

    It is the sum over a of pi(a) * (values[a] - temperature * log pi(a)), pi = softmax(q_values /
    temperature).

    Args:
        values: f32[A], or f32[A, M] for quantiles.
        q_values: f32[A].
        temperature: of the softmax.

    Returns:
        f32[] or f32[M].
    """
    log_policy = scaled_log_policy(q_values, temperature)
    policy = jax.nn.softmax(q_values / temperature)
    return policy @ values - policy @ log_policy


def munchausen_target(
    reward: Array,
    discount: Array,
    terminated: Array,
    action: Array,
    q_values: Array,
    next_values: Array,
    next_q_values: Array,
    alpha: Array | float,
    temperature: Array | float,
    lowest: Array | float = -1.0,
) -> Array:
    """Compute the target of M-DQN or M-IQN (Vieillard et al. 2020, arXiv 2007.14430).

    All values are the target network's. With alpha 0 it is soft Q-learning, and that becomes
    Q-learning as the temperature goes to 0.

    Args:
        reward: f32[], discounted sum of rewards.
        discount: f32[], of the value after them.
        terminated: bool[], the state after them has no value.
        action: i32[], taken.
        q_values: f32[A], where it was taken.
        next_values: f32[A], or f32[A, M] for quantiles.
        next_q_values: f32[A], means of `next_values`.
        alpha: factor of the bonus.
        temperature: of the softmax policy.
        lowest: of the scaled log-probability in the bonus.

    Returns:
        f32[] or f32[M], the target.
    """
    bonus = munchausen_bonus(q_values, action, alpha, temperature, lowest)
    following = soft_value(next_values, next_q_values, temperature)
    return bootstrap(reward + bonus, discount, terminated, following)


def importance_weights(probabilities: Array, beta: Array | float) -> Array:
    """Compute importance weights f32[B] of samples from prioritised replay, the greatest being 1.

    Schaul et al. 2016, arXiv 1511.05952, section 3.4: (1 / (N P))^beta, divided by the maximum over
    the batch, in which N cancels. probabilities: f32[B], positive, of each sample. beta: 0 corrects
    nothing, 1 the whole bias.
    """
    return (jnp.min(probabilities) / probabilities) ** beta
