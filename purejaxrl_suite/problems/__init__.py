"""Problems: what is learnt without an environment.

Each is a function (config, hypers) -> Problem, for `run`, `sweep`, `plan` and the command line.
"""

from purejaxrl_suite.problems.annotators import (
    Annotator,
    chooses,
    chooses_directly,
    chooses_geometrically,
    disagree,
)
from purejaxrl_suite.problems.curves import CurveConfig, CurveHypers, cubic, lissajous
from purejaxrl_suite.problems.items import Items, bandit, grid, tabular, trajectories
from purejaxrl_suite.problems.preferences import (
    DirectHypers,
    GeometricHypers,
    IdentityHypers,
    PreferenceConfig,
    RewardHypers,
    SupervisedConfig,
    SupervisedHypers,
    dpo,
    geometric_average,
    ipo,
    likelihood,
    reward_model,
    slic,
)

__all__ = [
    "Annotator",
    "CurveConfig",
    "CurveHypers",
    "DirectHypers",
    "GeometricHypers",
    "IdentityHypers",
    "Items",
    "PreferenceConfig",
    "RewardHypers",
    "SupervisedConfig",
    "SupervisedHypers",
    "bandit",
    "chooses",
    "chooses_directly",
    "chooses_geometrically",
    "cubic",
    "disagree",
    "dpo",
    "geometric_average",
    "grid",
    "ipo",
    "likelihood",
    "lissajous",
    "reward_model",
    "slic",
    "tabular",
    "trajectories",
]
