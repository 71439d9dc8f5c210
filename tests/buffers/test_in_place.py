"""A fleet's compiled loop writes its replay in place: no memory beside it grows with it."""

import jax
import jax.numpy as jnp
import pytest

from purejaxrl_suite.buffers import prioritised, uniform
from purejaxrl_suite.core.types import Box, Discrete, Transition

MEMBERS, ENVS, LENGTH, SIZE = 3, 2, 4, 8


def compiled(build, capacity):
    sizes = {"num_envs": ENVS, "rollout_length": LENGTH, "max_n": 3}
    replay = build(Box((SIZE,)), Discrete(3), capacity=capacity, **sizes)
    weighted = build is prioritised
    flags = jnp.zeros((LENGTH, ENVS), bool)

    def loop(key, state):
        def body(i, carry):
            total, state = carry
            obs = jnp.full((LENGTH, ENVS, SIZE), total)
            steps = Transition(obs, flags.astype(int), obs[..., 0], flags, flags, obs, {})
            state = replay.add(state, steps, 0.5) if weighted else replay.add(state, steps)
            now = jax.random.fold_in(key, i)
            drawn = replay.draw(now, state, 16) if weighted else replay.draw(now, state, 16, 2)
            batch = replay.read(state, drawn.slot, 2, 0.9)
            if weighted:
                state = replay.update(state, drawn.slot, jnp.abs(batch.reward), 0.5, total > 0)
            return total + jnp.sum(batch.obs) + jnp.sum(batch.next_obs), state

        return jax.lax.fori_loop(0, 10, body, (jnp.float32(0), state))

    state = jax.vmap(lambda _: replay.init())(jnp.arange(MEMBERS))
    keys = jax.random.split(jax.random.key(0), MEMBERS)
    program = jax.jit(jax.vmap(loop), donate_argnums=1).lower(keys, state).compile()
    return program, sum(x.nbytes for x in jax.tree.leaves(state)), replay.layout


@pytest.mark.parametrize("build", [pytest.param(uniform, marks=pytest.mark.slow), prioritised])
def test_no_copy_of_the_replay(build):
    small, small_bytes, _ = compiled(build, 4096)
    large, large_bytes, at = compiled(build, 4 * 4096)
    assert large_bytes > 3.9 * small_bytes
    memory, less = large.memory_analysis(), small.memory_analysis()
    assert memory.alias_size_in_bytes >= large_bytes
    growth = memory.temp_size_in_bytes - less.temp_size_in_bytes
    assert growth < 0.005 * (large_bytes - small_bytes)
    shapes = f"[{MEMBERS},{at.slots + at.kept},{SIZE}]", f"[{MEMBERS},{at.slots}]"
    copies = [line for line in large.as_text().splitlines() if " copy(" in line]
    assert not [line for line in copies if any(shape in line for shape in shapes)]
