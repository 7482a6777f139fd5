"""What the tests share: discovery of solvers, small problems, and runs without benchopt's runner."""

import functools
import gc
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from benchopt.benchmark import Benchmark
from numpy.testing import assert_allclose

from benchmark_utils.backends import get_backend
from benchmark_utils.builders import classification
from benchmark_utils.builders.quadratic import quadratic_problem
from benchmark_utils.files.labels import one_hot
from benchmark_utils.oracles.blocks import Partition, make_blocks
from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.oracles.oracles import Oracles, Spec
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.problem import Problem
from benchmark_utils.running import run as run_loop
from benchmark_utils.running.host import HostSolver
from benchmark_utils.running.rules import Rules
from benchmark_utils.running.solver import BilevelSolver
from benchmark_utils.running.start import put_at_start
from benchmark_utils.terms.penalties import ExpRidge
from benchmark_utils.terms.quadratic import AffineMap
from tools.classes import load, objective_class, solver_classes  # noqa: F401 (tests take them from here)

ROOT = Path(__file__).parents[1]
BACKENDS = ("jax", "torch")
CARD = Card(title="made up", formula="", source="", licence="")


# ---------------------------------------------------------------------- what there is
@functools.cache
def step_solvers():
    """Return the solvers written as step functions, by file name."""
    return {stem: cls for stem, cls in solver_classes().items() if issubclass(cls, BilevelSolver)}


@functools.cache
def host_solvers():
    """Return the solvers whose loop runs on the host, by file name."""
    return {stem: cls for stem, cls in solver_classes().items() if issubclass(cls, HostSolver)}


def runs():
    """Return a pytest parameter (file stem, backend) for every solver and each of its backends.

    Those by JAX, whose programs take a second to compile, are slow tests where there is torch as well.
    """
    return [
        pytest.param(stem, name, id=f"{stem}-{name}", marks=[pytest.mark.slow] * (name == "jax" and len(have) > 1))
        for stem, cls in solver_classes().items()
        for have in (getattr(cls, "frameworks", BACKENDS),)
        for name in have
    ]


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


# ---------------------------------------------------------------------- small problems
@functools.cache
def small_quadratic(n=70, m=50, p=6, d=4, seed=0):
    """Return a quadratic whose blocks of 16 rows end ragged on both levels."""
    return quadratic_problem(n, m, p, d, mu=0.5, L=1.0, L_cross=0.2, seed=seed)


def _labelled(rng, n, n_features, n_classes, density):
    """Return sparse rows and one-hot labels that a linear model explains in part."""
    rows = scipy.sparse.random_array((n, n_features), density=density, format="csr", rng=rng)
    labels = (rows @ np.arange(n_features) + 3 * rng.random(n)).astype(int) % n_classes
    return rows, one_hot(labels, n_classes)


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
    return classification.regularisation(
        "small_sparse", splits, penalty=ExpRidge(1 / n_features), outer_size=n_features, n_classes=n_classes,
        init=lambda rng: (0.1 * rng.standard_normal(n_features * n_classes), np.zeros(n_features)), card=CARD,
    )  # fmt: skip


@functools.cache
def small_classes(n=70, m=50, n_features=6, n_classes=4):
    """Return a problem built like covtype: dense rows, one penalty a class."""
    rng = np.random.default_rng(1)
    splits = {s: _labelled(rng, k, n_features, n_classes, 0.8) for s, k in (("train", n), ("validation", m))}
    return classification.regularisation(
        "small_classes", {name: (rows.toarray(), labels) for name, (rows, labels) in splits.items()},
        penalty=ExpRidge(1.0, per="class"), outer_size=n_classes, n_classes=n_classes,
        init=lambda rng: (np.zeros(n_features * n_classes), np.full(n_classes, -2.0)), card=CARD,
    )  # fmt: skip


@functools.cache
def fixed_point_problem(p=5, n=32):
    """Return a contraction Phi_i(z, x) = left_i (right_i . z) + x + shift_i with a non-symmetric mean Jacobian."""
    rng = np.random.default_rng(3)
    left, right = rng.standard_normal((2, n, p)) * 0.35
    outer = small_quadratic(p=p, d=p)
    return Problem(
        "contraction", AffineMap(), outer.outer,
        {"train": {"left": left, "right": right, "shift": rng.standard_normal((n, p))},
         "validation": outer.rows("outer")},
        (p,), (p,), init=lambda rng: (np.zeros(p), np.zeros(p)), evaluator=None, card=CARD,
    )  # fmt: skip


PROBLEMS = {
    "simulated": small_quadratic,
    "ijcnn1": lambda: dataset_problem("ijcnn1"),
    "digits_cleaning": lambda: dataset_problem("digits_cleaning"),
}


def make_oracles(problem, backend, batch_size):
    """Return float64 oracles of a problem outside any compiled program."""
    bk, view = get_backend(backend, "cpu", "float64"), problem.view
    partitions = {level: Partition.of(view.n_samples(level), batch_size) for level in ("inner", "outer")}
    data = {
        level: bk.put(make_blocks(view.rows[level], partitions[level], view.data_seed)) for level in ("inner", "outer")
    }
    data["shared"] = {name: bk.asarray(a) for name, a in view.shared_arrays.items()}
    data["feasible"] = {name: bk.asarray(a) for name, a in view.feasible_arrays.items()}
    return Oracles(bk, Spec.of(view, partitions), data)


#: Every oracle: name -> (its level, the list of arrays that a call at (z, x, v) on a batch gives).
CALLS = {
    "grad_inner": ("inner", lambda o, z, x, v, b: [o.grad_inner(z, x, b)]),
    "hvp": ("inner", lambda o, z, x, v, b: [o.hvp(z, x, v, b)]),
    "cross": ("inner", lambda o, z, x, v, b: [o.cross(z, x, v, b)]),
    "inner_joint": ("inner", lambda o, z, x, v, b: list(o.inner_joint(z, x, v, b))),
    "hvp_cross": ("inner", lambda o, z, x, v, b: list(o.hvp_cross(z, x, v, b))),
    "grad_inner_x": ("inner", lambda o, z, x, v, b: [o.grad_inner_x(z, x, b)]),
    "grad_inner_both": ("inner", lambda o, z, x, v, b: list(o.grad_inner_both(z, x, b))),
    "value_inner": ("inner", lambda o, z, x, v, b: [o.value_inner(z, x, b)]),
    "grad_outer": ("outer", lambda o, z, x, v, b: list(o.grad_outer(z, x, b))),
    "value_outer": ("outer", lambda o, z, x, v, b: [o.value_outer(z, x, b)]),
}


# ---------------------------------------------------------------------- runs
def at_start(solver, problem, seed=0, **rules):
    """Return the solver at the start of a problem, compiled, as benchopt's runner would put it there."""
    reason = put_at_start(solver, problem, seed, **rules)
    assert reason is None, reason
    return solver


#: Keys of ``deterministic`` that are steps.
STEPS = ("step_size", "outer_ratio", "penalty", "neumann_step")


def stated_steps(cls):
    """Return the steps with which a solver is stable on the small problems, where its file states any."""
    return {k: v for k, v in cls.deterministic.items() if k in STEPS}


def make_solver(cls, problem, max_iterations, seed=0, precision="float32", rules=None, **parameters):
    """Return a solver instance that is ready to run, compiled, at the problem's start for ``seed``.

    Parameters that the solver does not have are left out.
    """
    solver = cls.get_instance(**{k: v for k, v in parameters.items() if k in cls.parameters})
    return at_start(solver, problem, seed, precision=precision, max_iterations=max_iterations, **rules or {})


#: Solvers that have been compiled, the latest last; tests that want the same one need not compile it again.
_COMPILED, _AT_MOST = {}, 6


def compiled(cls, problem, n_iter, seed=0, precision="float64", **parameters):
    """Return a solver like `make_solver`, at its start; one that an earlier test has compiled where there is one."""
    key = cls, id(problem), precision, repr(sorted(parameters.items()))
    solver = _COMPILED.pop(key, None)
    if solver is None:
        solver = make_solver(cls, problem, n_iter, seed, precision, **parameters)
    else:
        at_start(solver, problem, seed, precision=precision, max_iterations=n_iter)
    _COMPILED[key] = solver
    while len(_COMPILED) > _AT_MOST:
        del _COMPILED[next(iter(_COMPILED))]
    return solver


def forget_what_is_compiled():
    """Free the programs that tests have compiled."""
    import jax

    _COMPILED.clear()
    jax.clear_caches()
    gc.collect()


def run(cls, problem, n_iter, precision="float64", **parameters):
    """Run ``n_iter`` outer iterations and return the solver's result."""
    solver = compiled(cls, problem, n_iter, precision=precision, **parameters)
    solver.run(lambda: True)
    return solver.get_result()


def begin(solver):
    """Go to the start of a run and return the first run state."""
    solver.run_state = run_loop.begin(solver.program)
    return solver.run_state


def advance(solver, n=1):
    """Do ``n`` more outer iterations and return the run state after them."""
    solver.run_state = run_loop.advance(solver.program, solver.run_state, n)
    return solver.run_state


def on_host(solver):
    """Return the solver's State with NumPy arrays (the next iteration may overwrite the device's)."""
    state = solver.run_state.carry
    to_host = lambda a: np.array(solver.bk.to_numpy(a)) if getattr(a, "ndim", 0) else a
    return type(state)(*map(to_host, state))


def resolved(cls, problem=None, **parameters):
    """Return a solver whose parameters have the values of a run on a problem, not yet on a backend."""
    solver = cls.get_instance(**parameters)
    solver.prepare((problem or small_quadratic()).view, Rules())
    return solver


def why_skipped(cls, problem, rules=None, **parameters):
    """Return the sentence with which a solver declines a problem, or None."""
    solver = cls.get_instance(**parameters)
    skip, sentence = solver.skip(problem=problem.view, rules=rules or Rules())
    assert skip == (sentence is not None)
    return sentence


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


# ---------------------------------------------------------------------- limits on the quadratic
def series_direction(evaluator, eta, n_terms, x):
    """Return F_x + C v with v = -eta sum_{i<n_terms} (I - eta H)^i F_z at z*(x)."""
    s = evaluator.solve(x)
    F_z = evaluator.A_F @ s.z + evaluator.C_F.T @ x + evaluator.c_F
    M = np.eye(len(s.z)) - eta * evaluator.A
    series = eta * sum(np.linalg.matrix_power(M, i) for i in range(n_terms))
    return -evaluator.C @ series @ F_z + evaluator.B_F @ x + evaluator.C_F @ s.z + evaluator.e_F


def biased_minimiser(evaluator, eta, n_terms):
    """Return the zero of `series_direction`, which is affine in x."""
    d = len(evaluator.e)
    at_zero = series_direction(evaluator, eta, n_terms, np.zeros(d))
    jacobian = np.stack([series_direction(evaluator, eta, n_terms, unit) - at_zero for unit in np.eye(d)], axis=1)
    return -np.linalg.solve(jacobian, at_zero)
