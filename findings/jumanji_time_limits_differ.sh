#!/usr/bin/env bash
# jumanji's environments have time limits and give dm_env time steps, whose discount tells a cut
# episode (1) from an end (0). Guess: at a time limit the discount is one or the other throughout.
# It is 0 in Snake, Maze and Cleaner, and 1 in Connector and LevelBasedForaging: a value is
# bootstrapped at the limit in some tasks of one suite and not in others. Seen with jumanji 1.1.2.
#
# Ends with 0 if this is still so, and with 1 if the behaviour has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet jumanji==1.1.2 jax==0.10.2 numpy==2.4.6
cat > "$folder/show.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")
import jax
import jax.numpy as jnp
from jumanji import environments

print(f"python {sys.version.split()[0]}", *(f"{n} {version(n)}" for n in ("jumanji", "jax")))
one_agent, agents = ("Snake", "Maze", "Cleaner"), ("Connector", "LevelBasedForaging")


def at_limit(name):
    """The discounts at step 3 of an environment with the time limit 3, with allowed actions."""
    env = getattr(environments, name)(time_limit=3)
    state, now = jax.jit(env.reset)(jax.random.PRNGKey(0))
    step, steps = jax.jit(env.step), 0
    while not now.last():
        allowed = jnp.argmax(now.observation.action_mask, -1)
        state, now = step(state, allowed.astype(jnp.int32))
        steps += 1
    found = sorted({float(x) for x in jnp.atleast_1d(now.discount)})
    print(f"{name}: last step {steps}, discount {found}")
    return steps, found


same = all(at_limit(name) == (3, [0.0]) for name in one_agent)
same &= all(at_limit(name) == (3, [1.0]) for name in agents)
print("as described" if same else "the behaviour has changed")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
