"""Is a learned reward better to learn from than the task's own, for agents in new tasks?

Paper: Zheng et al. 2020, What can learned intrinsic rewards capture?, arXiv 1912.05500.
Figure: its curves of reward within a lifetime, on a bandit in place of rooms.
Claim: agents that learn from a learned reward alone, a function of their lifetime's history, do
    better within it than agents that learn from the task's reward.

A lifetime is 100 pulls of two arms whose worth is drawn anew. A seed is that of a reward that was
learnt, and of the agents that live by it afterwards, in the same tasks in all arms. Scores are the
reward of all pulls, as a share of what the best arm pays in the mean. The rate of agents with the
task's reward is tuned on other seeds; rewards are learnt with one rate. The task, widths and rates
are our setting.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import meta, stats
from purejaxrl_suite.core.types import Array, Clock, Key
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import make
from purejaxrl_suite.meta.intrinsic_rewards import (
    LIRConfig,
    LIRHypers,
    intrinsic_reward,
    system,
)
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.computation import Computed
from purejaxrl_suite.studies.panels import Lines, Panel, line
from purejaxrl_suite.studies.protocol import MORE, Budget, Claim, Computation, Gate, Study
from purejaxrl_suite.studies.scores import estimated

BANDIT = "Meta-Bandit"
CONFIG = LIRConfig(lifetimes=64, rollout_length=4, updates=5, shortest=26, units=16)
HYPERS = LIRHypers(learning_rate=1.0, meta_learning_rate=3e-3)
STEPS = CONFIG.lifetimes * CONFIG.rollout_length * CONFIG.updates
"""Of an update of the reward."""
LIFETIMES, UPDATES = 512, 25
BEST = 1.0 / 3.0
"""What the best of two arms from -1 to 1 pays in the mean."""
RATES = (0.3, 1.0, 3.0, 10.0, 30.0)
CHUNK = 8
LEARNED, EPISODIC, SINGLE = "learned reward", "return of episodes", "without history"
UNLEARNT, TASK = "reward by chance", "the task's reward"
CHANGES: dict[str, dict[str, Any]] = {
    LEARNED: {},
    EPISODIC: {"lifetime_return": False},
    SINGLE: {"recurrent": False},
}


def lives(agent: Any, hypers: Any, key: Key) -> Array:
    """Let fresh agents live in fresh tasks: rewards per pull, averaged over them, f[UPDATES]."""
    how = {"lifetimes": LIFETIMES, "updates": UPDATES}
    rows = meta.live(agent, make(BANDIT), key, hypers=hypers, **how)
    return jnp.mean(rows["step_reward"], axis=0) / BEST


def learn(config: LIRConfig, updates: int, key: Key) -> Any:
    """Learn a reward: its parameters after some updates."""
    env = make(BANDIT)
    train = make_train(intrinsic_reward(env, config, None, HYPERS), env)
    hypers = jax.tree.map(jnp.float32, HYPERS)

    def step(run: Any, update: Array) -> tuple[Any, None]:
        now = Clock(update, np.int32(updates))
        return train.update(key, hypers, env.params, run, now)[0], None

    run = train.init(key, hypers, env.params)
    run, _ = jax.lax.scan(step, run, jnp.arange(updates, dtype=jnp.int32))
    return run.agent.learner.params


def learned(changes: str, steps: float, seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Compute an arm of rewards that are learnt: scores f[S, UPDATES]."""
    config = CONFIG._replace(**CHANGES.get(changes, {}))
    updates = 0 if changes == UNLEARNT else int(steps) // STEPS
    made, hypers = system(make(BANDIT), config, None, HYPERS), jax.tree.map(jnp.float32, HYPERS)

    def one(keys: Key) -> Array:
        return lives(made.agent, made.inner(learn(config, updates, keys[0]), hypers), keys[1])

    return {"score": over_seeds(one, seeds)}


def rewarded(seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Compute the arm with the task's reward: scores f[S, RATES, UPDATES]."""
    agent = meta.reinforce(make(BANDIT), meta.ReinforceConfig(rollout_length=CONFIG.rollout_length))
    hypers = jax.tree.map(jnp.float32, agent.hypers)

    def one(keys: Key) -> Array:
        def at(rate: Array) -> Array:
            return lives(agent, hypers._replace(learning_rate=rate), keys[1])

        return jax.lax.map(at, jnp.asarray(RATES, jnp.float32))

    return {"score": over_seeds(one, seeds)}


def over_seeds(one: Any, seeds: Sequence[int]) -> np.ndarray:
    """Compute something of the two keys of every seed, some of them side by side."""
    keys = jax.vmap(lambda seed: jax.random.split(jax.random.key(seed)))(np.asarray(seeds))
    size = min(CHUNK, len(seeds))
    return np.asarray(jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=size))(keys))


def arms(budget: Budget) -> dict[str, Computation]:
    """Make arms: rewards that are learnt in three ways, one drawn by chance, and the task's."""
    seeds, tasks, steps = budget.seed_numbers, budget.environments, budget.steps
    lived = float(LIFETIMES * UPDATES * CONFIG.rollout_length)
    found = {
        name: Computation(name, partial(learned, name, steps), seeds, tasks, lived + steps)
        for name in CHANGES
    }
    chance = Computation(UNLEARNT, partial(learned, UNLEARNT, steps), seeds, tasks, lived)
    return {**found, UNLEARNT: chance, TASK: Computation(TASK, rewarded, seeds, tasks, lived)}


def area(arm: Computed) -> np.ndarray:
    """Return the reward of whole lifetimes, f[S, ...]."""
    return np.asarray(arm.values["score"]).mean(axis=-1)


def same_rate(key: Key, one: Computed, task: Computed) -> Effect:
    """Estimate the gain over the task's reward at the rate with which rewards are learnt."""
    known = area(task)[:, RATES.index(HYPERS.learning_rate)]
    return stats.difference(key, area(one)[:, None], known[:, None], stats.mean, paired=True)


def tuned(task: Computed) -> int:
    """Find the rate that is best for the task's reward, on every other seed."""
    return int(np.argmax(area(task)[::2].mean(axis=0)))


def tuned_rate(key: Key, one: Computed, task: Computed) -> Effect:
    """Estimate the gain over the task's reward at its best rate, on the seeds that chose none."""
    known = area(task)[1::2, tuned(task)]
    return stats.difference(key, area(one)[1::2, None], known[:, None], stats.mean, paired=True)


def gain(key: Key, one: Computed, other: Computed) -> Effect:
    """Estimate the gain of one arm over another."""
    return stats.difference(key, area(one)[:, None], area(other)[:, None], stats.mean, paired=True)


def late(key: Key, task: Computed) -> Effect:
    """Estimate what agents with the task's reward get in the last fifth, at their best rate."""
    last = np.asarray(task.values["score"])[1::2, tuned(task), -UPDATES // 5 :]
    return estimated(key, jnp.asarray(last.mean(axis=-1))[:, None])


def figure(key: Key, curves: Mapping[str, Computed]) -> tuple[Panel, ...]:
    """Draw the reward within lifetimes, and that of whole lifetimes against the rate."""
    pulls = CONFIG.rollout_length * (1 + np.arange(UPDATES))
    mean = partial(stats.mean, axis=0)
    task = curves[TASK]
    shown = {name: np.asarray(arm.values["score"]) for name, arm in curves.items() if name != TASK}
    shown[f"{TASK}, rate {RATES[tuned(task)]:g}"] = task.values["score"][:, tuned(task)]
    lines = [line(name, pulls, stats.estimate(key, x, mean)) for name, x in shown.items()]
    rates = [line(TASK, RATES, stats.estimate(key, area(task), mean))]
    learnt = stats.estimate(key, area(curves[LEARNED]), mean)
    rates.append(
        line(LEARNED, [HYPERS.learning_rate], stats.Estimate(*(np.reshape(x, 1) for x in learnt)))
    )
    return (
        Lines(BANDIT, "pulls", "reward, share of the best", tuple(lines), against=1.0),
        Lines("Whole lifetimes", "rate", "share of the best", tuple(rates), logarithmic=True),
    )


UNIT = "share of the best"
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "At one rate agents get more from the learned reward than from the task's.",
            (LEARNED, TASK),
            same_rate,
            MORE,
            unit=UNIT,
        ),
        Claim(
            "So they do where the rate with the task's reward is tuned.",
            (LEARNED, TASK),
            tuned_rate,
            MORE,
            unit=UNIT,
        ),
        Claim(
            "A reward that is learnt for whole lifetimes is worth more than for episodes.",
            (LEARNED, EPISODIC),
            gain,
            MORE,
            unit=UNIT,
        ),
        Claim(
            "A reward that reads the history is worth more than one of single steps.",
            (LEARNED, SINGLE),
            gain,
            MORE,
            unit=UNIT,
        ),
    ),
    figure,
    gates=(
        Gate(
            "learns",
            "Agents with the task's reward find the better arm.",
            (TASK,),
            late,
            MORE,
            0.9,
            UNIT,
            "longer lifetimes, or other rates",
        ),
        Gate(
            "learnt",
            "The learned reward is better than one drawn by chance.",
            (LEARNED, UNLEARNT),
            gain,
            MORE,
            0.1,
            UNIT,
            "more steps",
        ),
    ),
    quick=Budget((BANDIT,), 4, 2.56e5),
    standard=Budget((BANDIT,), 16, 1.28e6, first_seed=1000),
    full=Budget((BANDIT,), 64, 5.12e6, first_seed=2000),
)
