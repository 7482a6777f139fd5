"""The linear-system solvers against dense solves, Krylov spaces and truncated series, with their products counted."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.formulas import linear_system
from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.oracles.oracles import FULL
from helpers import make_oracles


def quadratic_system(backend):
    """Return (oracles, hvp, b, v0, H): products with the Hessian H of the quadratic, and NumPy vectors."""
    problem = helpers.small_quadratic()
    oracles = make_oracles(problem, backend, "full")
    rng = np.random.default_rng(0)
    b, v0, x = rng.standard_normal(6), rng.standard_normal(6), oracles.bk.asarray(np.zeros(4))
    hvp = lambda k, u: oracles.hvp(0 * u, x, u, FULL)
    return oracles, hvp, b, v0, problem.evaluator.A


def solve(name, oracles, hvp, b, v0, eta, n):
    """Return the approximate solution as a NumPy array; that of hia is averaged over all its lengths."""
    bk = oracles.bk
    v0 = None if v0 is None else bk.asarray(v0)
    arguments = (oracles, hvp, bk.asarray(b), v0, eta, n)
    if name == "hia":
        return np.mean([bk.to_numpy(linear_system.hia(*arguments, length)) for length in range(n)], axis=0)
    return bk.to_numpy(getattr(linear_system, name)(*arguments))


# The spectrum of H is in [1/2, 1]: with eta = 4/3 each step divides the error by 3. CG needs p = 6 steps.
@pytest.mark.parametrize(("name", "n"), [("shia", 25), ("hia", 25), ("sgd", 25), ("cg", 6), ("cg", 20)])
def test_linear_systems_against_a_dense_solve(name, n, backend):
    oracles, hvp, b, v0, H = quadratic_system(backend)
    assert_allclose(solve(name, oracles, hvp, b, v0, 4 / 3, n), -np.linalg.solve(H, b), rtol=0, atol=1e-10)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("name", ["shia", "hia", "sgd"])
def test_linear_systems_after_few_steps(name, n, backend):
    oracles, hvp, b, v0, H = quadratic_system(backend)
    eta = 0.7
    M = np.eye(6) - eta * H
    terms = {"shia": n + 1, "hia": n, "sgd": n}[name]
    expected = -eta * sum(np.linalg.matrix_power(M, i) for i in range(terms)) @ b
    if name == "sgd":
        expected += np.linalg.matrix_power(M, n) @ v0
    assert_allclose(solve(name, oracles, hvp, b, v0, eta, n), expected, rtol=0, atol=1e-13)
    products = {"shia": n, "hia": n * (n - 1) // 2, "sgd": n}[name]  # those of hia over all lengths
    assert oracles.ledger.counts == dict.fromkeys(ORACLES, 0) | {"hvp": 70 * products}


@pytest.mark.parametrize("n", range(1, 7))
@pytest.mark.parametrize("start", ["zero", "warm"])
def test_conjugate_gradients_minimise_over_the_krylov_space(n, start, backend):
    oracles, hvp, b, v0, H = quadratic_system(backend)
    v0 = v0 if start == "warm" else None
    v = solve("cg", oracles, hvp, b, v0, None, n)
    assert oracles.ledger.counts["hvp"] == 70 * (n + (start == "warm"))
    origin = np.zeros(6) if v0 is None else v0
    r = -b - H @ origin
    basis = np.linalg.qr(np.stack([np.linalg.matrix_power(H, i) @ r for i in range(n)], axis=1))[0]
    assert_allclose(v, origin + basis @ np.linalg.solve(basis.T @ H @ basis, basis.T @ r), rtol=0, atol=1e-9)


@pytest.mark.parametrize("n", [1, 4])
def test_conjugate_gradients_with_the_identity_take_one_step(n, backend):
    oracles, _, b, v0, _ = quadratic_system(backend)
    for start in (None, v0):
        assert_allclose(solve("cg", oracles, lambda k, u: u, b, start, None, n), -b, rtol=0, atol=1e-15)


def test_conjugate_gradients_without_residual_or_curvature_stay_finite(backend):
    oracles, hvp, b, v0, H = quadratic_system(backend)
    assert_allclose(solve("cg", oracles, hvp, 0 * b, None, None, 3), 0 * b, rtol=0, atol=0)
    assert_allclose(solve("cg", oracles, hvp, -H @ v0, v0, None, 3), v0, rtol=0, atol=1e-14)
    assert_allclose(solve("cg", oracles, lambda k, u: 0 * u, b, None, None, 3), 0 * b, rtol=0, atol=0)
