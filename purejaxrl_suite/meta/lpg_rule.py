"""The update rule of LPG: a network that reads a rollout backward and says what is learnt from it.

Oh et al. 2020, "Discovering reinforcement learning algorithms" (arXiv 2007.08794). Beside a policy
an agent has a prediction y, a vector without a meaning of its own. From rewards, ends, the
discount, the probabilities of the actions taken, and the predictions before and after each step
the rule makes the weight of each action and the target of each prediction. It reads neither
observations nor the other actions, so it fits every environment with discrete actions.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import nets
from purejaxrl_suite.core import tree, types
from purejaxrl_suite.core.argument import instance, integer, number, place, wrong
from purejaxrl_suite.core.types import Array, Environment, Key, Network, PyTree
from purejaxrl_suite.meta.inner import InnerHypers, Lesson, Look
from purejaxrl_suite.nets import lstm
from purejaxrl_suite.nets.tabular import states_of, tabular

HIDDEN = 16
"""Units of the network that makes one number of a prediction."""


class LearnedRule(NamedTuple):
    """A learned rule. params: of `init_rule`, numpy or jax. gamma: the discount that it knows."""

    params: PyTree
    gamma: float

    @property
    def bins(self) -> int:
        """Return m, the length of predictions; 0 without any."""
        return self.params["target"]["kernel"].shape[1] if "target" in self.params else 0


class RuleOutput(NamedTuple):
    """What a rule makes of a rollout.

    weight: f[T, N], of the logarithms of the probabilities of actions. target: f[T, N, m], of
    predictions: logits, or the number itself where m is 1; None without predictions.
    """

    weight: Array
    target: Array | None


def init_rule(key: Key, bins: int, units: int) -> PyTree:
    """Draw the parameters of a rule.

    Args:
        key: of the draw.
        bins: m, the length of predictions; 1 is a number, 0 is none.
        units: of the LSTM.

    Returns:
        The parameters: LeCun normal kernels, biases of 0.
    """
    keys, draw = jax.random.split(key, 5), jax.nn.initializers.lecun_normal()

    def dense(key: Key, inputs: int, outputs: int) -> PyTree:
        return {"kernel": draw(key, (inputs, outputs)), "bias": jnp.zeros(outputs)}

    inputs = 4 + 2 * (bins > 0)
    params = {"lstm": lstm.init(keys[0], inputs, units), "weight": dense(keys[1], units, 1)}
    if bins:
        params["target"] = dense(keys[2], units, bins)
        params["hidden"] = dense(keys[3], bins, HIDDEN)
        params["read"] = dense(keys[4], HIDDEN, 1)
    return params


def random_rule(
    seed: int = 0, *, bins: int = 30, units: int = 256, gamma: float = 0.995
) -> LearnedRule:
    """Draw a rule that has learnt nothing: what learned ones are compared with.

    Args:
        seed: of the draw.
        bins: as in `LPGConfig`.
        units: as in `LPGConfig`.
        gamma: discount.

    Returns:
        The rule.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> from purejaxrl_suite import meta
        >>> meta.random_rule(bins=8, units=16).bins
        8
    """
    integer("seed", seed, 0, 2**32 - 1)
    integer("bins", bins, 0)
    integer("units", units, 1)
    number("gamma", gamma, low=0.0, high=1.0)
    return LearnedRule(init_rule(jax.random.key(seed), bins, units), gamma)


def apply_rule(
    params: PyTree,
    gamma: Array | float,
    transition: types.Transition,
    chance: Array,
    value: Array,
    next_value: Array,
) -> RuleOutput:
    """Read a rollout backward; what comes after the end of an episode is not seen before it.

    Args:
        params: of `init_rule`.
        gamma: discount.
        transition: [T, N].
        chance: f[T, N], probabilities of the actions taken.
        value: f[T, N, m], the predictions, as the critic gives them; not read where m is 0.
        next_value: f[T, N, m], of the true successors; not read where an episode terminated.

    Returns:
        Weights and targets.
    """
    terminated = transition.terminated
    discount = jnp.where(terminated, 0.0, gamma)
    parts = [transition.reward, transition.done, discount, chance]
    if "target" in params:
        following = jnp.where(terminated, 0.0, _read(params, next_value))
        parts += [_read(params, value), following]
    x = jnp.stack(parts, axis=-1)
    memory = lstm.empty(params["lstm"], x.shape[1])
    hidden = lstm.unroll(params["lstm"], x, memory, transition.done, backward=True)[1]
    features = jax.nn.relu(hidden)
    weight = _dense(params["weight"], features)[..., 0]
    return RuleOutput(weight, _dense(params["target"], features) if "target" in params else None)


def prediction(value: Array) -> Array:
    """Return the prediction of a critic's output f[..., m]: probabilities, a number if m is 1."""
    return value if value.shape[-1] == 1 else jax.nn.softmax(value)


def prediction_loss(target: Array, value: Array) -> Array:
    """Compute KL(prediction || target), or half the squared error where m is 1, f[...]."""
    if value.shape[-1] == 1:
        return 0.5 * jnp.square(target - value)[..., 0]
    return nets.divergence(types.Discrete(value.shape[-1]))(value, target)


def prediction_entropy(value: Array) -> Array:
    """Compute the entropy of predictions f[...]; 0 of numbers."""
    if value.shape[-1] == 1:
        return jnp.zeros(value.shape[:-1], value.dtype)
    return nets.distribution(types.Discrete(value.shape[-1]))(value).entropy()


def teach(through: bool, hypers: InnerHypers, memory: Any, look: Look) -> Lesson:
    """Teach what the rule `hypers.rule` makes of a rollout.

    Args:
        through: whether derivatives go through what the rule reads of the agent.
        hypers: of the agent.
        memory: () of this rule.
        look: at the rollout.

    Returns:
        The lesson; its metrics are mean squares, those that regularise the rule.
    """
    known = jnp.exp(look.log_prob), look.value, look.next_value
    known = known if through else jax.lax.stop_gradient(known)
    found = apply_rule(hypers.rule, hypers.gamma, look.transition, *known)
    metrics = {"weight_square": jnp.mean(jnp.square(found.weight))}
    if found.target is not None:
        squares = jnp.sum(jnp.square(prediction(found.target)), axis=-1)
        metrics["target_square"] = jnp.mean(squares)
    return Lesson(found.weight, found.target, (), metrics)


def default_network(env: Environment, bins: int) -> Network:
    """Make a table where observations are numbers of states, else an actor and a critic.

    Args:
        env: whose spaces it is built for.
        bins: m, the length of predictions.

    Returns:
        The network, whose value is f[B, m]; f[B], and not read, without predictions.
    """
    try:
        states_of(env.observation)
    except ValueError:
        return nets.actor_critic(env.observation, env.action, values=bins or None)
    return tabular(env.observation, env.action, values=bins or None)


def check_predictions(env: Environment, network: Network, bins: int) -> None:
    """Raise ValueError for a network with a memory, or whose value is no prediction."""
    if jax.tree.leaves(network.memory(1)):
        raise wrong("network", "one without a memory", "one with a memory")
    key = jax.eval_shape(jax.random.key, 0)
    params, box = jax.eval_shape(network.init, key), env.observation
    obs = jax.ShapeDtypeStruct((1, *box.shape), box.dtype)
    output = jax.eval_shape(lambda params, obs: network.apply(params, obs, (), {})[0], params, obs)
    shape = getattr(getattr(output, "value", None), "shape", ())
    if not hasattr(output, "policy") or (bins and shape != (1, bins)):
        raise wrong("network", f"a policy and a value f[B, {bins}] (values={bins})", output)


def save_rule(rule: LearnedRule, path: str | Path) -> Path:
    """Save a rule as one file of numpy arrays, for `read_rule` and `pjs.lpg_rule`.

    The file appears when it is complete; one of that name is replaced.

    Args:
        rule: to be saved.
        path: of the file, which ends in `.npz`.

    Returns:
        The path.

    Raises:
        ValueError: the path ends otherwise, or its folder does not exist.
    """
    instance("rule", rule, LearnedRule)
    file = Path(place("path", path, "a file"))
    if file.suffix != ".npz" or not file.parent.is_dir():
        raise wrong("path", "a file .npz in a folder that exists", str(path))
    arrays: dict[str, Any] = {name: np.asarray(x) for name, x in tree.named(rule.params).items()}
    arrays["gamma"] = np.float64(rule.gamma)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    with unfinished.open("wb") as stream:
        np.savez(stream, **arrays)
    unfinished.replace(file)
    return file


def read_rule(path: str | Path) -> LearnedRule:
    """Read a rule that `save_rule` wrote.

    Args:
        path: of the file.

    Returns:
        The rule, numpy arrays.

    Raises:
        ValueError: there is no such file, or it is no saved rule.
    """
    file = Path(place("path", path, "a saved rule"))
    if not file.is_file():
        raise wrong("path", "the file of a saved rule", str(path))
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        gamma = float(arrays.pop("gamma"))
        units = arrays["lstm.recurrent"].shape[0]
        bins = arrays["target.bias"].shape[0] if "target.bias" in arrays else 0
    except Exception as error:  # numpy raises anything for a damaged file
        raise wrong("path", f"the file of a saved rule ({error})", str(path)) from None
    like = jax.eval_shape(lambda key: init_rule(key, bins, units), jax.random.key(0))
    named = tree.named(like)
    shapes = {name: x.shape for name, x in named.items()}
    if shapes != {name: x.shape for name, x in arrays.items()}:
        raise wrong("path", f"the file of a rule with arrays {shapes}", str(path))
    leaves = [arrays[name].astype(np.float32) for name in named]
    return LearnedRule(jax.tree.unflatten(jax.tree.structure(like), leaves), gamma)


def _dense(params: PyTree, x: Array) -> Array:
    return x @ params["kernel"] + params["bias"][None, None]


def _read(params: PyTree, value: Array) -> Array:
    """Make one number of predictions, f[T, N, m] -> f[T, N]; the same for both of a step."""
    hidden = jax.nn.relu(_dense(params["hidden"], prediction(value)))
    return _dense(params["read"], hidden)[..., 0]
