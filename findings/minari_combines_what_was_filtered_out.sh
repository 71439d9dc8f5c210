#!/usr/bin/env bash
# Minari's filter_episodes and split_dataset give data sets with some of the episodes. Guess: to
# combine them combines these. It does not: combine_datasets takes every episode of the files that
# they are from, so what was filtered out is back, and the parts of a split are each the whole. Images
# that were stored without JPEG on purpose are compressed on the way, and change. Seen with
# minari 0.5.4; reported as Farama-Foundation/Minari#350.
#
# Ends with 0 if this is still so, and with 1 if the behaviour has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "minari[hdf5]==0.5.4" h5py==3.16.0 gymnasium==1.3.0 \
    pillow==13.0.0 numpy==2.5.5
export MINARI_DATASETS_PATH="$folder/sets"
cat > "$folder/show.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import gymnasium
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

print(f"python {sys.version.split()[0]}", *(f"{n} {version(n)}" for n in ("minari", "h5py")))
warnings.simplefilter("ignore")
draw = np.random.default_rng(0)


def episode(terminated):
    """Two steps of random pictures."""
    return EpisodeBuffer(
        observations=draw.integers(0, 256, (3, 40, 40, 3), np.uint8),
        actions=np.zeros(2, np.int64),
        rewards=np.ones(2, np.float32),
        terminations=np.array([False, terminated]),
        truncations=np.array([False, not terminated]),
    )


written = [episode(terminated=i < 2) for i in range(5)]
whole = minari.create_dataset_from_buffers(
    "whole-v0",
    written,
    observation_space=gymnasium.spaces.Box(0, 255, (40, 40, 3), np.uint8),
    action_space=gymnasium.spaces.Discrete(2),
    jpeg_encoding=False,
)
good = whole.filter_episodes(lambda one: one.terminations[-1])
combined = minari.combine_datasets([good], "good-v0")
parts = minari.split_dataset(whole, [3, 2], seed=0)
again = minari.combine_datasets(parts, "again-v0")


def pictures(found):
    return "unchanged" if np.array_equal(found[0].observations, written[0].observations) else "changed"


print(f"filtered {good.total_episodes} episodes, combined {combined.total_episodes}")
print(f"split {[one.total_episodes for one in parts]} episodes, combined {again.total_episodes}")
print(f"pictures: stored {pictures(whole)}, combined {pictures(combined)}")
counts = good.total_episodes, combined.total_episodes, again.total_episodes
same = counts == (2, 5, 10) and (pictures(whole), pictures(combined)) == ("unchanged", "changed")
print("as described" if same else "the behaviour has changed")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
