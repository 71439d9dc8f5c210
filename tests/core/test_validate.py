"""Ranges: what each end takes in, and that errors name field, range and value."""

import math
from typing import Annotated, NamedTuple

import numpy as np
import pytest

from purejaxrl_suite.core import validate
from purejaxrl_suite.core.validate import Range


class Inner(NamedTuple):
    switch: bool = False


class Config(NamedTuple):
    size: Annotated[int, Range(1)] = 8
    batch: Annotated[int, Range(1, "size")] = 4
    share: Annotated[float, Range(0, below=1)] = 0.5
    flag: bool = True
    inner: Inner = Inner()
    name: str = "x"


class Hypers(NamedTuple):
    rate: Annotated[float, Range(0)] = 0.1
    low: Annotated[float, Range(below="high")] = -1.0
    high: Annotated[float, Range(above="low")] = 1.0
    count: Annotated[float, Range(1, "size", integer=True)] = 2.0
    any: float = 0.0


def check(**changed):
    """The columns of values by field, each a list."""
    values = {name: [x] for name, x in Hypers()._asdict().items()} | changed
    return validate.columns(Hypers, values, Config())


@pytest.mark.parametrize(
    ("allowed", "text"),
    [
        (Range(), "a finite number"),
        (Range(0), "a number of at least 0"),
        (Range(above=0), "a number above 0"),
        (Range(high=0), "a number of at most 0"),
        (Range(below="high"), "a number below high=3"),
        (Range(0, 1), "a number in [0, 1]"),
        (Range(above=0, high=1), "a number in (0, 1]"),
        (Range(1, "high", integer=True), "an integer in [1, high=3]"),
        (Range(integer=True), "an integer"),
    ],
)
def test_a_range_says_what_it_is(allowed, text):
    assert allowed.describe({"high": 3}) == text
    assert allowed.describe() == text.replace("=3", "")


def test_columns_are_what_programs_are_given():
    found = check(rate=[0, np.float32(0.5), np.asarray(2.0)], count=[np.int64(8)])
    assert all(x.dtype == np.float32 for x in found.values())
    np.testing.assert_array_equal(found["rate"], [0.0, 0.5, 2.0])
    np.testing.assert_array_equal(found["count"], [8.0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rate": [0.1, -1e-9]}, "hypers.rate: expected a number of at least 0, got -1e-09"),
        ({"rate": [math.nan]}, "hypers.rate: expected a number of at least 0, got nan"),
        (
            {"rate": [1e39]},
            "rate: expected .* at least 0, got 1e.39, which is inf in float32",
        ),
        ({"rate": [10**400]}, r"rate: expected a number of at least 0, got an integer of over"),
        ({"rate": ["0.1"]}, "rate: expected a number of at least 0, got '0.1'"),
        ({"rate": [True]}, "rate: expected a number of at least 0, got True"),
        ({"rate": [[0.1, 0.2]]}, r"rate: expected a number of at least 0, got \[0.1, 0.2\]"),
        ({"rate": [np.ones(2)]}, "rate: expected a number of at least 0, got an array float64"),
        ({"rate": [1j]}, "rate: expected a number of at least 0, got 1j"),
        ({"rate": [None]}, "rate: expected a number of at least 0, got None"),
        ({"count": [8.5]}, r"count: expected an integer in \[1, size=8\], got 8.5"),
        ({"count": [9]}, r"count: expected an integer in \[1, size=8\], got 9"),
        ({"low": [0.0, 2.0], "high": [1.0, 1.5]}, "low: expected a number below high=1.5, got 2.0"),
        (
            {"low": [1.0 - 1e-9]},
            "low: expected a number below high=1, got 0.9.*, which is 1 in float32",
        ),
        ({"any": [math.inf]}, "any: expected a finite number, got inf"),
    ],
)
def test_values_of_members_are_refused_by_name(changed, message):
    with pytest.raises(ValueError, match=message):
        check(**changed)


def test_an_integer_that_float32_cannot_hold():
    class Counted(NamedTuple):
        count: Annotated[float, Range(1, integer=True)]

    values = {"count": [2**24 + 1]}
    with pytest.raises(ValueError, match="got 16777217, which is 16777216 in float32"):
        validate.columns(Counted, values, ())


def test_settings_are_pythons_own_numbers():
    given = Config(np.int64(8), np.int32(8), 0, np.bool_(False))
    config, hypers = validate.settings(given, None, (Config(), Hypers()))
    assert config == Config(8, 8, 0, False) and hypers == Hypers()
    assert [type(x) for x in config[:4]] == [int, int, int, bool]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": 0}, "config.size: expected an integer of at least 1, got 0"),
        ({"size": "16"}, "config.size: expected an integer of at least 1, got '16'"),
        ({"size": 16.0}, "config.size: expected an integer of at least 1, got 16.0"),
        ({"size": True}, "config.size: expected an integer of at least 1, got True"),
        ({"batch": 9}, r"config.batch: expected an integer in \[1, size=8\], got 9"),
        ({"share": 1.0}, r"config.share: expected a number in \[0, 1\), got 1.0"),
        ({"flag": "no"}, "config.flag: expected True or False, got 'no'"),
        ({"flag": 1}, "config.flag: expected True or False, got 1"),
        ({"inner": (True,)}, r"config.inner: expected an Inner, got \(True,\)"),
        ({"inner": Inner("no")}, "config.inner.switch: expected True or False, got 'no'"),
    ],
)
def test_settings_are_refused_by_name(changed, message):
    with pytest.raises(ValueError, match=message):
        validate.settings(Config()._replace(**changed), None, (Config(), Hypers()))


def test_another_type_is_refused():
    with pytest.raises(ValueError, match="config: expected a Config, got a Hypers"):
        validate.settings(Hypers(), None, (Config(), Hypers()))
    with pytest.raises(ValueError, match="hypers: expected a Hypers, got {'rate': 0.1}"):
        validate.settings(None, {"rate": 0.1}, (Config(), Hypers()))
