"""What representations encode, of made-up probes; and on the clock of real agents."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import purejaxrl_suite as pjs
from purejaxrl_suite import nets, representations
from purejaxrl_suite.core import check
from purejaxrl_suite.core.types import Learner, Samples
from purejaxrl_suite.ops.probe import probe
from tests.contract.agents import AGENTS
from tests.plasticity.inspections import inspection_of_network, loss_of

LAYER = "trunk.dense_0"
N = 80


@functools.cache
def network():
    box, actions = pjs.Box((2,)), pjs.Discrete(2)
    return nets.q_network(box, actions, hidden=(4,), layer_norm=False)


def seen(seed=0):
    """A learner, its probe, and an inspection; the action is that of the first number's sign."""
    draw = np.random.default_rng(seed)
    obs, next_obs = jnp.asarray(draw.normal(size=(2, N, 2)).astype(np.float32))
    action = (obs[:, 0] > 0).astype(jnp.int32)
    ended = jnp.arange(N) % 10 == 0
    samples = Samples(obs, action, next_obs, ended, value=obs[:, 1])
    learner = Learner(network().init(jax.random.key(seed)), ())
    found = probe(loss_of(network(), obs), learner.params, samples)
    return learner, found, inspection_of_network(network(), obs)


@functools.cache
def measured():
    metrics = representations.METRICS

    @jax.jit
    def measure():
        given = seen()
        found = [metric(*given) for metric in metrics]
        return functools.reduce(dict.__or__, found), given[1].features["trunk/dense_0"]

    return jax.device_get(measure())


def test_every_quantity_is_recorded_for_the_layer_and_in_the_mean():
    found, _ = measured()
    kinds = [f"information_{name}" for name in ("action", "value", "next", "transition")]
    kinds += ["value_alignment", "effective_dimension"]
    assert found.keys() == {*kinds, *(f"{kind}.{LAYER}" for kind in kinds)}
    assert all(found[kind] == found[f"{kind}.{LAYER}"] for kind in kinds)
    assert found["information_action"] > 0.1 and found["information_value"] > 0.1
    # Successors are drawn by themselves, and the action says nothing of them.
    assert found["information_next"] < found["information_value"]
    assert 1.0 <= found["effective_dimension"] <= 4.0


def test_alignment_is_that_of_scipy():
    found, features = measured()
    value = np.asarray(seen()[1].samples.value)
    pairs = np.triu_indices(N, 1)
    apart = np.sum(np.square(features[:, None] - features[None]), axis=-1)[pairs]
    gap = np.abs(value[:, None] - value[None])[pairs]
    expected = stats.spearmanr(apart, gap).statistic
    assert found["value_alignment"] == pytest.approx(expected, abs=1e-3)


def test_a_probe_without_samples_is_refused():
    learner, found, inspection = seen()
    with pytest.raises(ValueError, match="shows its samples"):
        representations.value_alignment(learner, found._replace(samples=None), inspection)


SLOW = [n for n in AGENTS if n not in ("dqn", "ppo")]


@pytest.mark.parametrize(
    "name", ["dqn", "ppo", *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)]
)  # noqa: E501
def test_samples_of_every_agent_are_those_of_its_features(name):
    """Features of the samples, by the network, are those of the probe, in the same order."""
    make, make_env = AGENTS[name]
    agent = make(make_env())
    assert agent.network is not None
    hypers = jax.tree.map(jnp.float32, agent.hypers)
    layers = representations.output_layers(agent.network)

    @jax.jit
    def look(key):
        state = agent.init(key, hypers)
        transition = check.experience(agent, key, hypers, state)
        state, _ = agent.update(key, hypers, state, transition)
        found = agent.probe(key, hypers, state, transition)
        n = len(found.samples.value)
        rows = {name: jnp.reshape(found.features[name], (n, -1)) for name in layers}
        if jax.tree.leaves(agent.network.memory(1)):
            return found.samples, rows, rows
        reads = {}
        if any("/critic_" in name for name in layers):
            reads["action"] = found.samples.action
        again = agent.network.apply(state.learner.params, found.samples.obs, **reads)[1].features
        again = {name: jnp.reshape(again[name], (n, -1)) for name in layers}
        return found.samples, rows, again

    samples, rows, again = look(jax.random.key(0))
    assert samples.value.ndim == 1 and samples.terminated.dtype == bool
    assert len(samples.obs) == len(samples.action) == len(samples.next_obs) == len(samples.value)
    if name not in ("drq", "bbf", "bbf-as-released", "rainbow"):  # augmented, or noisy
        for layer in layers:
            np.testing.assert_allclose(rows[layer], again[layer], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dqn", "ppo", "sac", "pqn-recurrent"])
def test_metrics_on_the_clock(name):
    make, make_env = AGENTS[name]
    env = make_env()
    agent = make(env)
    steps = 8 * agent.num_envs * agent.rollout_length
    how = {"metrics": representations.METRICS, "measure_every": 4}
    curves = pjs.run(agent, env, seeds=2, steps=steps, **how).curves
    assert np.isfinite(curves.information_action.values[:, 3::4]).all()
    assert np.isnan(curves.information_action.values[:, :3]).all()
