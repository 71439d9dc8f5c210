#!/usr/bin/env bash
# Meta-World's ML1 through gymnasium, make_vec("Meta-World/ML1-train"). Guess: the training goals of
# the benchmark, in episodes that go on after a success, as metaworld.make_ml_envs_train gives them.
# It is the test set: all 50 goals are the test goals, none a training goal, and the episode ends at
# the first success. ML1-train and ML1-test are the same environment. Seen with metaworld 3.1.1.
#
# Ends with 0 if this is still so, and with 1 if the behaviour has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet metaworld==3.1.1 mujoco==3.3.0 gymnasium==1.3.0 packaging \
    numpy==2.4.6
cat > "$folder/show.py" <<'PYTHON'
import pickle
import sys
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")
import gymnasium
import metaworld
import numpy as np
from metaworld.policies import ENV_POLICY_MAP

names = ("metaworld", "mujoco", "gymnasium")
print(f"python {sys.version.split()[0]}", *(f"{n} {version(n)}" for n in names))
task = "drawer-close-v3"
benchmark = metaworld.ML1(task, seed=1)


def goals(tasks):
    """What is drawn for each task."""
    return {tuple(pickle.loads(one.data)["rand_vec"]) for one in tasks}


train, test = goals(benchmark.train_tasks), goals(benchmark.test_tasks)


def looked_at(name, envs):
    """Goals of the training set, goals of the test set, and if a success ends the episode."""
    found = goals(envs.envs[0].get_wrapper_attr("tasks"))
    envs.call("sample_tasks")
    observation, _ = envs.reset()
    policy, ended = ENV_POLICY_MAP[task](), False
    for _ in range(150):
        action = policy.get_action(observation[0])
        observation, _, terminated, _, _ = envs.step(np.clip(action, -1, 1)[None])
        ended = ended or bool(terminated[0])
    facts = len(found & train), len(found & test), ended
    print(f"{name}: {facts[0]} training goals, {facts[1]} test goals, success ends it: {ended}")
    return facts


def made(split):
    settings = {"env_name": task, "seed": 1, "meta_batch_size": 1}
    return gymnasium.make_vec(f"Meta-World/ML1-{split}", **settings)


plain = metaworld.make_ml_envs_train(task, seed=1, meta_batch_size=1)
right = looked_at("make_ml_envs_train", plain)
as_train = looked_at("make_vec of ML1-train", made("train"))
as_test = looked_at("make_vec of ML1-test", made("test"))
same = right == (50, 0, False) and as_train == as_test == (0, 50, True)
print("as described" if same else "the behaviour has changed")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
