"""Play a tabular MDP: it is an `Environment` too."""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import boolean, wrong
from purejaxrl_suite.core.types import Array, Box, Discrete, Environment, Key, TimeStep
from purejaxrl_suite.mdps.mdp import MDP, draw_state, in_jax


def environment(mdp: MDP, name: str = "tabular", *, one_hot: bool = True) -> Environment:
    """Make an environment of an MDP; the MDP is its parameters, so tables may be swept.

    An episode ends in terminal states and never otherwise: cut continuing MDPs by
    `envs.wrappers.time_limit`.

    Args:
        mdp: one MDP, without batch axes.
        name: the id, for messages and run folders.
        one_hot: observations are f32[S], one-hot; or i32[1], the number of the state, which
            networks embed.

    Returns:
        The environment; its state is the number of the state, i32[].

    Raises:
        ValueError: `mdp` is something else, or one_hot no bool.

    Example:
        >>> from purejaxrl_suite import mdps
        >>> env = mdps.environment(mdps.chain(3))
        >>> env.init(jax.random.key(0), env.params)[1]
        Array([1., 0., 0., 0.], dtype=float32)
    """
    if not isinstance(mdp, MDP):
        raise wrong("mdp", "an MDP", mdp)
    boolean("one_hot", one_hot)
    states, actions = mdp.transition.shape[:2]

    def observe(state: Array) -> Array:
        return jax.nn.one_hot(state, states) if one_hot else state[None]

    def init(key: Key, params: MDP) -> tuple[Array, Array]:
        state = draw_state(key, params.start)
        return state, observe(state)

    def step(key: Key, params: MDP, state: Array, action: Array) -> tuple[Array, TimeStep]:
        following = draw_state(key, params.transition[state, action])
        obs = observe(following)
        now = TimeStep(
            obs=obs,
            reward=params.reward[state, action, following],
            terminated=params.terminal[following],
            truncated=jnp.zeros((), bool),
            final_obs=obs,
            info={},
        )
        return following, now

    number = Box((1,), "int32", 0, states - 1, categories=(states,))
    return Environment(
        name=name,
        observation=Box((states,), "float32", 0.0, 1.0) if one_hot else number,
        action=Discrete(actions),
        time_limit=None,
        params=in_jax(mdp),
        init=init,
        step=step,
    )
