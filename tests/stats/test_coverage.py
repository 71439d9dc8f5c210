"""How often the 95 % interval of the interquartile mean holds the truth, by simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import stats

TRIALS = 2000


def normal(key, shape):
    return jax.random.normal(key, shape)


def skewed(key, shape):
    return jax.random.gamma(key, 2.0, shape)


def draw(distribution, key, seeds, tasks):
    """Scores f32[seeds, tasks]; tasks differ in level and spread."""
    x = distribution(key, (seeds, tasks))
    level, spread = (
        jnp.broadcast_to(jnp.linspace(*ends, tasks), x.shape) for ends in ((0, 1), (0.5, 1.5))
    )
    return level + spread * x


def coverage(distribution, seeds, tasks):
    many = np.sort(draw(distribution, jax.random.key(99), 4_000_000 // tasks, tasks).ravel())
    truth = many[many.size // 4 : -(many.size // 4)].mean(dtype=np.float64)

    def holds(key):
        world, resample = jax.random.split(key)
        low, high = stats.bootstrap_interval(
            resample, draw(distribution, world, seeds, tasks), stats.iqm
        )
        return (low <= truth) & (truth <= high)

    keys = jax.random.split(jax.random.key(7), TRIALS)
    return float(jnp.mean(jax.jit(lambda k: jax.lax.map(holds, k, batch_size=8))(keys)))


@pytest.mark.slow
@pytest.mark.parametrize("distribution", [normal, skewed])
@pytest.mark.parametrize(("seeds", "tasks"), [(16, 5), (32, 1)])
def test_the_interval_covers(distribution, seeds, tasks):
    found = coverage(distribution, seeds, tasks)
    print(f"{distribution.__name__}, {seeds} seeds x {tasks} tasks: {found:.3f}")
    assert 0.93 <= found <= 0.97
