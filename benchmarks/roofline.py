"""How close is training to what the device can do, and where does its time go?

    python -m benchmarks.roofline --core 1
    python -m benchmarks.roofline --jobs ppo-breakout pqn-breakout --members 1 64

For a job (agent and environment at published settings) three programs take turns: the whole
training, the same without learning, and the same with random actions. Their differences are the
times of learning, of acting and of the environment. Beside them stand the floating-point operations
of matrix products, counted in the traced program (loop bodies times their trips), the bytes that an
update cannot help moving (`traffic`), and two limits measured on the same device: the fastest
square matrix product, and a large copy.

On a CPU every matrix product of the compiled program takes turns with them, too, each by itself and
again and again: what they would take in all if nothing else were to be done (`alone`).
"""

import argparse
import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import harness

SIDES, COPY = (256, 512, 1024, 2048), 2**27
"""Of the matrix products, and bytes of the large copy."""
PRODUCT = 2.0 * 2048**3
"""Operations of a call of each product, whatever its side."""
PARTS = ("training", "without learning", "environment")
RESULT = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = f32\[([\d,]*)\]")
DOT = re.compile(r" dot\(%?([\w.\-]+), %?([\w.\-]+)\), (.*)")
CALLED = re.compile(r"(?:calls|to_apply|body)=%?([\w.\-]+)")
ALONE, MOST = 5e8, 2000
"""Operations of a call that times one product, and how often it is repeated there at the most."""


def job(kind: str, settings: str, **changes: Any) -> Callable[[], tuple[Any, Any, Any]]:
    """(agent, environment, settings) of a peer."""

    def build() -> tuple[Any, Any, Any]:
        from benchmarks import contestants, reference

        build_at = {"ppo": contestants.ppo_at, "pqn": contestants.pqn_at}[kind]
        chosen = getattr(reference, settings)._replace(**changes)
        return *build_at(chosen), chosen

    return build


JOBS = {
    "ppo-cartpole": job("ppo", "PPO_CARTPOLE"),
    "ppo-breakout": job("ppo", "PPO_BREAKOUT"),
    "ppo-doorkey": job("ppo", "PPO_CARTPOLE", env_id="Navix-DoorKey-8x8-v0"),
    "pqn-breakout": job("pqn", "PQN_BREAKOUT"),
}


def matrix_flops(jaxpr: Any) -> float:
    """Floating-point operations of the matrix products of a traced program.

    A scan counts its body times its length; a while loop, whose trips nobody knows, once.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        trips = equation.params["length"] if equation.primitive.name == "scan" else 1
        total += trips * sum(map(matrix_flops, called(equation)))
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            lengths = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
            total += 2.0 * lengths * math.prod(equation.outvars[0].aval.shape)
        if equation.primitive.name == "conv_general_dilated":
            raise NotImplementedError("convolutions: expected them as matrix products")
    return total


def called(equation: Any) -> list[Any]:
    """The programs inside an equation: what it calls, and the bodies of its loops."""
    import jax

    found = jax.tree.leaves(equation.params)
    return [getattr(inner, "jaxpr", inner) for inner in found if hasattr(inner, "eqns")]


def traffic(agent: Any, env: Any, epochs: int, minibatches: int) -> float:
    """Bytes that one update of one member moves to and from memory, at the least.

    The rollout is written once; each epoch reads all of it and writes and reads its minibatches.
    Activations are written forwards and read backwards, with their gradients the other way round.
    In each minibatch parameters and both moments are read and written, gradients twice each. Caches
    may keep any of it from the memory, which no program can count on from its outside.
    """
    import jax
    import jax.numpy as jnp

    def size(tree: Any) -> int:
        return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))

    steps = agent.num_envs * agent.rollout_length
    params = jax.eval_shape(agent.network.init, jax.random.key(0))
    obs = jax.ShapeDtypeStruct((steps, *env.observation.shape), jnp.dtype(env.observation.dtype))
    activations = size(jax.eval_shape(agent.network.apply, params, obs)[1].features)
    # Beside the observation: action, reward, two flags, and three numbers of the learner.
    transition = size(obs) + steps * (2 * 4 + 2 + 3 * 4)
    return (
        transition * (1 + 3 * epochs)
        + activations * 4 * epochs
        + size(params) * (3 * 2 + 4) * epochs * minibatches
    )


class Product(NamedTuple):
    """Shapes of both sides of a product, contracted axes and batch axes of both."""

    sides: tuple[tuple[int, ...], tuple[int, ...]]
    dimensions: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def flops(self) -> float:
        """A multiplication and an addition for each pair that meets."""
        (left, right), ((_, contracted), (_, batch)) = self.sides, self.dimensions
        free = [size for axis, size in enumerate(right) if axis not in (*contracted, *batch)]
        return 2.0 * math.prod(left) * math.prod(free)


def products(text: str) -> Counter[Product]:
    """The float32 products of compiled HLO and how often each runs in an update.

    The loop over updates is the one whose trips the compiler does not know; a loop inside it of
    which that is true, too, counts once.
    """
    computations, entry = harness.parse_hlo(text)
    found: Counter[Product] = Counter()

    def numbers(kind: str, attributes: str) -> tuple[int, ...]:
        match = re.search(rf"{kind}_dims={{([\d,]*)}}", attributes)
        return tuple(map(int, match.group(1).split(","))) if match else ()

    def visit(name: str, times: int, inside: bool) -> None:
        shapes: dict[str, tuple[int, ...]] = {}
        for line in computations.get(name, ()):
            result, dot = RESULT.match(line), DOT.search(line)
            if result:
                shapes[result.group(1)] = tuple(map(int, filter(None, result.group(2).split(","))))
            if dot and inside and {dot.group(1), dot.group(2)} <= shapes.keys():
                kinds = ("contracting", "batch")
                dimensions = tuple(
                    tuple(numbers(f"{side}_{kind}", dot.group(3)) for side in ("lhs", "rhs"))
                    for kind in kinds
                )
                sides = shapes[dot.group(1)], shapes[dot.group(2)]
                found[Product(sides, dimensions)] += times
            trips = harness.TRIPS.search(line)
            loop = " while(" in line
            for callee in CALLED.findall(line):
                often = times * (int(trips.group(1)) if loop and trips else 1)
                visit(callee, often, inside or loop and trips is None)

    visit(entry, 1, False)
    return found


def alone(product: Product) -> harness.Contestant:
    """One product, again and again; its steps are how often."""
    import jax
    import jax.numpy as jnp

    trips = max(1, min(MOST, round(ALONE / product.flops)))

    def again(_: Any, carry: Any) -> Any:
        left, right, total = carry
        found = jax.lax.dot_general(left, right, product.dimensions)
        # Behind a barrier no product is known to be that of the trip before, or cut to one number.
        left, right, found = jax.lax.optimization_barrier((left, right, found))
        return left, right, total + jnp.ravel(found)[0]

    def call(key: Any) -> Any:
        left, right = (jnp.full(shape, jax.random.uniform(key)) for shape in product.sides)
        return jax.lax.fori_loop(0, trips, again, (left, right, 0.0))[2]

    return harness.Contestant(f"{product.sides}", call, trips)


def parts(agent: Any, env: Any, updates: int, members: int) -> list[harness.Contestant]:
    """The three programs, in the order of PARTS."""
    from benchmarks.contestants import ours, random_agent

    idle = agent._replace(update=lambda key, hypers, state, transition: (state, {}))
    random = random_agent(env, agent.num_envs, agent.rollout_length)
    entries = (agent, idle, random)
    return [
        ours(each, env, updates, members)._replace(name=name)
        for name, each in zip(PARTS, entries, strict=True)
    ]


def measure(name: str, members: int, steps: float, rounds: int, limits: Any) -> dict[str, Any]:
    """Seconds of each part, operations, and the share of the limit that they reach."""
    import jax

    agent, env, settings = JOBS[name]()
    updates = max(1, round(steps / (agent.num_envs * agent.rollout_length * members)))
    entries = parts(agent, env, updates, members)
    whole = entries[0]
    compiled = [harness.compile_one(entry) for entry in entries]
    counted = Counter[Product]()
    if jax.default_backend() == "cpu":  # elsewhere products are calls of a library
        counted = products(compiled[0].executable.as_text())
    compiled += [harness.compile_one(alone(product)) for product in counted]
    raced = harness.race_compiled(compiled, rounds)
    clock = f"{raced['clock']}_seconds"
    seconds = [harness.spread(each[clock])["median"] for each in raced["contestants"]]
    each = zip(counted.values(), seconds[3:], raced["contestants"][3:], strict=True)
    in_products = updates * sum(often * s / one["steps_per_call"] for often, s, one in each)
    seconds = seconds[:3]
    traced = jax.make_jaxpr(whole.train)(jax.random.key(0), *whole.data)
    # The loop over updates is a while loop, counted once.
    flops = updates * matrix_flops(traced.jaxpr)
    bytes_moved = updates * members * traffic(agent, env, settings.epochs, settings.minibatches)
    shares = seconds[0] - seconds[1], seconds[1] - seconds[2], seconds[2]
    return {
        "job": name,
        "members": members,
        "steps": whole.steps,
        "seconds": dict(zip(PARTS, seconds, strict=True)),
        "steps_per_second": whole.steps / seconds[0],
        "flops_per_step": flops / whole.steps,
        "flops_per_second": flops / seconds[0],
        "of_matrix_limit": flops / seconds[0] / limits["flops_per_second"],
        "products_alone": in_products / seconds[0] if counted else None,
        "bytes_per_step": bytes_moved / whole.steps,
        "of_copy_limit": bytes_moved / seconds[0] / limits["bytes_per_second"],
        "share": dict(
            zip(
                ("learning", "acting", "environment"), (s / seconds[0] for s in shares), strict=True
            )
        ),
        "temporary_bytes": raced["contestants"][0]["temporary_bytes"],
    }


def device_limits(rounds: int) -> dict[str, float]:
    """Operations per second of the best float32 product, and bytes per second of a large copy."""
    import jax
    import jax.numpy as jnp

    def product(side: int) -> harness.Contestant:
        trips = round(PRODUCT / (2.0 * side**3))

        def call(key: Any) -> Any:
            x = jax.random.normal(key, (side, side))
            return jax.lax.fori_loop(0, trips, lambda _, y: x @ y / side, x)

        return harness.Contestant(f"product of {side}", call, 1)

    def copy(key: Any) -> Any:
        x = jnp.full(COPY // 4, jax.random.uniform(key))
        return jax.lax.fori_loop(0, 16, lambda i, y: y + 1.0, x)

    contestants = [*map(product, SIDES), harness.Contestant("copy", copy, 1)]
    raced = harness.race(contestants, rounds)
    best = [min(each[f"{raced['clock']}_seconds"]) for each in raced["contestants"]]
    # A copy reads and writes; making its input writes once.
    return {
        "flops_per_second": PRODUCT / min(best[:-1]),
        "bytes_per_second": (16 * 2 + 1) * COPY / best[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", nargs="+", choices=tuple(JOBS), default=tuple(JOBS))
    parser.add_argument("--members", nargs="+", type=int, default=(1, 64))
    parser.add_argument("--steps", type=float, default=3e5, help="of all members, in a call")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, help="core to run on; all of them by default")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/roofline.json"))
    arguments = parser.parse_args()
    harness.pin(arguments.core)
    limits = device_limits(arguments.rounds)
    print({name: f"{value:.3g}" for name, value in limits.items()})
    data: dict[str, Any] = {"context": harness.context(), "limits": limits, "rows": []}
    for name in arguments.jobs:
        for members in arguments.members:
            row = measure(name, members, arguments.steps, arguments.rounds, limits)
            data["rows"].append(row)
            shares = ", ".join(f"{part} {share:.0%}" for part, share in row["share"].items())
            print(
                f"{name:14} {members:4} members {row['steps_per_second']:11,.0f} steps/s"
                f" {row['of_matrix_limit']:6.1%} of the matrix limit; {shares};"
                f" products alone {row['products_alone'] or math.nan:.0%}",
                flush=True,
            )
            harness.write_json(arguments.out, data)


if __name__ == "__main__":
    main()
