"""Properties of every solver that runs its loop on the host; a new file in solvers/ is tested without a new line here.

What is special to one file (counts that a library reports, samplers, native loops against each other) is checked in
test_host_files.py.
"""

import importlib.util
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.running.search_space import hyper_parameter_names
from helpers import ROOT, assert_agree, counts, make_solver, small_quadratic, why_skipped

HOST_SOLVERS = helpers.host_solvers()
CASES = [(stem, backend) for stem, cls in HOST_SOLVERS.items() for backend in cls.frameworks]

every_host_solver = pytest.mark.parametrize(("host_stem", "framework"), CASES, ids=map("-".join, CASES))


def solver_for(stem, framework, n_iter, problem=None, **parameters):
    """Return a compiled solver in double precision on the quadratic, or skip where a package is missing."""
    cls, problem = HOST_SOLVERS[stem], problem or small_quadratic()
    parameters = dict(precision="float64", backend=framework, batch_size=16) | parameters
    return make_solver(cls, problem, n_iter, **parameters)


# ---------------------------------------------------------------------- every solver
def test_host_solvers_are_found():
    assert {"hoag", "optuna", "implicit_diff", "template_jax", "template_torch"} <= set(HOST_SOLVERS)


@every_host_solver
def test_it_gets_closer_to_the_solution(host_stem, framework):
    problem = small_quadratic()
    stated = {k: v for k, v in HOST_SOLVERS[host_stem].deterministic.items() if k not in ("limit", "n_iter")}
    # One iteration of a native loop is one small step; the others solve the inner problem in theirs.
    n_iter = 300 if host_stem.startswith("template") else 40
    solver = solver_for(host_stem, framework, n_iter, **dict(batch_size="full") | stated)
    rows = []
    solver.run(lambda: rows.append(problem.evaluator.solve(solver.get_result()["x"])) or True)
    result = solver.get_result()
    assert result["n_iter"] == n_iter
    assert not result["diverged"]
    assert rows[-1].h < rows[0].h - 0.5 * (rows[0].h - problem.h_star)
    if np.isfinite(result["d_x"]).all():  # a method that has an outer direction
        squares = [np.sum(row.gradient**2) for row in rows]
        assert min(squares) < 1e-3 * squares[0]


@every_host_solver
def test_full_batches_reach_the_exact_limit(host_stem, framework):
    stated = dict(HOST_SOLVERS[host_stem].deterministic)
    limit, n_iter = stated.pop("limit"), stated.pop("n_iter", 1000)
    if limit != "exact":
        pytest.skip(limit)
    solver = solver_for(host_stem, framework, n_iter, **dict(batch_size="full") | stated)
    solver.run(lambda: True)
    reference, result = small_quadratic().evaluator, solver.get_result()
    assert_allclose(result["x"], reference.minimiser(), rtol=0, atol=1e-8)
    assert_allclose(result["z"], reference.solve(result["x"]).z, rtol=0, atol=1e-8)


@every_host_solver
def test_second_repetition_neither_compiles_nor_remembers(host_stem, framework, monkeypatch):
    solver = solver_for(host_stem, framework, 6)
    solver.run(lambda: True)
    first = solver.get_result()
    monkeypatch.setattr(solver.bk, "compile_once", lambda *_: pytest.fail("compiled again"))
    helpers.at_start(solver, small_quadratic(), **solver.rules._asdict())
    solver.run(lambda: True)
    assert first["n_iter"] == 6
    assert_agree(first, solver.get_result())


@every_host_solver
def test_counts_are_python_integers_of_work_done(host_stem, framework):
    solver = solver_for(host_stem, framework, 3)
    rows = []
    solver.run(lambda: rows.append(counts(solver.get_result())) or True)
    assert all(type(count) is int for row in rows for count in row)
    assert (np.diff(rows, axis=0) >= 0).all()
    assert sum(rows[-1]) > sum(rows[0])


@every_host_solver
def test_samples_of_the_budget_are_respected(host_stem, framework):
    """No counted function is called after the budget is spent, in the middle of an inner solve as elsewhere."""
    free = solver_for(host_stem, framework, 4)
    free.run(lambda: True)
    budget = int(free.run_state.ledger.sum()) * 2 // 3
    dearest = []

    solver = solver_for(host_stem, framework, 1 << 30, rules=dict(max_samples=budget))
    program, check = solver.program, solver.program.check
    program.check = lambda: dearest.append(budget - program.samples_left + int(program.counts.sum())) or check()
    solver.run(lambda: True)
    total = int(solver.run_state.ledger.sum())
    spent = np.diff([*dearest, total])
    assert budget <= total < budget + spent.max()
    assert solver.run_state.n_iter < 4
    assert np.isfinite(solver.get_result()["x"]).all()


@every_host_solver
def test_seconds_of_the_budget_are_respected(host_stem, framework):
    solver = solver_for(host_stem, framework, 1 << 30, rules=dict(max_seconds=0.2))
    rows = []
    solver.run(lambda: rows.append(solver.run_state.seconds) or True)
    assert rows[-1] >= 0.2 > rows[-2]


@every_host_solver
def test_divergence_ends_the_run_and_is_recorded(host_stem, framework):
    solver = solver_for(host_stem, framework, 50, rules=dict(max_seconds=5))
    chunk = solver.chunk

    def broken(n):
        done, current = chunk(n)
        return done, current._replace(z=current.z * math.nan)

    solver.chunk = broken
    solver.run(lambda: True)
    assert solver.run_state.diverged
    assert solver.run_state.n_iter <= 2


@every_host_solver
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_precision_is_a_choice(host_stem, framework, precision):
    solver = solver_for(host_stem, framework, 2, precision=precision)
    solver.run(lambda: True)
    result = solver.get_result()
    assert all(result[name].dtype == np.float64 for name in ("z", "x", "d_x", "x_before"))
    x = result["x"]
    assert (np.float32(x) == x).all() == (precision == "float32"), "x is not in the working precision"


@every_host_solver
def test_iterates_agree_between_backends(host_stem, framework):
    frameworks = HOST_SOLVERS[host_stem].frameworks
    if len(frameworks) == 1 or framework != "jax":
        pytest.skip("one backend, or told already")
    a, b = (solver_for(host_stem, f, 6) for f in frameworks)
    for solver in (a, b):
        solver.run(lambda: True)
    # Adaptive lengths magnify rounding.
    assert_agree(a.get_result(), b.get_result(), atol=1e-6, names=("z", "x", "d_x"))


@every_host_solver
def test_file_states_what_the_contract_asks(host_stem, framework):
    cls, text = HOST_SOLVERS[host_stem], (ROOT / "solvers" / f"{host_stem}.py").read_text(encoding="utf-8")
    assert "Differs from the paper\n" in cls.__doc__ or host_stem.startswith("template")
    assert len(text.splitlines()) <= 150
    assert cls.references
    assert cls.requires
    assert set(cls.search_space) <= set(cls.parameters)
    assert all(cls.parameters[name] == ["tuned"] for name in cls.search_space)
    assert not {"device", "precision"} & set(cls.parameters), "rules of the race"
    assert cls.parameters["backend"] == list(cls.frameworks)
    assert cls.frameworks == ("jax", "torch") or "backend" in cls.__doc__


@every_host_solver
def test_what_cannot_run_is_skipped_with_a_sentence(host_stem, framework, monkeypatch):
    cls, problem = HOST_SOLVERS[host_stem], small_quadratic()
    assert cls.name in why_skipped(cls, problem, backend="torch-compiled")
    for other in {"jax", "torch"} - set(cls.frameworks):
        assert f"choose the backend {framework}" in why_skipped(cls, problem, backend=other)
    find_spec = importlib.util.find_spec
    for package in cls.packages:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, p=package: None if name == p else find_spec(name))
        assert f"pip install {package}" in why_skipped(cls, problem, backend=framework)


@every_host_solver
def test_hyper_parameters_that_are_not_numbers_are_refused(host_stem, framework):
    cls = HOST_SOLVERS[host_stem]
    names = hyper_parameter_names(cls)
    assert names
    for name in names:
        assert name in why_skipped(cls, small_quadratic(), backend=framework, **{name: math.nan})
