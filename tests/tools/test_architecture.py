"""Imports run downhill, as the picture in docs/architecture.md shows, and frameworks stay in their backends."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
FRAMEWORKS = {"jax", "jaxlib", "torch", "array_api_compat", "optax", "lineax", "optimistix"}

#: Name in the picture -> its files.
PACKAGES = {
    path.name: sorted(path.rglob("*.py")) for path in sorted((ROOT / "benchmark_utils").iterdir()) if path.is_dir()
} | {name: sorted((ROOT / name).glob("*.py")) for name in ("solvers", "datasets", "plots")}
PACKAGES = {name: files for name, files in PACKAGES.items() if files} | {"objective": [ROOT / "objective.py"]}

FILES = sorted(
    path
    for folder in ("benchmark_utils", "solvers", "datasets", "plots", "tools")
    for path in (ROOT / folder).rglob("*.py")
) + [ROOT / "objective.py"]


def imported(tree):
    """Yield the dotted name of every module that a tree imports, in functions and methods too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parsed(path):
    """Return the tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def arrows(name):
    """Return the packages that a package imports, itself excluded."""
    found = set()
    for path in PACKAGES[name]:
        for module in imported(parsed(path)):
            parts = module.split(".")
            found |= {part for part in parts[1:2] if parts[0] == "benchmark_utils" and part in PACKAGES}
    return found - {name}


def drawn():
    """Return dict of package to the packages that the picture's arrows lead to."""
    picture = re.search(r"```mermaid\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)[1]
    found = {}
    for line in picture.splitlines():
        if "-->" in line:
            start, *ends = (part.strip() for part in re.split(r"-->|&", line))
            found.setdefault(start, set()).update(ends)
    return found


def test_the_picture_shows_the_imports_and_no_other():
    real = {name: arrows(name) for name in PACKAGES}
    assert drawn() == {name: ends for name, ends in real.items() if ends}


def test_imports_have_no_cycle():
    graphlib.TopologicalSorter({name: arrows(name) for name in PACKAGES}).prepare()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_the_objective_the_data_sets_or_the_solvers(path):
    roots = {module.split(".")[0] for module in imported(parsed(path))}
    assert not roots & {"objective", "datasets", "solvers", "plots", "tests"}
    assert "tools" not in roots or path.parent.name == "tools"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_frameworks_are_imported_by_backends_and_inside_host_solvers_only(path):
    relative = path.relative_to(ROOT)
    if relative.parts[:2] == ("benchmark_utils", "backends") and relative.parts[2] in ("jax", "torch"):
        return
    if relative == Path("tools/loop_speed.py"):  # it times hand-written JAX loops
        return
    tree = parsed(path)
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Lambda))]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found = {name.split(".")[0] for name in imported(ast.Module([node], []))} & FRAMEWORKS
            assert not found or (path.parent.name == "solvers" and id(node) in inside), (
                f"line {node.lineno} imports {found.pop()}; only the modules of benchmark_utils/backends import a "
                "framework, and methods of solvers that run their loop on the host."
            )


def test_files_that_the_walk_names_exist():
    text = PAGE.read_text(encoding="utf-8")
    names = set(re.findall(r"`([\w/]+\.(?:py|yml|md))`", text))
    assert names
    missing = [name for name in names if not any((ROOT / base / name).exists() for base in ("", "benchmark_utils"))]
    assert not missing


def test_functions_that_the_walk_names_exist():
    """A name such as `Program.compile` or `make_blocks()` is defined in some file."""
    text = PAGE.read_text(encoding="utf-8")
    defined = set()
    for path in FILES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                defined |= {f"{node.name}.{f.name}" for f in node.body if isinstance(f, ast.FunctionDef)}
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                defined.add(node.name)
    named = set(re.findall(r"`(\w+(?:\.\w+)?)\(\)`", text)) | set(re.findall(r"`([A-Z]\w+\.[a-z]\w*)`", text))
    assert named
    assert not named - defined


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < (150 if path.parent.name == "solvers" else 300)
