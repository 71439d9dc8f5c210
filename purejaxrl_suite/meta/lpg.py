"""LPG: an update rule that is learnt over many lifetimes (Oh et al. 2020, "Discovering
reinforcement learning algorithms", arXiv 2007.08794).

Agents learn a policy and a prediction from what a rule makes of their rollouts (`meta.lpg_rule`):
neither values nor advantages are given. The rule is learnt by the policy gradient of the agents
that it has made, through their last K updates, with a baseline that each lifetime learns beside
for this alone. Rates of agents are drawn by a bandit over earlier lifetimes. Coefficients and sizes
are those of a re-implementation; discount, learning rate and number of lifetimes are our setting.
"""

import itertools
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.argument import number, wrong
from purejaxrl_suite.core.types import Agent, Array, Key, Learner, Memory, PyTree, Transition
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.meta import inner, lpg_rule, practice
from purejaxrl_suite.meta.inner import InnerHypers, InnerState, Rule
from purejaxrl_suite.meta.learner import Practice, System, lives_of, meta_learner
from purejaxrl_suite.meta.lifetime import Lifetime, Window
from purejaxrl_suite.meta.optimizers import differentiable
from purejaxrl_suite.ops import descent, optimizers


class LPGConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        lifetimes: side by side (L).
        num_envs: environments of one lifetime (N).
        rollout_length: steps in each of them between the agent's updates (T).
        updates: of the agent between two steps of the rule (K).
        at_once: lifetimes that are differentiated together; 0 is all, else a divisor of L.
        shortest: rollouts of the shortest lifetime; 0 is endless.
        longest: of the longest; 0 is the same as the shortest.
        bins: length of predictions (m): 1 is a number with a squared error, 0 is no prediction.
        units: of the rule's LSTM.
        through_inputs: meta-gradients also go through what the rule reads of the agent, which makes
            them exact; else not, as in released code.
        normalize_advantages: those that judge the rule, within each lifetime.
        rate_factors: of the agents' learning rate, of which the bandit draws one for a lifetime.
        prediction_factors: of the coefficient of their predictions, likewise.
        optimizer: rate -> the optimizer of the parameters of agents and baselines.
        remat: keep little for the derivative and compute the rest again.
        collect_first: act with one policy in all rollouts of a window.
    """

    lifetimes: Annotated[int, Range(1)] = 512
    num_envs: Annotated[int, Range(1)] = 64
    rollout_length: Annotated[int, Range(1)] = 20
    updates: Annotated[int, Range(1)] = 5
    at_once: Annotated[int, Range(0)] = 32
    shortest: Annotated[int, Range(0)] = 2344
    longest: Annotated[int, Range(0)] = 0
    bins: Annotated[int, Range(0)] = 30
    units: Annotated[int, Range(1)] = 256
    through_inputs: bool = True
    normalize_advantages: bool = False
    rate_factors: tuple[float, ...] = (0.5, 1.0, 2.0)
    prediction_factors: tuple[float, ...] = (0.2, 1.0, 2.0)
    optimizer: Any = optax.sgd
    remat: bool = True
    collect_first: bool = False


class LPGHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        meta_learning_rate: of Adam, for the rule.
        learning_rate: of agents, of tables by default: gradients are means over rollouts.
        prediction_coefficient: weight of the predictions' loss.
        baseline_learning_rate: of the values that judge the rule.
        gamma: discount, which the rule reads and is judged by.
        gae_lambda: decay of the advantages that judge the rule.
        policy_entropy_coefficient: weight of the entropy of policies after updates.
        prediction_entropy_coefficient: weight of the entropy of predictions after updates.
        weight_coefficient: weight of the mean square of the rule's weights of actions.
        target_coefficient: weight of the mean square of its targets of predictions.
        bandit_temperature: of the draw of rates.
        bandit_exploration: bonus of rates that were drawn seldom.
        max_gradient_norm: the meta-gradient is scaled down to this global norm.
    """

    meta_learning_rate: Annotated[float, Range(0)] = 1e-4
    learning_rate: Annotated[float, Range(0)] = 40.0
    prediction_coefficient: Annotated[float, Range(0)] = 0.5
    baseline_learning_rate: Annotated[float, Range(0)] = 4.0
    gamma: Annotated[float, Range(0, 1)] = 0.995
    gae_lambda: Annotated[float, Range(0, 1)] = 0.95
    policy_entropy_coefficient: Annotated[float, Range(0)] = 0.01
    prediction_entropy_coefficient: Annotated[float, Range(0)] = 1e-3
    weight_coefficient: Annotated[float, Range(0)] = 1e-3
    target_coefficient: Annotated[float, Range(0)] = 1e-3
    bandit_temperature: Annotated[float, Range(above=0)] = 0.1
    bandit_exploration: Annotated[float, Range(0)] = 0.2
    max_gradient_norm: Annotated[float, Range(above=0)] = 0.5


class LifeHypers(NamedTuple):
    """Hyper-parameters of an agent that lives.

    agent: of its updates, before factors. baseline_learning_rate, gae_lambda: f[], of its baseline.
    logits: f[C], with which its factors are drawn where it is born.
    """

    agent: InnerHypers
    baseline_learning_rate: Any
    gae_lambda: Any
    logits: Array


class LifeState(NamedTuple):
    """State of an agent that lives. baseline: values that judge the rule. choice: i32[], of
    factors."""

    learner: Learner
    baseline: Learner
    choice: Array


class Parts(NamedTuple):
    """What functions of a life share. factors: of rate and prediction, f[C] each, as numbers."""

    network: types.Network
    baseline: types.Network
    action: types.Space
    config: LPGConfig
    factors: tuple[tuple[float, ...], tuple[float, ...]]


def lpg(
    env: types.Environment,
    config: LPGConfig | None = None,
    network: types.Network | None = None,
    hypers: LPGHypers | None = None,
) -> Agent:
    """Build the meta-learner of an update rule, for a distribution of tasks.

    Args:
        env: the tasks (`Environment.sample_task`), with discrete actions.
        config: what changes the program; None for the defaults.
        network: of the agents that live, without a memory, whose value has `config.bins` numbers
            (`values=` of `nets.tabular` and `nets.actor_critic`); None for a table where
            observations are numbers of states, else `nets.actor_critic`.
        hypers: what may be swept; None for the defaults.

    Returns:
        The meta-learner, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not discrete, the network does not fit, derivatives of the optimizer
            are not finite, a factor is not above 0, `at_once` does not divide the lifetimes, or
            lifetimes end before a window does.

    Example:
        >>> env = pjs.make("Meta-Grids", sides=[4, 5], objects=[1, 2])
        >>> config = pjs.LPGConfig(lifetimes=32, at_once=0, num_envs=8, shortest=41, units=16)
        >>> result = pjs.run(pjs.lpg(env, config), env, seeds=8, steps=1e7)
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (LPGConfig(), LPGHypers()))
    made = system(env, config, network, hypers)
    return meta_learner(env, made, lives_of(config), hypers=hypers, config=config)


def system(
    env: types.Environment,
    config: LPGConfig | None = None,
    network: types.Network | None = None,
    hypers: LPGHypers | None = None,
) -> System:
    """Make what `lpg` trains: its agent learns by a rule that has been learnt.

    Args:
        env: as in `lpg`.
        config: as in `lpg`.
        network: as in `lpg`.
        hypers: as in `lpg`.

    Returns:
        The system.

    Raises:
        ValueError: as in `lpg`.
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (LPGConfig(), LPGHypers()))
    rule = Rule(partial(lpg_rule.teach, config.through_inputs))
    parts = parts_of(env, config, network)
    return System(
        name="lpg",
        agent=agent_of(env, rule, parts, hypers),
        init=lambda key, hypers: lpg_rule.init_rule(key, config.bins, config.units),
        inner=partial(_inner, len(parts.factors[0])),
        objective=partial(_objective, parts),
        optimizer=_optimizer,
        practice=Practice(
            practice.untried(len(parts.factors[0])),
            inform=_inform,
            learn=_learn,
        ),
    )


def parts_of(
    env: types.Environment, config: LPGConfig, network: types.Network | None = None
) -> Parts:
    """Make what functions of a life share; ValueError as in `lpg`."""
    if not isinstance(env.action, types.Discrete):
        raise wrong("env.action", "Discrete", env.action)
    network = network or lpg_rule.default_network(env, config.bins)
    lpg_rule.check_predictions(env, network, config.bins)
    differentiable("config.optimizer", config.optimizer(1.0))
    rates = _factors("config.rate_factors", config.rate_factors)
    predictions = _factors("config.prediction_factors", config.prediction_factors)
    pairs = itertools.product(rates, predictions if config.bins else (1.0,))
    first, second = zip(*pairs, strict=True)
    return Parts(network, inner.default_network(env), env.action, config, (first, second))


def _factors(name: str, values: Any) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or not values:
        raise wrong(name, "one factor or more", values)
    return tuple(float(number(name, x, above=0.0)) for x in values)


def _optimizer(hypers: LPGHypers) -> optax.GradientTransformation:
    clip = optimizers.clip_by_global_norm(hypers.max_gradient_norm)
    return optax.chain(clip, optimizers.adam(hypers.meta_learning_rate))


def _inner(settings: int, params: PyTree, hypers: LPGHypers) -> LifeHypers:
    agent = InnerHypers(
        learning_rate=hypers.learning_rate,
        gamma=hypers.gamma,
        entropy_coefficient=0.0,
        value_coefficient=hypers.prediction_coefficient,
        rule=params,
    )
    other = hypers.baseline_learning_rate, hypers.gae_lambda
    return LifeHypers(agent, *other, logits=jnp.zeros(settings))


def _inform(hypers: LPGHypers, agents: LifeHypers, known: practice.Tried) -> LifeHypers:
    how = hypers.bandit_temperature, hypers.bandit_exploration
    return agents._replace(logits=practice.logits(known, *how))


def _learn(
    known: practice.Tried, lifetimes: Lifetime, rows: dict[str, Array], alive: Array
) -> practice.Tried:
    """Note the reward per step in the last window of lifetimes that are over."""
    total = jnp.sum(jnp.where(alive, rows["step_reward"], 0.0), axis=1)
    result = total / jnp.maximum(jnp.sum(alive, axis=1), 1)
    return practice.noted(known, lifetimes.run.agent.choice, lifetimes.over, result)


def agent_of(env: types.Environment, rule: Rule, parts: Parts, hypers: LPGHypers) -> Agent:
    """Make the agent that lives: it learns by a rule, with factors that were drawn for it, and fits
    a baseline beside, which it never reads.

    Args:
        env: whose spaces it is built for.
        rule: that of LPG, or any other.
        parts: of it, from `parts_of`.
        hypers: of LPG.

    Returns:
        The agent, whose hypers are `LifeHypers`.
    """
    config, network = parts.config, parts.network
    agent = inner.inner_agent(
        env,
        rule,
        network,
        name="agent with a learned rule",
        hypers=_inner(1, (), hypers).agent,
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        optimizer=config.optimizer,
        critic_loss=lpg_rule.prediction_loss,
    )

    def init(key: Key, hypers: LifeHypers) -> LifeState:
        of_agent, of_baseline, of_choice = jax.random.split(key, 3)
        values = parts.baseline.init(of_baseline)
        opt_state = config.optimizer(hypers.baseline_learning_rate).init(values)
        choice = jax.random.categorical(of_choice, hypers.logits).astype(jnp.int32)
        learner = agent.init(of_agent, hypers.agent).learner
        return LifeState(learner, Learner(values, opt_state), choice)

    def act(noise: Any, hypers: LifeHypers, state: LifeState, memory: Memory, obs: Array, explore):
        return agent.act(noise, hypers.agent, InnerState(state.learner, ()), memory, obs, explore)

    def update(key: Key, hypers: LifeHypers, state: LifeState, transition: Transition):
        own = _with_factors(parts, hypers.agent, state.choice)
        after, metrics = agent.update(key, own, InnerState(state.learner, ()), transition)
        baseline, loss = _fit(parts, hypers, state.baseline, transition)
        entropies = _entropies(parts, after.learner.params, transition)
        more = {"baseline_loss": loss, "learning_rate": own.learning_rate}
        state = LifeState(after.learner, baseline, state.choice)
        return state, {**metrics, **entropies, **more}

    made = agent._replace(init=init, act=act, update=update, estimate=None)
    return made._replace(hypers=_inner(len(parts.factors[0]), (), hypers))


def _with_factors(parts: Parts, hypers: InnerHypers, choice: Array) -> InnerHypers:
    rate, prediction = (jnp.asarray(x, jnp.float32)[choice] for x in parts.factors)
    return hypers._replace(
        learning_rate=rate * hypers.learning_rate,
        value_coefficient=prediction * hypers.value_coefficient,
    )


def _fit(
    parts: Parts, hypers: LifeHypers, baseline: Learner, transition: Transition
) -> tuple[Learner, Array]:
    """Move a baseline towards the lambda returns of a rollout; a constant of every derivative."""
    params = baseline.params
    hypers = jax.lax.stop_gradient(hypers._replace(agent=hypers.agent._replace(rule=())))
    optimizer = parts.config.optimizer(hypers.baseline_learning_rate)
    advantage, value = _advantage(parts, params, hypers.agent.gamma, hypers.gae_lambda, transition)

    def loss(params: PyTree) -> Array:
        found = inner.outputs(parts.baseline, params, transition.obs).value
        return jnp.mean(inner.squared(advantage + value, found))

    error, gradient = jax.value_and_grad(loss)(params)
    return descent.move(optimizer, baseline, gradient), error


def _advantage(
    parts: Parts, params: PyTree, gamma: Any, gae_lambda: Any, transition: Transition
) -> tuple[Array, Array]:
    """Compute advantages over a baseline, and its values, f[T, N] each."""
    look = inner.look_at(parts.baseline, parts.action, params, transition)
    advantage, _ = inner.lambda_estimates(gamma, gae_lambda, look)
    return advantage, look.value


def _entropies(parts: Parts, params: PyTree, transition: Transition) -> dict[str, Array]:
    """Compute mean entropies of policy and prediction after an update, at what it learnt from."""
    output = inner.outputs(parts.network, params, transition.obs)
    policy = nets.distribution(parts.action)(output.policy).entropy()
    found = {"updated_entropy": jnp.mean(policy)}
    if parts.config.bins:
        entropy = lpg_rule.prediction_entropy(output.value)
        found["updated_prediction_entropy"] = jnp.mean(entropy)
    return found


def _objective(
    parts: Parts, params: PyTree, hypers: LPGHypers, window: Window
) -> tuple[Array, dict[str, Array]]:
    """Judge a window: the policy gradient of the agent that has learnt, and regularisers of what
    it went through: entropies after its updates, squares of what the rule said in them."""
    state, transition = window.lifetime.run.agent, window.transition
    look = inner.look_at(parts.network, parts.action, state.learner.params, transition)
    how = hypers.gamma, hypers.gae_lambda
    advantage = _advantage(parts, state.baseline.params, *how, transition)[0]
    advantage = jax.lax.stop_gradient(advantage)
    if parts.config.normalize_advantages:
        advantage = (advantage - jnp.mean(advantage)) / (jnp.std(advantage) + 1e-8)
    policy_loss = -jnp.mean(look.log_prob * advantage)
    regularisers = {
        "updated_entropy": -hypers.policy_entropy_coefficient,
        "updated_prediction_entropy": -hypers.prediction_entropy_coefficient,
        "weight_square": hypers.weight_coefficient,
        "target_square": hypers.target_coefficient,
    }
    loss = policy_loss
    for name, coefficient in regularisers.items():
        if name in window.rows:
            known = jnp.sum(jnp.where(window.alive, window.rows[name], 0.0))
            loss = loss + coefficient * known / jnp.maximum(jnp.sum(window.alive), 1)
    return loss, {"meta_policy_loss": policy_loss}
