"""Reports: figures, tables and pages of runs and sweeps, and exports of curves."""

from purejaxrl_suite.report.animation import animate
from purejaxrl_suite.report.claims import claims_figure
from purejaxrl_suite.report.comparisons import (
    improvement,
    intervals,
    performance_profiles,
    ranked,
    scaling,
)
from purejaxrl_suite.report.export import (
    frame,
    to_csv,
    to_mlflow,
    to_netcdf,
    to_parquet,
    to_tensorboard,
    to_wandb,
)
from purejaxrl_suite.report.figures import learning_curves
from purejaxrl_suite.report.layers import layer_maps
from purejaxrl_suite.report.page import page
from purejaxrl_suite.report.pianist import perform
from purejaxrl_suite.report.ranking import best
from purejaxrl_suite.report.sensitivity import sensitivity
from purejaxrl_suite.report.silicon import silicon_path
from purejaxrl_suite.report.sound import sonify
from purejaxrl_suite.report.studies import panels_figure
from purejaxrl_suite.report.summary import final_scores
from purejaxrl_suite.report.tables import table
from purejaxrl_suite.report.viewer import has_viewer, view

__all__ = [
    "animate",
    "best",
    "claims_figure",
    "final_scores",
    "frame",
    "has_viewer",
    "improvement",
    "intervals",
    "layer_maps",
    "learning_curves",
    "page",
    "panels_figure",
    "perform",
    "performance_profiles",
    "ranked",
    "scaling",
    "sensitivity",
    "silicon_path",
    "sonify",
    "table",
    "to_csv",
    "to_mlflow",
    "to_netcdf",
    "to_parquet",
    "to_tensorboard",
    "to_wandb",
    "view",
]
