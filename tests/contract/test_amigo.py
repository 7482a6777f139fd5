"""The variants of AmIGO: accelerated, and on the normal equations."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.oracles.draws import DrawStreams
from benchmark_utils.oracles.ledger import ORACLES

AMIGO = helpers.solver_classes()["amigo"]
SOLVERS = [("gd", "gd"), ("nesterov", "gd"), ("gd", "cg"), ("nesterov", "cg"), ("gd", "normal")]


def after_one_iteration(backend, **parameters):
    """Return z, v after one iteration of full batches from z = v = 0, x = -2."""
    solver = helpers.make_solver(
        AMIGO, helpers.small_quadratic(), 1, backend=backend, precision="float64", batch_size="full", **parameters
    )  # fmt: skip
    helpers.begin(solver)
    helpers.advance(solver)
    state = helpers.on_host(solver)
    return state.z, state.v


def test_nesterov_equals_the_recursion(backend):
    q, x, alpha = helpers.small_quadratic().evaluator, np.full(4, -2.0), 0.4
    gradient = lambda z: q.A @ z + q.C.T @ x + q.c
    z_old = z = np.zeros(6)
    for k in range(7):
        y = z + k / (k + 3) * (z - z_old)
        z_old, z = z, y - alpha * gradient(y)
    found, _ = after_one_iteration(backend, inner_solver="nesterov", n_inner_steps=7, step_size=alpha)
    assert_allclose(found, z, atol=1e-13)
    plain, _ = after_one_iteration(backend, inner_solver="gd", n_inner_steps=7, step_size=alpha)
    assert np.linalg.norm(gradient(found)) < np.linalg.norm(gradient(plain))


def test_conjugate_gradients_solve_the_system_in_p_steps(backend):
    q, x = helpers.small_quadratic().evaluator, np.full(4, -2.0)
    z, v = after_one_iteration(backend, linear_solver="cg", n_linear_steps=6)
    F_z = q.A_F @ z + q.C_F.T @ x + q.c_F
    assert_allclose(v, -np.linalg.solve(q.A, F_z), atol=1e-10)
    _, v = after_one_iteration(backend, linear_solver="cg", n_linear_steps=5)
    assert np.abs(v + np.linalg.solve(q.A, F_z)).max() > 1e-6, "five steps must not be enough"


@pytest.mark.parametrize(("inner_solver", "linear_solver"), SOLVERS)
def test_variants_reach_the_minimiser(inner_solver, linear_solver):
    problem = helpers.small_quadratic()
    result = helpers.run(
        AMIGO, problem, 1500, backend="jax", batch_size="full", step_size=0.3, outer_ratio=3.0, n_inner_steps=3,
        n_linear_steps=3, inner_solver=inner_solver, linear_solver=linear_solver,
    )  # fmt: skip
    assert_allclose(result["x"], problem.evaluator.minimiser(), atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(("inner_solver", "linear_solver"), SOLVERS)
def test_ledger_and_parity_of_the_variants(inner_solver, linear_solver):
    parameters = dict(n_inner_steps=4, n_linear_steps=3, inner_solver=inner_solver, linear_solver=linear_solver)
    results = []
    for backend in helpers.BACKENDS:
        solver = helpers.make_solver(
            AMIGO, helpers.small_quadratic(), 30, backend=backend, precision="float64", batch_size=16, **parameters
        )  # fmt: skip
        solver.run(lambda: True)
        results.append(solver.get_result())
    draws = DrawStreams(solver.plan, solver.partitions, seed=0).take(30)
    sizes = {role: solver.partitions[solver.plan[role].kind].sizes()[ids].sum() for role, ids in draws.items()}
    products = (3 + 1) * sizes["v"] if linear_solver == "cg" else sizes["v"]  # cg: all on one batch, one more
    expected = dict.fromkeys(ORACLES, 0)
    expected |= dict(grad_inner=sizes["z"], hvp=products, cross=sizes["x"], grad_outer=sizes["f"])
    for result in results:
        assert result["counts"] == expected
    helpers.assert_agree(*results, atol=1e-9)


def test_bad_choices_are_refused():
    reason = helpers.why_skipped(AMIGO, helpers.small_quadratic(), batch_size=16, linear_solver="minres")
    assert "'minres'" in reason
    assert "'cg'" in reason
