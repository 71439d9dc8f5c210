"""The examples of README.md and docs/: what they name exists and takes the arguments they give it.

Nothing is trained here: that would be minutes of compiling. `tests/stats/test_docs.py` runs the
page of statistics as it stands, and `tests/notebooks` the notebooks.
"""

import ast
import functools
import importlib
import inspect
import re
import shlex
import types
import typing
from pathlib import Path

import pytest

from purejaxrl_suite.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
GIVEN = """
import purejaxrl_suite as pjs
from purejaxrl_suite import Experiment, stats
from purejaxrl_suite.studies import Budget, Claim, Intervals, Study

result: pjs.Result
a: pjs.Result
b: pjs.Result
env: pjs.Environment
policy: pjs.Policy
"""
"""What pages take for granted."""

pages = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)


def examples(path, *languages):
    """[(line, text)] of the blocks of code in these languages."""
    text = path.read_text()
    blocks = re.finditer(rf"^```({'|'.join(languages)})\n(.*?)^```", text, re.S | re.M)
    return [(text[: block.start(2)].count("\n"), block[2]) for block in blocks]


class Of(typing.NamedTuple):
    """A value of which only the class is known."""

    kind: type


class Reader(ast.NodeVisitor):
    """Follows the names of the package through a page; what it cannot know (None) it lets pass."""

    def __init__(self):
        self.names, self.calls = {}, 0

    def visit_Import(self, node):
        for alias in node.names:
            module = importlib.import_module(alias.name)
            top = importlib.import_module(alias.name.split(".")[0])
            self.names[alias.asname or top.__name__] = module if alias.asname else top

    def visit_ImportFrom(self, node):
        module = importlib.import_module(node.module)
        for alias in node.names:
            self.names[alias.asname or alias.name] = attribute(module, alias.name)

    def visit_Assign(self, node):
        value = self.value(node.value)
        for target in node.targets:
            self.generic_visit(target)
            if isinstance(target, ast.Name):
                self.names[target.id] = value

    def visit_AnnAssign(self, node):
        self.names[node.target.id] = Of(self.value(node.annotation))

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Store):
            self.names[node.id] = None

    def visit_arg(self, node):
        self.names[node.arg] = None

    def visit_FunctionDef(self, node):
        self.names[node.name] = None
        self.generic_visit(node)

    def visit_Attribute(self, node):
        self.value(node)

    def visit_Call(self, node):
        self.value(node)

    def value(self, node):
        """What an expression is, or `Of` what kind; None where that is not known."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute):
            return attribute(self.value(node.value), node.attr)
        if not isinstance(node, ast.Call):
            self.visit(node)
            return None
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            self.value(argument)
        return self.call(self.value(node.func), node)

    def call(self, function, node):
        """What a call returns; TypeError where it does not take these arguments."""
        inner = function.func if isinstance(function, functools.partial) else function
        if not (getattr(inner, "__module__", None) or "").startswith("purejaxrl_suite"):
            return None
        names = {keyword.arg: None for keyword in node.keywords}
        if None not in names and not any(isinstance(x, ast.Starred) for x in node.args):
            inspect.signature(function).bind(*node.args, **names)
            self.calls += 1
        if isinstance(function, type):
            return Of(function)
        try:
            found = typing.get_type_hints(inner).get("return")
        except NameError:  # a name that only type checkers import
            return None
        return Of(found) if isinstance(found, type) else None


def attribute(value, name):
    """An attribute of what `Reader` knows; AttributeError where there is none."""
    if isinstance(value, types.ModuleType):
        if not hasattr(value, name) and value.__name__.startswith("purejaxrl_suite"):
            importlib.import_module(f"{value.__name__}.{name}")
        return getattr(value, name)
    if isinstance(value, Of) and value.kind.__module__.startswith("purejaxrl_suite"):
        if name in getattr(value.kind, "_fields", ()):
            return None
        found = inspect.getattr_static(value.kind, name)
        return functools.partial(found, None) if inspect.isfunction(found) else None
    return None


@pages
def test_python_uses_what_there_is(path):
    reader, found = Reader(), examples(path, "python", "py")
    reader.visit(ast.parse(GIVEN))
    for line, text in found:
        try:
            reader.visit(ast.parse(text))
        except (AttributeError, ImportError, SyntaxError, TypeError) as error:
            pytest.fail(f"{path.name}, the example at line {line}: {error}")
    assert reader.calls or not found or path.stem == "CONTRIBUTING", "nothing was checked"


def test_so_does_the_docstring_of_the_package():
    lines = (importlib.import_module("purejaxrl_suite").__doc__ or "").splitlines()
    reader = Reader()
    reader.visit(ast.parse("\n".join(line[4:] for line in lines if line.startswith("    "))))
    assert reader.calls >= 3


@pytest.mark.parametrize(
    "text",
    [
        "pjs.runn(agent, env, seeds=1, steps=1)",
        "pjs.run(agent, env, seed=1, steps=1)",
        "from purejaxrl_suite.stats import iqr",
        "x = pjs.sweep(pjs.ppo, env, seeds=1, steps=1)\nx.curve",
        "x = pjs.run(agent, env, seeds=1, steps=1)\nx.policy(seeds=1)",
        "{k: [pjs.PPOHypers(rate=1)] for k in range(3)}",
    ],
)
def test_mistakes_would_be_found(text):
    reader = Reader()
    reader.visit(ast.parse(GIVEN))
    with pytest.raises((AttributeError, ImportError, TypeError)):
        reader.visit(ast.parse(text))


class Parsed(Exception):
    """The arguments were understood."""


def idle(command):
    """A command with the same arguments that does nothing."""
    return (
        functools.wraps(command)(lambda **arguments: None)
        if inspect.isfunction(command)
        else command
    )


@pages
def test_commands_are_understood(path, monkeypatch):
    import tyro

    one, several = tyro.cli, tyro.extras.subcommand_cli_from_dict

    def parsed(read, commands, **options):
        read(commands, **options)
        raise Parsed

    monkeypatch.setattr(tyro, "cli", lambda f, **options: parsed(one, idle(f), **options))
    monkeypatch.setattr(
        tyro.extras,
        "subcommand_cli_from_dict",
        lambda fs, **options: parsed(several, {k: idle(f) for k, f in fs.items()}, **options),
    )
    ours = importlib.import_module("purejaxrl_suite.agents.ppo").ppo
    monkeypatch.setattr("purejaxrl_suite.cli.flags.find", lambda flag, text: ours)  # the reader's
    for line, text in examples(path, "sh"):
        for call in text.replace("\\\n", " ").splitlines():
            name, *words = shlex.split(call, comments=True) or ["#"]
            if name == "purejaxrl-suite" and "--help" not in words:
                try:
                    done = COMMANDS[words[0]](words[1:])
                    assert words[0] == "show" and done == 0, f"nothing was read of `{call}`"
                except Parsed:
                    continue
                except SystemExit as error:
                    pytest.fail(f"{path.name}, line {line}: `{call}` ends with {error.code}")
