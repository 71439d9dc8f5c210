"""What measurements and interventions cost: PQN on Breakout-MinAtar with them and without.

    python -m benchmarks.plasticity --core 1
    python -m benchmarks.plasticity --core 1 --members 64 --envs 8 --rounds 2
    python -m benchmarks.plasticity --core 1 --members 1 --envs 8 --rounds 2

Contestants are whole runs (initialised and trained in one compiled program) that take turns, as in
`benchmarks.peers`; the first one measures and does nothing. PQN has 2 x 32 gradient steps in an
update, so 1,000 of them are 16 updates. With fewer environments, minibatches have as many steps as
before, and an update fewer of them: what is rare then costs a larger share, but in a batch of
members no larger one than alone, which is what the other two commands show.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import harness

GRADIENT_STEPS = 1000


def breakout(envs: int) -> dict[str, Any]:
    """Give environment, Config and network of PQN with so many environments, as keywords."""
    from purejaxrl_suite import nets
    from purejaxrl_suite.agents.pqn import PQNConfig
    from purejaxrl_suite.envs import make

    env = make("Breakout-MinAtar")
    config = PQNConfig(num_envs=envs, minibatches=max(1, 32 * envs // 128))
    encoder = nets.minatar_cnn(16)
    network = nets.q_network(env.observation, env.action, hidden=(128,), encoder=encoder)
    return {"env": env, "config": config, "network": network}


def contestant(
    name: str, agent: Any, env: Any, members: int, updates: int, **options: Any
) -> harness.Contestant:
    """Make a contestant of whole runs; options are those of `make_train`."""
    import jax
    import jax.numpy as jnp

    from benchmarks.contestants import fleet
    from purejaxrl_suite.core.types import Clock
    from purejaxrl_suite.engine.train import make_train

    init, _, train, *_ = make_train(agent, env, updates_per_call=updates, **options)

    def member(key: Any, hypers: Any, params: Any, clock: Any) -> Any:
        return train(key, hypers, params, init(key, hypers, params), clock)

    hypers, clock = jax.tree.map(jnp.float32, agent.hypers), Clock(jnp.int32(0), jnp.int32(updates))
    steps = members * updates * agent.num_envs * agent.rollout_length
    return harness.Contestant(name, fleet(member, members), steps, (hypers, env.params, clock))


def contestants(members: int, envs: int, updates: int) -> list[harness.Contestant]:
    """Without anything, with all cheap metrics, with costly ones, and with ReDo."""
    from purejaxrl_suite import plasticity
    from purejaxrl_suite.agents.pqn import pqn

    agent, env = pqn(**breakout(envs)), breakout(envs)["env"]
    period = max(1, round(GRADIENT_STEPS / agent.gradient_steps))

    def one(name: str, **options: Any) -> harness.Contestant:
        return contestant(name, agent, env, members, updates, **options)

    redo = plasticity.every(period, plasticity.redo())
    return [
        one("plain"),
        one("cheap metrics every 10 updates", metrics=plasticity.CHEAP, measure_every=10),
        one(f"ReDo every {period} updates", intervention=redo),
        one("costly metrics every 16 updates", metrics=plasticity.COSTLY, measure_every=16),
    ]


def report(results: Sequence[dict[str, Any]]) -> None:
    """Speeds, and by how much each contestant takes longer than the first."""
    for result in results:
        speed = result["steps_per_second"]["median"]
        line = f"{result['name']:34} {speed:10,.0f} steps/s"
        if "ratio" in result:
            cost = {name: 100 * (ratio - 1) for name, ratio in result["ratio"].items()}
            line += f"  +{cost['median']:5.2f} % ({cost['min']:.2f} .. {cost['max']:.2f})"
        print(line)


def parse(description: str | None) -> argparse.Namespace:
    text = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=text)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--envs", type=int, default=128, help="environments of a member")
    parser.add_argument("--updates", type=int, default=80, help="of each run: 80 fit all periods")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, default=-1, help="to keep to; -1 for all")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def measure(
    what: str,
    description: str | None,
    make: Callable[[int, int, int], list[harness.Contestant]],
    **more: Callable[[int, int, int], Any],
) -> None:
    """Let contestants take turns, show them, and write `WHAT-MEMBERS.json`.

    Args:
        what: is measured.
        description: of the command.
        make: (members, environments, updates) -> contestants.
        **more: what else is measured, by its name in the file: functions of the same arguments.
    """
    arguments = parse(description)
    harness.pin(arguments.core if arguments.core >= 0 else None)
    size = arguments.members, arguments.envs, arguments.updates
    found = harness.race(make(*size), arguments.rounds)
    report(found["contestants"])
    found |= {name: function(*size) for name, function in more.items()}
    settings = {name: str(value) for name, value in vars(arguments).items()}
    data = {"context": harness.context(), "settings": settings, **found}
    name = f"{what}-{arguments.members}.json"
    harness.write_json(arguments.out or Path("benchmarks/results") / name, data)


if __name__ == "__main__":
    measure("plasticity", __doc__, contestants)
