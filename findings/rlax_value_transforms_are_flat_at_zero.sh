#!/usr/bin/env bash
# rlax's value transforms (signed_hyperbolic, signed_logp1 and their inverses) are smooth and have
# slopes of about 0.5, 1, 2 and 1 around 0. Guess: their gradient at exactly 0 is that slope. It is
# 0.001 for the first and 0 for the others, so that a zero-initialised value that is read through an
# inverse never moves: gradient descent from 0 stays at 0, from 0.001 it arrives. Seen with rlax
# 0.1.9.
#
# Ends with 0 if this is still so, and with 1 if the behaviour has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet rlax==0.1.9 jax==0.10.2 numpy==2.4.6
cat > "$folder/show.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import jax

warnings.simplefilter("ignore")
import rlax

print(f"python {sys.version.split()[0]}", *(f"{n} {version(n)}" for n in ("rlax", "jax")))
slopes = {}
for name in ("signed_hyperbolic", "signed_parabolic", "signed_logp1", "signed_expm1"):
    slope = jax.grad(getattr(rlax, name))
    slopes[name] = [round(float(slope(x)), 3) for x in (-1e-4, 0.0, 1e-4)]
    print(f"gradient of {name} at -0.0001, 0, 0.0001: {slopes[name]}")


def fitted(start, target=1.0):
    """A value in the transformed space after descent on the squared error of its inverse."""
    descent = jax.grad(lambda x: (rlax.signed_parabolic(x) - target) ** 2)
    value = start
    for _ in range(200):
        value = value - 0.02 * descent(value)
    return round(float(rlax.signed_parabolic(value)), 3)


print("descent to 1.0 from 0:", fitted(0.0), "from 0.001:", fitted(0.001))
at_zero = [slope[1] for slope in slopes.values()]
same = at_zero == [0.001, 0, 0, 0] and min(min(s[0], s[2]) for s in slopes.values()) > 0.4
same &= fitted(0.0) == 0.0 and fitted(0.001) > 0.9
print("as described" if same else "the behaviour has changed")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
