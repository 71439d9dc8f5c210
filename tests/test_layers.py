"""The walls of the house: who imports whom, what an import may cost, how long things may be."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "purejaxrl_suite"
LEVELS = (
    {"core"},
    {"ops", "nets", "envs", "buffers", "mdps", "stats"},
    {"plasticity", "sparsity", "agents", "engine"},
    {"representations", "microscopy", "problems"},
    {"sweeps", "presets", "meta"},
    {"search", "datasets"},
    {"populations"},
    {"studies"},
    {"report"},
    {"cli"},
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
HOMES = {
    "flax": {"nets"},
    "distrax": {"nets"},
    "gymnax": {"envs"},
    "navix": {"envs"},
    "brax": {"envs"},
    "mujoco_playground": {"envs"},
    "orbax": {"sweeps"},
    "xarray": {"sweeps", "populations"},
    "zarr": {"sweeps"},
    "matplotlib": {"report"},
    "minari": {"datasets"},
    "imageio_ffmpeg": {"report"},
    "mido": {"report"},
    "mlflow": {"report"},
    "PIL": {"report"},
    "plotly": {"report"},
    "tensorboardX": {"report"},
    "wandb": {"report"},
    "rich": {"report", "cli", "sweeps"},
    "tyro": {"cli"},
}
FILES = sorted((ROOT / PACKAGE).rglob("*.py"))


def part(path):
    """Which part of the package a file belongs to: a folder, or a module at the top."""
    relative = path.relative_to(ROOT / PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports(tree):
    """Dotted names that are imported anywhere in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / PACKAGE)))
def test_imports_point_to_the_left(path):
    here = part(path)
    if here == "__init__":
        return
    for name in imports(ast.parse(path.read_text())):
        top, *rest = name.split(".")
        if top == PACKAGE:
            there = rest[0]
            allowed = there == here or LEVEL[there] < LEVEL[here]
            assert allowed, f"{here} may not import {name}"
        else:
            assert here in HOMES.get(top, {here}), f"{top} belongs in {HOMES[top]}, not in {here}"


def after(statements):
    """Modules that a fresh process has loaded after some statements, and whether a device was."""
    script = f"import json, sys\n{statements}\nloaded = sorted(sys.modules)\n" + (
        "from jax._src import xla_bridge\nprint(json.dumps([loaded, bool(xla_bridge._backends)]))"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    loaded, device = json.loads(process.stdout)
    return set(loaded), device


def test_importing_the_package_or_its_command_loads_nothing_heavy():
    loaded, device = after(f"import {PACKAGE}.cli")
    assert not loaded & {"jax", "flax", *HOMES}
    assert not device


def test_importing_every_module_touches_no_device():
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in FILES]
    public = f"import {PACKAGE} as p\nfor name in p.__all__: getattr(p, name)\n"
    loaded, device = after(
        public + "import " + ", ".join(n.removesuffix(".__init__") for n in names)
    )
    assert not loaded & {"gymnax", "navix", "distrax", "brax"}, "imported when first used"
    assert not device


DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, DEFINITIONS)]


def code_lines(node):
    """Lines of a module, class or function without those of docstrings in it."""
    documented = [
        one.body[0]
        for one in ast.walk(node)
        if isinstance(one, DEFINITIONS | ast.ClassDef | ast.Module)
        and ast.get_docstring(one, clean=False) is not None
    ]
    return spanned(node.body if isinstance(node, ast.Module) else [node]) - sum(
        spanned([text]) for text in documented
    )


def spanned(nodes):
    return nodes[-1].end_lineno - nodes[0].lineno + 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / PACKAGE)))
def test_sizes(path):
    tree = ast.parse(path.read_text())
    if path.parent.name == "agents":
        assert not tree.body or code_lines(tree) <= 200, "an agent is about 200 lines of code"
        return  # its builder holds the agent's functions and is as long as the agent
    for function in functions(tree):
        inner = [one for one in functions(function) if one is not function]
        outer = [f for f in inner if not any(f in functions(g)[1:] for g in inner)]
        lines = code_lines(function) - sum(map(code_lines, outer))
        assert lines <= 60, f"{function.name} has {lines} lines of its own"
