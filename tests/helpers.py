"""What the tests share: discovery of solvers, small problems, and runs without benchopt's runner."""

import functools
import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
from benchopt.benchmark import Benchmark

from benchmark_utils.ledger import ORACLES
from benchmark_utils.quadratic import quadratic_problem
from benchmark_utils.solver_base import BilevelSolver

ROOT = Path(__file__).parents[1]
BACKENDS = ("jax", "torch")


def load(path):
    """Import a file of the project by path (benchopt hides templates)."""
    spec = importlib.util.spec_from_file_location(f"project_{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@functools.cache
def solver_classes():
    """Return every solver class by file name: solvers/*.py, templates included."""
    return {path.stem: load(path).Solver for path in sorted((ROOT / "solvers").glob("*.py"))}


@functools.cache
def step_solvers():
    """Return the solvers written as step functions, by file name."""
    return {stem: cls for stem, cls in solver_classes().items() if issubclass(cls, BilevelSolver)}


@functools.cache
def dataset_problem(name, **parameters):
    """Return the Problem of a data set of the project, or None where its data cannot be had here."""
    (cls,) = Benchmark(ROOT).check_dataset_patterns([name], class_only=True)
    return cls.get_instance(**parameters).get_data()["problem"]


@functools.cache
def small_quadratic(n=70, m=50, p=6, d=4, seed=0):
    """Return a quadratic whose blocks of 16 rows end ragged on both levels."""
    return quadratic_problem(n, m, p, d, mu=0.5, L=1.0, L_cross=0.2, seed=seed)


PROBLEMS = {
    "simulated": small_quadratic,
    "ijcnn1": lambda: dataset_problem("ijcnn1"),
    "digits_cleaning": lambda: dataset_problem("digits_cleaning"),
}


def make_solver(cls, problem, max_iterations, seed=0, rules=None, **parameters):
    """Return a solver instance that is ready to run, compiled, at the problem's start for ``seed``."""
    names = set(cls.parameters)
    solver = cls.get_instance(**{k: v for k, v in parameters.items() if k in names})
    skip, reason = solver.skip(problem=problem)
    assert not skip, reason
    z0, x0 = problem.init(np.random.default_rng(seed))
    rules = dict(max_seconds=math.inf, max_samples=math.inf, max_iterations=max_iterations) | (rules or {})
    solver.set_objective(problem=problem, z0=z0, x0=x0, seed=seed, rules=rules)
    solver.pre_run_hook(None)
    return solver


def run(cls, problem, n_iter, precision="float64", **parameters):
    """Run ``n_iter`` outer iterations and return the solver's result."""
    solver = make_solver(cls, problem, n_iter, precision=precision, **parameters)
    solver.run(lambda: True)
    return solver.get_result()


def counts(result):
    """Return the ledger of a result as a tuple in the order of `ORACLES`."""
    return tuple(result["counts"][name] for name in ORACLES)


@functools.cache
def objective_class():
    """Return the Objective class."""
    return load(ROOT / "objective.py").Objective
