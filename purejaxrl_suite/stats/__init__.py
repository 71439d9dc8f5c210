"""Statistics over seeds, on device: the interquartile mean and its bootstrap interval."""

from purejaxrl_suite.stats.aggregate import iqm
from purejaxrl_suite.stats.bootstrap import bootstrap_interval

__all__ = ["bootstrap_interval", "iqm"]
