"""Make environments from recipes whose arguments are plain values."""

import ast
from collections.abc import Callable, Sequence
from typing import Any

from purejaxrl_suite.core.types import Environment


def remake(recipe: Sequence[str]) -> Environment | None:
    """Make the environment of a recipe; None if the recipe only names a function or an array.

    Only makers and wrappers of the suite are called.
    """
    try:
        made = _environment([_call(line) for line in recipe])
    except (LookupError, SyntaxError, TypeError, ValueError):
        return None
    return made if made is not None and made.recipe == tuple(recipe) else None


def _makers() -> dict[str, Callable[..., Environment]]:
    """Return the makers and wrappers that write recipes, by name."""
    from purejaxrl_suite import envs
    from purejaxrl_suite.envs import continual, levels, multi_task, probes, wrappers

    found: dict[str, Any] = {"make": envs.make}
    for module in (continual, levels, multi_task, probes, wrappers):
        written = {n: x for n, x in vars(module).items() if hasattr(x, "__wrapped__")}
        found |= {n: x for n, x in written.items() if x.__module__ == module.__name__}
    return found


def _call(line: str) -> ast.expr:
    return ast.parse(line, mode="eval").body


def _environment(calls: Sequence[ast.expr]) -> Environment | None:
    """Make the environment of the first call, wrapped by the other calls."""
    makers, env = _makers(), None
    for call in calls:
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError("no call")
        maker = makers[call.func.id]
        options = {str(one.arg): _value(one.value) for one in call.keywords}
        env = maker(*([] if env is None else [env]), *map(_value, call.args), **options)
    return env


def _value(node: ast.expr) -> Any:
    """Evaluate a plain value, or an environment written as `make('A') > wrapper(1)`."""
    if isinstance(node, ast.Call):
        return _environment([node])
    if isinstance(node, ast.Compare):
        return _environment([node.left, *node.comparators])
    if isinstance(node, ast.List):
        return [_value(one) for one in node.elts]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.Name) and node.id in ("inf", "nan"):
        return float(node.id)
    return ast.literal_eval(node)
