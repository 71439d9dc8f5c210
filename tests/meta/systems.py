"""Small systems that tests of lifetimes use, and smooth functions of what their agents learn."""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import envs
from purejaxrl_suite.meta import intrinsic_rewards, lifetime
from purejaxrl_suite.meta.frodo import FRODOConfig, FRODOHypers
from purejaxrl_suite.meta.frodo import system as frodo_system
from purejaxrl_suite.meta.intrinsic_rewards import LIRConfig, LIRHypers
from purejaxrl_suite.meta.lpg import LPGConfig, LPGHypers
from purejaxrl_suite.meta.lpg import system as lpg_system
from purejaxrl_suite.meta.modac import MODACConfig, MODACHypers
from purejaxrl_suite.meta.modac import system as modac_system

KEY = jax.random.key(3)
SIZES = {"num_envs": 2, "rollout_length": 3, "units": 2}


def bandit():
    return envs.make("Meta-Bandit")


def room():
    return envs.make("Meta-ABC", size=3, time_limit=4)


def grid():
    return envs.make("Meta-Grids", sides=[3, 3], walls=1, objects=[1, 1], time_limits=[3, 5])


def learned_reward(env, optimizer=optax.sgd, **sizes):
    """A system with a learned reward, and the hypers around it."""
    config = LIRConfig(shortest=20, optimizer=optimizer, **{**SIZES, **sizes})
    hypers = LIRHypers(learning_rate=0.5, intrinsic_gamma=0.8)
    return intrinsic_rewards.system(env, config, None, hypers), hypers


def learned_targets(env, optimizer=optax.sgd, **sizes):
    config = FRODOConfig(optimizer=optimizer, **{**SIZES, **sizes})
    hypers = FRODOHypers(learning_rate=0.5)
    return frodo_system(env, config, None, hypers), hypers


def learned_rule(env, optimizer=optax.sgd, **sizes):
    given = {"bins": 3, "rate_factors": (1.0,), "prediction_factors": (1.0,), **SIZES, **sizes}
    hypers = LPGHypers(learning_rate=2.0, baseline_learning_rate=0.5, gamma=0.9)
    config = LPGConfig(lifetimes=2, at_once=0, shortest=20, optimizer=optimizer, **given)
    return lpg_system(env, config, None, hypers), hypers


def learned_options(env, optimizer=optax.sgd, **sizes):
    sizes = {"options": 2, "goal_entries": 0, **SIZES, **sizes}
    hypers = MODACHypers(learning_rate=0.5, option_learning_rate=0.1)
    return modac_system(env, MODACConfig(optimizer=optimizer, **sizes), None, hypers), hypers


BUILDERS = {
    "options": (learned_options, room),
    "reward": (learned_reward, bandit),
    "targets": (learned_targets, room),
    "rule": (learned_rule, grid),
}


def born(how, hypers, env, lifetimes):
    """Lifetimes [L] of age 0."""
    start = jax.vmap(partial(lifetime.begin, how), (None, None, 0, None))
    return start(hypers, env.params, jax.random.split(KEY, lifetimes), jnp.int32(0))


def known(system, hypers):
    """Meta-parameters, and the hypers of the agent that they give."""
    rule = system.init(jax.random.key(1), hypers)
    return rule, system.inner(rule, hypers)


def summed(params):
    """A function of all parameters in which none cancels another."""
    rows = [jnp.cos(jnp.arange(x.size)) * jnp.ravel(x) for x in jax.tree.leaves(params)]
    return jnp.sum(jnp.concatenate(rows))


def loss_of(system, hypers, env, updates, *, lifetimes=2, **options):
    """A function of the rule: of the agents that a window has made with it."""
    how = lifetime.living(system.agent, env, shortest=20)

    def loss(rule):
        inner = system.inner(rule, hypers)
        lives = born(how, jax.lax.stop_gradient(inner), env, lifetimes)
        window = jax.vmap(lambda one: lifetime.advance(how, inner, one, updates, **options))(lives)
        return summed(window.lifetime.run.agent.learner.params) / lifetimes

    return loss
