"""Offline gradient steps per second: discrete CQL on a shared data set, against flashbax and optax.

    taskset -c 1 python -m benchmarks.offline --core 1
    python -m benchmarks.offline --members 8 --updates 20 --rounds 2

Contestants are whole runs on 100,000 random steps of CartPole, with equal networks, losses, batches
and numbers of gradient steps (`steps` are gradient steps of all members):

- ours: `discrete_cql` with `engine.dataset`, as a sweep trains it;
- a loop as one would write it with flashbax and optax, vmapped over the members: its item buffer
  holds the data, which all members share;
- the same loop for one member;
- the matrix products and rectifiers of these gradient steps and nothing else, on a fixed batch: no
  program of equal arithmetic is faster than they are here.

flashbax is not an extra: `pip install flashbax==0.1.3`.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks import harness

BATCH, DEALT, HIDDEN, STEPS = 32, 10, (64, 64), 100_000
RATE, EPSILON, GAMMA, PERIOD, WEIGHT = 2.5e-4, 3.125e-4, 0.99, 250, 1.0
BLOCK = 16
"""Members whose products are batched, the fastest of 1, 2, 8, 16 and 64."""


def ours(env: Any, steps: Any, members: int, updates: int) -> harness.Contestant:
    """A fleet; hyper-parameters, clock and data are traced, as in a sweep."""
    import jax
    import jax.numpy as jnp

    from purejaxrl_suite import nets
    from purejaxrl_suite.agents.discrete_cql import DiscreteCQLConfig, discrete_cql
    from purejaxrl_suite.core.types import Clock
    from purejaxrl_suite.engine.source import dataset
    from purejaxrl_suite.engine.train import make_train
    from purejaxrl_suite.sweeps.fleet import train_members

    network = nets.q_network(env.observation, env.action, hidden=HIDDEN, layer_norm=False)
    agent = discrete_cql(env, DiscreteCQLConfig(DEALT, BATCH), network)
    source = dataset(agent, env, steps)
    train = make_train(agent, source, updates_per_call=updates)
    data = jax.tree.map(jnp.asarray, source.data(env.params))

    def many(key: Any, hypers: Any, data: Any, clock: Clock) -> Any:
        seeds = jax.random.bits(key, members, jnp.uint32)
        hypers = jax.tree.map(lambda x: jnp.full(members, x), hypers)
        run = jax.vmap(train.init, (0, 0, None))(jax.vmap(jax.random.key)(seeds), hypers, data)
        alike = jax.tree.map(lambda _: False, data)
        return train_members(train, alike)(seeds, hypers, data, run, clock)

    hypers = jax.tree.map(jnp.float32, agent.hypers)
    traced = hypers, data, Clock(jnp.int32(0), jnp.int32(updates))
    return harness.Contestant("ours", many, members * updates * DEALT, traced)


def with_flashbax(env: Any, steps: Any, members: int, updates: int) -> harness.Contestant:
    """A loop over gradient steps with flashbax and optax; members share the filled buffer."""
    import flashbax as fbx
    import flax.linen as nn
    import jax
    import jax.numpy as jnp
    import optax

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            for width in HIDDEN:
                x = nn.relu(nn.Dense(width)(x))
            return nn.Dense(env.action.n)(x)

    network, optimizer = Network(), optax.adam(RATE, eps=EPSILON)
    sizes = {"max_length": STEPS, "min_length": BATCH, "sample_batch_size": BATCH}
    buffer = fbx.make_item_buffer(**sizes, add_sequences=True, add_batches=False)
    kept = {name: getattr(steps, name) for name in ("obs", "action", "reward", "next_obs")}
    kept = jax.tree.map(jnp.asarray, kept | {"terminated": steps.terminated})
    filled = buffer.add(buffer.init(jax.tree.map(lambda x: x[0], kept)), kept)

    def loss(params: Any, target: Any, batch: Any) -> Any:
        values = network.apply(params, batch["obs"])
        best = jnp.argmax(network.apply(params, batch["next_obs"]), axis=-1)
        following = network.apply(target, batch["next_obs"])
        following = jnp.take_along_axis(following, best[:, None], axis=-1)[:, 0]
        bootstrap = jnp.where(batch["terminated"], 0.0, GAMMA * following)
        aim = jax.lax.stop_gradient(batch["reward"] + bootstrap)
        chosen = jnp.take_along_axis(values, batch["action"][:, None], axis=-1)[:, 0]
        penalty = jax.nn.logsumexp(values, axis=-1) - chosen
        return jnp.mean(jnp.square(chosen - aim) + WEIGHT * penalty)

    def member(key: Any, filled: Any) -> Any:
        init_key, key = jax.random.split(key)
        params = network.init(init_key, kept["obs"][:1])
        carry = params, params, optimizer.init(params), jnp.int32(0)

        def step(carry: Any, key: Any) -> Any:
            params, target, moments, count = carry
            batch = buffer.sample(filled, key).experience
            error, grads = jax.value_and_grad(loss)(params, target, batch)
            changes, moments = optimizer.update(grads, moments, params)
            params, count = optax.apply_updates(params, changes), count + 1
            target = optax.periodic_update(params, target, count, PERIOD)
            return (params, target, moments, count), error

        return jax.lax.scan(step, carry, jax.random.split(key, updates * DEALT))

    def many(key: Any, filled: Any) -> Any:
        if members == 1:
            return member(key, filled)
        return jax.vmap(member, (0, None))(jax.random.split(key, members), filled)

    name = f"flashbax and optax, {members} members" if members > 1 else "the same, 1 member"
    return harness.Contestant(name, many, members * updates * DEALT, (filled,))


def products(env: Any, steps: Any, members: int, updates: int) -> harness.Contestant:
    """Three forward passes and one backward pass a step, without data, errors and optimizer."""
    import jax
    import jax.numpy as jnp

    batch = jnp.asarray(steps.obs[:BATCH]), jnp.asarray(steps.next_obs[:BATCH])
    sizes = (batch[0].shape[-1], *HIDDEN, env.action.n)

    def forward(weights: Any, x: Any) -> list[Any]:
        hidden = [x]
        for w in weights[:-1]:
            hidden.append(jax.nn.relu(hidden[-1] @ w))
        return [*hidden, hidden[-1] @ weights[-1]]

    def backward(weights: Any, hidden: Any, error: Any) -> list[Any]:
        grads = []
        for i in reversed(range(len(weights))):
            grads.append(hidden[i].T @ error)
            if i:
                error = (error @ weights[i].T) * (hidden[i] > 0)
        return grads[::-1]

    def step(carry: Any, _: Any) -> Any:
        weights, target = carry
        *hidden, values = forward(weights, batch[0])
        following = forward(weights, batch[1])[-1] + forward(target, batch[1])[-1]
        grads = backward(weights, hidden, values - following)
        moved = [w - RATE * EPSILON * g for w, g in zip(weights, grads, strict=True)]
        return (moved, weights), None

    def member(key: Any) -> Any:
        keys = jax.random.split(key, len(HIDDEN) + 1)
        draw = jax.nn.initializers.lecun_normal()
        weights = [draw(k, sizes[i : i + 2]) for i, k in enumerate(keys)]
        return jax.lax.scan(step, (weights, weights), length=updates * DEALT)[0]

    def many(key: Any) -> Any:
        return jax.lax.map(member, jax.random.split(key, members), batch_size=BLOCK)

    return harness.Contestant("products alone", many, members * updates * DEALT)


def parse() -> argparse.Namespace:
    text = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    parser.add_argument("--members", type=int, default=64)
    parser.add_argument("--updates", type=int, default=50, help=f"of {DEALT} gradient steps")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--core", type=int, default=-1, help="to keep to; -1 for all")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    harness.pin(arguments.core if arguments.core >= 0 else None)
    harness.PACKAGES = (*harness.PACKAGES, "flashbax")
    import jax

    from purejaxrl_suite import datasets
    from purejaxrl_suite.envs import make

    env = make("CartPole-v1")
    steps = datasets.random(env, STEPS, num_envs=64).steps
    members, updates = arguments.members, arguments.updates
    found = harness.race(
        [
            ours(env, steps, members, updates),
            with_flashbax(env, steps, members, updates),
            with_flashbax(env, steps, 1, updates * 8),
            products(env, steps, members, updates),
        ],
        arguments.rounds,
    )
    for row in found["contestants"]:
        line = f"{row['name']:32} {row['steps_per_second']['median']:10,.0f} gradient steps/s"
        print(line, harness.format_ratio(row["ratio"]) if "ratio" in row else "")
    settings = {"members": members, "updates": updates, "batch": BATCH, "hidden": HIDDEN}
    device = "cpu" if jax.default_backend() == "cpu" else "gpu"
    out = arguments.out or Path(f"benchmarks/results/offline-{device}.json")
    harness.write_json(out, {"context": harness.context(), "settings": settings, **found})


if __name__ == "__main__":
    main()
