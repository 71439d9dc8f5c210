"""The methods of sparse training, as values: what scores weights, when, where, and how many.

Those of JaxPruner (Lee et al. 2023, arXiv 2304.14082). Dense-to-sparse methods begin with all
weights and prune some for good; sparse methods begin with random masks of the target sparsity, and
SET and RigL then move them without changing their number. `sparsity.masks` computes what an updater
says.

Defaults are those of the study of sparse training in deep RL (Graesser et al. 2022, arXiv
2206.10369): the cubic schedule and the Erdos-Renyi-kernel distribution.
"""

from typing import NamedTuple

from purejaxrl_suite.core.argument import instance, wrong
from purejaxrl_suite.sparsity import distributions, schedules, scores, structures
from purejaxrl_suite.sparsity.distributions import Distribution
from purejaxrl_suite.sparsity.schedules import Drop, Schedule
from purejaxrl_suite.sparsity.scores import Score
from purejaxrl_suite.sparsity.structures import Structure


class Updater(NamedTuple):
    """A method of sparse training.

    name: with all settings, for messages and run folders.
    score: what is kept if it is high; None where masks never change.
    grow: what grows if it is high: masks then keep their number of weights, of which those that
        score least are replaced. None of methods that only prune.
    schedule: how much of the target is in force.
    drop: which share of the weights is replaced; None of methods that only prune.
    distribution: of the target over layers; None compares all weights of all layers at once.
    structure: what is kept or pruned together.
    sparse_from_start: masks begin random, at the target; else they begin dense.
    straight_through: masks are chosen anew each time from dense weights, which are masked inside
        the differentiated function; else what is pruned is zero, and stays pruned while the
        sparsity does not fall.
    """

    name: str
    score: Score | None
    grow: Score | None
    schedule: Schedule
    drop: Drop | None
    distribution: Distribution | None
    structure: Structure
    sparse_from_start: bool = False
    straight_through: bool = False


def no_prune() -> Updater:
    """Train densely: the baseline through the same code."""
    return _updater("no_prune", None, schedules.constant())


def static(
    *, distribution: Distribution | None = None, structure: Structure | None = None
) -> Updater:
    """Train with one random mask from beginning to end."""
    constant = schedules.constant()
    made = _updater("static", None, constant, distribution, structure)
    return made._replace(sparse_from_start=True)


def magnitude(
    *,
    schedule: Schedule | None = None,
    distribution: Distribution | None = None,
    structure: Structure | None = None,
) -> Updater:
    """Prune the smallest weights (Zhu and Gupta 2017, arXiv 1710.01878).

    Args:
        schedule: how much of the target is in force; None is `cubic()`, `one_shot()` for n of m.
        distribution: of the target over layers; None is `erk()`, `uniform()` for n of m.
        structure: what is pruned together; None is `unstructured()`.
    """
    return _updater("magnitude", scores.magnitude, schedule, distribution, structure)


def random(
    *,
    schedule: Schedule | None = None,
    distribution: Distribution | None = None,
    structure: Structure | None = None,
) -> Updater:
    """Prune by chance, as a baseline; arguments are those of `magnitude`."""
    return _updater("random", scores.random, schedule, distribution, structure)


def saliency(
    *,
    schedule: Schedule | None = None,
    distribution: Distribution | None = None,
    structure: Structure | None = None,
) -> Updater:
    """Prune weights with the least |w dL/dw|; arguments are those of `magnitude`."""
    return _updater("saliency", scores.saliency, schedule, distribution, structure)


def adam_fisher(
    *,
    schedule: Schedule | None = None,
    distribution: Distribution | None = None,
    structure: Structure | None = None,
) -> Updater:
    """Prune weights with the least w^2 nu, Adam's second moment; arguments as of `magnitude`."""
    return _updater("adam_fisher", scores.adam_fisher, schedule, distribution, structure)


def global_magnitude(*, schedule: Schedule | None = None) -> Updater:
    """Prune the smallest weights of all layers at once, each relative to the norm of its layer.

    Only the total is the target: one layer may stay dense, and another one lose all its weights.
    """
    return _global("global_magnitude", scores.magnitude, schedule)


def global_saliency(*, schedule: Schedule | None = None) -> Updater:
    """Prune weights with the least |w dL/dw| of all layers at once, as `global_magnitude` does."""
    return _global("global_saliency", scores.saliency, schedule)


def magnitude_ste(
    *,
    schedule: Schedule | None = None,
    distribution: Distribution | None = None,
    structure: Structure | None = None,
) -> Updater:
    """Train dense weights through masks of the largest: the straight-through estimator.

    Bengio et al. 2013, arXiv 1308.3432: the loss is that of masked weights, and its gradient moves
    all of them. Arguments are those of `magnitude`.
    """
    made = _updater("magnitude_ste", scores.magnitude, schedule, distribution, structure)
    return made._replace(straight_through=True)


def random_ste(
    *,
    schedule: Schedule | None = None,
    distribution: Distribution | None = None,
    structure: Structure | None = None,
) -> Updater:
    """Train dense weights through random masks, other ones each time, as `magnitude_ste` does."""
    made = _updater("random_ste", scores.random, schedule, distribution, structure)
    return made._replace(straight_through=True)


def ac_dc(
    cycles: int = 5,
    sparse: float = 0.5,
    *,
    distribution: Distribution | None = None,
    structure: Structure | None = None,
) -> Updater:
    """Prune the smallest weights, let all come back, and so on: alternating compression, AC/DC.

    Peste et al. 2021, arXiv 2106.12379. What comes back starts at zero. Training is dense before
    `start` and sparse from `end` on.

    Args:
        cycles: sparse and dense phases between `start` and `end`.
        sparse: the share of the sparse phase in each.
        distribution, structure: as of `magnitude`; the paper's distribution is `uniform()`.
    """
    phases = schedules.cycles(cycles, sparse)
    return _updater("ac_dc", scores.magnitude, phases, distribution, structure)


def sparse_evolutionary(
    *,
    drop: Drop | None = None,
    distribution: Distribution | None = None,
    structure: Structure | None = None,
) -> Updater:
    """Sparse evolutionary training, SET: replace the smallest weights by random new ones.

    Mocanu et al. 2018, arXiv 1707.04780.

    Args:
        drop: which share of the weights is replaced; None is `constant_drop()`.
        distribution: of the target over layers; None is `erk()`.
        structure: what is replaced together; None is `unstructured()`; blocks and channels fit,
            n of m does not.
    """
    drop = schedules.constant_drop() if drop is None else drop
    return _evolving("set", scores.random, drop, distribution, structure)


def rigl(
    *,
    drop: Drop | None = None,
    distribution: Distribution | None = None,
    structure: Structure | None = None,
) -> Updater:
    """RigL: replace the smallest weights by those with the largest gradients.

    Evci et al. 2020, arXiv 1911.11134. Arguments are those of `sparse_evolutionary`, but
    that `drop` is `cosine_drop()`.
    """
    drop = schedules.cosine_drop() if drop is None else drop
    return _evolving("rigl", scores.gradient, drop, distribution, structure)


def _updater(
    name: str,
    score: Score | None,
    schedule: Schedule | None = None,
    distribution: Distribution | None = None,
    structure: Structure | None = None,
    drop: Drop | None = None,
) -> Updater:
    structure = structures.unstructured() if structure is None else structure
    instance("structure", structure, Structure)
    fixed = structure.sparsity is not None
    if schedule is None:
        schedule = schedules.one_shot() if fixed else schedules.cubic()
    if distribution is None:
        distribution = distributions.uniform() if fixed else distributions.erk()
    instance("schedule", schedule, Schedule)
    instance("distribution", distribution, Distribution)
    if fixed and schedule.gradual:
        text = f"one that is not gradual, as {structure.name} is all or nothing"
        raise wrong("schedule", text, schedule.name)
    if fixed and any(distribution.told):
        text = f"one that tells of dense layers only, 0, as {structure.name} is all or nothing"
        raise wrong("distribution", text, distribution.name)
    when = schedule.name if drop is None else instance("drop", drop, Drop).name
    return Updater(
        name=f"{name}({when}, {distribution.name}, {structure.name})",
        score=score,
        grow=None,
        schedule=schedule,
        drop=drop,
        distribution=distribution,
        structure=structure,
    )


def _global(name: str, score: Score, schedule: Schedule | None) -> Updater:
    made = _updater(name, scores.globally(score), schedule)
    return made._replace(name=f"{name}({made.schedule.name})", distribution=None)


def _evolving(
    name: str,
    grow: Score,
    drop: Drop,
    distribution: Distribution | None,
    structure: Structure | None,
) -> Updater:
    constant = schedules.constant()
    made = _updater(name, scores.magnitude, constant, distribution, structure, drop)
    if not made.structure.evolves:
        raise wrong("structure", "one whose weights can be replaced", made.structure.name)
    return made._replace(grow=grow, sparse_from_start=True)
