"""What later problems need: dicts of arrays, a feasible set, a fixed-point lower level, sparse rows."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.oracles.oracles import FULL
from benchmark_utils.problem.feasible_set import Ball, Box
from benchmark_utils.problem.problem import Problem
from benchmark_utils.problem.variables import SparseRows
from benchmark_utils.terms.glm import GLM
from benchmark_utils.terms.penalties import ExpRidge
from benchmark_utils.terms.term import Term
from helpers import CALLS, CARD, fixed_point_problem, make_oracles

RNG = np.random.default_rng(0)


def vectors(oracles, problem):
    """Return z, x, v as arrays of the backend."""
    rng = np.random.default_rng(1)
    return [oracles.bk.asarray(rng.standard_normal(size)) for size in (
        problem.inner_size, problem.outer_size, problem.inner_size
    )]  # fmt: skip


class LeastSquares(Term):
    """1/2 (a.w + b - y)^2 + exp(x_w) ‖w‖^2 / 2 + exp(x_b) b^2 / 2 for dicts z = {w, b}, x = {w, b}."""

    def sample_values(self, xp, z, x, rows):
        residual = rows["a"] @ z["w"] + z["b"] - rows["y"]
        ridge = xp.exp(x["w"]) * xp.sum(z["w"] * z["w"]) + xp.exp(x["b"]) * xp.sum(z["b"] * z["b"])
        return 0.5 * residual * residual + 0.5 * ridge


@pytest.fixture
def dict_problem():
    """Return a problem whose z and x are dicts of arrays."""
    arrays = {"a": RNG.standard_normal((23, 3)), "y": RNG.standard_normal(23)}
    return Problem(
        "dicts", LeastSquares(), LeastSquares(), {"train": arrays, "validation": arrays},
        {"w": (3,), "b": (1,)}, {"w": (1,), "b": (1,)},
        init=lambda rng: (np.zeros(4), np.zeros(2)), evaluator=None, card=CARD,
    )  # fmt: skip


def test_variables_may_be_dicts_of_arrays(dict_problem, backend):
    oracles = make_oracles(dict_problem, backend, 5)
    z, x, v = vectors(oracles, dict_problem)
    D_z, Hv, Cv = (oracles.bk.to_numpy(a) for a in oracles.inner_joint(z, x, v, FULL))
    arrays = dict_problem.rows("inner")
    A = np.column_stack([arrays["a"], np.ones(23)])
    z, x, v = (oracles.bk.to_numpy(a) for a in (z, x, v))
    q = np.exp(x)[[0, 0, 0, 1]]
    assert_allclose(D_z, A.T @ (A @ z - arrays["y"]) / 23 + q * z, atol=1e-12)
    assert_allclose(Hv, A.T @ (A @ v) / 23 + q * v, atol=1e-12)
    assert_allclose(Cv, [np.sum((q * z * v)[:3]), (q * z * v)[3]], atol=1e-12)


@pytest.mark.parametrize("algorithm", ["soba", "saba", "stocbio", "amigo"])
def test_solvers_run_on_dicts(dict_problem, backend, algorithm):
    solver = helpers.make_solver(
        helpers.solver_classes()[algorithm], dict_problem, 20, backend=backend, precision="float64", batch_size=5
    )
    solver.run(lambda: True)
    result = solver.get_result()
    assert result["z"].shape == (4,)
    assert result["x"].shape == (2,)
    assert np.abs(result["x"]).max() > 0


@pytest.mark.parametrize(("feasible_set", "inside"), [
    (Box(-0.5, 0.25), lambda x: (x >= -0.5).all() and (x <= 0.25).all()),
    (Ball(0.75), lambda x: np.linalg.norm(x) <= 0.75 + 1e-12),
])  # fmt: skip
@pytest.mark.parametrize("algorithm", ["soba", "saba", "stocbio", "amigo"])
def test_projected_iterates_stay_in_the_feasible_set(algorithm, feasible_set, inside, backend):
    problem = helpers.small_quadratic()
    free = helpers.run(helpers.solver_classes()[algorithm], problem, 50, backend=backend, batch_size=16)
    assert not inside(free["x"]), "the set must matter"
    problem = dataclasses.replace(problem, feasible_set=feasible_set, init=lambda rng: (np.zeros(6), np.zeros(4)))
    result = helpers.run(helpers.solver_classes()[algorithm], problem, 50, backend=backend, batch_size=16)
    assert inside(result["x"])
    assert np.abs(result["x"]).max() > 0


def test_fixed_point_residual_and_transposed_products(backend):
    problem = fixed_point_problem()
    oracles = make_oracles(problem, backend, 8)
    z, x, v = vectors(oracles, problem)
    out = [oracles.bk.to_numpy(a) for a in oracles.inner_joint(z, x, v, FULL)]
    single = oracles.grad_inner(z, x, FULL), oracles.hvp(z, x, v, FULL), oracles.cross(z, x, v, FULL)
    single = [oracles.bk.to_numpy(a) for a in single]
    arrays = problem.rows("inner")
    M = arrays["left"].T @ arrays["right"] / 32
    assert np.abs(M - M.T).max() > 0.01
    z, x, v = (oracles.bk.to_numpy(a) for a in (z, x, v))
    expected = [z - (M @ z + x + arrays["shift"].mean(0)), (np.eye(5) - M).T @ v, -v]
    for a, b, c in zip(out, single, expected, strict=True):
        assert_allclose(a, c, atol=1e-12)
        assert_allclose(b, c, atol=1e-12)


def test_single_loop_methods_solve_a_fixed_point_problem(backend):
    problem = fixed_point_problem()
    result = helpers.run(
        helpers.solver_classes()["soba"], problem, 3000 if backend == "jax" else 300, backend=backend,
        batch_size="full", schedule="constant", step_size=0.3, outer_ratio=2.0,
    )  # fmt: skip
    arrays, F = problem.rows("inner"), problem.rows("outer")
    M = arrays["left"].T @ arrays["right"] / 32
    K = np.linalg.inv(np.eye(5) - M)  # z* = K (x + shift)
    m = F["a"].shape[0]
    A, B, C = F["a"].T @ F["a"] / m, F["b"].T @ F["b"] / m, F["r"].T @ F["s"] / m
    hessian = K.T @ A @ K + B + C @ K + (C @ K).T
    z_0 = K @ arrays["shift"].mean(0)
    gradient_0 = K.T @ (A @ z_0 + F["c"].mean(0)) + C @ z_0 + F["e"].mean(0)
    tolerance = 1e-8 if backend == "jax" else 0.5
    assert_allclose(result["x"], -np.linalg.solve(hessian, gradient_0), atol=tolerance)


def test_solvers_that_need_a_minimum_are_refused_with_a_sentence():
    class NeedsSymmetry(helpers.solver_classes()["soba"]):
        def step(self, s, oracles, hp, draws):
            oracles.need_symmetry()
            return super().step(s, oracles, hp, draws)

        @classmethod
        def state_class(cls):
            return helpers.solver_classes()["soba"].state_class()

    reason = helpers.why_skipped(NeedsSymmetry, fixed_point_problem(), batch_size=8)
    assert "SOBA requires symmetric_hvp, which contraction does not offer (its lower level is a fixed point)" in reason


@pytest.mark.parametrize("n_classes", [1, 3])
def test_sparse_rows_equal_dense_rows(backend, n_classes):
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((43, 9)) * (rng.random((43, 9)) < 0.3)
    labels = rng.integers(0, max(2, n_classes), 43)
    targets = 2.0 * labels - 1 if n_classes == 1 else np.eye(3)[labels]
    shape = (9,) if n_classes == 1 else (9, 3)

    def problem(features):
        term = GLM("logistic" if n_classes == 1 else "multinomial", ExpRidge(0.1), n_classes=n_classes)
        rows = {"features": features, "targets": targets}
        splits = {"train": rows, "validation": rows}
        return Problem("p", term, term, splits, shape, (9,), init=None, evaluator=None, card=CARD)

    for batch in (0, 4, FULL):  # 4 is the ragged last block
        outputs = []
        for features in (dense, sp.csr_array(dense)):
            oracles = make_oracles(problem(features), backend, 10)
            z, x, v = vectors(oracles, problem(features))
            outputs.append([oracles.bk.to_numpy(a) for a in oracles.inner_joint(z, x, v, batch)])
        for a, b in zip(*outputs, strict=True):
            assert_allclose(a, b, rtol=0, atol=1e-13)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("batch", [16, FULL])
def test_sparse_rows_give_what_dense_rows_give(call, batch, backend):
    sparse, dense = helpers.small_sparse(), helpers.small_sparse(dense=True)
    rng = np.random.default_rng(0)
    vectors = [rng.standard_normal(size) for size in (sparse.inner_size, sparse.outer_size, sparse.inner_size)]
    level, function = CALLS[call]
    answers = []
    for problem in (sparse, dense):
        oracles = make_oracles(problem, backend, 16)
        z, x, v = (oracles.bk.asarray(a) for a in vectors)
        batches = [FULL] if batch == FULL else range(oracles.spec.partitions[level].n_blocks)
        answers.append([oracles.bk.to_numpy(a) for i in batches for a in function(oracles, z, x, v, i)])
        assert isinstance(oracles.data["inner"].arrays["features"], SparseRows) == (problem is sparse)
    for a, b in zip(*answers, strict=True):
        assert_allclose(a, b, rtol=0, atol=1e-12 * max(1.0, np.abs(b).max()))
