"""Tasks of pixels on the device: agents learn there with the encoders of Atari and augmentation."""

import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.core.types import Box
from purejaxrl_suite.envs import make, wrappers
from purejaxrl_suite.ops import augmentation
from purejaxrl_suite.sweeps.run import run

CONFIG = DQNConfig(
    num_envs=2, rollout_length=2, batch_size=2, capacity=16, augment=True, probe_size=2
)


def pong():
    """gymnax's Pong shows zeros and ones on 30 x 40 cells: here each is 2 x 2 pixels."""
    space = Box((60, 80, 3), "uint8", 0.0, 255.0)

    def enlarge(obs):
        return 255 * jnp.repeat(jnp.repeat(obs, 2, axis=0), 2, axis=1)

    return wrappers.transform_observation(make("Pong-misc"), enlarge, space)


TASKS = {
    "navix": (lambda: make("Navix-Empty-5x5-v0", observation="rgb"), nets.nature_cnn()),
    "pong": (pong, nets.impala((2, 2, 2), blocks=1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_two_updates_from_pixels(name):
    make_env, encoder = TASKS[name]
    env = make_env()
    assert augmentation.is_pixels(env.observation)
    network = nets.q_network(
        env.observation, env.action, encoder=encoder, hidden=(4,), layer_norm=False
    )

    agent = dqn(env, CONFIG, network, DQNHypers(min_history=4.0))
    result = run(agent, env, seeds=1, steps=12)
    losses = result.curves["td_loss"].values[0]
    assert np.all(np.isfinite(losses[1:])) and not result.curves["diverged"].any()
    assert result.curves["gradient_steps"].values[0, -1] >= 2
