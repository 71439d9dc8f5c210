"""What the compiled step does, counted in the traced program: no time is measured here.

A draw of threefry or a sort in a loop body is what made these loops slow once (docs/benchmarks.md);
whoever puts one back sees it here. The reference loop is `benchmarks/reference.py`.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

from benchmarks import contestants, reference
from purejaxrl_suite.agents.dqn import DQNConfig, dqn
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.agents.pqn import PQNConfig, pqn
from purejaxrl_suite.core.types import Clock
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import make

DRAWS = ("threefry2x32", "random_bits", "random_split", "random_fold_in")


class Loop(NamedTuple):
    """A scan of the program. trips: how often its body runs. body: its operations by name."""

    trips: int
    body: Counter[str]


def operations(jaxpr: Any) -> Iterator[Any]:
    """Equations of a program and of the functions that it calls, without those of its loops."""
    for equation in jaxpr.eqns:
        inner = [x for x in jax.tree.leaves(equation.params) if hasattr(x, "eqns")]
        inner += [x.jaxpr for x in jax.tree.leaves(equation.params) if hasattr(x, "jaxpr")]
        if equation.primitive.name in ("scan", "while") or not inner:
            yield equation
        else:
            for called in inner:
                yield from operations(called)


def loops(jaxpr: Any) -> Iterator[Loop]:
    """All scans of a program, outermost first."""
    for equation in operations(jaxpr):
        if equation.primitive.name == "scan":
            body = equation.params["jaxpr"].jaxpr
            names = Counter(each.primitive.name for each in operations(body))
            yield Loop(equation.params["length"], names)
            yield from loops(body)
        elif equation.primitive.name == "while":
            yield from loops(equation.params["body_jaxpr"].jaxpr)


def traced(agent: Any, env: Any) -> list[Loop]:
    """Loops of one member's training."""
    init, train = make_train(agent, env, updates_per_call=2)
    hypers = jax.tree.map(jnp.float32, agent.hypers)
    key, clock = jax.random.key(0), Clock(jnp.int32(0), jnp.int32(2))
    run = jax.eval_shape(init, key, hypers, env.params)
    return list(loops(jax.make_jaxpr(train)(key, hypers, env.params, run, clock).jaxpr))


# Numbers of steps and minibatches that no other loop of the program has.
STEPS, MINIBATCHES = 37, 11
PPO_AGENT = PPOConfig(num_envs=MINIBATCHES, rollout_length=STEPS, epochs=1, minibatches=MINIBATCHES)
PQN_AGENT = PQNConfig(num_envs=MINIBATCHES, rollout_length=STEPS, epochs=1, minibatches=MINIBATCHES)
DQN_AGENT = DQNConfig(num_envs=4, rollout_length=STEPS, capacity=4096)


@pytest.mark.parametrize(
    ("builder", "config", "environment"),
    [
        (ppo, PPO_AGENT, "CartPole-v1"),
        (ppo, PPO_AGENT, "MiniGrid-DoorKey-8x8-v0"),
        (pqn, PQN_AGENT, "Breakout-MinAtar"),
        (dqn, DQN_AGENT, "CartPole-v1"),
    ],
)
def test_loop_bodies_neither_draw_nor_sort(builder: Any, config: Any, environment: str) -> None:
    env = make(environment)
    found = traced(builder(env, config), env)
    bodies = [loop.body for loop in found if loop.trips == STEPS]
    assert bodies and sum(bodies[0].values()) > 50
    assert not any(body[draw] for body in bodies for draw in DRAWS)
    assert not any(loop.body["sort"] for loop in found)


def test_steps_and_minibatches_against_the_reference_loop() -> None:
    settings = reference.PPO_BREAKOUT._replace(
        num_envs=MINIBATCHES, rollout_length=STEPS, epochs=1, minibatches=MINIBATCHES
    )
    env = make(settings.env_id)
    ours = traced(ppo(env, PPO_AGENT, contestants.mlp(env)), env)
    theirs = list(loops(jax.make_jaxpr(reference.make_ppo(settings, 2))(jax.random.key(0)).jaxpr))

    # What the test above looks for is found where it is.
    assert any(loop.body[draw] for loop in theirs if loop.trips == STEPS for draw in DRAWS)
    assert any(loop.body["sort"] for loop in theirs)

    def size(found: list[Loop], trips: int) -> int:
        return max(sum(loop.body.values()) for loop in found if loop.trips == trips)

    assert size(ours, STEPS) < 0.45 * size(theirs, STEPS)
    # Ours reports the norm of gradients and more besides the loss; that is all it may cost.
    assert size(ours, MINIBATCHES) < 1.15 * size(theirs, MINIBATCHES)
