"""What is special to one host solver: counts that a library reports, samplers, native loops against each other."""

import dataclasses
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import helpers
from benchmark_utils.formulas.lbfgs import lbfgs
from benchmark_utils.oracles.blocks import Partition
from benchmark_utils.oracles.draws import DrawStreams
from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.oracles.oracles import Oracles
from helpers import ROOT, assert_agree, dataset_problem, make_solver, run, small_quadratic, why_skipped

HOST_SOLVERS = helpers.host_solvers()


def solver_for(stem, framework, n_iter, problem=None, **parameters):
    """Return a compiled solver in double precision on the quadratic."""
    parameters = dict(precision="float64", backend=framework, batch_size=16) | parameters
    return make_solver(HOST_SOLVERS[stem], problem or small_quadratic(), n_iter, **parameters)


# ---------------------------------------------------------------------- counted functions
def test_a_counted_function_adds_its_cost_at_each_call(backend):
    solver = solver_for("hoag", backend, 1)
    helpers.begin(solver)
    z, x = solver.start_point
    for k in range(3):
        solver.program.counts[:] = 0
        for _ in range(k):
            solver.hvp(z, x, z)
        assert solver.program.counts.tolist() == [k * 70 if name == "hvp" else 0 for name in ORACLES]
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
    result = lbfgs(value_and_gradient, z0, 1e-5, relative)
    assert np.linalg.norm(H @ result.x) <= bound
    assert result.nfev == len(calls) > 3
    before = len(calls)
    again = lbfgs(value_and_gradient, result.x, bound)
    assert (again.nfev, len(calls) - before) == (1, 1), "at the solution one evaluation is enough"


# ---------------------------------------------------------------------- HOAG
def test_hoag_counts_what_scipy_reports(backend, monkeypatch):
    hoag = sys.modules[HOST_SOLVERS["hoag"].__module__]
    reported = {"lbfgs": 0, "cg": 0, "solves": 0}
    original_lbfgs, cg = hoag.lbfgs, hoag.cg

    def reporting_lbfgs(*args, **kwargs):
        result = original_lbfgs(*args, **kwargs)
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
    helpers.advance(solver)
    assert_array_equal(solver.get_result()["x"], x0)
    assert solver.L == 2 * L


@pytest.mark.parametrize(("growth", "rejected"), [(1.25, True), (1.15, False)])
def test_hoag_rejects_what_raises_the_outer_value_by_a_fifth_whatever_the_tolerances(growth, rejected):
    solver = solver_for("hoag", "jax", 1, tolerance=0.5)
    solver.run(lambda: True)
    z, x = solver.current.z, solver.current.x
    F = np.exp(x.sum())  # any positive number: the outer value where the step has led
    solver.outer = lambda z, x: (F, np.ones_like(z), np.ones_like(x))
    solver.last = F / growth, 0.5
    L, x_before = solver.L, solver.current.x_before
    helpers.advance(solver)
    assert (solver.L == 2 * L) == rejected
    assert np.array_equal(solver.get_result()["x"], x_before) == rejected
    assert len(z) == 6


def test_hoag_with_no_increase_allowed_never_ends_higher_than_it_was():
    """Outer values at the accepted points fall, and steps were rejected on the way."""
    solver, problem = solver_for("hoag", "jax", 40, max_increase=0.0, tolerance=1e-8), small_quadratic()
    helpers.begin(solver)
    solver.L = 0.2  # steps that are too long
    values, rejected = [], 0
    for _ in range(40):
        L, shrink = solver.L, solver.shrink
        x = solver.current.x
        helpers.advance(solver)
        if solver.shrink < shrink:
            rejected += 1
            assert solver.L == 2 * L
        else:
            values.append(problem.evaluator.solve(x).h)
    assert rejected > 0
    assert all(b <= a + 1e-9 for a, b in zip(values, values[1:], strict=False))


def test_hoag_tries_half_a_rejected_step_from_the_point_before():
    solver = solver_for("hoag", "jax", 1)
    solver.run(lambda: True)
    x0, L = solver.get_result()["x_before"], solver.L
    solver.current = solver.current._replace(x=x0 - 100 * solver.get_result()["d_x"] / L)
    for _ in range(2):  # the rejection, and the iteration after it
        helpers.advance(solver)
    result = solver.get_result()
    assert_array_equal(result["x_before"], x0)
    assert_allclose(result["x"], x0 - result["d_x"] / (2 * L), rtol=0, atol=1e-12)


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
    assert solver.run_state.n_iter == 1 + 3**2
    assert solver.run_state.status == "exhausted"
    h = {(a, b): problem.evaluator.solve(np.array([a, b])).h for a in (-5.0, 0.0, 5.0) for b in (-5.0, 0.0, 5.0)}
    h[(-2.0, -2.0)] = problem.evaluator.solve(np.full(2, -2.0)).h
    assert_allclose(solver.get_result()["x"], min(h, key=h.get))


def test_optuna_refuses_what_it_cannot_search():
    cls = HOST_SOLVERS["optuna"]
    of_size = lambda d: dataclasses.replace(small_quadratic(), outer_shape=(d,))
    assert "choose fewer n_grid_points" in why_skipped(cls, of_size(20), sampler="grid")
    assert "use a gradient method" in why_skipped(cls, of_size(1001))
    assert "choose one of" in why_skipped(cls, of_size(4), sampler="sobol")


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
    assert "choose float64 or 'bfgs'" in why_skipped(cls, problem, inner_solver="lbfgs")
    assert "choose one of" in why_skipped(cls, problem, outer_optimiser="newton")
    many = dataclasses.replace(problem, inner_shape=(5001,))
    assert "matrix" in why_skipped(cls, many)


# ---------------------------------------------------------------------- native loops
@pytest.mark.parametrize("native", ["template_jax", "template_torch"])
def test_native_loops_cost_what_was_drawn(native):
    result = run(HOST_SOLVERS[native], small_quadratic(), 37, batch_size=16)
    partitions = {"inner": Partition.of(70, 16), "outer": Partition.of(50, 16)}
    draws = DrawStreams(helpers.resolved(HOST_SOLVERS[native]).draws(), partitions, seed=0).take(37)
    inner = int(partitions["inner"].sizes()[draws["xi"]].sum())
    outer = int(partitions["outer"].sizes()[draws["zeta"]].sum())
    assert inner < 37 * 16, "no ragged block was drawn"
    expected = dict(grad_inner=inner, grad_inner_x=0, grad_outer=outer, hvp=inner, cross=inner, value=0)
    assert result["counts"] == expected


@pytest.mark.parametrize("name", ["simulated", pytest.param("ijcnn1", marks=pytest.mark.slow)])
def test_native_loops_are_the_same_method(name):
    problem = small_quadratic() if name == "simulated" else dataset_problem(name)
    a, b = (run(HOST_SOLVERS[stem], problem, 100, batch_size=16) for stem in ("template_jax", "template_torch"))
    assert_agree(a, b, atol=1e-9, scaled=True)


def test_a_native_loop_does_not_depend_on_how_it_is_cut():
    for stem, framework in (("template_jax", "jax"), ("template_torch", "torch")):
        whole, pieces = (solver_for(stem, framework, 40) for _ in range(2))
        pieces.program.longest = 3
        for solver in (whole, pieces):
            solver.run(lambda: True)
        assert_agree(whole.get_result(), pieces.get_result(), rtol=1e-12, atol=1e-12)
