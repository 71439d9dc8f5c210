"""Store what d3rlpy's TD3+BC learns from a few minibatches, for a test that does not import it.

    python -m venv /tmp/reference && /tmp/reference/bin/pip install d3rlpy==2.8.1
    /tmp/reference/bin/python -P benchmarks/d3rlpy_reference.py tests/agents/d3rlpy.json

(-P: its dependencies import `statistics`, of which this folder has one, too.) It asks for an older
gymnasium than the suite. Its networks have two hidden layers of 8 units; parameters and minibatches
are drawn here. The target's noise has a deviation of 0, as its random numbers are PyTorch's. Steps
are counted from 1, so that the actor and the targets move with the second, fourth and sixth
minibatch; d3rlpy's own loop counts from 0.
"""

import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np

OBSERVATION, ACTION, HIDDEN = 3, 1, 8
BATCH, STEPS = 4, 6
SETTINGS = {
    "actor_learning_rate": 3e-3,
    "critic_learning_rate": 1e-2,
    "gamma": 0.9,
    "tau": 0.1,
    "alpha": 2.5,
}
PACKAGES = ("d3rlpy", "torch", "numpy")
Layers = list[tuple[np.ndarray, np.ndarray]]


def draw_layers(random: np.random.Generator, sizes: tuple[int, ...]) -> Layers:
    """Draw (kernel [inputs, outputs], bias [outputs]) of each dense layer."""
    draws = []
    for before, after in zip(sizes[:-1], sizes[1:], strict=True):
        kernel = random.normal(0.0, before**-0.5, (before, after))
        draws.append((kernel.astype(np.float32), random.normal(0, 0.1, after).astype(np.float32)))
    return draws


def draw_batches(random: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw minibatches, leaves [STEPS, BATCH, ...]; a quarter of the transitions end an episode."""
    rows = STEPS, BATCH
    return {
        "obs": random.normal(size=(*rows, OBSERVATION)).astype(np.float32),
        "action": random.uniform(-0.9, 0.9, (*rows, ACTION)).astype(np.float32),
        "reward": random.normal(size=rows).astype(np.float32),
        "next_obs": random.normal(size=(*rows, OBSERVATION)).astype(np.float32),
        "terminated": random.uniform(size=rows) < 0.25,
    }


def put(module, layers: Layers) -> None:
    """Set the dense layers of a PyTorch module, in their order."""
    import torch

    dense = [m for m in module.modules() if isinstance(m, torch.nn.Linear)]
    for one, (kernel, bias) in zip(dense, layers, strict=True):
        one.weight.data = torch.tensor(kernel.T.copy())
        one.bias.data = torch.tensor(bias)


def taken(module) -> Layers:
    """Read the dense layers of a PyTorch module."""
    import torch

    dense = [m for m in module.modules() if isinstance(m, torch.nn.Linear)]
    return [(m.weight.detach().numpy().T.copy(), m.bias.detach().numpy().copy()) for m in dense]


def make_learner():
    """Make d3rlpy's TD3+BC with networks of the sizes above."""
    import d3rlpy

    encoder = d3rlpy.models.VectorEncoderFactory(hidden_units=[HIDDEN, HIDDEN])
    learner = d3rlpy.algos.TD3PlusBCConfig(
        **SETTINGS,
        target_smoothing_sigma=0.0,
        batch_size=BATCH,
        actor_encoder_factory=encoder,
        critic_encoder_factory=encoder,
    ).create(device="cpu:0")
    learner.create_impl((OBSERVATION,), ACTION)
    return learner


def as_d3rlpy(batches: dict[str, np.ndarray], i: int):
    """Make a minibatch as d3rlpy's learners take it."""
    from d3rlpy.dataset import TransitionMiniBatch
    from d3rlpy.torch_utility import TorchMiniBatch

    def column(name: str) -> np.ndarray:
        return batches[name][i].astype(np.float32)[:, None]

    batch = TransitionMiniBatch(
        observations=batches["obs"][i],
        actions=batches["action"][i],
        rewards=column("reward"),
        next_observations=batches["next_obs"][i],
        next_actions=np.zeros_like(batches["action"][i]),
        terminals=column("terminated"),
        intervals=np.ones_like(column("reward")),
        transitions=[],
    )
    return TorchMiniBatch.from_batch(batch, SETTINGS["gamma"], False, "cpu:0")


def main() -> None:
    random = np.random.default_rng(0)
    reads = OBSERVATION + ACTION
    before = {
        "actor": draw_layers(random, (OBSERVATION, HIDDEN, HIDDEN, ACTION)),
        "critic_0": draw_layers(random, (reads, HIDDEN, HIDDEN, 1)),
        "critic_1": draw_layers(random, (reads, HIDDEN, HIDDEN, 1)),
    }
    batches, learner = draw_batches(random), make_learner()
    modules = learner.impl.modules
    put(modules.policy, before["actor"])
    put(modules.targ_policy, before["actor"])
    for functions in (modules.q_funcs, modules.targ_q_funcs):
        for i in range(2):
            put(functions[i], before[f"critic_{i}"])
    losses = [learner.impl.update(as_d3rlpy(batches, i), i + 1) for i in range(STEPS)]
    after = {"actor": taken(modules.policy)}
    after |= {f"critic_{i}": taken(modules.q_funcs[i]) for i in range(2)}
    found = {
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "settings": SETTINGS,
        "batches": batches,
        "before": before,
        "after": after,
        "losses": losses,
    }
    Path(sys.argv[1]).write_text(json.dumps(found, default=lambda x: x.tolist()) + "\n")


if __name__ == "__main__":
    main()
