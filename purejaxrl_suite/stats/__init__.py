"""Statistics over seeds and tasks: estimates, intervals, comparisons, tests, verdicts.

Scores are f32[S, tasks], seeds first, NaN where missing; `matrix`, `matrices` and `curves` make
them from dictionaries and from learning curves. Functions that draw random numbers take a key
first.
"""

from purejaxrl_suite.stats.aggregate import (
    area_under_curve,
    average_score_profile,
    final_score,
    iqm,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    window_means,
    with_diverged,
)
from purejaxrl_suite.stats.atari import ATARI
from purejaxrl_suite.stats.bootstrap import (
    Effect,
    Estimate,
    compare,
    difference,
    estimate,
    rliable_compare,
    rliable_estimate,
    sample_efficiency,
)
from purejaxrl_suite.stats.inputs import LearningCurves, curves, matrices, matrix
from purejaxrl_suite.stats.normalization import normalize, normalize_tasks
from purejaxrl_suite.stats.proportion import clopper_pearson
from purejaxrl_suite.stats.references import REFERENCES, Reference, Score, random_score
from purejaxrl_suite.stats.thc import (
    Consistency,
    Null,
    consistency_interval,
    consistency_null,
    consistency_of_intervals,
    hyperparameter_consistency,
    overlap_ranks,
)
from purejaxrl_suite.stats.trend import Trend, jonckheere, page
from purejaxrl_suite.stats.verdicts import (
    MINIMUM_SEEDS,
    Adjusted,
    Verdict,
    equivalence_verdict,
    equivalent,
    holm,
    p_value,
    reason,
    seeds_for_equivalence,
    seeds_to_decide,
    verdict,
)

__all__ = [
    "ATARI",
    "MINIMUM_SEEDS",
    "REFERENCES",
    "Adjusted",
    "Consistency",
    "Effect",
    "Estimate",
    "LearningCurves",
    "Null",
    "Reference",
    "Score",
    "Trend",
    "Verdict",
    "area_under_curve",
    "average_score_profile",
    "clopper_pearson",
    "compare",
    "consistency_interval",
    "consistency_null",
    "consistency_of_intervals",
    "curves",
    "difference",
    "equivalence_verdict",
    "equivalent",
    "estimate",
    "final_score",
    "holm",
    "hyperparameter_consistency",
    "iqm",
    "jonckheere",
    "matrices",
    "matrix",
    "mean",
    "median",
    "normalize",
    "normalize_tasks",
    "optimality_gap",
    "overlap_ranks",
    "p_value",
    "page",
    "performance_profile",
    "probability_of_improvement",
    "random_score",
    "reason",
    "rliable_compare",
    "rliable_estimate",
    "sample_efficiency",
    "seeds_for_equivalence",
    "seeds_to_decide",
    "verdict",
    "window_means",
    "with_diverged",
]
