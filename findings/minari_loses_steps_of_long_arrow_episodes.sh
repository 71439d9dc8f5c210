#!/usr/bin/env bash
# Minari writes an episode of 40,000 steps and two of 5 in its format arrow (or parquet). Guess: they
# are read back as they were written. They are not: the first comes back with 32,767 steps, its rest
# under the id of the second, and the second under the id of the third, which is never read.
# `total_steps` still counts all of them. The same episodes in hdf5 are read as they are. Seen with
# minari 0.5.4 and pyarrow 26.0.1; reported as Farama-Foundation/Minari#351.
#
# Ends with 0 if this is still so, and with 1 if the behaviour has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "minari[arrow,hdf5]==0.5.4" pyarrow==26.0.1 h5py==3.16.0 \
    gymnasium==1.3.0 pillow==13.0.0 numpy==2.5.5
export MINARI_DATASETS_PATH="$folder/sets"
cat > "$folder/show.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import gymnasium
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

print(f"python {sys.version.split()[0]}", *(f"{n} {version(n)}" for n in ("minari", "pyarrow", "h5py")))
warnings.simplefilter("ignore")
spaces = {
    "observation_space": gymnasium.spaces.Box(-9, 9, (1,), np.float32),
    "action_space": gymnasium.spaces.Discrete(2),
}


def episode(number, steps):
    """An episode whose observations say which it is."""
    end = np.arange(steps) == steps - 1
    return EpisodeBuffer(
        observations=np.full((steps + 1, 1), number, np.float32),
        actions=np.zeros(steps, np.int64),
        rewards=np.ones(steps, np.float32),
        terminations=end,
        truncations=np.zeros(steps, bool),
    )


def read(data_format):
    """(the episode that the observations are of, its steps) of each that is read back."""
    written = [episode(0, 40_000), episode(1, 5), episode(2, 5)]
    name = f"long-{data_format}-v0"
    minari.create_dataset_from_buffers(name, written, data_format=data_format, **spaces)
    found = minari.load_dataset(name)
    each = [(int(one.observations[0, 0]), len(one.rewards)) for one in found]
    print(f"{data_format}: total_steps {found.total_steps}, read (episode, steps): {each}")
    return each


whole, pieces = [(0, 40_000), (1, 5), (2, 5)], [(0, 32_767), (0, 7_232), (1, 5)]
same = read("hdf5") == whole and all(read(one) == pieces for one in ("arrow", "parquet"))
print("as described" if same else "the behaviour has changed")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
