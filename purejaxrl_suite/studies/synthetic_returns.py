"""Do synthetic returns carry credit over a delay that bootstrapping does not bridge?

Paper: Raposo et al. 2021, Synthetic returns for long-term credit assignment, arXiv 2102.12425.
Figure: its curves and maps of synthetic returns on the chain (quick, standard) and on Catch with
    delayed rewards (full).
Claim: agents with synthetic returns learn what a reward long after an action depends on; the same
    agents without do not, with a memory or without.

Scores are the share of episodes that visit the trigger, and on Catch of the balls that are caught,
in the last part of training. On the chain 50 steps with rewards of 1 or -1 by a coin lie between
the trigger and its reward, so returns say next to nothing about it; a random walk visits it in 55 %
of the episodes. Networks have one hidden layer of 64 units; sizes, rates and the coefficient of
synthetic returns are our setting.
"""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import nets, stats
from purejaxrl_suite.agents.impala import ImpalaConfig, ImpalaHypers, impala
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.agents.shared.associations import SyntheticSettings, contributions
from purejaxrl_suite.agents.synthetic_returns import synthetic_returns
from purejaxrl_suite.core.types import (
    Array,
    Builder,
    Environment,
    Inspection,
    Key,
    Learner,
    Metric,
    Network,
    Probe,
)
from purejaxrl_suite.envs import make
from purejaxrl_suite.envs.credit import PLACES, SIZE
from purejaxrl_suite.plasticity.names import layers_of
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.panels import Heat, Lines, Panel
from purejaxrl_suite.studies.plasticity_panels import over_time
from purejaxrl_suite.studies.protocol import LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import estimated, late, measured, thinned
from purejaxrl_suite.sweeps.experiment import Experiment

CHAIN, CATCH = "Credit-TriggerChain", "Credit-DelayedCatch"
SCORES = {CHAIN: "trigger", CATCH: "catches"}
CRITICAL = {CHAIN: "place 2", CATCH: "caught"}
"""The states that the reward is due to."""
AT_ONCE = {CHAIN: {"distractors": 1}, CATCH: {"runs": 1}}
"""Options of the tasks that leave next to nothing of the delay."""
CAPACITY = {CHAIN: 64, CATCH: 140}
"""Of the memory: longer than an episode."""
IMPALA = ImpalaConfig(num_envs=64, rollout_length=20, minibatches=1)
IMPALA_HYPERS = ImpalaHypers(learning_rate=5e-3)
PPO = PPOConfig(num_envs=64, rollout_length=20, minibatches=4)
PPO_HYPERS = PPOHypers(learning_rate=1e-3)
ALPHA, BETA = 1.0, 1.0
"""Coefficients of synthetic returns and of the rewards of the task."""
LOOKS, LATE = 20, 0.1
SEEN = "synthetic_return_of"
"""Metric of c, by state."""
PLAIN, SYNTHETIC = "impala", "impala, synthetic"
MEMORY, BOTH = "ppo", "ppo, synthetic"
UNGATED, UNBIASED = "no gate", "no bias"
EASY, EASY_MEMORY = "impala, no delay", "ppo, no delay"
LEARNT = 0.75
"""Share of what can be reached, above that of random policies on both tasks."""


def network(env: Environment, memory_units: int = 0) -> Network:
    """Make the network of all arms."""
    return nets.actor_critic(
        env.observation,
        env.action,
        hidden=(64,),
        activation=jax.nn.relu,
        encoder=nets.flat(),
        shared=True,
        memory_units=memory_units,
    )


def states(env: Environment) -> dict[str, Array]:
    """Draw observations by name, whose synthetic returns are followed in training."""
    if env.name == CHAIN:
        places = [f"place {i}" for i in range(PLACES)]
        return dict(zip((*places, "noise", "last"), jnp.eye(PLACES + 2), strict=True))
    rows = jnp.arange(SIZE)
    basket = jnp.zeros((SIZE, SIZE, 1)).at[-1, SIZE // 2].set(1.0)
    falling = {f"ball in row {i}": basket.at[i, SIZE // 2].set(-1.0) for i in rows[:-1].tolist()}
    missed = {f"missed by {i}": basket.at[-1, SIZE // 2 - i].set(-1.0) for i in (1, 2, 3)}
    return {**falling, "caught": basket, **missed}


def seen(env: Environment) -> Metric:
    """Make the metric of synthetic returns by state."""
    named = states(env)

    def measure(learner: Learner, probe: Probe, inspection: Inspection) -> Mapping[str, Array]:
        found = contributions(inspection.network, learner.params, jnp.stack([*named.values()]))
        return {f"{SEEN}.{name}": found[i] for i, name in enumerate(named)}

    return measure


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: IMPALA and PPO with a memory, each with and without synthetic returns.

    And without a delay, which shows that they learn where nothing keeps them from it.
    """
    (id,) = budget.environments
    env = make(id)
    updates = int(budget.steps) // (IMPALA.num_envs * IMPALA.rollout_length)
    plain = Experiment(
        impala, [env], budget.seed_numbers, budget.steps, IMPALA_HYPERS, IMPALA, network
    )
    recurrent = plain._replace(
        builder=ppo, hypers=PPO_HYPERS, config=PPO, network=partial(network, memory_units=64)
    )
    settings = SyntheticSettings(capacity=CAPACITY[id], hidden=(64, 64))

    def synthetic(plain: Experiment, **changed: bool) -> Experiment:
        builder: Builder = synthetic_returns(plain.builder, settings._replace(**changed))
        hypers = builder(env, plain.config, plain.network(env), plain.hypers).hypers
        return plain._replace(
            builder=builder,
            hypers=hypers._replace(synthetic_coefficient=ALPHA, reward_coefficient=BETA),
            metrics=(seen(env),),
            measure_every=max(1, updates // LOOKS),
        )

    easy = [make(id, **AT_ONCE[id])]
    return {
        EASY: plain._replace(env=easy),
        EASY_MEMORY: recurrent._replace(env=easy),
        PLAIN: plain,
        SYNTHETIC: synthetic(plain),
        UNGATED: synthetic(plain, gated=False),
        UNBIASED: synthetic(plain, biased=False),
        MEMORY: recurrent,
        BOTH: synthetic(recurrent),
    }


def scores(curves: Curves) -> Array:
    """Compute the share of episodes with the trigger, or of balls caught, f32[S, 1]."""
    (task,) = map(str, curves["environment"].values)
    return measured(curves, SCORES[task], partial(stats.final_score, share=LATE))


def gain(key: Key, one: Curves, other: Curves) -> Effect:
    """Estimate the IQM of scores of one arm minus that of another."""
    return stats.difference(key, scores(one), scores(other), paired=True)


def level(key: Key, curves: Curves) -> Effect:
    """Estimate the mean score of an arm."""
    return estimated(key, scores(curves))


def peak(key: Key, curves: Curves) -> Effect:
    """Estimate by how much c of the critical state exceeds that of every other state.

    Averaged over training, as once all episodes visit the state nothing is left to be explained; as
    a share of the range of c over states.
    """
    (task,) = map(str, curves["environment"].values)
    names = layers_of(SEEN, map(str, curves.data_vars))
    # Measured every few updates: the others are NaN.
    found = {name: late(curves, curves[whole], 1.0) for name, whole in names.items()}
    own = found.pop(CRITICAL[task])
    others = jnp.stack([*found.values()])
    span = jnp.maximum(own, others.max(0)) - jnp.minimum(own, others.min(0))
    return estimated(key, (own - others.max(0)) / span)


def states_map(title: str, curves: Curves) -> Heat:
    """Draw c of each state against environment steps, averaged over seeds."""
    names = layers_of(SEEN, map(str, curves.data_vars))
    steps, rows = np.zeros(0), {}
    for name, whole in names.items():
        steps, few = thinned(curves, whole)
        rows[name] = np.asarray(jnp.nanmean(few, axis=tuple(range(few.ndim - 1))))
    values = np.stack([*rows.values()])
    known = np.isfinite(values).all(0)
    return Heat(
        title=title,
        x="environment steps",
        unit="c(s)",
        rows=tuple(rows),
        at=tuple(map(float, steps[known])),
        values=tuple(tuple(map(float, row)) for row in values[:, known]),
        low=float(values[:, known].min(initial=0.0)),
        high=float(values[:, known].max(initial=0.01)),
    )


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw scores over training, and c of each state."""
    (task,) = map(str, curves[PLAIN]["environment"].values)
    name = SCORES[task]
    shown = {arm: one for arm, one in curves.items() if arm not in (EASY, EASY_MEMORY)}
    lines = tuple(over_time(key, arm, one, name) for arm, one in shown.items())
    return (
        Lines(task, "environment steps", f"{name}, share, IQM", lines),
        states_map("Synthetic returns of states, IMPALA", curves[SYNTHETIC]),
        states_map("Synthetic returns of states, PPO with a memory", curves[BOTH]),
    )


def hard(name: str, arm: str) -> Gate:
    """Make the gate: an agent without synthetic returns does not learn the task."""
    return Gate(
        name,
        "Without synthetic returns the delay is not bridged.",
        (arm,),
        level,
        LESS,
        LEARNT,
        "share",
        "a longer delay",
    )


def learns(name: str, statement: str, arm: str) -> Gate:
    """Make the gate: an arm has learnt its task."""
    return Gate(name, statement, (arm,), level, MORE, LEARNT, "share", "more steps, or other rates")


STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "IMPALA scores more with synthetic returns than without.",
            (SYNTHETIC, PLAIN),
            gain,
            MORE,
            unit="share",
            gates=("impala learns", "impala fails"),
        ),
        Claim(
            "With synthetic returns it scores 80 % or more.",
            (SYNTHETIC,),
            level,
            MORE,
            smallest=0.0,
            against=0.8,
            unit="share",
            gates=("impala learns", "impala fails"),
        ),
        Claim(
            "Synthetic returns are greatest in the state that the reward is due to.",
            (SYNTHETIC,),
            peak,
            MORE,
            unit="share of the range of c",
            gates=("synthetic learns",),
        ),
        Claim(
            "PPO with a memory scores more with synthetic returns than without.",
            (BOTH, MEMORY),
            gain,
            MORE,
            unit="share",
            gates=("ppo learns", "ppo fails"),
        ),
        Claim(
            "The gate is needed: without it the score is lower.",
            (SYNTHETIC, UNGATED),
            gain,
            MORE,
            unit="share",
            gates=("synthetic learns", "impala fails"),
        ),
        Claim(
            "The bias is needed: without it the score is lower.",
            (SYNTHETIC, UNBIASED),
            gain,
            MORE,
            unit="share",
            gates=("synthetic learns", "impala fails"),
        ),
    ),
    figure,
    gates=(
        learns("impala learns", "Without a delay IMPALA learns the task.", EASY),
        learns("ppo learns", "Without a delay PPO with a memory learns the task.", EASY_MEMORY),
        learns("synthetic learns", "With synthetic returns IMPALA learns the task.", SYNTHETIC),
        hard("impala fails", PLAIN),
        hard("ppo fails", MEMORY),
    ),
    quick=Budget((CHAIN,), 3, 4e5),
    standard=Budget((CHAIN,), 16, 1e6, first_seed=1000),
    full=Budget((CATCH,), 40, 1e7, first_seed=2000),
)
