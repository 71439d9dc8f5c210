#!/usr/bin/env bash
# Meta-gradients: the derivative of the loss after some inner steps by their learning rate. Guess:
# they are finite for optax.radam where they are for optax.adam (no gradient is 0 here). They are
# NaN from the third inner step on, with eps_root too, although the loss itself is right and changes
# smoothly (the difference quotient is finite). Seen with optax 0.2.8.
#
# Ends with 0 if this is still so, and with 1 if the behaviour has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet optax==0.2.8 jax==0.10.2 numpy==2.4.6
cat > "$folder/show.py" <<'PYTHON'
import math
import sys
from functools import partial
from importlib.metadata import version

import jax
import jax.numpy as jnp
import optax

print(f"python {sys.version.split()[0]}", *(f"{n} {version(n)}" for n in ("optax", "jax")))


def loss(parameters):
    return jnp.sum(parameters**2)


def after(make, steps, learning_rate):
    """The loss after so many inner steps."""
    parameters, optimizer = jnp.array([1.0, 2.0]), make(learning_rate)
    state = optimizer.init(parameters)
    for _ in range(steps):
        update, state = optimizer.update(jax.grad(loss)(parameters), state, parameters)
        parameters = optax.apply_updates(parameters, update)
    return loss(parameters)


def derivatives(make):
    return [round(float(jax.grad(partial(after, make, n))(0.1)), 2) for n in (1, 2, 3, 4, 8)]


def quotient(make, steps, width=1e-2):
    ends = (float(after(make, steps, 0.1 + side)) for side in (-width, width))
    low, high = ends
    return round((high - low) / (2 * width), 2)


adam, radam = derivatives(optax.adam), derivatives(optax.radam)
rooted = derivatives(partial(optax.radam, eps_root=1e-8))
print("after 1, 2, 3, 4, 8 steps: adam", adam)
print("radam", radam, "with eps_root", rooted)
print("radam, difference quotient after 3 steps:", quotient(optax.radam, 3))
same = all(map(math.isfinite, adam)) and math.isfinite(quotient(optax.radam, 3))
for found in (radam, rooted):
    same &= [math.isnan(x) for x in found] == [False, False, True, True, True]
print("as described" if same else "the behaviour has changed")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
