"""What sparse training costs beside dense training: PQN on Breakout-MinAtar with masks and without.

    python -m benchmarks.sparsity --core 1
    python -m benchmarks.sparsity --core 1 --members 64 --envs 8 --updates 16 --rounds 3

Contestants are those of `benchmarks.plasticity`. Masks are made anew every 1,024 gradient steps,
that is every 16 updates with 128 environments and every 256 with 8. So in the second command no
contestant renews them; what a renewal takes is measured by itself in any case: its time over that
of the gradient steps of a period, without the rollouts between them.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from benchmarks import harness
from benchmarks.plasticity import breakout, contestant, measure

PERIOD, REPEATS = 1024, 7


def updaters() -> dict[str, Any]:
    """Every kind of updater, by name."""
    from purejaxrl_suite import sparsity

    return {
        "static": sparsity.static(),
        "magnitude": sparsity.magnitude(),
        "SET": sparsity.sparse_evolutionary(),
        "RigL": sparsity.rigl(),
        "magnitude STE": sparsity.magnitude_ste(),
    }


def sparse_agents(known: dict[str, Any]) -> dict[str, Any]:
    """Make sparse PQN with every updater."""
    from purejaxrl_suite import sparsity
    from purejaxrl_suite.agents.pqn import pqn

    made = {}
    for name, updater in updaters().items():
        timed = {} if updater.score is None else {"period": PERIOD}
        made[name] = sparsity.sparse(pqn, updater, **timed)(**known)
    return made


def contestants(members: int, envs: int, updates: int) -> list[harness.Contestant]:
    """Dense training, and every kind of updater."""
    from purejaxrl_suite.agents.pqn import pqn

    known = breakout(envs)
    agents = {"dense": pqn(**known), **sparse_agents(known)}
    env = known["env"]
    return [contestant(name, agent, env, members, updates) for name, agent in agents.items()]


def renewals(members: int, envs: int, updates: int) -> dict[str, dict[str, float]]:
    """Time the renewal of all members' masks, and the gradient steps of a period."""
    del updates
    found = {name: renewal(agent, members) for name, agent in sparse_agents(breakout(envs)).items()}
    for name, row in found.items():
        print(f"{name:34} renewal +{100 * row['share']:5.2f} % of the gradient steps of a period")
    return found


def renewal(agent: Any, members: int) -> dict[str, float]:
    """Seconds of a renewal and of a period's gradient steps, and the share of the first."""
    import jax
    import jax.numpy as jnp

    from purejaxrl_suite.core.check import experience
    from purejaxrl_suite.core.types import Clock

    hypers, last = jax.tree.map(jnp.float32, agent.hypers), PERIOD // agent.gradient_steps - 1

    def begin(key: Any) -> Any:
        state = agent.init(key, hypers)
        return state, experience(agent, key, hypers, state)

    def update(key: Any, state: Any, rollout: Any) -> Any:
        return agent.update(key, hypers, state, rollout)[0]

    def maintain(clock: Any, key: Any, state: Any, rollout: Any) -> Any:
        return agent.maintain(key, clock, hypers, state, rollout)

    keys = jax.random.split(jax.random.key(0), members)
    state, rollout = jax.jit(jax.vmap(begin))(keys)
    state = jax.jit(jax.vmap(update))(keys, state, rollout)
    program = jax.jit(lambda clock, *x: jax.vmap(partial(maintain, clock))(*x))
    at = [Clock(jnp.int32(i), jnp.int32(1 << 20)) for i in (0, last)]
    kept, renewed = (seconds(program, clock, keys, state, rollout) for clock in at)
    step = seconds(jax.jit(jax.vmap(update)), keys, state, rollout) / agent.gradient_steps
    spent = max(renewed - kept, 0.0)  # both are noise where masks never change
    return {"renewal": spent, "period": PERIOD * step, "share": spent / (PERIOD * step)}


def seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """The median time of a call, by process time."""
    import jax

    jax.block_until_ready(function(*arguments))
    taken = []
    for _ in range(REPEATS):
        begin = time.process_time()
        jax.block_until_ready(function(*arguments))
        taken.append(time.process_time() - begin)
    return median(taken)


if __name__ == "__main__":
    measure("sparsity", __doc__, contestants, renewals=renewals)
