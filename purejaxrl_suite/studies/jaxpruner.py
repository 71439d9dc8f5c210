"""Do the methods of sparse training rank in deep RL as they do in supervised learning?

Paper: Lee et al. 2023, JaxPruner: a concise library for sparsity research, arXiv 2304.14082.
Figure: its tables of methods, of ResNet-50 and vision transformers on ImageNet and of DQN on Atari;
    here of a classification task that is made on the device, and of DQN on MinAtar (full) or Catch.
Claim: pruning by magnitude is better than masks that move (SET, RigL), these are better than static
    ones, and random pruning is worse than by magnitude; the straight-through estimator is as good
    as pruning, RigL as SET.

"prototypes" is classification as a contextual bandit (our setting): an observation is one of 8
noisy prototypes of one of 10 classes, an action names a class, and the reward is 1 if it is right.
PQN learns it, with five times the steps of DQN; so what is fitted is the reward of the class that
was named, not a label, and a score is the share of right answers, 0 at that of random ones. Masks
are 95 % sparse with ERK; `full` has 98 % too, as the paper's DQN has. Pruning is cubic between 20
and 80 % of training (our setting); SET and RigL replace 30 % at first, as the paper's DQN does.
Level 0 of static masks is the dense network. Layers have 128 units; DQN and how often
masks are renewed are those of `state_of_sparse_training`.
"""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp

from purejaxrl_suite import sparsity, stats
from purejaxrl_suite.agents.pqn import PQNConfig, PQNHypers, pqn
from purejaxrl_suite.core.types import Array, Box, Discrete, Environment, Key, PyTree, TimeStep
from purejaxrl_suite.sparsity import Updater
from purejaxrl_suite.stats import Effect, Reference, Score
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.dormant_neurons import growth
from purejaxrl_suite.studies.gates import LEARNT, reaches
from purejaxrl_suite.studies.panels import Lines, Panel
from purejaxrl_suite.studies.plasticity_panels import over_time, ranking
from purejaxrl_suite.studies.protocol import EQUAL, LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import estimated, normalized_scores
from purejaxrl_suite.studies.state_of_sparse_training import (
    DENSE,
    LONGER,
    Base,
    bases,
    network,
    off_target,
    with_method,
)
from purejaxrl_suite.sweeps.experiment import Experiment

CLASSES, PROTOTYPES, FEATURES = 10, 8, 64
NOISE = 1.0
"""Standard deviation of features; prototypes are drawn with 1."""
SEED = 9
"""Of the prototypes, which are the same in all runs."""
TASK = "prototypes"
LEVEL, HIGHER = 0.95, 0.98
UNITS = 128
BANDIT, GAME = "bandit", "dqn"
RULE = Score(1.0 / CLASSES, "an answer that ignores the observation", "1", True)
REFERENCES = stats.REFERENCES | {
    TASK: Reference(RULE, RULE._replace(value=1.0, source="all right"))
}
ORDERED = ("static", "set", "magnitude")
"""Methods as the paper ranks them, the worst first."""


def prototypes() -> Environment:
    """Make the task: name the class of an observation f32[64]; episodes of one step."""

    def init(key: Key, params: PyTree) -> tuple[Array, Array]:
        which, noise = jax.random.split(key)
        shape = CLASSES, PROTOTYPES, FEATURES
        means = jax.random.normal(jax.random.key(SEED), shape)
        index = jax.random.randint(which, (), 0, CLASSES * PROTOTYPES)
        label, number = jnp.divmod(index, PROTOTYPES)
        return label, means[label, number] + NOISE * jax.random.normal(noise, (FEATURES,))

    def step(key: Key, params: PyTree, state: Array, action: Array) -> tuple[Array, TimeStep]:
        over = jnp.ones((), bool)
        obs = jnp.zeros(FEATURES)
        reward = (action == state).astype(jnp.float32)
        return state, TimeStep(obs, reward, over, ~over, obs, {})

    return Environment(
        name=TASK,
        observation=Box((FEATURES,)),
        action=Discrete(CLASSES),
        time_limit=1,
        params=(),
        init=init,
        step=step,
    )


def methods() -> dict[str, Updater]:
    """Return the methods by name, with ERK densities."""
    drop = sparsity.cosine_drop()
    return {
        "magnitude": sparsity.magnitude(),
        "ste": sparsity.magnitude_ste(),
        "set": sparsity.sparse_evolutionary(drop=drop),
        "rigl": sparsity.rigl(drop=drop),
        "static": sparsity.static(),
        "random": sparsity.random(),
    }


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms `bandit-set`, PQN on the task with a method, and `dqn-set`, DQN on games.

    DQN has all methods in `full`, else those that claims are about.
    """
    games = [minatar.board(id) for id in budget.environments if id != TASK]
    whole = budget == STUDY.full
    levels = (LEVEL, HIGHER) if whole else (LEVEL,)
    of_pqn = PQNConfig(num_envs=64, rollout_length=4, epochs=2, minibatches=4)
    hypers = PQNHypers(learning_rate=1e-3)
    bandit, game = Base(pqn, of_pqn, hypers, True), bases()["dqn"]
    few = tuple(methods()) if whole else (*ORDERED, "random")
    kinds = {BANDIT: (bandit, [prototypes()], methods()), GAME: (game, games, few)}
    made = {}
    for kind, (base, environments, names) in kinds.items():
        of = partial(network, units=UNITS, large=False, layer_norm=base.layer_norm)
        size = budget.seed_numbers, budget.steps * (LONGER if kind == BANDIT else 1)
        plain = Experiment(base.builder, environments, *size, base.hypers, base.config, of)
        # An episode of the task is one step: each needs a start of its own.
        plain = plain._replace(reset_pool=0 if kind == BANDIT else 1)
        for name in names:
            at = (DENSE, *levels) if name == "static" else levels
            made[f"{kind}-{name}"] = with_method(plain, methods()[name], at)
    return made


def scores(curves: Curves, level: float = LEVEL) -> Array:
    """Compute final scores at a level of sparsity, f32[S, environments]."""
    return normalized_scores(curves.sel(sparsity=level), references=REFERENCES)


def ranked(key: Key, *curves: Curves) -> Effect:
    """Estimate the rank correlation of scores with the order of the arms, over seeds."""
    return estimated(key, growth(jnp.stack([scores(one) for one in curves], axis=-1)))


def gain(key: Key, one: Curves, other: Curves) -> Effect:
    """Estimate the IQM of scores of one arm minus that of another."""
    return stats.difference(key, scores(one), scores(other), paired=True)


def loss(key: Key, pruned: Curves, static: Curves) -> Effect:
    """Estimate the IQM of scores of an arm minus that of dense networks."""
    return stats.difference(key, scores(pruned), scores(static, DENSE), paired=True)


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw what each method loses against dense networks, and returns over time."""
    titles = {BANDIT: "Classification (bandit)", GAME: "DQN"}
    panels: list[Panel] = []
    for kind, title in titles.items():
        own = {name.partition("-")[2]: one for name, one in curves.items() if kind in name}
        found = {name: loss(key, one, own["static"]) for name, one in own.items()}
        text = "score less that of dense, 95 % interval"
        panels.append(ranking(f"{title}, {LEVEL:.0%} sparse", text, found, 0.0, 0.05))
        known = {"dense": own["static"].sel(sparsity=DENSE)}
        known |= {name: one.sel(sparsity=LEVEL) for name, one in own.items()}
        lines = tuple(over_time(key, name, x, "episode_return") for name, x in known.items())
        panels.append(Lines(title, "environment steps", "return in training, IQM", lines))
    return tuple(panels)


def _claims(kind: str, name: str) -> tuple[Claim, ...]:
    gates = (f"{kind} learns", f"{kind} masks", f"{kind} loses")
    worst = tuple(f"{kind}-{x}" for x in ("random", "magnitude"))
    return (
        Claim(
            f"{name}: the order is static, SET, magnitude, the best last.",
            tuple(f"{kind}-{x}" for x in ORDERED),
            ranked,
            MORE,
            smallest=0.3,
            unit="rank correlation",
            gates=gates,
        ),
        Claim(f"{name}: random pruning scores less.", worst, gain, LESS, gates=gates),
    )


def _gates(kind: str, name: str, arms: tuple[str, ...]) -> tuple[Gate, ...]:
    return (
        reaches(
            f"{kind} learns",
            f"{name}: dense networks learn.",
            f"{kind}-static",
            LEARNT,
            partial(scores, level=DENSE),
        ),
        Gate(
            f"{kind} masks",
            "In the end all masks are as sparse as was asked.",
            tuple(f"{kind}-{x}" for x in arms),
            off_target,
            LESS,
            0.005,
            "share of weights",
            "a run that renews masks after pruning has ended",
        ),
        Gate(
            f"{kind} loses",
            "Random pruning costs score, as the paper begins with: methods can differ.",
            (f"{kind}-random", f"{kind}-static"),
            loss,
            LESS,
            -0.05,
            "normalized score",
            "more sparsity, a smaller network, or a harder task",
        ),
    )


NAMES = {BANDIT: "Classification", GAME: "DQN"}
EQUALS = (f"{BANDIT} learns", f"{BANDIT} masks", f"{BANDIT} loses")
STUDY = Study(
    __doc__,
    arms,
    (
        *(claim for kind, name in NAMES.items() for claim in _claims(kind, name)),
        Claim(
            "Classification: the straight-through estimator scores what pruning does.",
            (f"{BANDIT}-ste", f"{BANDIT}-magnitude"),
            gain,
            EQUAL,
            gates=EQUALS,
        ),
        Claim(
            "Classification: RigL scores what SET does.",
            (f"{BANDIT}-rigl", f"{BANDIT}-set"),
            gain,
            EQUAL,
            gates=EQUALS,
        ),
    ),
    figure,
    gates=(
        *_gates(BANDIT, NAMES[BANDIT], tuple(methods())),
        *_gates(GAME, NAMES[GAME], (*ORDERED, "random")),
    ),
    quick=Budget((TASK, minatar.CATCH), 4, 6e3),
    standard=Budget((TASK, minatar.CATCH), 16, 4e4, first_seed=1000),
    full=Budget((TASK, *minatar.FOUR_GAMES), 32, 2e6, first_seed=2000),
)
