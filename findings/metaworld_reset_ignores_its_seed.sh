#!/usr/bin/env bash
# Meta-World's MT1 through gymnasium. Guess: reset(seed=s) starts the same episode each time, and
# the four copies of make_vec(num_envs=4) have goals of their own. The seed of reset is ignored
# (only that at the making counts: rebuilt, the same sequence of starts comes again), and all four
# copies have one and the same goal in every episode: it is one environment four times. Seen with
# metaworld 3.1.1.
#
# Ends with 0 if this is still so, and with 1 if the behaviour has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet metaworld==3.1.1 mujoco==3.3.0 gymnasium==1.3.0 packaging \
    numpy==2.4.6
cat > "$folder/show.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")
import gymnasium
import metaworld
import numpy as np

names = ("metaworld", "mujoco", "gymnasium")
print(f"python {sys.version.split()[0]}", *(f"{n} {version(n)}" for n in names))
assert metaworld
settings = {"env_name": "reach-v3", "seed": 1}


def drawn(env):
    """The start of the object and the goal that the last reset drew."""
    return tuple(np.round(env.unwrapped._last_rand_vec, 3).tolist())


def starts(seeds):
    env, found = gymnasium.make("Meta-World/MT1", **settings), []
    for seed in seeds:
        env.reset(seed=seed)
        found.append(drawn(env))
    return found


seeded, again = starts([7, 7, 7]), starts([1, 2, 3])
for start in seeded:
    print("reset(seed=7): goal", start[3:])
print("rebuilt, reset(seed=1), (seed=2), (seed=3): the same three:", seeded == again)
envs = gymnasium.make_vec("Meta-World/MT1", num_envs=4, **settings)
copies = []
for seed in range(3):
    envs.reset(seed=seed)
    copies.append(len({drawn(env) for env in envs.envs}))
print(f"{envs.num_envs} copies, different goals in three resets: {copies}")
same = len(set(seeded)) == 3 and seeded == again and copies == [1, 1, 1]
print("as described" if same else "the behaviour has changed")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
