"""What studies of scaling compute, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite import nets, stats
from purejaxrl_suite.core.types import Box, Discrete, Learner
from purejaxrl_suite.studies import architectures, mind_the_gap, moe_scaling, tokenize_not_flatten
from tests.counted import counted
from tests.plasticity.inspections import inspection_of_network
from tests.studies.tiny import gates_of

KEY = jax.random.key(0)
GAME = "Breakout-MinAtar"


def curves(**finals):
    """Two seeds of one game, by network: normalized scores that they end with, and parameters."""
    ends = stats.REFERENCES[GAME]
    low, high = ends.random.value, ends.reference.value
    names = list(finals)
    scores = np.array([finals[name] for name in names], np.float32)  # [networks, seeds]
    values = np.repeat((low + scores * (high - low))[None, :, :, None], 20, axis=3)
    dims = ("environment", "network", "seed", "step")
    return counted(xr.Dataset(
        {
            "episode_return": (dims, values),
            "block_dormant": (dims, values),
            "block_srank": (dims, values),
            "steps_per_second": (("environment", "network", "step"), 1.0 + values[:, :, 0]),
            "parameters": (dims, np.broadcast_to(np.arange(len(names))[None, :, None, None] + 10.0,
                                                 values.shape)),
            "diverged": (dims[:3], np.zeros(values.shape[:3], bool)),
        },
        coords={"environment": [GAME], "network": names},
    ))  # fmt: skip


SOME = curves(**{
    "soft-8": (0.6, 0.7), "soft-1": (0.3, 0.1), "soft-2": (0.4, 0.3), "dense-1": (0.2, 0.2),
    "dense-8": (0.2, 0.05), "soft-8 random": (0.5, 0.5),
})  # fmt: skip


def test_sizes_and_slopes():
    assert architectures.sizes_of(SOME, "soft") == {"soft-1": 1, "soft-2": 2, "soft-8": 8}
    found = architectures.slopes(SOME, "soft")
    expected = [np.polyfit([0, 1, 3], y, 1)[0] for y in ((0.3, 0.4, 0.6), (0.1, 0.3, 0.7))]
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4)
    steeper = architectures.steeper("soft", "dense")(KEY, SOME)
    assert float(steeper.value) == pytest.approx(np.mean(expected) + 0.025, rel=1e-4)
    assert float(architectures.gain("soft-8", "dense-8")(KEY, SOME).value) == pytest.approx(0.525)


def test_lines_against_parameters():
    panel = architectures.against_parameters(KEY, "", SOME, ("dense", "soft"))
    assert [line.label for line in panel.lines] == ["dense", "soft", "soft-8 random"]
    assert [line.x for line in panel.lines] == [(13, 14), (11, 12, 10), (15,)]
    np.testing.assert_allclose(panel.lines[0].value, (0.2, 0.125), rtol=1e-4)


def test_the_block_between_encoder_and_heads():
    """Eight units of two experts, three of them dead; conv and output of experts do not count."""
    board, bridge = Box((4, 4, 2)), nets.mixture(nets.soft(slots=3), 2)
    encoder = nets.cnn((nets.ConvLayer(3),))
    network = nets.q_network(
        board, Discrete(2), hidden=(4,), encoder=encoder, bridge=bridge, layer_norm=False
    )
    params = jax.jit(network.init)(KEY)
    for expert, dead in ((0, [0]), (1, [1, 2])):
        layer = params["bridge"][f"expert_{expert}"]["dense_0"]
        layer["bias"] = jnp.full(4, 5.0).at[jnp.array(dead)].set(-1e3)
    inspection = inspection_of_network(network, jax.random.normal(KEY, (16, 4, 4, 2)))
    learner = Learner(params, ())
    found = jax.jit(lambda: architectures.block(learner, inspection.probe(learner), inspection))()
    np.testing.assert_allclose(found["block_dormant"], 3 / 8)
    assert 0 < found["block_srank"] <= 5 / 8
    counts = nets.parameter_count(params)
    assert found["parameters"] == counts[""] and found["block_parameters"] == counts["bridge"]


@pytest.mark.parametrize("module", [moe_scaling, tokenize_not_flatten, mind_the_gap])
def test_claims_and_figures_of_a_small_budget(module):
    """On made-up curves of the arms and networks that `quick` trains, all is finite and drawn."""
    study, made = module.STUDY, {}
    for label, arm in study.arms(study.quick).items():
        finals = {name: (0.1 * i, 0.1 * i + 0.03) for i, name in enumerate(arm.network)}
        made[label] = curves(**finals)
    for claim in study.claims:
        effect = claim.effect(KEY, *(made[name] for name in claim.over))
        assert np.isfinite(float(effect.value)) and int(effect.seeds) > 1, claim.statement
    assert all(np.isfinite(x) for x in gates_of(study, made).values())
    panels = study.figure(KEY, made)
    assert len(panels) >= 4
    for panel in panels:
        rows = getattr(panel, "lines", ()) or panel.rows
        assert rows and all(np.all(np.isfinite(row.value)) for row in rows), panel.title


def test_speed_is_a_ratio_of_medians():
    rates = jnp.array([[2.0], [4.0], [100.0]]), jnp.array([[1.0], [2.0], [3.0]])
    assert float(mind_the_gap.faster(*rates)) == 2.0
