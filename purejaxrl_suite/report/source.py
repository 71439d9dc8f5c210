"""The single-file reading experience: an agent with the formulas that it calls, on one page."""

import ast
import inspect
import sys
import textwrap
from types import ModuleType
from typing import Any


def inlined(module: ModuleType, package: str) -> str:
    """Source of a module, with the definitions that it uses from `package` in place of the imports.

    Definitions are functions and classes, those that they use themselves included, each after what
    it uses. The module's other text stays as it is.
    """
    source = inspect.getsource(module)
    tree = ast.parse(source)
    found: dict[Any, str] = {}
    _collect(tree, vars(module), package, found)
    lines = source.splitlines()
    places = [n for n in tree.body if isinstance(n, ast.ImportFrom) and _inside(n.module, package)]
    for node in reversed(places):
        lines[node.lineno - 1 : node.end_lineno] = []
    if places:
        first = places[0].lineno - 1
        lines[first:first] = ["", *"\n\n\n".join(found.values()).splitlines(), ""]
    return "\n".join(lines)


def _inside(module: str | None, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def _collect(tree: ast.AST, names: dict[str, Any], package: str, found: dict[Any, str]) -> None:
    for node in ast.walk(tree):
        value = _resolve(node, names)
        defined = inspect.isfunction(value) or inspect.isclass(value)
        if not defined or value in found or not _inside(value.__module__, package):
            continue
        text = textwrap.dedent(inspect.getsource(value))
        found[value] = ""  # known while what it uses is collected, in case that uses it too
        _collect(ast.parse(text), vars(sys.modules[value.__module__]), package, found)
        del found[value]
        found[value] = f"# {value.__module__}.{value.__qualname__}\n{text}".rstrip()


def _resolve(node: ast.AST, names: dict[str, Any]) -> Any:
    """What a name, or a chain of names from a module, stands for; None if that is not known."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _resolve(node.value, names)
        return getattr(owner, node.attr, None) if inspect.ismodule(owner) else None
    return None
