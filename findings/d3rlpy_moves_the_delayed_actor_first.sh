#!/usr/bin/env bash
# TD3's delayed policy update, update_actor_interval=2 in d3rlpy. Guess: as in the authors' code, the
# actor and the targets first move with the second minibatch, when the critics have moved twice.
# Here they move with the first, third and fifth: steps are counted from 0, so an actor takes its
# first step with critics that have seen one minibatch, and a run of one step moves it, too. Whoever
# compares two implementations step by step finds them different from the first step on, by nothing
# else. Seen with d3rlpy 2.8.1, torch 2.14.1.
#
# Ends with 0 if this is still so, and with 1 if the behaviour has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet d3rlpy==2.8.1 torch==2.14.1 numpy==2.5.5
cat > "$folder/show.py" <<'PYTHON'
import sys
from importlib.metadata import version

import d3rlpy
import numpy as np
from d3rlpy.dataset import TransitionMiniBatch

print(f"python {sys.version.split()[0]}", *(f"{n} {version(n)}" for n in ("d3rlpy", "torch")))
learner = d3rlpy.algos.TD3PlusBCConfig(batch_size=4, update_actor_interval=2).create("cpu:0")
learner.create_impl((3,), 1)
draw = np.random.default_rng(0)


def rows(width):
    return draw.uniform(-0.5, 0.5, (4, width)).astype(np.float32)


def weights(module):
    return np.concatenate([p.detach().numpy().ravel() for p in module.parameters()])


moved = {"actor": [], "target": []}
for step in range(1, 7):
    modules = learner.impl.modules
    watched = {"actor": modules.policy, "target": modules.targ_q_funcs}
    before = {name: weights(module).copy() for name, module in watched.items()}
    batch = TransitionMiniBatch(
        rows(3), rows(1), rows(1), rows(3), rows(1), rows(1) * 0, rows(1) * 0 + 1, []
    )
    learner.update(batch)
    for name, module in watched.items():
        if not np.array_equal(before[name], weights(module)):
            moved[name].append(step)
for name, steps in moved.items():
    print(f"{name} moves with minibatches {steps}")
sys.exit(moved != {"actor": [1, 3, 5], "target": [1, 3, 5]})
PYTHON
"$folder/venv/bin/python" "$folder/show.py" 2>/dev/null
