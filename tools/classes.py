"""The classes of the project's files, templates included, which benchopt's own lists leave out."""

import functools
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def load(path):
    """Import a file of the project by its path and return the module."""
    spec = importlib.util.spec_from_file_location(f"project_{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@functools.cache
def solver_classes():
    """Return every solver class by file name."""
    return {path.stem: load(path).Solver for path in sorted((ROOT / "solvers").glob("*.py"))}


@functools.cache
def dataset_classes():
    """Return every data set class by file name."""
    return {path.stem: load(path).Dataset for path in sorted((ROOT / "datasets").glob("*.py"))}


@functools.cache
def objective_class():
    """Return the class of the objective."""
    return load(ROOT / "objective.py").Objective
