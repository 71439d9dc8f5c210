"""Executable papers: claims about trained arms, all judged by the same rules.

A study is one file of this folder; `protocol` says what is in it, `run_study` runs it, `judging`
judges its claims, and a `StudyResult` in one small JSON file is what remains.
"""

from purejaxrl_suite.studies.panels import (
    Bars,
    Heat,
    Interval,
    Intervals,
    Line,
    Lines,
    line,
    row,
    spread,
)
from purejaxrl_suite.studies.protocol import (
    EQUAL,
    LESS,
    MORE,
    Budget,
    Claim,
    Computation,
    Continuation,
    Gate,
    Study,
)
from purejaxrl_suite.studies.run import conclude, run_study
from purejaxrl_suite.studies.scores import normalized_scores
from purejaxrl_suite.studies.study_result import Ruling, StudyResult, read, results, write

__all__ = [
    "EQUAL",
    "LESS",
    "MORE",
    "Bars",
    "Budget",
    "Claim",
    "Computation",
    "Continuation",
    "Gate",
    "Heat",
    "Interval",
    "Intervals",
    "Line",
    "Lines",
    "StudyResult",
    "Ruling",
    "Study",
    "conclude",
    "line",
    "normalized_scores",
    "read",
    "results",
    "row",
    "run_study",
    "spread",
    "write",
]
