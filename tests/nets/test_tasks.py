"""Networks for several tasks: masks are exact, heads are those of a task, torsos may be blind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.types import Box, Discrete
from purejaxrl_suite.nets.tasks import hide_task, masked, multi_head

KEY = jax.random.key(0)
SPACE = Box((5,), "float32", -1.0, 1.0, tasks=2)
ACTION = Discrete(3, ((True, False, True), (True, True, True)))
DRAWN = np.asarray(jax.random.normal(KEY, (6, 3)))
TASKS = np.array([0, 1, 0, 0, 1, 1])
OBS = np.concatenate([DRAWN, np.eye(2, dtype=np.float32)[TASKS]], axis=-1)


def init(network):
    return jax.device_get(jax.jit(network.init)(KEY))


def applied(network, params, obs=OBS, memory=(), taps=None):
    """Its output and internals, on the host."""
    return jax.device_get(jax.jit(network.apply)(params, obs, memory, taps or {}))


def actor_critic(observation=SPACE, **options):
    options = {"hidden": (4,), "shared": True} | options
    return nets.actor_critic(observation, ACTION, **options)


def test_masks_give_no_probability_no_entropy_and_no_gradient():
    network = masked(actor_critic(), SPACE, ACTION)
    params, plain = init(network), actor_critic()
    free = applied(plain, params)[0].policy
    policy = nets.distribution(ACTION)(applied(network, params)[0].policy)
    invalid = (TASKS == 0)[:, None] & (np.arange(3) == 1)[None]
    probabilities = np.exp(policy.log_probs)
    assert np.all(probabilities[invalid] == 0.0) and np.all(probabilities[~invalid] > 0.0)
    kept = np.where(invalid, -np.inf, free)
    expected = np.exp(kept) / np.exp(kept).sum(1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-6)
    terms = np.where(invalid, 0.0, expected * np.log(np.where(invalid, 1.0, expected)))
    np.testing.assert_allclose(policy.entropy(), -terms.sum(1), rtol=1e-5)

    def loss(bias):
        heads = {**params["heads"], "policy": {**params["heads"]["policy"], "bias": bias}}
        output = network.apply({**params, "heads": heads}, OBS[TASKS == 0])[0]
        policy = nets.distribution(ACTION)(output.policy)
        return jnp.sum(policy.log_prob(jnp.array([0, 2, 2]))) + jnp.sum(policy.entropy())

    grads = np.asarray(jax.jit(jax.grad(loss))(params["heads"]["policy"]["bias"]))
    assert grads[1] == 0.0 and np.all(grads[[0, 2]] != 0.0)
    sampler = nets.sampler(ACTION)
    logits = np.tile(applied(network, params)[0].policy[:1], (5000, 1))
    assert set(np.asarray(sampler.sample(sampler.noise(KEY, 5000), logits))) == {0, 2}


def test_masks_of_action_values_and_of_nothing():
    network = nets.q_network(SPACE, ACTION, hidden=(4,))
    params = init(network)
    values = applied(masked(network, SPACE, ACTION), params)[0]
    np.testing.assert_array_equal(values[TASKS == 0, 1], spaces.IMPOSSIBLE)
    free = applied(network, params)[0]
    np.testing.assert_array_equal(values[TASKS == 1], free[TASKS == 1])
    assert masked(network, SPACE, Discrete(3)) is network
    with pytest.raises(ValueError, match="expected observations that tell it"):
        masked(network, SPACE._replace(tasks=0), ACTION)


@pytest.mark.parametrize("memory_units", [0, 4])
def test_every_task_has_heads_of_its_own(memory_units):
    plain = actor_critic(memory_units=memory_units)
    network = multi_head(plain, SPACE)
    params, memory = init(network), jax.device_get(network.memory(6))
    kernel = params["heads"]["policy"]["kernel"]
    assert kernel.shape == (2, 4, 3) and not np.array_equal(kernel[0], kernel[1])
    output, internals = applied(network, params, OBS, memory)
    for task in (0, 1):
        alone = {**params, "heads": jax.tree.map(lambda x, task=task: x[task], params["heads"])}
        expected, same = applied(plain, alone, OBS, memory)
        rows = task == TASKS
        np.testing.assert_allclose(output.policy[rows], expected.policy[rows], rtol=1e-5)
        np.testing.assert_allclose(output.value[rows], expected.value[rows], rtol=1e-5)
        for name, feature in same.features.items():
            np.testing.assert_allclose(internals.features[name], feature, rtol=1e-5)

    def loss(params):
        return jnp.sum(network.apply(params, OBS[TASKS == 1], memory[:3], {})[0].value)

    grads = jax.device_get(jax.jit(jax.grad(loss))(params))["heads"]["value"]["kernel"]
    assert np.all(grads[0] == 0.0) and np.any(grads[1] != 0.0)
    # In a batch of all tasks: sums of (v - 1) times what the head reads, over its own samples.
    mixed = jax.jit(
        jax.grad(lambda p: 0.5 * jnp.sum((network.apply(p, OBS, memory, {})[0].value - 1) ** 2))
    )
    read = np.float64(internals.features["trunk/gru" if memory_units else "trunk/dense_0"])
    off = np.float64(output.value) - 1.0
    each = [np.sum((off[:, None] * read)[task == TASKS], axis=0) for task in (0, 1)]
    found = np.asarray(mixed(params)["heads"]["value"]["kernel"])[..., 0]
    np.testing.assert_allclose(found, each, rtol=1e-4, atol=1e-6)
    starts = np.zeros((2, 3), bool)
    steps = OBS.reshape(2, 3, 5)
    unrolled = jax.jit(network.unroll)(params, steps, memory[:3], starts, {})[0]
    first = applied(network, params, steps[0], memory[:3])[0]
    np.testing.assert_allclose(np.asarray(unrolled.value)[0], first.value, rtol=1e-5)


def test_permuting_tasks_permutes_heads():
    network = multi_head(hide_task(actor_critic(spaces.without_task(SPACE)), SPACE), SPACE)
    params, swapped = init(network), OBS[:, [0, 1, 2, 4, 3]]
    other = {**params, "heads": jax.tree.map(lambda x: x[::-1], params["heads"])}
    found, expected = applied(network, params)[0], applied(network, other, swapped)[0]
    np.testing.assert_array_equal(found.policy, expected.policy)


def test_a_blind_torso_sees_no_task():
    inner = actor_critic(spaces.without_task(SPACE))
    network = hide_task(inner, SPACE)
    params, swapped = init(network), OBS[:, [0, 1, 2, 4, 3]]
    found = applied(network, params)[0].value
    np.testing.assert_array_equal(found, applied(network, params, swapped)[0].value)
    np.testing.assert_array_equal(found, applied(inner, params, DRAWN)[0].value)
    masks = masked(network, SPACE, ACTION)
    policies = applied(masks, params)[0].policy
    np.testing.assert_array_equal(policies[:, 1] == spaces.IMPOSSIBLE, TASKS == 0)
    with pytest.raises(ValueError, match="does not tell the task"):
        multi_head(inner, SPACE._replace(tasks=0))
    with pytest.raises(ValueError, match="does not tell the task"):
        hide_task(inner, SPACE._replace(tasks=0))
