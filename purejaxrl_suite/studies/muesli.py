"""Does Muesli learn more than a policy gradient with the same model, and what of it is needed?

Paper: Hessel et al. 2021, Muesli: combining improvements in policy optimization, arXiv 2104.06159.
Figure: its ablations on Atari (the policy update, the model's loss, its steps, samples of the
    pull), and the test of the scale of advantages, on small tasks.
Claim: Muesli scores more than a policy gradient with the same model; the model's loss of the policy
    and several steps of the model help; sampled pulls do as well as exact ones with 16 samples;
    with the clip the scale of rewards does not matter, without it large rewards do harm.

All arms have 16 environments, rollouts of 16 steps, and one trunk of 64 units; PPO as well. The
model has 64 units and looks 5 steps ahead. Scores are normalized, 0 of random policies and 1 of the
best, in the last tenth of training, and the rewards of the sweep are divided by their scale
before. The outermost atoms of values are those of a return of 150, in each scale. Rates and sizes
are our setting.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets, stats
from purejaxrl_suite.agents.muesli import MuesliConfig, MuesliHypers, muesli
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.core.types import Array, Environment, Key, Network
from purejaxrl_suite.envs import make
from purejaxrl_suite.envs.wrappers import scale_reward
from purejaxrl_suite.nets.latent_model import LatentModel
from purejaxrl_suite.ops.value_transforms import signed_hyperbolic
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.panels import Intervals, Lines, Panel, row
from purejaxrl_suite.studies.plasticity_panels import over_time
from purejaxrl_suite.studies.protocol import EQUAL, LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import BESIDE, RETURN, estimated, normalized_scores
from purejaxrl_suite.sweeps.experiment import Experiment

CONFIG = MuesliConfig(
    num_envs=16, rollout_length=16, batch_size=32, fresh=16, sequence_length=16, capacity=20_000
)
LARGEST = 150.0
"""The return that the outermost atoms are at."""
OF_PPO = PPOConfig(num_envs=16, rollout_length=16, epochs=4, minibatches=4)
PPO_HYPERS = PPOHypers(learning_rate=3e-3)
MUESLI, PPO, GRADIENT = "Muesli", "PPO", "gradient + model"
PULL, DIRECT, UNTAUGHT = "CMPO alone", "direct penalty", "no model loss"
ONE_STEP, UNCLIPPED, ONE, MANY = "K = 1", "no clip", "1 sample", "16 samples"
ABLATIONS = {
    GRADIENT: {"model_policy": False},
    PULL: {"policy_gradient": False},
    DIRECT: {"direct_mpo": True},
    UNTAUGHT: {"model_policy": False},
    ONE_STEP: {"unroll_length": 1},
    UNCLIPPED: {"clip_advantages": False},
    ONE: {"kl_samples": 1},
    MANY: {"kl_samples": 16},
}
"""Fields of the Config by arm."""
SCALES = (1e-3, 1.0, 1e3)
LEARNT = 0.3
"""A normalized score that shows learning."""


def scaled(clip: bool, scale: float) -> str:
    """Name the arm with a clip or without whose rewards have this scale."""
    if scale == 1.0:
        return MUESLI if clip else UNCLIPPED
    return f"{'clip' if clip else UNCLIPPED}, rewards x {scale:g}"


OF_CLIP, OF_NONE = (tuple(scaled(clip, x) for x in SCALES) for clip in (True, False))


def hypers(scale: float) -> MuesliHypers:
    """Make Muesli's Hypers for rewards of a scale."""
    bound = float(signed_hyperbolic(jnp.float32(LARGEST * scale)))
    return MuesliHypers(learning_rate=3e-3, gamma=0.99, value_bound=bound)


def model(env: Environment) -> LatentModel:
    """Make Muesli's network."""
    return nets.latent_model(
        env.observation,
        env.action,
        hidden=(64,),
        encoder=nets.flat(),
        model_units=64,
    )


def actor_critic(env: Environment) -> Network:
    """Make PPO's network, with the same trunk."""
    return nets.actor_critic(
        env.observation,
        env.action,
        hidden=(64,),
        activation=jax.nn.relu,
        encoder=nets.flat(),
        shared=True,
    )


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: Muesli, PPO, Muesli's ablations, and rewards of other scales."""
    environments = [make(id) for id in budget.environments]
    size = budget.seed_numbers, budget.steps
    plain = Experiment(muesli, environments, *size, hypers(1.0), CONFIG, model)
    made = {
        MUESLI: plain,
        PPO: Experiment(ppo, environments, *size, PPO_HYPERS, OF_PPO, actor_critic),
    }
    made |= {
        name: plain._replace(config=CONFIG._replace(**changes))
        for name, changes in ABLATIONS.items()
    }
    alone = hypers(1.0)._replace(kl_weight=0.0)
    made[GRADIENT] = made[GRADIENT]._replace(hypers=alone)
    for clip, scale in ((clip, x) for clip in (True, False) for x in SCALES if x != 1.0):
        made[scaled(clip, scale)] = plain._replace(
            env=[scale_reward(env, scale) for env in environments],
            hypers=hypers(scale),
            config=CONFIG._replace(clip_advantages=clip),
        )
    return made


def scores(curves: Curves, scale: float = 1.0) -> Array:
    """Compute normalized scores f32[S, environments] of an arm with rewards of a scale."""
    returns = curves[RETURN]
    whole = curves.assign({RETURN: (returns / scale).assign_attrs(returns.attrs)})
    # Returns of other arms have other scales: a member that diverged has the worst of its own.
    return normalized_scores(whole.assign_attrs({BESIDE: (whole,)}))


def level(key: Key, curves: Curves) -> Effect:
    """Estimate the IQM of an arm's scores."""
    return estimated(key, scores(curves), stats.iqm)


def gain(key: Key, one: Curves, other: Curves) -> Effect:
    """Estimate the IQM of scores of one arm minus that of another."""
    return stats.difference(key, scores(one), scores(other), paired=False)


def spread(key: Key, *each: Curves) -> Effect:
    """Estimate how far mean scores over the scales are apart, as a share of their mean."""
    found = jnp.stack([scores(x, scale) for x, scale in zip(each, SCALES, strict=True)], axis=-1)

    def share(values: Array) -> Array:
        means = jnp.mean(values, axis=tuple(range(values.ndim - 1)))
        return (jnp.max(means) - jnp.min(means)) / jnp.mean(means)

    return estimated(key, found, share)


def kept(key: Key, plain: Curves, large: Curves) -> Effect:
    """Estimate the mean score with the largest rewards as a share of that with plain ones."""
    found = jnp.stack([scores(plain), scores(large, SCALES[-1])], axis=-1)

    def share(values: Array) -> Array:
        means = jnp.mean(values, axis=tuple(range(values.ndim - 1)))
        return means[1] / means[0]

    return estimated(key, found, share)


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw returns over training, and scores of all arms and scales at its end."""
    panels: list[Panel] = []
    for task in map(str, curves[MUESLI]["environment"].values):
        lines = tuple(
            over_time(key, name, curves[name].sel(environment=[task]), RETURN)
            for name in (MUESLI, PPO, GRADIENT, PULL)
        )
        panels.append(Lines(task, "environment steps", "return, IQM", lines))
    ends = tuple(row(name, level(key, curves[name])) for name in (MUESLI, PPO, *ABLATIONS))
    panels.append(Intervals("Scores at the end", "normalized score, IQM", ends))
    scales = tuple(
        row(name, estimated(key, scores(curves[name], scale), stats.iqm))
        for names in (OF_CLIP, OF_NONE)
        for name, scale in zip(names, SCALES, strict=True)
    )
    panels.append(Intervals("Scales of rewards", "normalized score, IQM", scales))
    return tuple(panels)


def more(statement: str, one: str, other: str) -> Claim:
    """Make the claim that one arm scores more than another."""
    return Claim(statement, (one, other), gain, MORE)


def learns(name: str, statement: str, arm: str) -> Gate:
    """Make the gate: an arm has learnt."""
    return Gate(
        name,
        statement,
        (arm,),
        level,
        MORE,
        LEARNT,
        "normalized score",
        "more steps, or other rates",
    )


STUDY = Study(
    __doc__,
    arms,
    (
        more("Muesli scores more than a policy gradient with the same model.", MUESLI, GRADIENT),
        more("It scores more than PPO after as many steps.", MUESLI, PPO),
        more("It scores more than with a direct penalty in place of CMPO.", MUESLI, DIRECT),
        more("It scores more than without the model's loss of the policy.", MUESLI, UNTAUGHT),
        more("It scores more than with a model of one step.", MUESLI, ONE_STEP),
        Claim("16 samples do as well as the exact pull.", (MANY, MUESLI), gain, EQUAL),
        more("A single sample does worse than the exact pull.", MUESLI, ONE),
        Claim(
            "With the clip, scores are within a tenth of each other over scales of rewards.",
            OF_CLIP,
            spread,
            LESS,
            smallest=0.0,
            against=0.1,
            unit="share of the mean score",
        ),
        Claim(
            "Without it, rewards a thousand times as large leave less than half of the score.",
            (OF_NONE[1], OF_NONE[2]),
            kept,
            LESS,
            smallest=0.0,
            against=0.5,
            unit="share of the score",
        ),
    ),
    figure,
    gates=(
        learns("muesli learns", "Muesli learns the tasks.", MUESLI),
        learns("ppo learns", "PPO learns the tasks.", PPO),
    ),
    quick=Budget(("Catch-bsuite",), 3, 6e4),
    standard=Budget(("Catch-bsuite", "CartPole-v1"), 10, 2e5, first_seed=1000),
    full=Budget(
        ("Asterix-MinAtar", "Breakout-MinAtar", "SpaceInvaders-MinAtar"), 16, 5e6, first_seed=2000
    ),
)
