"""What the tests share: discovery of solvers, small problems, and runs without benchopt's runner."""

import functools
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from benchopt.benchmark import Benchmark
from numpy.testing import assert_allclose

from benchmark_utils import families
from benchmark_utils.ledger import ORACLES
from benchmark_utils.problem import Card
from benchmark_utils.quadratic import quadratic_problem
from benchmark_utils.solver_base import BilevelSolver
from benchmark_utils.timed_solver import put_at_start

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
def _data(name, **parameters):
    (cls,) = Benchmark(ROOT).check_dataset_patterns([name], class_only=True)
    return cls.get_instance(**parameters).get_data()


def dataset_problem(name, **parameters):
    """Return the Problem of a data set of the project; skip the test where its data cannot be had here.

    A file that is here and is refused, by its hash say, fails the test.
    """
    data = _data(name, **parameters)
    if data["problem"] is None:
        absent = "could not be downloaded" in data["reason"] or "cannot be written" in data["reason"]
        (pytest.skip if absent else pytest.fail)(data["reason"])
    return data["problem"]


def dataset_module(name):
    """Return the module of a data set's file."""
    return load(ROOT / "datasets" / f"{name}.py")


@functools.cache
def small_quadratic(n=70, m=50, p=6, d=4, seed=0):
    """Return a quadratic whose blocks of 16 rows end ragged on both levels."""
    return quadratic_problem(n, m, p, d, mu=0.5, L=1.0, L_cross=0.2, seed=seed)


def _labelled(rng, n, n_features, n_classes, density):
    """Return sparse rows and one-hot labels that a linear model explains in part."""
    rows = scipy.sparse.random_array((n, n_features), density=density, format="csr", rng=rng)
    return rows, families.one_hot((rows @ np.arange(n_features) + 3 * rng.random(n)).astype(int) % n_classes, n_classes)


@functools.cache
def small_sparse(dense=False, n=70, m=50, n_features=40, n_classes=5):
    """Return a problem built like newsgroups20: sparse rows, some features that only F has, per-feature penalties."""
    rng = np.random.default_rng(0)
    splits = {s: _labelled(rng, k, n_features, n_classes, 0.1) for s, k in (("train", n), ("validation", m))}
    rows = splits["train"][0].tolil()
    rows[:, [3, 17]] = 0
    splits["train"] = (rows.tocsr(), splits["train"][1])
    splits["train"][0].eliminate_zeros()
    if dense:
        splits = {name: (rows.toarray(), labels) for name, (rows, labels) in splits.items()}
    return families.regularisation(
        "small_sparse", splits, penalty=("exp_features", 1 / n_features), outer_size=n_features, n_classes=n_classes,
        init=lambda rng: (0.1 * rng.standard_normal(n_features * n_classes), np.zeros(n_features)),
        card=Card("made up", "", "", ""),
    )  # fmt: skip


@functools.cache
def small_classes(n=70, m=50, n_features=6, n_classes=4):
    """Return a problem built like covtype: dense rows, one penalty a class."""
    rng = np.random.default_rng(1)
    splits = {s: _labelled(rng, k, n_features, n_classes, 0.8) for s, k in (("train", n), ("validation", m))}
    return families.regularisation(
        "small_classes", {name: (rows.toarray(), labels) for name, (rows, labels) in splits.items()},
        penalty=("exp_classes", 1.0), outer_size=n_classes, n_classes=n_classes,
        init=lambda rng: (np.zeros(n_features * n_classes), np.full(n_classes, -2.0)),
        card=Card("made up", "", "", ""),
    )  # fmt: skip


PROBLEMS = {
    "simulated": small_quadratic,
    "ijcnn1": lambda: dataset_problem("ijcnn1"),
    "digits_cleaning": lambda: dataset_problem("digits_cleaning"),
}


def stated_steps(cls):
    """Return the steps with which a solver is stable on the small problems, where its file states any."""
    return {k: v for k, v in cls.deterministic.items() if k in ("step_size", "outer_ratio", "penalty")}


def make_solver(cls, problem, max_iterations, seed=0, rules=None, **parameters):
    """Return a solver instance that is ready to run, compiled, at the problem's start for ``seed``."""
    names = set(cls.parameters)
    solver = cls.get_instance(**{k: v for k, v in parameters.items() if k in names})
    reason = put_at_start(solver, problem, seed, max_iterations=max_iterations, **rules or {})
    assert reason is None, reason
    return solver


def run(cls, problem, n_iter, precision="float64", **parameters):
    """Run ``n_iter`` outer iterations and return the solver's result."""
    solver = make_solver(cls, problem, n_iter, precision=precision, **parameters)
    solver.run(lambda: True)
    return solver.get_result()


def assert_agree(a, b, atol=0.0, rtol=0.0, scaled=False, names=("z", "x", "d_x", "x_before")):
    """Assert that two results have the same ledger and iterates that differ by at most ``atol + rtol * |b|``.

    With ``scaled``, atol is relative to the largest entry of each vector where that is above 1.
    """
    assert counts(a) == counts(b)
    assert a["n_iter"] == b["n_iter"]
    for name in names:
        scale = max(1.0, np.abs(a[name]).max()) if scaled else 1.0
        assert_allclose(a[name], b[name], rtol=rtol, atol=atol * scale, err_msg=name)


def counts(result):
    """Return the ledger of a result as a tuple in the order of `ORACLES`."""
    return tuple(result["counts"][name] for name in ORACLES)


@functools.cache
def objective_class():
    """Return the Objective class."""
    return load(ROOT / "objective.py").Objective
