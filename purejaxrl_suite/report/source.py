"""Print an agent in a single file, with the formulas and shared parts that it calls."""

import ast
import inspect
import sys
import textwrap
from types import ModuleType
from typing import Any


def inlined(module: ModuleType, packages: tuple[str, ...]) -> str:
    """Return the source of a module, with definitions from `packages` in place of their imports.

    Definitions are functions and classes, including those that they use, each after what it uses.
    The module's other text is unchanged.
    """
    source = inspect.getsource(module)
    tree = ast.parse(source)
    found: dict[Any, str] = {}
    _collect(tree, vars(module), packages, found)
    lines = source.splitlines()
    places = [n for n in tree.body if isinstance(n, ast.ImportFrom) and _inside(n.module, packages)]
    for node in reversed(places):
        lines[node.lineno - 1 : node.end_lineno] = []
    if places:
        first = places[0].lineno - 1
        lines[first:first] = ["", *"\n\n\n".join(found.values()).splitlines(), ""]
    return "\n".join(lines)


def _inside(module: str | None, packages: tuple[str, ...]) -> bool:
    return f"{module}.".startswith(tuple(f"{package}." for package in packages))


def _collect(
    tree: ast.AST, names: dict[str, Any], packages: tuple[str, ...], found: dict[Any, str]
) -> None:
    for node in ast.walk(tree):
        value = _resolve(node, names)
        defined = inspect.isfunction(value) or inspect.isclass(value)
        if not defined or value in found or not _inside(value.__module__, packages):
            continue
        text = textwrap.dedent(inspect.getsource(value))
        found[value] = ""  # marks it as known, in case of cycles
        _collect(ast.parse(text), vars(sys.modules[value.__module__]), packages, found)
        del found[value]
        found[value] = f"# {value.__module__}.{value.__qualname__}\n{text}".rstrip()


def _resolve(node: ast.AST, names: dict[str, Any]) -> Any:
    """Resolve a name, or a chain of names from a module; None if unknown."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _resolve(node.value, names)
        return getattr(owner, node.attr, None) if inspect.ismodule(owner) else None
    return None
