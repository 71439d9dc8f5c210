"""What a mixture of experts costs: forward and backward, beside a dense layer of as many products.

    python -m benchmarks.moe
    python -m benchmarks.moe --core 1 --batch 256

Contestants take turns, as in `benchmarks.peers`; ratios are of the first, Soft MoE behind a feature
map of 10 x 10 x 32 as the Impala encoder gives it on MinAtar. Products are counted: of dense layers
those with their kernels, of Soft MoE those with Phi, both tables and the experts. The aim is that
the first takes no more than 1.5 times as long as dense layers with equal products. There are two:
one on the flattened map, with few rows of many numbers, and two layers on each token, as an expert
has them, with many rows of few numbers, which memory bounds and not products.

A call takes `--steps` steps down the gradient in a loop, as training does, so that memory is asked
for once and not for every step, which costs more the more of it there is.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import harness

AIM = 1.5


def products(positions: int, channels: int, experts: int, units: int) -> int:
    """Multiplications of Soft MoE for one observation, forward."""
    slots = experts * -(-positions // experts)
    return slots * channels * (3 * positions + 2 * units)


def contestants(arguments: argparse.Namespace) -> list[harness.Contestant]:
    """Soft MoE, top-1, and dense layers: of equal products, and what both papers compare with."""
    import jax
    import jax.numpy as jnp

    from purejaxrl_suite import nets
    from purejaxrl_suite.nets import layers, moe

    side, channels, units = arguments.side, arguments.channels, arguments.units
    shape = side, side, channels
    dtype = jnp.dtype(arguments.dtype)
    style = nets.Style(jax.nn.initializers.he_normal(), False, dtype)
    inputs = side * side * channels
    x = jax.random.normal(jax.random.key(1), (arguments.batch, inputs))

    def layer(name: str, part: nets.Part) -> harness.Contestant:
        given = (x, {}, x) if part.routes else (x, {})
        init = jax.jit(lambda key: part.module.init_with_output(key, *given)[1])

        def loss(variables: Any, x: Any) -> Any:
            given = (x, {}, x) if part.routes else (x, {})
            return jnp.mean(jnp.square(part.module.apply(variables, *given)[0]))

        def descend(_: Any, given: tuple[Any, Any]) -> Any:
            gradients = jax.grad(loss, (0, 1))(*given)
            return jax.tree.map(lambda p, g: p - 1e-3 * g, given, gradients)

        def train(key: Any, variables: Any, x: Any) -> Any:
            return jax.lax.fori_loop(0, arguments.steps, descend, (variables, x))

        given, count = (init(jax.random.key(0)), x), arguments.batch * arguments.steps
        return harness.Contestant(name, train, count, given)

    def mixed(router: nets.Router) -> nets.Part:
        tokens, count = nets.per_conv(), arguments.experts
        return moe.mixture(shape, units, tokens, router, count, jax.nn.relu, style)

    def dense(width: int) -> nets.Part:
        return layers.dense((width,), jax.nn.relu, style)

    def on_tokens(width: int) -> nets.Part:
        two = layers.DenseLayer(width), layers.DenseLayer(channels, linear=True)
        rows = lambda x: jnp.reshape(x, (-1, channels))  # noqa: E731
        return layers.stack(rows, (channels,), two, jax.nn.relu, style)

    count = products(side * side, channels, arguments.experts, units)
    equal = round(count / inputs)
    each = round(count / (2 * inputs))
    wide = arguments.experts * units
    return [
        layer(f"Soft MoE, {arguments.experts} experts", mixed(nets.soft())),
        layer(f"dense, equal products ({equal} units)", dense(equal)),
        layer(f"dense on each token, equal products ({each} units)", on_tokens(each)),
        layer(f"dense, {arguments.experts} times as wide ({wide} units)", dense(wide)),
        layer(f"top-1, {arguments.experts} experts", mixed(nets.top_k(1))),
    ]


def report(results: Sequence[dict[str, Any]], say: Callable[[str], None] = print) -> None:
    """Observations per second, and how much longer the first takes than each of the others."""
    for result in results:
        line = f"{result['name']:52} {result['steps_per_second']['median']:12,.0f} observations/s"
        if "ratio" in result:
            slower = 1.0 / result["ratio"]["median"]
            line += f"  Soft MoE takes {slower:.2f} times as long"
            if "equal products" in result["name"]:
                line += f" (aim: {AIM})"
        say(line)


def parse() -> argparse.Namespace:
    text = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=4, help="of one call")
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--units", type=int, default=512, help="of an expert")
    parser.add_argument("--side", type=int, default=10, help="of the feature map")
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--dtype", default="float32", help="of products: float32, bfloat16")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--core", type=int, default=-1, help="to keep to; -1 for all")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    harness.pin(arguments.core if arguments.core >= 0 else None)
    found = harness.race(contestants(arguments), arguments.rounds)
    report(found["contestants"])
    settings = {name: str(value) for name, value in vars(arguments).items()}
    data = {"context": harness.context(), "settings": settings, **found}
    device = data["context"]["backend"]
    name = f"moe-{arguments.dtype}-{arguments.batch}-{device}.json"
    harness.write_json(arguments.out or Path("benchmarks/results") / name, data)


if __name__ == "__main__":
    main()
