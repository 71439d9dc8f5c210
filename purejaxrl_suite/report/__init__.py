"""What people look at: figures and tables of runs and sweeps."""

from purejaxrl_suite.report.figures import learning_curves
from purejaxrl_suite.report.ranking import best
from purejaxrl_suite.report.sensitivity import sensitivity
from purejaxrl_suite.report.summary import final_scores
from purejaxrl_suite.report.tables import table

__all__ = ["best", "final_scores", "learning_curves", "sensitivity", "table"]
