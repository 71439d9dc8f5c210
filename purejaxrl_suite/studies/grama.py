"""Do gradients find the units that a network could lose, where activations no longer tell?

Paper: GraMa, arXiv 2505.24061: plasticity by gradient magnitudes, and ReGraMa, which recycles by
    them.
Figure: its comparison of ReGraMa with ReDo on networks with norms and residuals, its pruning of
    units by either measure, and its table of what the measure costs; there BRO-net on the DeepMind
    control suite with SAC, here PQN and PPO on MinAtar.
Claim: where units are ReLUs, units without activation are units without gradient; behind LayerNorm
    and GELU only gradients tell, so recycling by them helps more, and pruning by them hurts less.

All networks have two dense layers of 64 units on the board: of ReLUs, or of LayerNorm and GELU. The
paper's score of a unit is E|dL/dh|, the code's is the magnitude of the gradient of its incoming
weights; h is the activation. The weights of a silent ReLU have no gradient, but dL/dh, which comes
back through its outgoing weights, may be large; so only the code's score can find it, and both are
measured. Recycling happens every 1,000 gradient steps; a quarter of each layer is pruned at the
start of the last 5 % of training, over which scores are averaged.
"""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import nets, plasticity, stats
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.agents.pqn import PQNConfig, PQNHypers, pqn
from purejaxrl_suite.core.types import (
    Array,
    Environment,
    Inspection,
    Intervention,
    Key,
    Learner,
    Network,
    Probe,
)
from purejaxrl_suite.envs import make
from purejaxrl_suite.plasticity import scores
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.stats.aggregate import FINAL
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.gates import LEARNT, reaches, recycles
from purejaxrl_suite.studies.panels import Lines, Panel
from purejaxrl_suite.studies.plasticity_panels import layer_map, over_time, ranking
from purejaxrl_suite.studies.protocol import LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import estimated, late, normalized_scores
from purejaxrl_suite.sweeps.experiment import Experiment

NUM_ENVS, LENGTH = 16, 32
PPO_CONFIG = PPOConfig(NUM_ENVS, LENGTH, epochs=4, minibatches=8)
PQN_CONFIG = PQNConfig(NUM_ENVS, LENGTH, epochs=2, minibatches=16)
HIDDEN = (64, 64)
PERIOD = round(1000 / (PQN_CONFIG.epochs * PQN_CONFIG.minibatches))
"""Updates between recyclings, and between measurements; both agents have equal updates."""
TAU_OF_REDO, TAU_OF_REGRAMA = 0.02, 0.01
"""Thresholds of the paper for BRO-net."""
PRUNED = 0.25
SEGMENTS = 10


def q_network(env: Environment, normed: bool) -> Network:
    """Make PQN's network."""
    activation = jax.nn.gelu if normed else jax.nn.relu
    options = {"hidden": HIDDEN, "encoder": nets.flat(), "activation": activation}
    return nets.q_network(env.observation, env.action, layer_norm=normed, **options)


def actor_critic(env: Environment, normed: bool) -> Network:
    """Make PPO's network, with separate trunks for policy and value."""
    activation = jax.nn.gelu if normed else jax.nn.relu
    options = {"hidden": HIDDEN, "encoder": nets.flat(), "activation": activation}
    return nets.actor_critic(env.observation, env.action, layer_norm=normed, **options)


def agreement(learner: Learner, probe: Probe, inspection: Inspection) -> dict[str, Array]:
    """Measure the share of silent units without gradient, and the Jaccard index of both sets.

    Over all layers, by dL/dh (`text`) and by gradients of incoming weights (`released`). NaN if no
    unit is silent, or neither set has one.
    """
    silent = scores.below(scores.activation(learner, probe, inspection), 0.0)
    by = {"text": scores.feature_gradient, "released": scores.weight_gradient}
    found = {}
    for name, score in by.items():
        still = scores.below(score(learner, probe, inspection), 0.0)
        both = sum(jnp.sum(x & still[layer]) for layer, x in silent.items())
        either = sum(jnp.sum(x | still[layer]) for layer, x in silent.items())
        alone = sum(jnp.sum(x) for x in silent.values())
        found[f"still_of_silent_{name}"] = jnp.float32(both) / alone
        found[f"jaccard_{name}"] = jnp.float32(both) / either
    return found


def recycling() -> dict[str, Intervention]:
    """Return ways to recycle units, by name."""
    text = plasticity.threshold(TAU_OF_REGRAMA)
    at_random = plasticity.at_random(text)
    return {
        "ReDo": plasticity.redo(TAU_OF_REDO),
        "ReGraMa": plasticity.regrama(text),
        "as released": plasticity.regrama_as_released(text),
        "random": plasticity.recycle_by("random", scores.feature_gradient, at_random),
    }


def treatments(updates: int) -> dict[str, Intervention | None]:
    """Return the treatments of networks with norms, by name."""
    few = plasticity.lowest(PRUNED)
    last = max(1, updates - max(1, round(FINAL * updates)))

    def pruned(name: str, score: scores.Score) -> Intervention:
        return plasticity.once(last, plasticity.recycle_by(name, score, few, draw=plasticity.zeros))

    return {
        "none": None,
        **{name: plasticity.every(PERIOD, cure) for name, cure in recycling().items()},
        "pruned by gradient": pruned("prune_by_gradient", scores.feature_gradient),
        "pruned by activation": pruned("prune_by_activation", scores.activation),
    }


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: both agents with ReLUs (PQN also without metrics), and with norms and treatments.

    PPO gets four treatments, PQN all.
    """
    environments = [make(id) for id in budget.environments]
    size = budget.seed_numbers, budget.steps
    of_pqn = Experiment(pqn, environments, *size, PQNHypers(), PQN_CONFIG)
    of_ppo = Experiment(ppo, environments, *size, PPOHypers(learning_rate=5e-4), PPO_CONFIG)
    every = treatments(int(budget.steps) // (NUM_ENVS * LENGTH))
    few = {name: every[name] for name in ("none", "ReDo", "ReGraMa", "random")}
    seen = {"metrics": (agreement,), "measure_every": PERIOD}
    shares = (plasticity.dormant(TAU_OF_REDO), plasticity.inactive(TAU_OF_REGRAMA))
    watched = {"metrics": shares, "measure_every": PERIOD}
    build = {"pqn": q_network, "ppo": actor_critic}
    relu, normed = (
        {name: partial(one, normed=with_norms) for name, one in build.items()}
        for with_norms in (False, True)
    )
    return {
        "pqn-bare": of_pqn._replace(network=relu["pqn"]),
        "pqn-relu": of_pqn._replace(network=relu["pqn"], **seen),
        "ppo-relu": of_ppo._replace(network=relu["ppo"], **seen),
        "pqn-norm": of_pqn._replace(network=normed["pqn"], intervention=every, **watched),
        "ppo-norm": of_ppo._replace(network=normed["ppo"], intervention=few, **watched),
    }


def agrees(measure: str) -> Callable[[Key, Curves], Effect]:
    """Make the effect: a metric of `agreement` over the second half of training."""

    def effect(key: Key, curves: Curves) -> Effect:
        return estimated(key, late(curves, curves[measure], 0.5))

    return effect


def gain(treatment: str, over: str) -> Callable[[Key, Curves], Effect]:
    """Make the effect: the final score with one treatment minus that with another."""

    def effect(key: Key, curves: Curves) -> Effect:
        x, y = (normalized_scores(curves.sel(intervention=name)) for name in (treatment, over))
        return stats.difference(key, x, y, paired=True)

    return effect


def cost(key: Key, measured: Curves, bare: Curves) -> Effect:
    """Estimate how much longer a run takes with metrics, from the speeds of its segments."""
    return stats.compare(key, _of_segments(bare), _of_segments(measured), slowdown, paired=False)


def slowdown(bare: Array, measured: Array) -> Array:
    """Compute the slowdown, f32[segments, environments] of each -> f32[]."""
    ratios = stats.median(bare, axis=0) / stats.median(measured, axis=0)
    return jnp.mean(ratios) - 1.0


def _of_segments(curves: Curves) -> Array:
    rates = curves["steps_per_second"].transpose("step", "environment").values
    parts = jnp.array_split(jnp.asarray(rates), SEGMENTS)
    return jnp.stack([jnp.nanmedian(part, axis=0) for part in parts])


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw the effects of treatments, the agreement of both scores, and both over time."""
    panels: list[Panel] = []
    for agent in ("pqn", "ppo"):
        treated = curves[f"{agent}-norm"]
        names = [str(x) for x in treated["intervention"].values if x != "none"]
        found = {name: gain(name, "none")(key, treated) for name in names}
        label = "final score less that of none [normalized], 95 % interval"
        title = f"{agent.upper()}, LayerNorm and GELU"
        panels.append(ranking(title, label, found=found, against=0.0, smallest=0.05))
    steps = "environment steps"
    alike = tuple(
        over_time(key, f"{agent}, {name}", curves[f"{agent}-relu"], f"jaccard_{name}")
        for agent in ("pqn", "ppo")
        for name in ("text", "released")
    )
    panels.append(
        Lines("ReLU: units without activation, without gradient", steps, "Jaccard", alike)
    )
    plain = curves["pqn-norm"].sel(intervention="none")
    recycled = curves["pqn-norm"].sel(intervention="ReGraMa")
    name = f"inactive_{TAU_OF_REGRAMA:g}"
    lines = (
        over_time(key, "inactive", plain, name),
        over_time(key, "inactive, ReGraMa", recycled, name),
        over_time(key, "dormant", plain, f"dormant_{TAU_OF_REDO:g}"),
    )
    panels.append(Lines("PQN, LayerNorm and GELU", steps, "share of units", lines))
    panels.append(layer_map("PQN, LayerNorm and GELU: inactive", plain, name, "share of units"))
    return tuple(panels)


def _agreement_claims() -> tuple[Claim, ...]:
    """Make the claims about the two scores, by agent."""
    claims = []
    for agent in ("pqn", "ppo"):
        silent = f"With ReLUs ({agent.upper()}), units without activation"
        for name, text in (("released", "of their weights"), ("text", "dL/dh")):
            statement = f"{silent} are those without gradient {text}."
            over, measure = (f"{agent}-relu",), agrees(f"jaccard_{name}")
            common = {"smallest": 0.0, "against": 0.9, "unit": "Jaccard index"}
            common |= {"gates": (f"{agent} falls silent",)}
            claims.append(Claim(statement, over, measure, MORE, **common))
    return tuple(claims)


def silent(key: Key, curves: Curves) -> float:
    """Compute the share of members with silent units in the second half of training."""
    del key  # nothing is drawn
    known = np.asarray(late(curves, curves["jaccard_released"], 0.5))
    return float(np.mean(np.isfinite(known)))


def untreated(curves: Curves) -> Array:
    """Compute final scores without treatment."""
    return normalized_scores(curves.sel(intervention="none"))


def _gates(agent: str) -> tuple[Gate, ...]:
    """Make gates: an agent learns, its ReLUs fall silent, and ReGraMa recycles its units."""
    name, normed = agent.upper(), f"{agent}-norm"
    return (
        reaches(
            f"{agent} learns",
            f"{name} with norms learns.",
            arm=normed,
            bound=LEARNT,
            score=untreated,
        ),
        Gate(
            f"{agent} falls silent",
            f"ReLUs of {name} fall silent in nearly every member.",
            over=(f"{agent}-relu",),
            measure=silent,
            direction=MORE,
            bound=0.9,
            unit="share of members",
            remedy="longer runs, or a task on which units are lost",
        ),
        recycles(
            f"{agent} recycles",
            f"ReGraMa recycles units of {name}.",
            arm=normed,
            counter="regrama_recycled",
            bound=5.0,
            intervention="ReGraMa",
        ),
    )


STUDY = Study(
    __doc__,
    arms,
    (
        *_agreement_claims(),
        Claim(
            "With norms, ReGraMa scores more than ReDo (PQN).",
            ("pqn-norm",),
            gain("ReGraMa", "ReDo"),
            MORE,
            gates=("pqn learns", "pqn recycles"),
        ),
        Claim(
            "So it does with PPO.",
            ("ppo-norm",),
            gain("ReGraMa", "ReDo"),
            MORE,
            gates=("ppo learns", "ppo recycles"),
        ),
        Claim(
            "With norms, pruning by gradients hurts less than pruning as many by activations.",
            ("pqn-norm",),
            gain("pruned by gradient", "pruned by activation"),
            MORE,
            gates=("pqn learns",),
        ),
        Claim(
            "Scores by gradients, every 1,000 gradient steps, take 2 % of the time at most.",
            ("pqn-relu", "pqn-bare"),
            cost,
            LESS,
            smallest=0.0,
            against=0.02,
            unit="share of the time",
            counted="segments",
            gates=(),
        ),
        Claim(
            "Recycling as many units at random is not better than ReGraMa (PQN).",
            ("pqn-norm",),
            gain("ReGraMa", "random"),
            MORE,
            smallest=0.0,
            against=-0.05,
            gates=("pqn learns", "pqn recycles"),
        ),
    ),
    figure,
    gates=tuple(gate for agent in ("pqn", "ppo") for gate in _gates(agent)),
    quick=Budget(("Breakout-MinAtar",), 6, 1e5),
    standard=Budget(("Breakout-MinAtar",), 8, 2e5, first_seed=1000),
    full=Budget(minatar.FOUR_GAMES, 32, 2e6, first_seed=2000),
)
