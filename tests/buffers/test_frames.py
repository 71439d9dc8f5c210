"""Stacks of frames are stored once, and read as they were."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import buffers
from purejaxrl_suite.buffers import ring
from purejaxrl_suite.core.types import Box, Discrete, Transition

STACK = Box((2, 3, 4), "uint8", 0.0, 255.0, frames=4)
PLAIN = STACK._replace(frames=0)
N, T, ROWS = 2, 4, 16
SIZES = {"num_envs": N, "rollout_length": T, "capacity": ROWS * N, "max_n": 2}


def history(rollouts, ends):
    """Rollouts of stacks [T, N, 2, 3, 4], newest last; `ends`: how likely each kind of end is.

    Some frames are black. A lost life is a termination after which the frames go on.
    """
    drawn, stacks = np.random.default_rng(0), np.zeros((N, 2, 3, 4), np.uint8)

    def frame():
        return drawn.integers(1, 256, (2, 3)) * drawn.choice([0, 1, 1, 1])

    for env in range(N):
        stacks[env, ..., -1] = frame()
    for _ in range(rollouts):
        made = {name: [] for name in ("obs", "next_obs", "terminated", "truncated")}
        for _ in range(T):
            made["obs"].append(stacks.copy())
            stacks = np.concatenate([stacks[..., 1:], np.zeros((N, 2, 3, 1), np.uint8)], -1)
            for env in range(N):
                stacks[env, ..., -1] = frame()
            made["next_obs"].append(stacks.copy())
            kind = [drawn.choice(4, p=(1 - sum(ends), *ends)) for _ in range(N)]
            made["terminated"].append([k in (1, 3) for k in kind])
            made["truncated"].append([k == 2 for k in kind])
            for env, k in enumerate(kind):
                if k in (1, 2):
                    stacks[env] = 0
                    stacks[env, ..., -1] = frame()
        yield Transition(
            **{name: jnp.asarray(np.stack(x)) for name, x in made.items()},
            action=jnp.asarray(drawn.integers(0, 3, (T, N)), jnp.int32),
            reward=jnp.asarray(drawn.normal(size=(T, N)), jnp.float32),
            extras={},
        )


def assert_equal(one, two):
    jax.tree.map(np.testing.assert_array_equal, one, two)


@pytest.mark.parametrize("ends", [(0.1, 0.2, 0.1), (0.0, 0.0, 0.0)])
def test_windows_equal_those_of_whole_stacks(ends):
    """From every slot that can be drawn, while the ring fills and after it is full."""
    once, whole = (buffers.uniform(box, Discrete(3), **SIZES) for box in (STACK, PLAIN))
    assert once.init().obs.shape[1] == 6 and whole.init().obs.shape[1] == 24
    add = jax.jit(lambda a, b, x: (once.add(a, x), whole.add(b, x)))
    draw = jax.jit(lambda key, a: once.draw(key, a, 256, 2).slot)
    read = jax.jit(
        lambda a, b, slot: [
            (replay.read(state, slot, 2, 0.9), replay.sequences(state, slot, 2))
            for replay, state in ((once, a), (whole, b))
        ]
    )
    a, b, cuts = once.init(), whole.init(), 0
    for i, rollout in enumerate(history(9, ends)):
        a, b = add(a, b, rollout)
        slot = draw(jax.random.key(i), a)
        possible = np.minimum((i + 1) * T, ROWS - 3) - 2  # of a full ring all but the oldest three
        assert len(np.unique(slot)) == possible * N
        one, other = read(a, b, slot)
        assert_equal(one, other)
        cuts += int(other[0].truncated.sum())
    assert (cuts > 0) == (ends[1] > 0)


def test_priorities_are_of_steps_with_all_their_frames():
    once = buffers.prioritised(STACK, Discrete(3), **SIZES)
    state, add = once.init(), jax.jit(once.add)
    for i, rollout in enumerate(history(6, (0.0, 0.1, 0.0))):
        state = add(state, rollout, 1.0)
        slot = once.draw(jax.random.key(i), state, 512).slot
        age = (state.ring.row - 1 - slot // N) % ROWS
        assert age.min() == 2 and age.max() == min((i + 1) * T, ROWS - 3) - 1


def test_memory_of_a_hundred_thousand_frames():
    """At most a tenth more than 84 x 84 bytes for each; four times as much as whole stacks."""
    game = Box((84, 84, 4), "uint8", 0.0, 255.0, frames=4)
    sizes = {"capacity": 100_000, "num_envs": 1, "rollout_length": 1, "time_limit": 27_000}
    for box, factor in ((game, 1), (game._replace(frames=0), 4)):
        replay = buffers.uniform(box, Discrete(18), **sizes, max_n=10)
        state = jax.eval_shape(replay.init)
        used = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
        assert 1.0 < used / (factor * 84 * 84 * 100_000) < 1.1


@pytest.mark.parametrize(
    "change", [{"frames": 3}, {"frames": -1}, {"frames": 10}, {"low": (0.0,) * 4}, {"tasks": 1}]
)
def test_other_stacks_are_refused(change):
    with pytest.raises(ValueError, match="observation: expected 1 to 9 frames in the last axis"):
        ring.layout(STACK._replace(**change), Discrete(3), **SIZES)
