"""What representations say of levels in training, and how policies play levels they have not seen.

The measurement of `rollouts`, hung on the clock: every so many updates an agent that learns on a
finite set of levels (`envs.levels`) plays a rollout that it does not learn from. Training is the
same with it and without.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.types import Agent, Array, Clock, Environment, Key, PyTree, Run
from purejaxrl_suite.engine.evaluate import make_evaluate
from purejaxrl_suite.engine.keys import UpdateKeys
from purejaxrl_suite.engine.rollout import rollout, start
from purejaxrl_suite.engine.source import Source, online
from purejaxrl_suite.envs.levels import Level, held_out
from purejaxrl_suite.plasticity.names import by_layer
from purejaxrl_suite.representations.layers import features_at, output_layers, reads_actions
from purejaxrl_suite.representations.rollouts import Encoded, information_of_rollout

INFORMATION = "rollout_information"
TRAINED, UNSEEN = "train_level_return", "held_out_return"
"""Names of the metrics: mean returns on levels of training, and on others."""
OTHERS = 10_000
"""Levels that are held out."""
OWN = 2**31 + 3
"""Folded into the key of a rollout: a number beyond those of any split, which has the same keys."""
Look = Callable[[Key, Any, PyTree, Any], dict[str, Array]]


class Sizes(NamedTuple):
    """Of one measurement.

    envs, length: of the rollout. samples: of its steps that are compared. episodes: that are played
    on the levels of training, and on others. neighbours: k of the estimators.
    """

    envs: int
    length: int
    samples: int
    episodes: int
    neighbours: int


def on_levels(
    agent: Agent,
    env: Environment,
    *,
    every: int,
    envs: int = 64,
    length: int = 1024,
    samples: int = 4096,
    episodes: int = 64,
    neighbours: int = 3,
) -> Source:
    """Make the source in which the agent acts on levels, and is measured there now and then.

    Rows have `rollout_information_NAME.LAYER` for each quantity of `information_of_rollout` and
    each layer of `output_layers`, and their mean over layers, `rollout_information_NAME`; and
    `train_level_return` and `held_out_return`, means of episodes on the levels of training and on
    10,000 others, in which the policy acts as in training. Between measurements all are NaN, and
    nothing is computed.

    Args:
        agent: that acts, from observations that it does not normalise.
        env: made by `envs.levels.levels`.
        every: updates from one measurement to the next.
        envs: parallel environments of its rollout; the defaults are the paper's.
        length: steps in each of them.
        samples: that are compared.
        episodes: that are played, on levels of either kind.
        neighbours: k of the estimators.

    Returns:
        The source: `Experiment(source=partial(on_levels, every=100))`.

    Raises:
        ValueError: a number is out of range, the environment has no levels, or the agent has a
            memory, normalises observations, or has no representation of observations alone.
    """
    every = integer("every", every, 1)
    sizes = Sizes(
        integer("envs", envs, 1),
        integer("length", length, 1),
        integer("samples", samples, 1, envs * length),
        integer("episodes", episodes, 1),
        integer("neighbours", neighbours, 1),
    )
    _check(agent, env)
    inner, look = online(agent, env), _look(agent, env, sizes)

    def collect(
        keys: UpdateKeys, hypers: Any, params: PyTree, state: Any, carry: Run, clock: Clock
    ) -> Any:
        run, transition, row = inner.collect(keys, hypers, params, state, carry, clock)
        given = jax.random.fold_in(keys.rollout, OWN), hypers, params, state
        nothing = jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan), jax.eval_shape(look, *given))
        due = (clock.update + 1) % every == 0
        return run, transition, row | jax.lax.cond(due, look, lambda *_: nothing, *given)

    return inner._replace(collect=collect)


def _look(agent: Agent, env: Environment, sizes: Sizes) -> Look:
    """Make one measurement: (key, hypers, parameters of the environment, state) -> a row."""
    network, shown = agent.network, _shown(env)
    assert network is not None
    layers = _layers(agent)
    actor = _sized(agent, sizes)
    playing = {"episodes": sizes.episodes, "explore": True, "steps": env.time_limit}
    evaluate = make_evaluate(agent, env, **playing)

    def informations(key: Key, hypers: Any, params: PyTree, state: Any) -> dict[str, Array]:
        start_key, rollout_key, sample_key = jax.random.split(key, 3)
        run = start(actor, shown, key=start_key, params=params, state=state)
        given = {"hypers": hypers, "params": params, "run": run, "reset_pool": 0}
        _, steps, _ = rollout(actor, shown, key=rollout_key, **given)
        obs, level = steps.obs
        seen = features_at(network, state.learner.params, tree.merge(obs), layers)
        found: dict[str, dict[str, Array]] = {}
        for layer, z in seen.items():
            features = jnp.reshape(z, (sizes.length, sizes.envs, -1))
            encoded = Encoded(features, steps.action, steps.reward, steps.done, level)
            each = information_of_rollout(
                sample_key,
                encoded,
                hypers.gamma,
                samples=sizes.samples,
                neighbours=sizes.neighbours,
            )
            for name, x in each.items():
                found.setdefault(name, {})[layer] = x
        rows = (
            by_layer(f"{INFORMATION}_{name}", x, sum(x.values(), jnp.zeros(())) / len(x))
            for name, x in found.items()
        )
        return {name: x for row in rows for name, x in row.items()}

    def look(key: Key, hypers: Any, params: PyTree, state: Any) -> dict[str, Array]:
        own_key, trained_key, unseen_key = jax.random.split(key, 3)
        trained = evaluate(trained_key, hypers, params, state)
        unseen = evaluate(unseen_key, hypers, held_out(params, OTHERS), state)
        row = informations(own_key, hypers, params, state)
        row[TRAINED], row[UNSEEN] = (jnp.mean(x.episode_return) for x in (trained, unseen))
        return row

    return look


def _shown(env: Environment) -> Environment:
    """Show the level beside each observation: (obs, i32[])."""

    def init(key: Key, params: PyTree) -> Any:
        state, obs = env.init(key, params)
        return state, (obs, state.level)

    def step(key: Key, params: PyTree, state: Level, action: Array) -> Any:
        state, now = env.step(key, params, state, action)
        nothing: Any = ()
        return state, now._replace(obs=(now.obs, state.level), final_obs=nothing)

    return env._replace(init=init, step=step)


def _sized(agent: Agent, sizes: Sizes) -> Agent:
    """Let an agent act in other numbers of environments and steps, and not look at levels."""

    def act(noise: Any, hypers: Any, state: Any, memory: Any, obs: Any, explore: bool) -> Any:
        memory, action, _ = agent.act(noise, hypers, state, memory, obs[0], explore)
        return memory, action, {}

    return agent._replace(act=act, num_envs=sizes.envs, rollout_length=sizes.length)


def _layers(agent: Agent) -> tuple[str, ...]:
    """Name the representations of observations alone."""
    assert agent.network is not None
    return tuple(name for name in output_layers(agent.network) if not reads_actions(name))


def _check(agent: Agent, env: Environment) -> None:
    """Raise ValueError unless an agent on levels can be measured."""
    key = jax.eval_shape(jax.random.key, 0)
    state = None if env.host else jax.eval_shape(lambda key: env.init(key, env.params)[0], key)
    if not isinstance(state, Level):
        raise ValueError(f"env: expected one made by envs.levels.levels, got {env.name}")
    who = f"agent {agent.name!r}"
    if agent.network is None or not _layers(agent):
        raise ValueError(f"{who}: expected one with a representation of observations alone")
    if jax.tree.leaves(jax.eval_shape(lambda: agent.memory(1))):
        raise ValueError(f"{who}: expected one without a memory")
    if getattr(agent.config, "normalize_observations", False):
        raise ValueError(f"{who}: expected normalize_observations=False, got True")
    if "gamma" not in getattr(agent.hypers, "_fields", ()):
        raise ValueError(f"{who}: expected a discount among its Hypers, gamma")
