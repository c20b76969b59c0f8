"""Imports go one way: the picture below is the architecture, and this file holds the code to it."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "weft"

# A package may import what stands to its left, directly or through others; `errors` is open to all.
PICTURE = """
config → text → data
config → families → runs → models → generate → tasks → training → preparation → api → cli
config → nn → models
config → overrides → saved
text, families, overrides, runs → description → saved, interchange, keras
text, families → readme → interchange, keras
text, models, runs → saved → exchange → tasks → pipelines → loading → facts → api
training → facts
generate → network → tasks, interchange
data, text, families, overrides, generate → interchange → exchange
config, families → recipes → tasks
corpus → cli
text, data → tasks
nn, models → inspect → pipelines
api → serve → cli
config, text, families, runs → keras → exchange
"""

# Importing any of these loads no torch, so that the command line answers at once.
TORCH_FREE = (
    "__init__.py",
    "description.py",
    "errors.py",
    "facts.py",
    "loading.py",
    "overrides.py",
    "recipes.py",
    "cli/__init__.py",
)
TORCH_FREE += ("runs/claim.py", "runs/folder.py", "runs/log.py", "runs/tensor_files.py")
TORCH_FREE += ("generate/config.py", "generate/hypothesis.py", "pipelines/registry.py")
TORCH_FREE_PACKAGES = ("config", "corpus", "families", "text")


class Import(NamedTuple):
    module: str
    line: int
    local: bool  # inside a function


def read_picture(picture: str) -> dict[str, set[str]]:
    """Each package's whole left side."""
    left: dict[str, set[str]] = {}
    for line in picture.strip().splitlines():
        groups = [[name.strip() for name in group.split(",")] for group in line.split("→")]
        for name in (name for group in groups for name in group):
            left.setdefault(name, set())
        for before, after in pairwise(groups):
            for name in after:
                left[name].update(before)
    grown = True
    while grown:
        grown = False
        for names in left.values():
            further = set().union(*(left[name] for name in names)) - names
            names.update(further)
            grown = grown or bool(further)
    return left


def imports(node: ast.AST, *, local: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, local) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: a relative import; write it out"
            if child.module == "weft":  # `from weft import nn` imports weft.nn
                yield from (Import(f"weft.{alias.name}", child.lineno, local) for alias in child.names)
            else:
                assert child.module is not None
                yield Import(child.module, child.lineno, local)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(child, local=local or inside)


def package_of(file: Path) -> str:
    first = file.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


FILES = sorted(PACKAGE.rglob("*.py"))
LEFT = read_picture(PICTURE)


def names_of(files: list[Path]) -> list[str]:
    return [str(file.relative_to(PACKAGE)) for file in files]


def test_picture_has_no_circle() -> None:
    assert not {name for name, left in LEFT.items() if name in left}


@pytest.mark.parametrize("file", FILES, ids=names_of(FILES))
def test_imports_go_one_way(file: Path) -> None:
    package = package_of(file)
    if package == "__main__":
        package = "cli"
    if package == "__init__":
        return  # the lazy names of `weft` itself, held torch-free below
    assert package in {*LEFT, "errors"}, f"weft.{package} is not in the picture: add it there and in the docs"
    allowed = LEFT.get(package, set()) | {package, "errors", "__version__"}
    wrong = [
        f"{file.relative_to(ROOT)}:{found.line}: weft.{package} may not import {found.module}"
        for found in imports(ast.parse(file.read_bytes()))
        if found.module.split(".")[0] == "weft" and found.module.split(".")[1] not in allowed
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("file", FILES, ids=names_of(FILES))
def test_only_optional_packages_are_imported_inside_functions(file: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {dependency.split(">")[0] for dependency in project["dependencies"]}
    wrong = [
        f"{file.relative_to(ROOT)}:{found.line}: import {found.module} at the top of the file"
        for found in imports(ast.parse(file.read_bytes()))
        if found.local
        and found.module != "torch.utils.tensorboard"  # the part of torch that needs tensorboard
        and found.module.split(".")[0] in required | {"weft"} | set(sys.stdlib_module_names)
    ]
    assert not wrong or package_of(file) == "cli", "\n".join(wrong)


def test_what_need_not_compute_loads_no_torch() -> None:
    files = [PACKAGE / name for name in TORCH_FREE if (PACKAGE / name).exists()]
    files += [file for package in TORCH_FREE_PACKAGES for file in sorted((PACKAGE / package).rglob("*.py"))]
    modules = [
        ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for file in files
    ]
    program = "import importlib, sys\n" + "".join(
        f"importlib.import_module({module!r}); assert 'torch' not in sys.modules, {module!r}\n"
        for module in modules
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import weft.nn.mask", [("weft.nn.mask", False)]),
        ("from weft import nn, api", [("weft.nn", False), ("weft.api", False)]),
        ("def f():\n    import torch", [("torch", True)]),
        ("if TYPE_CHECKING:\n    from weft.api import load", [("weft.api", False)]),
    ],
)
def test_every_form_of_import_is_seen(source: str, found: list[tuple[str, bool]]) -> None:
    assert [(item.module, item.local) for item in imports(ast.parse(source))] == found
