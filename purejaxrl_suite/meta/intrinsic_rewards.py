"""Learned intrinsic rewards: Zheng et al. 2020, "What can learned intrinsic rewards capture?",
arXiv 1912.05500.

An agent learns from a reward that is learnt, and from that alone: REINFORCE on its return within an
episode. The reward is a recurrent function of all that the agent has lived, across episodes, so it
can tell it to explore first and to exploit then. It is learnt over many lifetimes, each a new agent
in a new task, by the meta-gradient of the task's own return: over the rest of the lifetime, or of
the episode alone. A critic of that return reads the same history. Sizes, rates and discounts are
our setting.
"""

import math
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core import tree, types, validate
from purejaxrl_suite.core.types import Agent, Array, Key, PyTree, Transition
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.meta import inner
from purejaxrl_suite.meta.inner import InnerHypers, Lesson, Look, Rule
from purejaxrl_suite.meta.learner import System, lives_of, meta_learner
from purejaxrl_suite.meta.lifetime import Window
from purejaxrl_suite.meta.optimizers import differentiable
from purejaxrl_suite.nets import lstm
from purejaxrl_suite.nets.builders import check_discrete
from purejaxrl_suite.nets.encoders import expansion
from purejaxrl_suite.nets.lstm import LSTMMemory
from purejaxrl_suite.ops import optimizers, returns


class LIRConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        lifetimes: side by side (L).
        num_envs: environments of one lifetime (N), each with a history of its own.
        rollout_length: steps in each of them between the agent's updates (T).
        updates: of the agent between two steps of the reward (K).
        at_once: lifetimes that are differentiated together; 0 is all, else a divisor of L.
        shortest: rollouts of the shortest lifetime; 0 is endless.
        longest: of the longest; 0 is the same as the shortest.
        units: of the hidden layer of the reward, and of that of the critic.
        recurrent: both read all of the lifetime so far, by an LSTM; else a single step.
        sees_action: whether the reward reads the action. Without, it transfers to other actions.
        lifetime_return: returns and the critic go on across episodes, until the lifetime ends; else
            they end with episodes.
        optimizer: rate -> the optimizer of the agent's parameters.
        remat: keep little for the derivative and compute the rest again.
        collect_first: act with one policy in all rollouts of a window.
    """

    lifetimes: Annotated[int, Range(1)] = 64
    num_envs: Annotated[int, Range(1)] = 1
    rollout_length: Annotated[int, Range(1)] = 8
    updates: Annotated[int, Range(1)] = 5
    at_once: Annotated[int, Range(0)] = 0
    shortest: Annotated[int, Range(0)] = 101
    longest: Annotated[int, Range(0)] = 0
    units: Annotated[int, Range(1)] = 64
    recurrent: bool = True
    sees_action: bool = True
    lifetime_return: bool = True
    optimizer: Any = optax.sgd
    remat: bool = True
    collect_first: bool = False


class LIRHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        meta_learning_rate: of Adam, for the reward and the critic.
        learning_rate: of the agent.
        gamma: discount of the task's return, across episodes.
        intrinsic_gamma: discount of the return of the learned reward, within an episode.
        gae_lambda: decay of the advantage of the outer gradient.
        entropy_coefficient: weight of the agent's entropy bonus.
        critic_coefficient: weight of the critic's loss.
        max_gradient_norm: the gradients of reward and critic are scaled down to this norm each.
    """

    meta_learning_rate: Annotated[float, Range(0)] = 1e-3
    learning_rate: Annotated[float, Range(0)] = 0.1
    gamma: Annotated[float, Range(0, 1)] = 0.99
    intrinsic_gamma: Annotated[float, Range(0, 1)] = 0.9
    gae_lambda: Annotated[float, Range(0, 1)] = 0.95
    entropy_coefficient: Annotated[float, Range(0)] = 0.01
    critic_coefficient: Annotated[float, Range(0)] = 0.5
    max_gradient_norm: Annotated[float, Range(above=0)] = 1.0


def intrinsic_reward(
    env: types.Environment,
    config: LIRConfig | None = None,
    network: types.Network | None = None,
    hypers: LIRHypers | None = None,
) -> Agent:
    """Build the meta-learner of an intrinsic reward, for a distribution of tasks.

    Args:
        env: the tasks (`Environment.sample_task`), with discrete actions.
        config: what changes the program; None for the defaults.
        network: of the agents that live, without a memory; None for a table where observations are
            numbers of states, else `nets.actor_critic`.
        hypers: what may be swept; None for the defaults.

    Returns:
        The meta-learner, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not discrete, the network has a memory, derivatives of the optimizer
            are not finite, `at_once` does not divide the lifetimes, or lifetimes end before a
            window does.

    Example:
        >>> env = pjs.make("Meta-ABC")
        >>> result = pjs.run(pjs.intrinsic_reward(env), env, seeds=1, steps=1e7)
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (LIRConfig(), LIRHypers()))
    made = system(env, config, network, hypers)
    return meta_learner(env, made, lives_of(config), hypers=hypers, config=config)


def system(
    env: types.Environment,
    config: LIRConfig | None = None,
    network: types.Network | None = None,
    hypers: LIRHypers | None = None,
) -> System:
    """Make what `intrinsic_reward` trains: its agent lives by a reward that has been learnt.

        agents = system(env, config)
        meta.live(agents.agent, env, key, hypers=agents.inner(reward, hypers), ...)

    Args:
        env: as in `intrinsic_reward`.
        config: as in `intrinsic_reward`.
        network: as in `intrinsic_reward`.
        hypers: as in `intrinsic_reward`.

    Returns:
        The system.

    Raises:
        ValueError: as in `intrinsic_reward`.
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (LIRConfig(), LIRHypers()))
    actions = check_discrete(env.action).n
    network = network or inner.default_network(env)
    inner.check_network(network)
    differentiable("config.optimizer", config.optimizer(hypers.learning_rate))
    model = _Model(expansion(env.observation)[0], *_sizes(env.observation, actions, config), config)
    agent = inner.inner_agent(
        env,
        Rule(partial(_teach, model), partial(_memory, model)),
        network,
        name="agent with a learned reward",
        hypers=_inner((), hypers),
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        optimizer=config.optimizer,
    )
    return System(
        name="intrinsic_reward",
        agent=agent,
        init=partial(_init, model),
        inner=_inner,
        objective=partial(_objective, model, network, env.action),
        optimizer=_optimizer,
    )


def _optimizer(hypers: LIRHypers) -> optax.GradientTransformation:
    """Clip by parts: the critic's gradient may be many times that of the reward."""
    clip = optimizers.clip_by_global_norm(hypers.max_gradient_norm)
    each = optax.chain(clip, optimizers.adam(hypers.meta_learning_rate))
    parts = {"reward": "reward", "critic": "critic"}
    return optax.partition(dict.fromkeys(parts, each), parts)


def _inner(params: PyTree, hypers: LIRHypers) -> InnerHypers:
    return InnerHypers(
        learning_rate=hypers.learning_rate,
        gamma=hypers.intrinsic_gamma,
        entropy_coefficient=hypers.entropy_coefficient,
        value_coefficient=0.0,
        rule=params,
    )


class _Model(NamedTuple):
    """The reward and the critic. expand: observations [B, ...] -> f[B, ...], one-hot or as they
    are. seen: numbers of an observation. step: of all that the reward reads of a step."""

    expand: Any
    seen: int
    step: int
    actions: int
    config: LIRConfig


class _Memory(NamedTuple):
    """What the reward and the critic remember of a lifetime."""

    reward: LSTMMemory
    critic: LSTMMemory


def _sizes(observation: types.Box, actions: int, config: LIRConfig) -> tuple[int, int, int]:
    seen = math.prod(expansion(observation)[1])
    return seen, 2 * seen + actions * config.sees_action + 2, actions


def _init(model: _Model, key: Key, hypers: LIRHypers) -> PyTree:
    keys, units = jax.random.split(key, 5), model.config.units
    draw = jax.nn.initializers.lecun_normal()

    def dense(key: Key, inputs: int, outputs: int) -> PyTree:
        return {"kernel": draw(key, (inputs, outputs)), "bias": jnp.zeros(outputs)}

    if not model.config.recurrent:
        return {
            "reward": {
                "hidden": dense(keys[0], model.step, units),
                "head": dense(keys[1], units, 1),
            },
            "critic": {
                "hidden": dense(keys[2], model.seen, units),
                "head": dense(keys[3], units, 1),
            },
        }
    critic = {
        "lstm": lstm.init(keys[2], model.step, units),
        "hidden": dense(keys[3], units + model.seen, units),
        "head": dense(keys[4], units, 1),
    }
    reward = {"lstm": lstm.init(keys[0], model.step, units), "head": dense(keys[1], units, 1)}
    return {"reward": reward, "critic": critic}


def _memory(model: _Model, params: PyTree, n: int) -> Any:
    if not model.config.recurrent:
        return ()
    return _Memory(*(lstm.empty(params[part]["lstm"], n) for part in ("reward", "critic")))


def _dense(params: PyTree, x: Array) -> Array:
    return x @ params["kernel"] + params["bias"][None, None]


def _seen(model: _Model, obs: Array) -> Array:
    """Expand observations [T, N, ...] to f[T, N, seen]."""
    return jnp.reshape(model.expand(tree.merge(obs)), (*obs.shape[:2], model.seen))


def _steps(model: _Model, transition: Transition) -> Array:
    """Return all that is known of steps, f[T, N, step]: history as rewards and critics read it."""
    parts = [_seen(model, transition.obs), _seen(model, transition.next_obs)]
    if model.config.sees_action:
        parts.append(jax.nn.one_hot(transition.action, model.actions))
    numbers = jnp.stack([transition.reward, transition.done], axis=-1)
    return jnp.concatenate([*parts, numbers], axis=-1)


def _teach(model: _Model, hypers: InnerHypers, memory: Any, look: Look) -> Lesson:
    """Weigh each action by the return of the learned reward in the rest of its episode."""
    params, transition = hypers.rule, look.transition
    x = _steps(model, transition)
    if model.config.recurrent:
        critic = jax.lax.stop_gradient(params["critic"]["lstm"])
        other = lstm.unroll(critic, x, memory.critic)[0]
        own, hidden = lstm.unroll(params["reward"]["lstm"], x, memory.reward)
        memory = _Memory(own, other)
    else:
        hidden = jnp.tanh(_dense(params["reward"]["hidden"], x))
    reward = jnp.tanh(_dense(params["reward"]["head"], hidden)[..., 0])
    weight = inner.sums(reward, transition.done, hypers.gamma)
    return Lesson(weight, None, memory, {"intrinsic_reward": jnp.mean(reward)})


def _values(model: _Model, params: PyTree, before: Any, obs: Array) -> Array:
    """Compute the critic's values f[T, N] of observations, given what was lived before each."""
    seen = _seen(model, obs)
    x = jnp.concatenate([before, seen], axis=-1) if model.config.recurrent else seen
    return _dense(params["head"], jnp.tanh(_dense(params["hidden"], x)))[..., 0]


def _objective(
    model: _Model,
    network: types.Network,
    action: types.Space,
    params: PyTree,
    hypers: LIRHypers,
    window: Window,
) -> tuple[Array, dict[str, Array]]:
    """Judge a window: the policy gradient of the task's return, and the critic's own loss."""
    state, transition = window.lifetime.run.agent, window.transition
    before, after, critic = (), (), params["critic"]
    if model.config.recurrent:
        memory = jax.lax.stop_gradient(state.memory.critic)
        hidden = lstm.unroll(critic["lstm"], _steps(model, transition), memory)[1]
        before, after = jnp.concatenate([memory.hidden[None], hidden[:-1]]), hidden
    whole = model.config.lifetime_return
    goes_on = jnp.concatenate([transition.obs[1:], window.seen[None]])
    value = _values(model, critic, before, transition.obs)
    following = _values(model, critic, after, goes_on if whole else transition.next_obs)
    last = jnp.arange(len(value))[:, None] == len(value) - 1
    dies = jnp.broadcast_to(last & window.lifetime.over, value.shape)
    ends = (dies, dies) if whole else (transition.terminated | dies, transition.done | dies)
    estimate = partial(returns.gae, gamma=hypers.gamma, lambda_=hypers.gae_lambda)
    known = transition.reward, *jax.lax.stop_gradient((value, following)), *ends
    advantage = jax.vmap(estimate, 1, 1)(*known)
    target = advantage + known[1]
    look = inner.look_at(network, action, state.learner.params, transition)
    policy_loss = -jnp.mean(look.log_prob * advantage)
    critic_loss = 0.5 * jnp.mean(jnp.square(target - value))
    metrics = {"meta_policy_loss": policy_loss, "critic_loss": critic_loss}
    return policy_loss + hypers.critic_coefficient * critic_loss, metrics
