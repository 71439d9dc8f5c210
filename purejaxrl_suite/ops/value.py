"""Targets of Q-learning from replay, for one transition; `jax.vmap` serves a batch.

One convention for all of them. `reward` is the discounted sum of the rewards of up to n steps,
`discount` is what the value of the state after them is multiplied by (gamma to the power of the
steps), and where `terminated` that state has no value. The errors go through `losses.huber`, whose
`delta` of infinity is half the square.
"""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


def bootstrap(reward: Array, discount: Array, terminated: Array, value: Array) -> Array:
    """reward + discount * value, the reward alone where terminated; f32 of the shape of `value`.

    Sutton and Barto 2018, equation 7.1.
    """
    # A select and not a product: a value that is not finite must not leak through 0 * inf.
    return reward + jnp.where(terminated, 0.0, discount * value)


def q_target(
    reward: Array, discount: Array, terminated: Array, next_values: Array, selector: Array
) -> Array:
    """Target of Q-learning, f32[] or f32[M].

    next_values: f32[A], the target network's, or f32[A, M] for quantiles. selector: f32[A], the
    first of its greatest entries is the action whose value counts: the target network's values in
    Q-learning (Mnih et al. 2015, Nature 518), the online network's in double Q-learning (van
    Hasselt et al. 2016, arXiv 1509.06461, equation 4).
    """
    return bootstrap(reward, discount, terminated, next_values[jnp.argmax(selector)])


def scaled_log_policy(q_values: Array, temperature: Array | float) -> Array:
    """temperature * log softmax(q / temperature): f32[A], exact where the temperature is small.

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
    """alpha * [temperature * log pi(a|s)], clipped to [lowest, 0] before alpha: f32[], never > 0.

    Vieillard et al. 2020, arXiv 2007.14430, section 3. q_values: f32[A], the target network's at
    the state acted in; pi is their softmax.
    """
    return alpha * jnp.clip(scaled_log_policy(q_values, temperature)[action], lowest, 0.0)


def soft_value(values: Array, q_values: Array, temperature: Array | float) -> Array:
    """Value of the softmax policy with its entropy bonus, f32[] or f32[M].

    sum over a of pi(a) * (values[a] - temperature * log pi(a)), pi = softmax(q_values /
    temperature). values: f32[A], or f32[A, M] for quantiles. q_values: f32[A].
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
    """Target of M-DQN f32[], or of M-IQN f32[M] (Vieillard et al. 2020, arXiv 2007.14430).

    All values are the target network's. action: i32[], taken. q_values: f32[A], where it was taken.
    next_values: f32[A], or f32[A, M] for quantiles; next_q_values: f32[A], their means. With alpha
    0 it is soft Q-learning, and Q-learning as the temperature goes to 0.
    """
    bonus = munchausen_bonus(q_values, action, alpha, temperature, lowest)
    following = soft_value(next_values, next_q_values, temperature)
    return bootstrap(reward + bonus, discount, terminated, following)


def importance_weights(probabilities: Array, beta: Array | float) -> Array:
    """Weights f32[B] of samples from prioritised replay, the greatest of them 1.

    Schaul et al. 2016, arXiv 1511.05952, section 3.4: (1 / (N P))^beta, divided by the maximum over
    the batch, in which N cancels. probabilities: f32[B], positive, of each sample. beta: 0 corrects
    nothing, 1 all of the bias.
    """
    return (jnp.min(probabilities) / probabilities) ** beta
