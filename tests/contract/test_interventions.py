"""Every metric and every intervention on every agent: joining the lists is what "added" means."""

import jax
import numpy as np
import pytest

from purejaxrl_suite import nets, plasticity
from purejaxrl_suite.core import inspection
from purejaxrl_suite.core.check import check_intervention
from purejaxrl_suite.core.types import Network
from purejaxrl_suite.plasticity.per_entry_counts import Ages
from tests.contract.agents import AGENTS, SIBLINGS


def draw(key, network):
    """Noise, which compiles sooner than the networks' own initialisers."""
    shapes = jax.eval_shape(network.init, key)
    return jax.tree.map(lambda x: 0.1 * jax.random.uniform(key, x.shape, x.dtype), shapes)


MEAN = 1.0  # as a threshold of scores: every unit below the mean of its layer
INTERVENTIONS = (
    plasticity.redo(MEAN, draw=draw, reset_count=True),
    plasticity.random_recycling(MEAN, draw=draw),
    plasticity.regrama(plasticity.threshold(MEAN), draw=draw),
    plasticity.regrama_as_released(plasticity.threshold(MEAN)),
    plasticity.continual_backprop(rate=0.5, maturity=0.0, draw=draw),
    plasticity.reset_layers(draw=draw),
    plasticity.shrink_and_perturb(draw=draw),
    plasticity.overlap(),
)
RECYCLE = ("redo", "random", "regrama", "regrama_as_released", "continual_backprop")
FAST = ("dqn",)


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in AGENTS]
)
def test_everything_on_every_agent(name, monkeypatch):
    monkeypatch.setattr(inspection, "STEPS", 16)  # half of these rollouts, as of long ones
    make_agent, make_env = AGENTS[name]
    agent = make_agent(make_env())
    metrics = plasticity.record(*plasticity.CHEAP, *plasticity.COSTLY)
    everything = plasticity.chain(metrics, *INTERVENTIONS)
    found = check_intervention(everything, agent, jax.random.key(0))
    for kind in RECYCLE:
        assert np.all(found[f"{kind}_recycled"] >= 1), kind
    layers = [edge.layer.replace("/", ".") for edge in agent.network.wiring]
    for metric in ("dormant_0.1", "inactive_0.01", "srank", "feature_norm", "nullspace_ratio"):
        assert {f"{metric}.{layer}" for layer in layers} <= set(found)
    for metric in ("dormant_0", "inactive_as_released_0.01", "dead", "policy_churn"):
        assert np.all((found[metric] >= 0) & (found[metric] <= 1)), metric
    assert np.all(found["weight_norm"] > 0) and np.all(found["entk_rank"] >= 1)


BUILDERS = (
    "actor_critic",
    "actor_critics",
    "decoupled_actor_critic",
    "implicit_quantile_network",
    "latent_model",
    "q_network",
    "self_predictive",
)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SIBLINGS else n for n in AGENTS]
)
def test_what_a_network_puts_around_optimizers_reaches_every_agent(name, monkeypatch):
    def counted(build):
        def builder(*arguments, **options):
            made = build(*arguments, **options)
            if isinstance(made, Network):
                return plasticity.per_entry_counts(made)
            return made._replace(network=plasticity.per_entry_counts(made.network))

        return builder

    for builder in BUILDERS:
        monkeypatch.setattr(nets, builder, counted(getattr(nets, builder)))
    make_agent, make_env = AGENTS[name]
    agent = make_agent(make_env())
    state = jax.eval_shape(lambda: agent.init(jax.random.key(0), agent.hypers))
    nodes = jax.tree.leaves(state.learner.opt_state, is_leaf=lambda x: isinstance(x, Ages))
    assert any(isinstance(node, Ages) for node in nodes)
    assert agent.network is not None and agent.network.wiring
