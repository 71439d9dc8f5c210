"""Digest the definition of a study: claims, gates and arms.

These are data and functions. A function of the studies is described by its source, without comments
and docstrings, by its closure, and by the functions and numbers of the studies that it names; any
other function by its name. So the digest changes with a bound, a direction, a statement, a setting
of an arm or the body of an effect, but not with the rest of the library, which the commit in a
result identifies.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from hashlib import sha256
from types import CodeType, FunctionType, ModuleType
from typing import Any

from purejaxrl_suite.studies.protocol import Budget, Study

PACKAGE = __name__.rpartition(".")[0]
LENGTH = 16


def digest(study: Study, budget: Budget) -> str:
    """Digest what decides the question: claims, gates, arms, and what they are trained on.

    The number of seeds is left out: more seeds do not change the question.
    """
    trained = budget._replace(seeds=0, first_seed=0)
    module = study.arms.__module__
    describe = _Description(module.rpartition(".")[0] or module)
    found = describe([study.claims, study.gates, study.arms, trained])
    return sha256(found.encode()).hexdigest()[:LENGTH]


class _Description:
    """Text of values; a function that was described once is only named from then on."""

    def __init__(self, package: str) -> None:
        self.modules = (package, PACKAGE)
        self.known: set[str] = set()

    def __call__(self, x: Any) -> str:
        if isinstance(x, Study):  # in arms that compare their budget with one of the study
            return "the study"
        if isinstance(x, partial):
            return self([x.func, x.args, x.keywords])
        if isinstance(x, Mapping):
            return self([*x.items()])
        if isinstance(x, tuple | list | range):
            kind = self(type(x)) if hasattr(x, "_fields") else ""
            return f"{kind}({', '.join(map(self, x))})"
        if isinstance(x, str | int | float | bool | None):
            return repr(x)
        wrapped = getattr(x, "__wrapped__", x)  # by jax.jit
        if isinstance(wrapped, FunctionType | type):
            return self.code(wrapped)
        return type(x).__qualname__

    def code(self, x: Any) -> str:
        """Describe a function or class: name, closure and, if it is of the studies, source."""
        name = f"{x.__module__}.{x.__qualname__}"
        cells = [cell.cell_contents for cell in getattr(x, "__closure__", None) or ()]
        closed = f"{name}{self(cells)}"
        if name in self.known or not x.__module__.startswith(self.modules):
            return closed
        self.known.add(name)
        functions = [x] if isinstance(x, FunctionType) else _methods(x)
        return f"{closed}: {_source(x)} with {self([*self.named(functions)])}"

    def named(self, functions: Iterable[FunctionType]) -> Iterable[tuple[str, Any]]:
        """Yield the globals that functions name; for modules of studies the names they take."""
        for function in functions:
            names, known = sorted(set(_names(function.__code__))), function.__globals__
            direct = {name: known[name] for name in names if name in known}
            modules = [vars(x) for x in direct.values() if isinstance(x, ModuleType)]
            ours = [one for one in modules if one["__name__"].startswith(self.modules)]
            yield from direct.items()
            yield from ((name, one[name]) for one in ours for name in names if name in one)


def _methods(x: type) -> list[FunctionType]:
    return [one for one in vars(x).values() if isinstance(one, FunctionType)]


def _names(code: CodeType) -> Iterable[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _source(x: Callable[..., Any]) -> str:
    """Return the source without comments, docstrings and layout."""
    try:
        text = textwrap.dedent(inspect.getsource(x))
    except (OSError, TypeError):  # made by NamedTuple, or typed at a prompt
        return ""
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a lambda amid an expression
        return text
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and len(body) > 1 and _is_text(body[0]):
            del body[0]
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    inside = node.value if isinstance(node, ast.Expr) else None
    return isinstance(inside, ast.Constant) and isinstance(inside.value, str)
