#!/usr/bin/env bash
# ale-py's AtariVectorEnv(episodic_life=True) ends an episode when a life is lost. Guess: the next
# one goes on in the same game with one life less, as in the usual wrapper, and a new game begins
# when all are gone. Here each lost life begins a new game: Breakout is only ever played with its
# first life of five. Seen with ale-py 0.12.1.
#
# Ends with 0 if this is still so, and with 1 if the behaviour has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ale-py==0.12.1 gymnasium==1.3.0 numpy==2.4.6
cat > "$folder/show.py" <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from ale_py.vector_env import AtariVectorEnv

names = ("ale-py", "gymnasium")
print(f"python {sys.version.split()[0]}", *(f"{n} {version(n)}" for n in names))


def played(episodic_life):
    """Lives after the first step, and at the end, of each of six episodes of random play."""
    plain = {"repeat_action_probability": 0.0, "noop_max": 0, "use_fire_reset": False}
    envs = AtariVectorEnv("breakout", num_envs=1, episodic_life=episodic_life, **plain)
    envs.reset(seed=0)
    draw, begins, ends, first = np.random.default_rng(0), [], [], True
    while len(ends) < 6:
        *_, terminated, _, info = envs.step(draw.integers(4, size=1))
        lives = int(info["lives"][0])
        if first:
            begins.append(lives)
        first = bool(terminated[0])
        if first:
            ends.append(lives)
    print(f"episodic_life={episodic_life}: lives at the begin {begins}, at the end {ends}")
    return begins, ends


same = played(False) == ([5] * 6, [0] * 6)
same &= played(True) == ([5] * 6, [4] * 6)
print("as described" if same else "the behaviour has changed")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
