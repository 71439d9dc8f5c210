"""What is said of a wrong argument: its name, what was expected, what came."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.core import argument
from purejaxrl_suite.core.types import Box, Discrete


def refused(message, check, *arguments):
    with pytest.raises(ValueError) as error:
        check(*arguments)
    assert str(error.value) == message


def test_integers_are_integers():
    for value in (3, np.int64(3), np.uint8(3), jnp.int32(3)):
        assert argument.integer("n", value, 1, 3) == 3
        assert type(argument.integer("n", value, 1)) is int
    refused("n: expected an integer of at least 1, got 0", argument.integer, "n", 0, 1)
    refused("n: expected an integer in 1 .. 3, got 4", argument.integer, "n", 4, 1, 3)
    for value, told in (
        (True, "True"),
        (2.0, "2.0"),
        ("2", "'2'"),
        (None, "None"),
        (np.float32(2), "np.float32(2.0)"),
        (np.zeros(2), "an array float64[2]"),
    ):
        refused(
            f"n: expected an integer of at least 1, got {told}", argument.integer, "n", value, 1
        )


def test_numbers_are_finite():
    assert argument.number("x", 1e6, 0) == 1e6 and argument.number("x", np.float32(2), 0) == 2
    for value in (float("nan"), float("inf"), -1, "4000", True, None, 1j, [1]):
        told = argument.shown(value)
        refused(
            f"x: expected a finite number of at least 0, got {told}", argument.number, "x", value, 0
        )


def test_truth_is_not_typed_as_text_or_number():
    assert argument.boolean("x", np.True_) is True
    for value in ("true", 1, 0, None, ""):
        refused(f"x: expected True or False, got {value!r}", argument.boolean, "x", value)


def test_functions_take_what_they_are_given():
    def two(a, b):
        """Takes two."""

    assert argument.function("f", two, 2, "(a, b) -> c") is two
    assert argument.functions("f", [two], 2, "(a, b) -> c") == (two,)
    name = two.__qualname__
    message = f"f: expected a function (a) -> b, got the function {name}"
    refused(message, argument.function, "f", two, 1, "(a) -> b")
    message = "f: expected a function (a) -> b, got 'two'"
    refused(message, argument.function, "f", "two", 1, "(a) -> b")
    message = f"f: expected a list of functions (a) -> b, got the function {name}"
    refused(message, argument.functions, "f", two, 1, "(a) -> b")
    message = "f[0]: expected a function (a) -> b, got 3"
    refused(message, argument.functions, "f", [3], 1, "(a) -> b")


def test_distinct_integers():
    assert argument.integers("s", np.array([3, 1]), 0, 9, "some") == [3, 1]
    assert argument.integers("s", range(10**9), 0, 2**32, "some") == range(10**9)
    for values in ([], {1, 2}, (x for x in [1]), "12", {1: 2}, 3, np.zeros((2, 2), int)):
        refused(
            f"s: expected some, got {argument.shown(values)}",
            argument.integers,
            "s",
            values,
            0,
            9,
            "some",
        )
    refused(
        "s: expected distinct integers, got 1 twice", argument.integers, "s", [1, 2, 1], 0, 9, ""
    )
    refused(
        "s[1]: expected an integer in 0 .. 9, got 2.2", argument.integers, "s", [1, 2.2], 0, 9, ""
    )
    refused(
        "s[0]: expected an integer in 0 .. 9, got -1",
        argument.integers,
        "s",
        range(-1, 3),
        0,
        9,
        "",
    )


def test_paths_and_names(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert argument.path("out", "~/x", "a folder") == argument.place("p", Path("~/x"), "")
    assert argument.path("out", "~/x", "a folder") == "/home/me/x"
    assert argument.path("out", "a/~", "a folder") == "a/~"
    assert (
        argument.path("out", Path("a"), "a folder") == "a" and argument.path("x", None, "") is None
    )
    for value, told in (("", "''"), (3, "3"), (b"a", "b'a'"), ("a\0b", "'a\\x00b'")):
        refused(
            f"out: expected the path of a folder, got {told}",
            argument.path,
            "out",
            value,
            "a folder",
        )
    assert argument.one_of("agent", "ppo", ["ppo", "pqn"]) == "ppo"
    message = "agent: expected one of ppo, dqn, got 'DQM'; did you mean dqn?"
    refused(message, argument.one_of, "agent", "DQM", ["ppo", "dqn"])
    refused("agent: expected one of ppo, got 3", argument.one_of, "agent", 3, ["ppo"])


def test_what_is_long_is_told_in_short():
    assert argument.shown(Discrete(3)) == "a Discrete" and argument.shown(Box) == "the class Box"
    assert len(argument.shown("a\n" * 1000)) < 70 and "\n" not in argument.shown({"a\n": "b"})
    assert len(argument.shown(list(range(10**4)))) < 50 and len(argument.shown(10**5000)) < 80
    assert argument.shown(Path("a") / "b") == "'a/b'"
