"""What people look at: figures and tables of learning curves."""

from purejaxrl_suite.report.figures import learning_curves
from purejaxrl_suite.report.summary import final_scores
from purejaxrl_suite.report.tables import table

__all__ = ["final_scores", "learning_curves", "table"]
