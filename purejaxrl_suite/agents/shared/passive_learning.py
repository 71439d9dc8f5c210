"""The gradient steps of a passive learner, beside those of an active one, and what it copies."""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.agents.shared import q_learning as loop
from purejaxrl_suite.agents.shared import replay_learning
from purejaxrl_suite.agents.shared.configs import ReplayConfig
from purejaxrl_suite.agents.shared.passive import Both, Passive, Values
from purejaxrl_suite.agents.shared.replay_learning import Metrics, Target
from purejaxrl_suite.buffers import Batch, Uniform
from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Key, Learner, Network, PyTree


class Config(ReplayConfig, Protocol):
    """The fields of `TandemConfig` that are read here."""

    @property
    def passive_steps(self) -> int:
        """Return the gradient steps for each of the active learner."""
        ...

    @property
    def tied_layers(self) -> int:
        """Return the number of layers that are copied from the active learner."""
        ...

    @property
    def own_data(self) -> bool:
        """Tell whether the passive learner has a replay of its own."""
        ...


class PassiveState(NamedTuple):
    """The passive learner. replay: of its own data, () without."""

    learner: Learner
    target: PyTree
    replay: Any


def apart(key: Key, i: int) -> Key:
    """Derive a key by a number beyond those of any split, whose keys it would otherwise repeat."""
    return jax.random.fold_in(key, np.uint32(2**31 + i))


def passive_steps(
    replay: Uniform,
    config: Config,
    how: Passive,
    *,
    network: Network,
    rule: loop.QLearningRule,
    active_q: Values,
) -> loop.Beside:
    """Make the gradient steps of the passive learner beside one of the active learner.

    Args:
        replay: of the active learner; with own data the passive one's has the same sizes.
        config: of the tandem.
        how: how the passive learner learns.
        network: of the passive learner.
        rule: of the passive learner, as `how` makes it.
        active_q: values of the active learner.

    Returns:
        What `QLearningRule.beside` of the active learner is.
    """

    def batch_of(key: Key, hypers: Any, state: Any) -> Batch:
        draw_key, n = loop.step_keys(key).draw, loop.whole_steps(hypers)

        def read(ring: Any) -> Batch:
            drawn = replay.draw(draw_key, ring, config.batch_size, n, hypers.passive_recent)
            return how.read(replay, ring, drawn.slot, n, hypers.gamma)

        batch = read(state.replay)
        if not config.own_data:
            return batch
        # Keys 1, 2 ... are those of further steps, and 0 that of an extra loss.
        own_key = apart(key, config.passive_steps)
        chosen = jax.random.uniform(own_key, (config.batch_size,)) < hypers.own_fraction
        return tree.where(chosen, read(state.passive.replay), batch)

    def step(key: Key, hypers: Any, before: Any, learner: Learner):
        """Make a gradient step on a batch of the key's own."""
        keys, batch = loop.step_keys(key), batch_of(key, hypers, before)
        online = Both(learner.params, before.learner.params)
        target = Both(before.passive.target, before.target)
        goal = rule.targets(keys.target, hypers, online, target, batch)

        def loss(params: PyTree, taps: Any):
            found = rule.errors(keys.error, hypers, params, batch, goal, taps)
            error, metrics = loop.mean_error(batch, found)
            return error + found.internals.aux_loss, (metrics, ())

        chosen = [
            jnp.argmax(q(hypers, params, batch.obs, None), axis=-1)
            for q, params in zip((rule.q_values, active_q), online, strict=True)
        ]
        optimizer = loop.optimizer_of(network, rule, hypers)
        learner, metrics, _ = replay_learning.gradient_step(loss, optimizer, learner)
        metrics = {f"passive_{name}": x for name, x in metrics.items()}
        return learner, metrics | {"disagreement": jnp.mean(chosen[0] != chosen[1])}

    def beside(hypers: Any, key: Key, before: Any, after: Any, ready: Array) -> tuple[Any, Metrics]:
        second = before.passive
        if config.own_data:
            its = replay.ready(second.replay, 1, loop.whole_steps(hypers))
            ready = ready & (its | (hypers.own_fraction == 0.0))
        keys = jnp.stack([key, *(apart(key, i) for i in range(1, config.passive_steps))])

        def one(learner: Learner, key: Key) -> tuple[Learner, Metrics]:
            learner, metrics = step(key, hypers, before, learner)
            return tie(config.tied_layers, network, after.learner, learner), metrics

        learner, metrics = jax.lax.scan(one, second.learner, keys)
        learner = tree.where(ready, learner, second.learner)
        follow = Target(hypers.target_update_period, hypers.target_update_rate)
        moved = replay_learning.follow(second.target, learner.params, after.steps, follow)
        target = tree.where(ready, moved, second.target)
        means = {name: jnp.where(ready, jnp.mean(x), jnp.nan) for name, x in metrics.items()}
        return after._replace(passive=second._replace(learner=learner, target=target)), means

    return beside


def _tied(count: int, network: Network) -> list[Any]:
    return [path for edge in network.wiring[:count] for path in edge.incoming]


def check_tied(count: int, active: Network, passive: Network) -> None:
    """Raise ValueError unless the first `count` hidden layers of both are alike."""
    if count > len(active.wiring):
        raise ValueError(
            f"tied_layers: expected at most the {len(active.wiring)} hidden layers of the network, "
            f"got {count}"
        )
    key = jax.eval_shape(jax.random.key, 0)
    shapes = [jax.eval_shape(one.init, key) for one in (active, passive)]
    for path in _tied(count, active):
        one, other = (tree.at(params, path).shape for params in shapes)
        if one != other:
            name = "/".join(path)
            raise ValueError(f"tied_layers: expected {name} {one} in both, got {other}")


def tie(count: int, network: Network, active: Learner, passive: Learner) -> Learner:
    """Copy the first `count` hidden layers of the active learner into the passive one."""
    params = passive.params
    # Copies, not the same arrays: the state is donated, and a buffer can be donated only once.
    for path in _tied(count, network):
        params = _with(params, path, jnp.copy(tree.at(active.params, path)))
    return passive._replace(params=params)


def _with(params: Any, path: Any, leaf: Array) -> Any:
    """Return a nested dict with another leaf at a path."""
    name, *rest = path
    return {**params, name: _with(params[name], rest, leaf) if rest else leaf}
