#!/usr/bin/env bash
# ale-py's AtariVectorEnv with a batch smaller than the number of games. Guess: what reset(seed)
# returns are first frames, also when it is called a second time. The second time it returns steps
# of the games before, with frame numbers above 0, as the first rows of the new run; which games
# these are differs. Seen with ale-py 0.12.1.
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


def frames(batch_size):
    """Frame numbers that the first reset, and the second one after 20 steps, return."""
    settings = {"num_envs": 4, "batch_size": batch_size, "noop_max": 0, "use_fire_reset": False}
    envs = AtariVectorEnv("pong", **settings)
    _, before = envs.reset(seed=0)
    for _ in range(20):
        envs.step(np.zeros(batch_size, np.int64))
    _, after = envs.reset(seed=0)
    envs.close()
    return before["episode_frame_number"].tolist(), after["episode_frame_number"].tolist()


whole, halves = [frames(4) for _ in range(5)], [frames(2) for _ in range(5)]
print("batch of 4: frames of the first and the second reset", *whole)
print("batch of 2: frames of the first and the second reset", *halves)
same = all(max(first + second) == 0 for first, second in whole)
same &= all(max(first) == 0 and max(second) > 0 for first, second in halves)
print("as described" if same else "the behaviour has changed")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
