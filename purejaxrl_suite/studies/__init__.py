"""Executable papers: claims over arms that train, are measured and are judged by one rule.

A study is one file of this folder; `protocol` says what is in it, `run_study` carries it out,
`judging` says what its data can bear, and a `StudyResult` is what is left, in one small JSON file.
"""

from purejaxrl_suite.studies.panels import Heat, Interval, Intervals, Line, Lines, line, row
from purejaxrl_suite.studies.protocol import EQUAL, LESS, MORE, Budget, Claim, Gate, Study
from purejaxrl_suite.studies.run import conclude, run_study
from purejaxrl_suite.studies.scores import normalized_scores
from purejaxrl_suite.studies.study_result import Ruling, StudyResult, read, results, write

__all__ = [
    "EQUAL",
    "LESS",
    "MORE",
    "Budget",
    "Claim",
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
    "write",
]
