#!/usr/bin/env bash
# brax's EpisodeWrapper repeats an action. Guess: an episode ends when any of the repeated steps is
# done, and is paid up to there. Only the `done` of the last of them counts: an environment that
# falls at step 3 and gets up goes on as if nothing had been, unless the fall is at a multiple of
# the repeat; and an end at step 5 of 6 pays all 6. Seen with brax 0.14.2.
#
# Ends with 0 if this is still so, and with 1 if the behaviour has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet brax==0.14.2 jax==0.10.2 numpy==2.4.6
cat > "$folder/show.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")
import jax
import jax.numpy as jnp
from brax.envs.base import Env, State
from brax.envs.wrappers.training import EpisodeWrapper

print(f"python {sys.version.split()[0]}", *(f"{n} {version(n)}" for n in ("brax", "jax")))


class Falls(Env):
    """Pays 1 a step; is down at the steps named, and up again after them."""

    def __init__(self, down):
        self.down = jnp.array(down, jnp.float32)

    def reset(self, rng):
        zero = jnp.float32(0)
        return State(None, jnp.zeros(1), zero, zero, {}, {"time": zero})

    def step(self, state, action):
        time = state.info["time"] + 1
        done = jnp.any(self.down == time).astype(jnp.float32)
        known = {**state.info, "time": time}
        return state.replace(obs=time[None], reward=jnp.float32(1), done=done, info=known)

    @property
    def observation_size(self):
        return 1

    @property
    def action_size(self):
        return 1

    @property
    def backend(self):
        return "none"


def ended(down, repeat):
    """(environment's step, return) at the first done of 12 steps; None where there is none."""
    env = EpisodeWrapper(Falls(down), episode_length=100, action_repeat=repeat)
    state, total = env.reset(jax.random.key(0)), 0.0
    for _ in range(12 // repeat):
        state = env.step(state, jnp.zeros(1))
        total += float(state.reward)
        if state.done:
            return int(state.obs[0]), total
    return None


short = {repeat: ended([3], repeat) for repeat in (1, 2, 3, 4)}
long = {repeat: ended([5, 6], repeat) for repeat in (1, 2, 3)}
print("down at step 3 only: repeat -> (step, return) at the end", short)
print("down at steps 5 and 6: repeat -> (step, return) at the end", long)
same = short == {1: (3, 3.0), 2: None, 3: (3, 3.0), 4: None}
same &= long == {1: (5, 5.0), 2: (6, 6.0), 3: (6, 6.0)}
print("as described" if same else "the behaviour has changed")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
