"""STABLE: the dense oracles, the projections, the variants, and the refusal of large problems."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.backends import get_backend
from benchmark_utils.oracles.oracles import FULL
from benchmark_utils.problem.projections import ball, eigenvalue_floor
from benchmark_utils.running.start import start_point
from helpers import fixed_point_problem, make_oracles

SHAPES = {"d < p": dict(p=6, d=4), "d = p": dict(p=5, d=5), "d > p": dict(p=3, d=7)}


def point(oracles, problem):
    """Return z, x, v, u on the device."""
    rng = np.random.default_rng(5)
    sizes = problem.inner_size, problem.outer_size, problem.inner_size, problem.outer_size
    return [oracles.bk.asarray(rng.standard_normal(size)) for size in sizes]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch", [0, 4, FULL])  # block 4 is ragged
def test_dense_matrices_equal_products_and_are_counted_as_such(shape, batch, backend):
    problem = helpers.small_quadratic(**SHAPES[shape])
    oracles = make_oracles(problem, backend, 16)
    z, x, v, u = point(oracles, problem)
    H, C = oracles.hessian_matrix(z, x, batch), oracles.cross_matrix(z, x, batch)
    n = {0: 16, 4: 6, FULL: 70}[batch]
    p, d = len(z), len(x)
    assert tuple(H.shape) == (p, p)
    assert tuple(C.shape) == (d, p)
    counts = {name: int(count) for name, count in oracles.ledger.counts.items() if int(count)}
    assert counts == dict(hvp=n * p, cross=n * min(p, d))
    host = oracles.bk.to_numpy
    assert_allclose(host(H @ v), host(oracles.hvp(z, x, v, batch)), atol=1e-12)
    assert_allclose(host(C @ v), host(oracles.cross(z, x, v, batch)), atol=1e-12)
    assert_allclose(host(C.T @ u), host(oracles.cross_transpose(z, x, u, batch)), atol=1e-12)
    assert int(oracles.ledger.counts["cross"]) == n * (min(p, d) + 2)


def test_dense_matrices_on_blocks_of_a_weighted_multinomial_problem(backend):
    problem = helpers.PROBLEMS["digits_cleaning"]()
    oracles = make_oracles(problem, backend, 16)
    z, x, v, _ = point(oracles, problem)
    host = oracles.bk.to_numpy
    H, C = oracles.hessian_matrix(z, x, 3), oracles.cross_matrix(z, x, 3)
    assert_allclose(host(H @ v), host(oracles.hvp(z, x, v, 3)), atol=1e-12)
    assert_allclose(host(C @ v), host(oracles.cross(z, x, v, 3)), atol=1e-12)


def test_dense_matrices_of_a_fixed_point_problem_are_transposed_jacobians(backend):
    problem = fixed_point_problem()
    oracles = make_oracles(problem, backend, 8)
    z, x, v, _ = point(oracles, problem)
    host = oracles.bk.to_numpy
    H, C = oracles.hessian_matrix(z, x, FULL), oracles.cross_matrix(z, x, FULL)
    assert np.abs(host(H) - host(H).T).max() > 0.01
    assert_allclose(host(H @ v), host(oracles.hvp(z, x, v, FULL)), atol=1e-12)
    assert_allclose(host(C @ v), host(oracles.cross(z, x, v, FULL)), atol=1e-12)


def test_eigenvalue_floor_is_the_nearest_matrix(backend):
    bk = get_backend(backend, "cpu", "float64")
    rng = np.random.default_rng(0)
    U, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    A = U @ np.diag([-1.0, 0.05, 0.2, 1.0, 3.0]) @ U.T
    skew = np.triu(rng.standard_normal((5, 5)), 1)
    projected, inverse = (bk.to_numpy(a) for a in eigenvalue_floor(bk.xp, bk.asarray(A + skew - skew.T), 0.1))
    assert_allclose(projected, U @ np.diag([0.1, 0.1, 0.2, 1.0, 3.0]) @ U.T, atol=1e-13)
    assert_allclose(inverse @ projected, np.eye(5), atol=1e-12)


def test_ball_takes_matrices(backend):
    bk = get_backend(backend, "cpu", "float64")
    C = np.arange(6.0).reshape(2, 3)
    held = bk.to_numpy(ball(bk.xp, bk.asarray(C), 2.0))
    assert_allclose(held, C * 2 / np.linalg.norm(C), atol=1e-14)
    assert_allclose(bk.to_numpy(ball(bk.xp, bk.asarray(C), 20.0)), C, rtol=0, atol=0)


def test_estimate_of_H_keeps_the_floor_on_small_batches(backend):
    solver = helpers.make_solver(
        helpers.solver_classes()["stable"], helpers.small_quadratic(), 20, backend=backend, precision="float64",
        batch_size=2, mu=0.25, step_size=0.05,
    )  # fmt: skip
    helpers.begin(solver)
    lowest = []
    for _ in range(20):
        helpers.advance(solver)
        lowest.append(np.linalg.eigvalsh(helpers.on_host(solver).H)[0])
    assert min(lowest) == pytest.approx(0.25, abs=1e-12)  # two rank-one rows: the floor is met
    assert max(lowest) >= 0.25


def test_z_follows_the_minimiser_when_x_moves(backend):
    problem = helpers.small_quadratic()  # z*(x) is linear, so the first-order change of z*(x) is all of it
    x0 = np.full(4, -2.0)
    problem = dataclasses.replace(problem, init=lambda rng: (problem.evaluator.solve(x0).z, x0))
    result = helpers.run(
        helpers.solver_classes()["stable"], problem, 20, backend=backend, batch_size="full", step_size=0.3,
        outer_ratio=3.0, schedule="constant",
    )  # fmt: skip
    assert np.abs(result["x"] - x0).max() > 0.1
    assert_allclose(result["z"], problem.evaluator.solve(result["x"]).z, atol=1e-12)


@pytest.mark.parametrize("which", ["stable", "stable_vr"])
def test_estimates_follow_H_and_C_where_they_change(which):
    problem = helpers.dataset_problem("breast_cancer")
    solver = helpers.make_solver(
        helpers.solver_classes()[which], problem, 10, backend="torch", precision="float64", batch_size="full",
        schedule="constant", momentum=0.01, mu=1e-9, step_size=0.5, outer_ratio=0.1,
    )  # fmt: skip
    oracles = make_oracles(problem, "torch", "full")
    helpers.begin(solver)
    for _ in range(10):
        s = helpers.advance(solver).carry
        H, C = oracles.hessian_matrix(s.z_old, s.x_old, FULL), oracles.cross_matrix(s.z_old, s.x_old, FULL)
        assert_allclose(s.H.numpy(), H.numpy(), atol=1e-13)
        assert_allclose(s.C.numpy(), C.numpy(), atol=1e-13)
    assert (s.z - s.z_old).abs().max() > 1e-3, "H must change for the test to tell"


def test_variance_reduced_variant_reaches_the_minimiser():
    problem = helpers.small_quadratic()
    result = helpers.run(
        helpers.solver_classes()["stable_vr"], problem, 2000, backend="jax", batch_size="full",
        schedule="constant", momentum=0.1, step_size=0.3, outer_ratio=3.0,
    )  # fmt: skip
    assert_allclose(result["x"], problem.evaluator.minimiser(), atol=1e-8)


def test_variance_reduced_variant_agrees_between_backends():
    parameters = dict(batch_size=16, step_size=0.1, outer_ratio=1.0)
    a, b = (
        helpers.run(
            helpers.solver_classes()["stable_vr"], helpers.small_quadratic(), 100, backend=backend, **parameters
        )
        for backend in helpers.BACKENDS
    )
    helpers.assert_agree(a, b, atol=1e-9)


@pytest.mark.parametrize("which", ["stable", "stable_vr"])
def test_mu_by_default_is_below_the_measured_one_of_a_large_problem(which):
    problem = helpers.dataset_problem("digits_cleaning")
    assert helpers.resolved(helpers.solver_classes()[which], problem).mu <= problem.view.mu < 0.05


@pytest.mark.parametrize(
    "name", ["simulated", "breast_cancer", pytest.param("digits_cleaning", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("which", ["stable", "stable_vr"])
def test_direction_from_start_values_at_the_solution_is_the_hypergradient(which, name):
    """Within 1 %: mu by default is below the least eigenvalue of H, which is 0.02 on digits_cleaning."""
    problem = helpers.dataset_problem(name)
    assert helpers.resolved(helpers.solver_classes()[which], problem).mu <= problem.view.mu
    x0 = start_point(problem, 0)[1]
    solution = problem.evaluator.solve(x0)
    problem = dataclasses.replace(problem, init=lambda rng: (solution.z, x0))
    result = helpers.run(helpers.solver_classes()[which], problem, 1, backend="torch", batch_size="full")
    error = np.linalg.norm(result["d_x"] - solution.gradient) / np.linalg.norm(solution.gradient)
    assert error < 0.01
    wrong = helpers.run(helpers.solver_classes()[which], problem, 1, backend="torch", batch_size="full", mu=0.9)
    error = np.linalg.norm(wrong["d_x"] - solution.gradient) / np.linalg.norm(solution.gradient)
    assert error > 0.05, "mu above the true constant must show"


@pytest.mark.parametrize("which", ["stable", "stable_vr"])
def test_large_problems_are_refused_with_their_sizes_and_a_remedy(which):
    problem = dataclasses.replace(helpers.small_quadratic(), name="large", inner_shape=(7840,), outer_shape=(20000,))
    reason = helpers.why_skipped(helpers.solver_classes()[which], problem, batch_size=16)
    for part in ("7840 x 7840", "20000 x 7840", "218,391,040 numbers", "FSLA"):
        assert part in reason
