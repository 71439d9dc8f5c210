"""Synthetic returns: agents that are rewarded for what later rewards depend on.

Raposo et al. 2021, "Synthetic returns for long-term credit assignment", arXiv 2102.12425. A
state-associative model learns which earlier states of an episode a reward is due to; what a state
contributes to all later rewards, c(s), is added to the reward that follows it. Defaults are the
released code's example.

    build = pjs.synthetic_returns(pjs.impala)
    agent = build(env)
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.agents.shared import extra_losses
from purejaxrl_suite.agents.shared.associations import (
    WHOLE,
    Model,
    Past,
    SyntheticSettings,
    checked,
    model_of,
)
from purejaxrl_suite.core import tree, types
from purejaxrl_suite.core.argument import function
from purejaxrl_suite.core.joined import annotations, joined, of_agent
from purejaxrl_suite.core.types import Agent, Array, Key, Learner, Memory, Transition
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.nets import associative
from purejaxrl_suite.ops.synthetic import remember, synthetic_reward


class SyntheticHypers(NamedTuple):
    """Hyper-parameters of synthetic returns, f32[] each.

    synthetic_coefficient: alpha, of c(s). reward_coefficient: beta, of the reward of the task.
    """

    synthetic_coefficient: Annotated[Any, Range(0)] = 0.3
    reward_coefficient: Annotated[Any, Range(0)] = 1.0


OWN = tuple(SyntheticHypers()._asdict().items())


class SyntheticState(NamedTuple):
    """State of an agent with synthetic returns.

    learner: of the agent inside. inner: the rest of its state. remembered, count: as in `Past`.
    """

    learner: Learner
    inner: Any
    remembered: Array
    count: Array


def synthetic_returns(builder: Any, settings: SyntheticSettings | None = None) -> Any:
    """Make the builder of agents that learn from synthetic returns.

    Its agents have the Hypers of the agent inside, `synthetic_coefficient` and
    `reward_coefficient`. Curves have `association_loss`, `synthetic_return` (the mean of c) and its
    standard deviation; returns are those of the task.

    Args:
        builder: (env, config, network, hypers, extra_loss=) -> Agent, of an agent that learns from
            whole rollouts: `impala`, or `ppo` with a network that has a memory.
        settings: what changes the program; None for the defaults.

    Returns:
        The builder, with the same arguments, for `run`, `sweep` and studies.

    Raises:
        ValueError: an argument is of another kind. The builder raises it for stale rollouts, for an
            agent of several learners, and for a layer that the network does not have; what it
            builds for agents that learn from single steps or from a replay, when first trained.

    Example:
        >>> env = pjs.make("Credit-TriggerChain")
        >>> pjs.synthetic_returns(pjs.impala)(env).name
        'impala with synthetic returns'
    """
    function("builder", builder, 4, "(env, config, network, hypers) -> Agent")
    given = checked(SyntheticSettings() if settings is None else settings)

    def build(
        env: types.Environment,
        config: Any = None,
        network: Any = None,
        hypers: Any = None,
        *,
        extra_loss: types.ExtraLoss | None = None,
        **more: Any,
    ) -> Agent:
        inner = of_agent(hypers, SyntheticHypers)
        network = network or builder(env, config, None, inner).network
        model = model_of(network, given, env)
        term = extra_losses.both(extra_loss, model.loss)
        agent = builder(env, config, model.network, inner, extra_loss=term, **more)
        more_hypers = joined(agent.hypers, SyntheticHypers, OWN, "Synthetic", hypers)
        made = _rewarded(agent, model, more_hypers)
        return made._replace(name=f"{agent.name} with synthetic returns{_told(given)}")

    build.__annotations__ |= annotations(builder, SyntheticHypers, OWN, "Synthetic")
    return build


def _rewarded(plain: Agent, model: Model, hypers: Any) -> Agent:
    """Give an agent whose loss has the model's synthetic rewards."""
    if plain.maintain or plain.evaluated or plain.policies or plain.offline:
        raise ValueError(
            f"builder: expected one of agents that act and learn alone, got {plain.name}; make it "
            "sparse afterwards, sparse(synthetic_returns(...), ...)"
        )
    if getattr(plain.config, "replayed", 0):
        raise ValueError(f"config.replayed: expected 0, got {plain.config.replayed}")

    def inner(hypers: Any) -> Any:
        return of_agent(hypers, SyntheticHypers)

    def whole(state: SyntheticState) -> Any:
        return state.inner._replace(learner=state.learner)

    def parted(state: Any, remembered: Array, count: Array) -> SyntheticState:
        return SyntheticState(state.learner, state._replace(learner=()), remembered, count)

    def init(key: Key, hypers: Any) -> SyntheticState:
        state, n = plain.init(key, inner(hypers)), plain.num_envs
        shape = n, model.capacity, model.units
        return parted(state, jnp.zeros(shape), jnp.zeros(n, jnp.int32))

    def rewarded(
        hypers: Any, state: Any, remembered: Array, count: Array, transition: Transition
    ) -> tuple[Array, Transition]:
        """Add what the model says to a rollout; also return its embeddings."""
        known = jax.tree.structure(plain.memory(1))
        if jax.tree.structure(transition.extras.get("memory")) != known:
            raise ValueError(WHOLE)
        params, starts = state.learner.params, transition.starts
        memory = tree.index(transition.extras["memory"], 0)
        embedding = model.embed(params, plain.see(state, transition.obs), memory, starts)
        found = associative.contributions(params, embedding)
        scales = hypers.synthetic_coefficient, hypers.reward_coefficient
        reward = synthetic_reward(found, transition.reward, *scales)
        past = Past(memory, remembered, count, jnp.swapaxes(transition.reward, 0, 1))
        # The agent reads the memory before the first step alone.
        first = jax.tree.map(lambda x: x[None], past)
        extras = {**transition.extras, "memory": first}
        return embedding, transition._replace(reward=reward, extras=extras)

    def update(key: Key, hypers: Any, state: SyntheticState, transition: Transition):
        now, kept = whole(state), (state.remembered, state.count)
        embedding, steps = rewarded(hypers, now, *kept, transition)
        after, metrics = plain.update(key, inner(hypers), now, steps)
        ended = transition.done
        if transition.life_lost is not None:
            ended = ended & ~transition.life_lost
        kept = jax.vmap(remember, (0, 0, 1, 1))(*kept, embedding, ended)
        return parted(after, *kept), metrics

    def probe(key: Key, hypers: Any, state: SyntheticState, transition: Transition) -> Any:
        """Probe the agent's loss, with nothing remembered."""
        n = transition.reward.shape[1]
        kept = jnp.zeros_like(state.remembered[:n]), jnp.zeros_like(state.count[:n])
        steps = rewarded(hypers, whole(state), *kept, transition)[1]
        return plain.probe(key, inner(hypers), whole(state), steps)

    def act(noise: Any, hypers: Any, state: SyntheticState, memory: Any, obs: Array, explore: bool):
        return plain.act(noise, inner(hypers), whole(state), memory, obs, explore)

    def anneal(hypers: Any, clock: types.Clock) -> Any:
        return hypers._replace(**plain.anneal(inner(hypers), clock)._asdict())

    def estimate(
        hypers: Any, state: SyntheticState, memory: Memory, obs: Array, action: Any = None
    ):
        assert plain.estimate is not None
        return plain.estimate(inner(hypers), whole(state), memory, obs, action)

    return plain._replace(
        hypers=hypers,
        init=init,
        act=act,
        update=update,
        probe=probe,
        anneal=anneal,
        see=lambda state, obs: plain.see(whole(state), obs),
        estimate=None if plain.estimate is None else estimate,
    )


def _told(settings: SyntheticSettings) -> str:
    """Write the settings that are not the defaults, as a part of the agent's name."""
    known = SyntheticSettings()._asdict()
    other = [f"{name}={x}" for name, x in settings._asdict().items() if x != known[name]]
    return f" ({', '.join(other)})" if other else ""
