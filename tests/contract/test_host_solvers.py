"""Properties of every solver that runs its loop on the host; a new file in solvers/ is tested without a new line here.

What is special to one file (counts that a library reports, samplers, native loops against each other) comes after.
"""

import dataclasses
import importlib.util
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from benchmark_utils import host_solver
from benchmark_utils.host_solver import HostSolver
from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.sampling import DrawStreams, Partition
from benchmark_utils.timed_solver import put_at_start
from helpers import ROOT, assert_agree, counts, dataset_problem, make_solver, run, small_quadratic, solver_classes

HOST_SOLVERS = {stem: cls for stem, cls in solver_classes().items() if issubclass(cls, HostSolver)}
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
    assert put_at_start(solver, small_quadratic(), **solver.rules) is None
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
    budget = int(free.ledger_totals.sum()) * 2 // 3
    dearest = []

    solver = solver_for(host_stem, framework, 1 << 30, rules=dict(max_samples=budget))
    solver.spent_now = lambda: dearest.append(int(solver.ledger_totals.sum())) or HostSolver.spent_now(solver)
    solver.run(lambda: True)
    spent = np.diff([*dearest, int(solver.ledger_totals.sum())])
    assert budget <= solver.ledger_totals.sum() < budget + spent.max()
    assert solver.n_iter < 4
    assert np.isfinite(solver.get_result()["x"]).all()


@every_host_solver
def test_seconds_of_the_budget_are_respected(host_stem, framework):
    solver = solver_for(host_stem, framework, 1 << 30, rules=dict(max_seconds=0.2))
    rows = []
    solver.run(lambda: rows.append(solver.seconds) or True)
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
    assert solver.diverged
    assert solver.n_iter <= 2


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
    cls, text = HOST_SOLVERS[host_stem], (ROOT / "solvers" / f"{host_stem}.py").read_text()
    assert "Differs from the paper in" in cls.__doc__ or host_stem.startswith("template")
    assert len(text.splitlines()) <= 150
    assert cls.references
    assert cls.requires
    assert set(cls.search_space) <= set(cls.parameters)
    assert cls.parameters["backend"] == list(cls.frameworks)
    assert cls.frameworks == ("jax", "torch") or "backend" in cls.__doc__


@every_host_solver
def test_what_cannot_run_is_skipped_with_a_sentence(host_stem, framework, monkeypatch):
    cls, problem = HOST_SOLVERS[host_stem], small_quadratic()
    skip, reason = cls.get_instance(backend="torch-compiled").skip(problem=problem)
    assert skip
    assert cls.name in reason
    for other in {"jax", "torch"} - set(cls.frameworks):
        skip, reason = cls.get_instance(backend=other).skip(problem=problem)
        assert skip
        assert f"choose the backend {framework}" in reason
    find_spec = importlib.util.find_spec
    for package in cls.packages:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, p=package: None if name == p else find_spec(name))
        skip, reason = cls.get_instance(backend=framework).skip(problem=problem)
        assert skip
        assert f"pip install {package}" in reason


@every_host_solver
def test_hyper_parameters_that_are_not_numbers_are_refused(host_stem, framework):
    cls = HOST_SOLVERS[host_stem]
    name = next(name for name, values in cls.parameters.items() if isinstance(values[0], float))
    skip, reason = cls.get_instance(backend=framework, **{name: math.nan}).skip(problem=small_quadratic())
    assert skip
    assert name in reason


# ---------------------------------------------------------------------- counted functions
def test_a_counted_function_adds_its_cost_at_each_call(backend):
    solver = solver_for("hoag", backend, 1)
    solver.begin()
    z, x = solver._start
    for k in range(3):
        solver.ledger_totals[:] = 0
        for _ in range(k):
            solver.hvp(z, x, z)
        assert solver.ledger_totals.tolist() == [k * 70 if name == "hvp" else 0 for name in ORACLES]
    value, gradient = solver.inner(z, x)
    assert type(value) is float
    assert gradient.dtype == np.float64
    assert gradient.shape == z.shape


@pytest.mark.parametrize("relative", [False, True])
def test_lbfgs_meets_its_tolerance_and_reports_its_calls(relative):
    calls, H = [], np.diag(np.geomspace(1e-3, 1, 20))

    def value_and_gradient(z):
        calls.append(z)
        return 0.5 * z @ H @ z, H @ z

    z0 = np.full(20, 1e-2)
    bound = 1e-5 * (np.linalg.norm(H @ z0) if relative else 1)
    result = host_solver.lbfgs(value_and_gradient, z0, 1e-5, relative)
    assert np.linalg.norm(H @ result.x) <= bound
    assert result.nfev == len(calls) > 3
    before = len(calls)
    again = host_solver.lbfgs(value_and_gradient, result.x, bound)
    assert (again.nfev, len(calls) - before) == (1, 1), "at the solution one evaluation is enough"


# ---------------------------------------------------------------------- HOAG
def test_hoag_counts_what_scipy_reports(backend, monkeypatch):
    hoag = __import__("sys").modules[HOST_SOLVERS["hoag"].__module__]
    reported = {"lbfgs": 0, "cg": 0, "solves": 0}
    lbfgs, cg = hoag.lbfgs, hoag.cg

    def reporting_lbfgs(*args, **kwargs):
        result = lbfgs(*args, **kwargs)
        reported["lbfgs"] += result.nfev
        return result

    def reporting_cg(H, b, x0, **kwargs):
        reported["solves"] += 1
        reported["cg"] += int(x0.any())  # the first residual

        def step(_):
            reported["cg"] += 1

        return cg(H, b, x0=x0, callback=step, **kwargs)

    monkeypatch.setattr(hoag, "lbfgs", reporting_lbfgs)
    monkeypatch.setattr(hoag, "cg", reporting_cg)
    solver = solver_for("hoag", backend, 12)
    reported.update(dict.fromkeys(reported, 0))  # the rehearsal was reported too
    solver.run(lambda: True)
    evaluations = reported["lbfgs"] + 1  # the scale of the tolerances
    assert solver.get_result()["counts"] == dict(
        grad_inner=70 * evaluations,
        grad_inner_x=0,
        grad_outer=50 * 12,
        hvp=70 * reported["cg"],
        cross=70 * reported["solves"],
        value=70 * evaluations + 50 * 12,
    )
    assert reported["cg"] > 12


def test_hoag_takes_each_step_once(backend):
    """Between two rows with an accepted step, x moves by exactly -d_x / L."""
    solver = solver_for("hoag", backend, 1)
    solver.run(lambda: True)
    result = solver.get_result()
    assert_allclose(result["x"], result["x_before"] - result["d_x"] / solver.L, rtol=0, atol=1e-12)
    assert_allclose(np.sqrt(np.mean((result["x"] - result["x_before"]) ** 2)), 1, rtol=1e-6)


def test_hoag_rejects_a_step_that_raises_the_outer_value():
    solver = solver_for("hoag", "jax", 1)
    solver.run(lambda: True)
    x0, L = solver.get_result()["x_before"], solver.L
    far = x0 - 100 * solver.get_result()["d_x"] / L
    solver.current = solver.current._replace(x=far)
    solver.advance(1)
    assert_array_equal(solver.get_result()["x"], x0)
    assert solver.L == 2 * L


# ---------------------------------------------------------------------- Optuna
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_optuna_reports_the_best_trial_from_x0_on(sampler):
    problem = small_quadratic()
    solver = solver_for("optuna", "torch", 12, sampler=sampler)
    rows = []
    solver.run(lambda: rows.append(problem.evaluator.solve(solver.get_result()["x"]).h) or True)
    assert rows[0] == rows[1], "the first trial is x0"
    assert all(a >= b for a, b in zip(rows, rows[1:], strict=False))
    assert rows[-1] < rows[0]
    assert np.isnan(solver.get_result()["d_x"]).all()


def test_optuna_grid_visits_every_cell_and_stops():
    problem = small_quadratic(p=6, d=2)
    solver = solver_for("optuna", "torch", 1 << 30, problem, sampler="grid", n_grid_points=3)
    solver.run(lambda: True)
    assert solver.n_iter == 1 + 3**2
    h = {(a, b): problem.evaluator.solve(np.array([a, b])).h for a in (-5.0, 0.0, 5.0) for b in (-5.0, 0.0, 5.0)}
    h[(-2.0, -2.0)] = problem.evaluator.solve(np.full(2, -2.0)).h
    assert_allclose(solver.get_result()["x"], min(h, key=h.get))


def test_optuna_refuses_what_it_cannot_search():
    cls = HOST_SOLVERS["optuna"]
    of_size = lambda d: dataclasses.replace(small_quadratic(), outer_shape=(d,))
    assert "choose fewer n_grid_points" in cls.get_instance(sampler="grid").skip(problem=of_size(20))[1]
    assert "use a gradient method" in cls.get_instance().skip(problem=of_size(1001))[1]
    assert "choose one of" in cls.get_instance(sampler="sobol").skip(problem=of_size(4))[1]


def test_the_file_optuna_does_not_hide_the_package():
    import optuna
    from benchopt.benchmark import Benchmark

    assert "site-packages" in optuna.__file__
    (cls,) = Benchmark(ROOT).check_solver_patterns(["Optuna"], class_only=True)
    solver = make_solver(cls, small_quadratic(), 2, backend="torch")
    solver.run(lambda: True)
    assert isinstance(solver.study, optuna.Study)


# ---------------------------------------------------------------------- ImplicitDiff
@pytest.mark.parametrize("inner_solver", ["bfgs", "lbfgs"])
def test_implicit_diff_counts_the_calls_that_ran(inner_solver, monkeypatch):
    """The libraries' reported steps times the cost of one equal the calls counted by the running program."""
    import jax

    from benchmark_utils.oracles import Oracles

    ran = dict.fromkeys(("value_inner", "grad_inner", "hvp"), 0)

    def watched(name):
        oracle = getattr(Oracles, name)

        def count(_):
            ran[name] += 1

        def call(self, z, *args):
            point = args[1] if name == "hvp" else z  # data of the call, so that it is not moved out of the loop
            jax.debug.callback(count, point)
            return oracle(self, z, *args)

        return call

    for name in ran:
        monkeypatch.setattr(Oracles, name, watched(name))
    solver = solver_for("implicit_diff", "jax", 5, inner_solver=inner_solver)
    jax.effects_barrier()
    ran.update(dict.fromkeys(ran, 0))
    solver.run(lambda: True)
    jax.effects_barrier()
    counted = solver.get_result()["counts"]
    assert counted["grad_inner"] == 70 * ran["grad_inner"]
    assert counted["value"] == 70 * ran["value_inner"]
    assert counted["hvp"] == 70 * ran["hvp"]
    assert counted["grad_outer"] == 50 * 5
    assert counted["cross"] == 70 * 5


def test_implicit_diff_refuses_methods_that_cannot_run():
    cls = HOST_SOLVERS["implicit_diff"]
    problem = small_quadratic()
    assert "choose precision" in cls.get_instance(inner_solver="lbfgs").skip(problem=problem)[1]
    assert "choose one of" in cls.get_instance(outer_optimiser="newton").skip(problem=problem)[1]
    many = dataclasses.replace(problem, inner_shape=(5001,))
    assert "matrix" in cls.get_instance().skip(problem=many)[1]


# ---------------------------------------------------------------------- native loops
@pytest.mark.parametrize("native", ["template_jax", "template_torch"])
def test_native_loops_cost_what_was_drawn(native):
    result = run(HOST_SOLVERS[native], small_quadratic(), 37, batch_size=16)
    partitions = {"inner": Partition.of(70, 16), "outer": Partition.of(50, 16)}
    draws = DrawStreams(HOST_SOLVERS[native].get_instance().draws(), partitions, seed=0).take(37)
    inner = int(partitions["inner"].sizes()[draws["xi"]].sum())
    outer = int(partitions["outer"].sizes()[draws["zeta"]].sum())
    assert inner < 37 * 16, "no ragged block was drawn"
    expected = dict(grad_inner=inner, grad_inner_x=0, grad_outer=outer, hvp=inner, cross=inner, value=0)
    assert result["counts"] == expected


@pytest.mark.parametrize("name", ["simulated", "ijcnn1"])
def test_native_loops_are_the_same_method(name):
    problem = small_quadratic() if name == "simulated" else dataset_problem(name)
    a, b = (run(HOST_SOLVERS[stem], problem, 100, batch_size=16) for stem in ("template_jax", "template_torch"))
    assert_agree(a, b, atol=1e-9, scaled=True)


def test_a_native_loop_does_not_depend_on_how_it_is_cut():
    for stem, framework in (("template_jax", "jax"), ("template_torch", "torch")):
        whole, pieces = (solver_for(stem, framework, 40) for _ in range(2))
        pieces.longest_advance = 3
        for solver in (whole, pieces):
            solver.run(lambda: True)
        assert_agree(whole.get_result(), pieces.get_result(), rtol=1e-12, atol=1e-12)
