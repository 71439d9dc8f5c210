#!/usr/bin/env bash
# optax: MultiSteps sums the gradients of two batches around apply_if_finite, and one batch is NaN.
# Guess: one update is skipped and training goes on, as it does the other way round. It does not:
# the skipped NaN stays in MultiSteps' sum, every later gradient is NaN too, nothing is learned any
# more, and once apply_if_finite has seen more errors than it was told to bear, the parameters are
# NaN. Seen with optax 0.2.8.
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
from importlib.metadata import version

import jax.numpy as jnp
import optax

print(f"python {sys.version.split()[0]}", *(f"{n} {version(n)}" for n in ("optax", "jax")))
gradients = [1.0, 1.0, math.nan] + [1.0] * 17


def trained(optimizer):
    """The parameter after every second batch."""
    parameter, seen = jnp.ones(()), []
    state = optimizer.init(parameter)
    for gradient in gradients:
        update, state = optimizer.update(jnp.asarray(gradient), state, parameter)
        parameter = optax.apply_updates(parameter, update)
        seen.append(round(float(parameter), 2))
    return seen[1::2]


def around(errors):
    return trained(optax.MultiSteps(optax.apply_if_finite(optax.sgd(0.1), errors), 2))


inside = optax.MultiSteps(optax.sgd(0.1), 2).gradient_transformation()
patient, strict, other = around(100), around(5), trained(optax.apply_if_finite(inside, 100))
print("MultiSteps(apply_if_finite), 100 errors:", patient)
print("MultiSteps(apply_if_finite), 5 errors:  ", strict)
print("apply_if_finite(MultiSteps), 100 errors:", other)
same = patient == [0.9] * 10 and strict[:6] == [0.9] * 6 and math.isnan(strict[-1])
same &= other[-1] < 0.2
print("as described" if same else "the behaviour has changed")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
