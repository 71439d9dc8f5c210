#!/usr/bin/env bash
# gymnasium's RecordEpisodeStatistics for vector environments. Guess: the return and the length of
# an episode are those of its rewards, whatever the autoreset mode. In SAME_STEP only the first
# episode is counted right: of every later one the first reward and the first step are missing. Here
# each episode pays 1, 2, 3, 4 and 5. In NEXT_STEP all are right. Seen with gymnasium 1.3.0.
#
# Ends with 0 if this is still so, and with 1 if the behaviour has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet gymnasium==1.3.0 numpy==2.4.6
cat > "$folder/show.py" <<'PYTHON'
import sys
from importlib.metadata import version

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

print(f"python {sys.version.split()[0]}", f"gymnasium {version('gymnasium')}")


class Five(gymnasium.Env):
    """Pays 1, 2, 3, 4, 5 and terminates."""

    observation_space = gymnasium.spaces.Box(0, 5, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.time += 1
        return np.full(1, self.time, np.float32), float(self.time), self.time == 5, False, {}


def recorded(mode):
    """(return, length) of each episode that ends in 20 steps."""
    envs = RecordEpisodeStatistics(SyncVectorEnv([Five], autoreset_mode=mode))
    envs.reset(seed=0)
    episodes = []
    for _ in range(20):
        *_, terminated, _, info = envs.step(np.array([0]))
        if terminated[0]:
            told = info if "episode" in info else info["final_info"]
            episodes.append((float(told["episode"]["r"][0]), int(told["episode"]["l"][0])))
    print(f"{mode.name}: (return, length) {episodes}")
    return episodes


same = recorded(AutoresetMode.NEXT_STEP) == [(15.0, 5)] * 3
same &= recorded(AutoresetMode.SAME_STEP) == [(15.0, 5)] + [(14.0, 4)] * 3
print("as described" if same else "the behaviour has changed")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
