#!/usr/bin/env bash
# optax.contrib.muon and two networks stacked along a first axis (an ensemble, twin critics). Guess:
# the kernels are orthogonalised, the biases are not, and a network learns as it does alone. The
# other way round: kernels (2, 4, 3) go to Adam, the stacked biases (2, 3) are taken for one matrix,
# so that the bias of the first network moves otherwise when only the gradient of the second is
# another. Under jax.vmap, or with muon_weight_dimension_numbers, it learns as alone. Seen with
# optax 0.2.8.
#
# Ends with 0 if this is still so, and with 1 if the behaviour has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet optax==0.2.8 jax==0.10.2 numpy==2.4.6
cat > "$folder/show.py" <<'PYTHON'
import sys
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
from optax import contrib

print(f"python {sys.version.split()[0]}", *(f"{n} {version(n)}" for n in ("optax", "jax")))
muon = contrib.muon(0.1)
matrices = contrib.MuonDimensionNumbers((1,), (2,))
told = contrib.muon(0.1, muon_weight_dimension_numbers={"kernel": matrices, "bias": None})


def gradient(seed):
    kernel, bias = jax.random.split(jax.random.key(seed))
    return {"kernel": jax.random.normal(kernel, (4, 3)), "bias": jax.random.normal(bias, (3,))}


def update(optimizer, gradients):
    return optimizer.update(gradients, optimizer.init(gradients), gradients)[0]


def stacked(*each):
    return jax.tree.map(lambda *x: jnp.stack(x), *each)


def first(both):
    return jax.tree.map(lambda x: x[0], both)


one, two, three = gradient(0), gradient(1), gradient(2)
updates = {
    "alone": update(muon, one),
    "stacked with a second": first(update(muon, stacked(one, two))),
    "stacked with another second": first(update(muon, stacked(one, three))),
    "under vmap": first(jax.vmap(lambda g: update(muon, g))(stacked(one, two))),
    "with dimension numbers": first(update(told, stacked(one, two))),
}
for name, found in updates.items():
    print(f"first network, {name}: bias {np.asarray(found['bias']).round(3)}")
alone, second, another, mapped, numbered = updates.values()


def equal(x, y):
    return all(np.allclose(x[name], y[name], atol=1e-5) for name in x)


same = equal(alone, mapped) and equal(alone, numbered) and not equal(alone, second)
same &= not np.allclose(second["bias"], another["bias"], atol=1e-3)
same &= np.allclose(second["kernel"], another["kernel"])
print("as described" if same else "the behaviour has changed")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
