"""In continuous control, do gradients find lost units where activations no longer tell?

Paper: GraMa, arXiv 2505.24061: plasticity by gradient magnitudes, and ReGraMa, which recycles by
    them.
Figure: its table of remedies on BRO-net in the DeepMind control suite; here SAC with BRO's residual
    networks, and PPO with LayerNorm and GELU, on brax (full) and on Pendulum (else).
Claim: where units are ReLUs, units without activation are units without gradient; in residual
    networks with norms only gradients tell, so recycling by them helps more.

The study `grama` asks the same on MinAtar, and explains both scores. Networks of ReLUs have two
layers; BRO's have one residual block in the actor and two in each of two critics. On Pendulum
layers of ReLUs have 64 units and blocks 32; on brax both have 256, and learning rates are the
paper's. Recycling happens every 1,000 gradient steps, in actor and critics; the paper leaves the
actor alone. PPO has layers of 64 units and plays ten times as many steps. Scores are final returns,
scaled so that untreated agents begin at 0 and end at 1, on average over seeds, as in the paper's
table.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import nets, plasticity, stats
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.agents.sac import SACConfig, SACHypers, sac
from purejaxrl_suite.core.types import Array, Environment, Intervention, Key, Network
from purejaxrl_suite.envs import make
from purejaxrl_suite.stats import Effect, final_score
from purejaxrl_suite.studies.gates import recycles, smallest_mean
from purejaxrl_suite.studies.grama import (
    TAU_OF_REDO,
    TAU_OF_REGRAMA,
    actor_critic,
    agreement,
    agrees,
    recycling,
    silent,
)
from purejaxrl_suite.studies.panels import Lines, Panel
from purejaxrl_suite.studies.plasticity_panels import over_time, ranking
from purejaxrl_suite.studies.protocol import MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import estimated, late, measured, returns
from purejaxrl_suite.sweeps.experiment import Experiment

PPO_CONFIG = PPOConfig(16, 32, 4, 8, normalize_observations=True, normalize_rewards=True)
PPO_HYPERS = PPOHypers(learning_rate=1e-3)
PPO_STEPS = 10
CONFIG = SACConfig(2, 4, 4, batch_size=64, capacity=100_000, probe_size=128)
ON_BRAX = CONFIG._replace(batch_size=128, capacity=1_000_000, normalize_observations=True)
HYPERS = SACHypers(1e-3, 1e-3, 1e-3, gamma=0.98, target_update_rate=0.01, min_history=500.0)
HYPERS_ON_BRAX = SACHypers(actor_learning_rate=1e-4, critic_learning_rate=1e-3)
STEPS_BETWEEN = 1000
"""Gradient steps between recyclings, and between measurements."""
BEGINNING = 0.05
"""The first part of training, whose returns are scaled to 0."""


def relu(env: Environment, units: int) -> Network:
    """Make actor and critics of ReLUs."""
    return nets.actor_critics(env.observation, env.action, hidden=(units, units))


def bro(env: Environment, units: int) -> Network:
    """Make BRO's residual networks."""
    options = {"hidden": (units,), "blocks": 1, "critic_blocks": 2}
    return nets.actor_critics(env.observation, env.action, **options)


def treatments(updates: int) -> dict[str, Intervention | None]:
    """Return the treatments of networks with norms, by name."""
    cures = recycling()
    few = "ReDo", "ReGraMa", "random"
    return {"none": None, **{name: plasticity.every(updates, cures[name]) for name in few}}


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: SAC with ReLUs; SAC with BRO's networks and PPO with norms, with treatments."""
    environments = [make(id) for id in budget.environments]
    on_brax = all(id.startswith("Brax-") for id in budget.environments)
    config, hypers = (ON_BRAX, HYPERS_ON_BRAX) if on_brax else (CONFIG, HYPERS)
    plain, blocks = (256, 256) if on_brax else (64, 32)
    of_sac = Experiment(sac, environments, budget.seed_numbers, budget.steps, hypers, config)
    long = budget.seed_numbers, budget.steps * PPO_STEPS
    of_ppo = Experiment(ppo, environments, *long, PPO_HYPERS, PPO_CONFIG)
    shares = (plasticity.dormant(TAU_OF_REDO), plasticity.inactive(TAU_OF_REGRAMA))
    period = STEPS_BETWEEN // config.gradient_steps
    period_of_ppo = STEPS_BETWEEN // (PPO_CONFIG.epochs * PPO_CONFIG.minibatches)
    few = treatments(period_of_ppo)
    return {
        "sac-relu": of_sac._replace(
            network=partial(relu, units=plain), metrics=(agreement,), measure_every=period
        ),
        "sac-bro": of_sac._replace(
            network=partial(bro, units=blocks),
            intervention=treatments(period),
            metrics=shares,
            measure_every=period,
        ),
        "ppo-norm": of_ppo._replace(
            network=partial(actor_critic, normed=True),
            intervention={name: few[name] for name in ("none", "ReDo", "ReGraMa")},
            metrics=shares,
            measure_every=period_of_ppo,
        ),
    }


def progress(curves: Curves, treatment: str) -> Array:
    """Scale final returns, f32[S, environments]: untreated agents begin at 0 and end at 1.

    A member that diverged has the worst final return in all arms of the study, and at most that of
    a random policy if known; NaN if untreated agents learnt nothing.
    """
    known = [str(name) for name in curves["intervention"].values]
    final = returns(curves)  # [S, interventions, environments]
    plain, found = (final[:, known.index(name)] for name in ("none", treatment))
    low = jnp.nanmean(measured(curves.sel(intervention="none"), measure=_beginning), axis=0)[None]
    span = jnp.nanmean(plain, axis=0)[None] - low
    return jnp.where(span > 0, (found - low) / span, jnp.nan)


def _beginning(values: np.ndarray, episodes: np.ndarray | None) -> Array:
    assert episodes is not None
    few = max(1, round(BEGINNING * values.shape[-1]))
    return final_score(values[..., :few], episodes[..., :few], share=1.0)


def gain(treatment: str, over: str) -> Callable[[Key, Curves], Effect]:
    """Make the effect: the final score with one treatment minus that with another."""

    def effect(key: Key, curves: Curves) -> Effect:
        return stats.difference(
            key, progress(curves, treatment), progress(curves, over), paired=True
        )

    return effect


def unseen(key: Key, curves: Curves) -> Effect:
    """Estimate the share without gradient minus that without activation, in the second half."""
    plain = curves.sel(intervention="none")

    def share(name: str) -> Array:
        return jnp.nanmean(late(plain, plain[name], 0.5), axis=-1)

    return estimated(key, share(f"inactive_{TAU_OF_REGRAMA:g}") - share(f"dormant_{TAU_OF_REDO:g}"))


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw the effects of treatments, the agreement of both scores, and both over time."""
    panels: list[Panel] = []
    titles = {"sac-bro": "SAC, BRO's networks", "ppo-norm": "PPO, LayerNorm and GELU"}
    for arm, title in titles.items():
        treated = curves[arm]
        names = [str(x) for x in treated["intervention"].values if x != "none"]
        found = {name: gain(name, "none")(key, treated) for name in names}
        panels.append(
            ranking(title, "final score less that of none", found=found, against=0.0, smallest=0.05)
        )
    alike = tuple(
        over_time(key, name, curves["sac-relu"], f"jaccard_{name}") for name in ("text", "released")
    )
    steps = "environment steps"
    panels.append(
        Lines("ReLU: units without activation, without gradient", steps, "Jaccard", alike)
    )
    for arm, title in titles.items():
        plain = curves[arm].sel(intervention="none")
        lines = (
            over_time(key, "inactive", plain, f"inactive_{TAU_OF_REGRAMA:g}"),
            over_time(key, "dormant", plain, f"dormant_{TAU_OF_REDO:g}"),
        )
        panels.append(Lines(title, steps, "share of units", lines))
    return tuple(panels)


def learnt(key: Key, curves: Curves) -> Effect:
    """Estimate the gain of untreated agents in training, in standard deviations of their seeds.

    Final minus initial returns; the smallest of all environments.
    """
    plain = curves.sel(intervention="none")
    gained = returns(plain) - measured(plain, measure=_beginning)
    deviation = jnp.nanstd(gained, axis=0, ddof=1, keepdims=True)
    return estimated(key, gained / deviation, smallest_mean)


def _gates(agent: str, arm: str) -> tuple[Gate, Gate]:
    """Make gates: an agent learns without treatment, and ReGraMa recycles its units."""
    name = agent.upper()
    counter, bound = "regrama_recycled", 5.0
    treated = f"{agent} recycles", f"ReGraMa recycles units of {name}.", arm, counter, bound
    return (
        Gate(
            f"{agent} learns",
            f"{name} without treatment gains more than luck makes.",
            over=(arm,),
            measure=learnt,
            direction=MORE,
            bound=2.0,
            unit="standard deviations of seeds",
            remedy="more steps",
        ),
        recycles(*treated, intervention="ReGraMa"),
    )


SILENT = "With ReLUs (SAC), units without activation"
JACCARD: dict[str, Any] = {"smallest": 0.0, "against": 0.9, "unit": "Jaccard index"}
JACCARD |= {"gates": ("falls silent",)}
TREATED = ("sac learns", "sac recycles")
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            f"{SILENT} are those without gradient of their weights.",
            ("sac-relu",),
            agrees("jaccard_released"),
            MORE,
            **JACCARD,
        ),
        Claim(
            f"{SILENT} are those without gradient dL/dh.",
            ("sac-relu",),
            agrees("jaccard_text"),
            MORE,
            **JACCARD,
        ),
        Claim(
            "In BRO's networks more units lack gradients than activation (SAC).",
            ("sac-bro",),
            unseen,
            MORE,
            unit="share of units",
            gates=("sac learns",),
        ),
        Claim(
            "In BRO's networks ReGraMa scores more than ReDo (SAC).",
            ("sac-bro",),
            gain("ReGraMa", "ReDo"),
            MORE,
            unit="score of none",
            gates=TREATED,
        ),
        Claim(
            "With norms ReGraMa scores more than ReDo (PPO).",
            ("ppo-norm",),
            gain("ReGraMa", "ReDo"),
            MORE,
            unit="score of none",
            gates=("ppo learns", "ppo recycles"),
        ),
        Claim(
            "Recycling as many units at random is not better than ReGraMa (SAC).",
            ("sac-bro",),
            gain("ReGraMa", "random"),
            MORE,
            smallest=0.0,
            against=-0.05,
            unit="score of none",
            gates=TREATED,
        ),
    ),
    figure,
    gates=(
        Gate(
            "falls silent",
            "ReLUs of SAC fall silent in nearly every member.",
            over=("sac-relu",),
            measure=silent,
            direction=MORE,
            bound=0.9,
            unit="share of members",
            remedy="longer runs, or a task on which units are lost",
        ),
        *_gates("sac", "sac-bro"),
        *_gates("ppo", "ppo-norm"),
    ),
    quick=Budget(("Pendulum-v1",), 5, 1.2e4),
    standard=Budget(("Pendulum-v1",), 8, 2e4, first_seed=1000),
    full=Budget(("Brax-halfcheetah", "Brax-walker2d"), 16, 1e6, first_seed=2000),
)
