"""Training as a value: one differentiable step, segments of it, and members that are no agents."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.core.types import Clock
from purejaxrl_suite.engine.keys import member_keys, update_keys
from purejaxrl_suite.engine.train import make_train, training
from purejaxrl_suite.envs import probes
from purejaxrl_suite.sweeps import fleet


class Rate(NamedTuple):
    """How fast the mean of some numbers is learnt."""

    learning_rate: float = 0.25


def mean_of_data():
    """A learner without an agent and an environment: its data are numbers, whose mean it finds."""

    def init(key, hypers, data):
        return {"mean": jnp.zeros(())}

    def update(key, hypers, data, run, clock):
        error = run["mean"] - jnp.mean(data)
        return {"mean": run["mean"] - hypers.learning_rate * error}, {"error": error}

    return training(init, update, params=lambda run: run)


def test_a_fleet_trains_whatever_is_a_train():
    train, updates = mean_of_data(), 5
    rates = np.asarray([0.25, 0.5, np.inf], np.float32)
    data = np.asarray([1.0, 3.0], np.float32)  # shared by all members
    members = fleet.Members(np.arange(3, dtype=np.uint32), Rate(rates), data, False)
    program = fleet.compile_fleet(train, members, length=2, block=3)
    run = program.init(members.seeds, members.hypers, members.data)
    span = {"start": 0, "until": updates, "updates": updates}
    parts = list(fleet.segments(program, members, run, **span, wanted=updates.__eq__))
    errors = np.concatenate([part.history["error"] for part in parts], axis=1)
    expected = -2.0 * (1.0 - rates[:2, None]) ** np.arange(updates)
    np.testing.assert_allclose(errors[:2], expected, 1e-6)
    np.testing.assert_allclose(parts[-1].run["mean"][:2], 2.0 + expected[:, -1] * (1 - rates[:2]))
    assert parts[-1].finite.tolist() == [True, True, False]


def test_an_update_is_scanned_and_differentiated_by_anyone():
    """After U updates the mean is 2 - 2 (1 - rate)^U, of which the derivative is known."""
    train, updates = mean_of_data(), 4

    def learnt(rate, clock):
        def step(run, i):
            now = clock._replace(update=clock.update + i)
            return train.update(jax.random.key(0), Rate(rate), data, run, now)[0], None

        run = train.init(jax.random.key(0), Rate(rate), data)
        return jax.lax.scan(step, run, jnp.arange(updates))[0]["mean"]

    data, clock = jnp.asarray([1.0, 3.0]), Clock(np.int32(0), np.int32(updates))
    value, slope = jax.jit(jax.value_and_grad(learnt))(0.25, clock)
    np.testing.assert_allclose([value, slope], [2 - 2 * 0.75**4, 8 * 0.75**3], 1e-6)


def test_segments_are_made_of_updates():
    env = probes.action_reward()
    config = PPOConfig(num_envs=4, rollout_length=4, epochs=1, minibatches=2)
    agent = ppo(env, config, nets.actor_critic(env.observation, env.action, hidden=(4,)))
    made, key = make_train(agent, env, updates_per_call=3), jax.random.key(1)
    hypers, clock = jax.tree.map(jnp.float32, agent.hypers), Clock(np.int32(0), np.int32(3))
    known = key, hypers, env.params

    @jax.jit
    def both(clock):
        run = made.init(*known)
        whole, history = made.train(*known, run, clock)
        rows = []
        for i in range(3):
            run, row = made.update(*known, run, clock._replace(update=clock.update + i))
            rows.append(row)
        return (whole, history), (run, jax.tree.map(lambda *x: jnp.stack(x), *rows))

    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-5, 1e-6), *both(clock))


@pytest.mark.parametrize("prefix", [True, False])
def test_no_two_keys_of_a_member_are_alike(prefix):
    """Whether or not the first keys of a split are those of a shorter one."""
    key = jax.random.key(3)
    with jax.threefry_partitionable(prefix):
        pairs = jax.random.split(key, 3)[:2] == jax.random.split(key, 2)
        own = member_keys(key)
        keys = [*own, *(x for i in range(3) for x in update_keys(own, Clock(i, 3)))]
    assert pairs.all() == prefix
    assert len({tuple(np.asarray(jax.random.key_data(one))) for one in keys}) == len(keys)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="updates_per_call: expected an integer of at least 1"):
        training(lambda key, hypers, data: (), lambda *_: ((), {}), updates_per_call=0)
