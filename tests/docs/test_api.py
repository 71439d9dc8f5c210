"""The pages of docs/api show every public name, and every public name says what it is."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import purejaxrl_suite as pjs

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "purejaxrl_suite"
PAGE = "\n".join(page.read_text() for page in sorted((ROOT / "docs" / "api").glob("*.md")))
SHOWN = {
    module: members.split(", ") if members else None
    for module, members in re.findall(
        r"^::: ([\w.]+)$(?:\n    options:\n      members: \[([\w, ]+)\])?", PAGE, re.M
    )
}
"""{module: its names on its page, None for all}."""


def homes(package):
    """{public name: the module that it is from}, as `__init__.py` imports it."""
    if package == "":
        found = {name: f"purejaxrl_suite.{home}" for name, home in pjs._HOME_OF.items()}
        return found | {name: homes("envs")[name] for name in pjs._HOMES["envs"]}
    if not (PACKAGE / package).is_dir():  # a module
        home = f"purejaxrl_suite.{package}"
        return {name: home for name in docstrings(home) if name and not name.startswith("_")}
    body = ast.parse((PACKAGE / package / "__init__.py").read_text()).body
    (public,) = [ast.literal_eval(x.value) for x in body if isinstance(x, ast.Assign)] or [[]]
    found = {
        alias.name: node.module
        for node in body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return {name: found[name] for name in public}


def docstrings(module):
    """{name: what it says of itself} of a module; "" of it as a whole."""
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(path.read_text())
    found = {"": ast.get_docstring(tree)}
    for node, then in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = ast.get_docstring(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(then, ast.Expr):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if isinstance(target, ast.Name):
                found[target.id] = getattr(then.value, "value", None)
    return found


@pytest.mark.parametrize("package", ["", *pjs._PACKAGES])
def test_every_public_name_is_documented_and_on_a_page(package):
    undocumented, missing = [], []
    for name, home in homes(package).items():
        if (PACKAGE / package / f"{name}.py").exists() and home == f"purejaxrl_suite.{package}":
            name, home = "", f"{home}.{name}"  # a module of the package
        if not docstrings(home).get(name):
            undocumented.append(f"{home}.{name}")
        if home not in SHOWN or (SHOWN[home] is not None and name not in ["", *SHOWN[home]]):
            missing.append(f"{home}.{name}")
    assert not undocumented, undocumented
    assert not missing, missing


def test_what_the_pages_show_is_there():
    assert len(SHOWN) == PAGE.count("\n::: ")
    for module, names in SHOWN.items():
        said = docstrings(module)
        assert said[""], module
        assert all(said.get(name) for name in names or ()), (module, names)


def test_the_version_is_the_one_of_the_project_and_the_package_is_typed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert pjs.__version__ == project["project"]["version"]
    assert (PACKAGE / "py.typed").exists()
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["purejaxrl_suite"]
