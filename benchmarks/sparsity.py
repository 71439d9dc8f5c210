"""What sparse training costs beside dense training: PQN on Breakout-MinAtar with masks and without.

    python -m benchmarks.sparsity --core 1
    python -m benchmarks.sparsity --core 1 --members 64 --envs 8 --rounds 2

Contestants are those of `benchmarks.plasticity`. Masks are made anew every 1,024 gradient steps,
that is every 16 updates with 128 environments and every 256 with 8.
"""

from benchmarks import harness
from benchmarks.plasticity import breakout, contestant, measure


def contestants(members: int, envs: int, updates: int) -> list[harness.Contestant]:
    """Dense training, and every kind of updater."""
    from purejaxrl_suite import sparsity
    from purejaxrl_suite.agents.pqn import pqn

    known = breakout(envs)
    env = known["env"]
    methods = {
        "static": sparsity.static(),
        "magnitude": sparsity.magnitude(),
        "SET": sparsity.sparse_evolutionary(),
        "RigL": sparsity.rigl(),
        "magnitude STE": sparsity.magnitude_ste(),
    }
    agents = {"dense": pqn(**known)}
    for name, updater in methods.items():
        timed = {} if updater.score is None else {"period": 1024}
        agents[name] = sparsity.sparse(pqn, updater, **timed)(**known)
    return [contestant(name, agent, env, members, updates) for name, agent in agents.items()]


if __name__ == "__main__":
    measure("sparsity", __doc__, contestants)
