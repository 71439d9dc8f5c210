#!/usr/bin/env bash
# A directory name given to xarray or zarr as a text (or a pathlib.Path) is read as an address:
# from '#' on it is dropped. Written with mode "w", runs/ppo#2 replaces its neighbour runs/ppo.
# An opened store (zarr.storage.LocalStore) of the same directory is taken by its name.
#
# Ends with 0 if this is still so, and with 1 if the behaviour has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet zarr==3.4.2 xarray==2026.9.0 fsspec==2026.9.0 numpy==2.3.5
cd "$folder"
cat > show.py <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xarray
import zarr

print(f"python {sys.version.split()[0]}", *(f"{n} {version(n)}" for n in ("zarr", "xarray", "fsspec")))
curves = xarray.Dataset({"score": ("seed", np.arange(3.0))})


def neighbours(root):
    """runs/ppo with a file in it, beside the name that is going to be written."""
    (root / "ppo").mkdir(parents=True)
    (root / "ppo" / "notes.txt").write_text("kept")
    return root


def tell(what, root):
    kept, made = (root / "ppo" / "notes.txt").exists(), (root / "ppo#2").exists()
    print(f"{what}: wrote {'ppo#2' if made else 'ppo'}, ppo/notes.txt is {'kept' if kept else 'gone'}")
    return kept and made


def to_store(path):
    curves.to_zarr(zarr.storage.LocalStore(path), mode="w", consolidated=False)


ways = {
    "xarray, text": lambda path: curves.to_zarr(str(path), mode="w", consolidated=False),
    "xarray, pathlib.Path": lambda path: curves.to_zarr(path, mode="w", consolidated=False),
    "zarr, text": lambda path: zarr.open_group(str(path), mode="w"),
    "xarray, LocalStore": to_store,
}
harmless = {}
for way, write in ways.items():
    root = neighbours(Path(way.replace(", ", "-")))
    write(root / "ppo#2")
    harmless[way] = tell(way, root)
same = [way for way, kept in harmless.items() if kept] == ["xarray, LocalStore"]
print("as described" if same else "the behaviour has changed")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" show.py
