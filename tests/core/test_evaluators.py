"""The float64 evaluators: exact inner solutions, hypergradients against finite differences, shared links."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.backends import get_backend
from benchmark_utils.oracles.oracles import FULL
from benchmark_utils.problem.namespace import xp
from benchmark_utils.terms.links import LINKS
from helpers import make_oracles

CHECKED = {**helpers.PROBLEMS, "breast_cancer": lambda: helpers.dataset_problem("breast_cancer")}


@pytest.fixture(params=CHECKED)
def checked(request):
    """Return each problem whose evaluator is tested here."""
    return CHECKED[request.param]()


def start(problem, seed=0):
    """Return a random x near the start."""
    rng = np.random.default_rng(seed)
    return problem.init(rng)[1] + 0.1 * rng.standard_normal(problem.outer_size), rng


def test_evaluator_solves_the_inner_problem_of_the_oracles(checked, backend):
    x, _ = start(checked)
    solution = checked.evaluator.solve(x)
    oracles = make_oracles(checked, backend, "full")
    z, v, x = (oracles.bk.asarray(a) for a in (solution.z, solution.v, x))
    D_z, Hv, Cv = (oracles.bk.to_numpy(a) for a in oracles.inner_joint(z, x, v, FULL))
    F_z, F_x = (oracles.bk.to_numpy(a) for a in oracles.grad_outer(z, x, FULL))
    assert np.linalg.norm(D_z) <= 1e-11
    assert np.linalg.norm(Hv + F_z) <= 1e-8 * np.linalg.norm(F_z)
    assert_allclose(Cv + F_x, solution.gradient, rtol=0, atol=1e-10)
    assert_allclose(float(oracles.value_outer(z, x, FULL)), solution.h, rtol=1e-12)


def test_gradient_of_the_evaluator_agrees_with_central_differences_of_h(checked):
    x, rng = start(checked)
    solution = checked.evaluator.solve(x)
    scale, step = np.abs(solution.gradient).max(), 1e-4
    for k in rng.choice(checked.outer_size, size=min(10, checked.outer_size), replace=False):
        unit = np.zeros(checked.outer_size)
        unit[k] = step
        above, below = (checked.evaluator.solve(x + side * unit, solution).h for side in (1, -1))
        assert abs((above - below) / (2 * step) - solution.gradient[k]) <= 1e-6 * scale


def test_warm_start_changes_nothing_but_the_time(checked):
    x, rng = start(checked)
    cold = checked.evaluator.solve(x)
    near = checked.evaluator.solve(x + 0.3 * rng.standard_normal(len(x)))
    warm = checked.evaluator.solve(x, near)
    assert_allclose(warm.z, cold.z, rtol=0, atol=1e-9)
    assert_allclose(warm.gradient, cold.gradient, rtol=0, atol=1e-9 * max(1, np.abs(cold.gradient).max()))


def test_large_problems_use_conjugate_gradients_and_agree_with_newton(monkeypatch):
    problem = helpers.dataset_problem("digits_cleaning")
    x, _ = start(problem)
    dense = problem.evaluator.solve(x)
    monkeypatch.setattr(sys.modules[type(problem.evaluator).__module__], "DENSE_LIMIT", 0)
    iterative = problem.evaluator.solve(x)
    assert_allclose(iterative.z, dense.z, rtol=0, atol=1e-8)
    assert_allclose(iterative.gradient, dense.gradient, rtol=0, atol=1e-8 * np.abs(dense.gradient).max())


def test_quadratic_optimum_is_the_minimum_of_h():
    problem = helpers.small_quadratic()
    x = problem.evaluator.minimiser()
    assert np.linalg.norm(problem.evaluator.solve(x).gradient) < 1e-12
    assert np.linalg.eigvalsh(problem.evaluator.h_hessian)[0] > 0
    assert_allclose(problem.h_star, problem.evaluator.solve(x).h, rtol=1e-12)


@pytest.mark.parametrize("name", LINKS)
def test_stated_derivatives_of_links_equal_automatic_ones(name, backend):
    loss, rng = LINKS[name], np.random.default_rng(0)
    shape = (7,) if name == "logistic" else (7, 4)
    u, du = 3 * rng.standard_normal((2, *shape))
    y = np.sign(rng.standard_normal(7)) if name == "logistic" else np.eye(4)[rng.integers(0, 4, 7)]
    bk = get_backend(backend, "cpu", "float64")
    target = bk.asarray(y)
    value = lambda u: bk.xp.sum(loss.value(bk.xp, u, target))
    gradient, product = bk.vjp(lambda u: bk.grad(value, (u,), (0,))[0], (bk.asarray(u),), bk.asarray(du), (0,))
    assert_allclose(bk.to_numpy(gradient), loss.gradient(xp, u, y), rtol=0, atol=1e-13)
    assert_allclose(bk.to_numpy(product[0]), loss.hessian_product(xp, u, y, du), rtol=0, atol=1e-13)
    largest = max(np.linalg.eigvalsh(_hessian_of_one(loss, u[:1], y[:1]))[-1] for _ in range(1))
    assert largest <= loss.curvature + 1e-12


def _hessian_of_one(loss, u, y):
    units = np.eye(u.size)
    return np.stack([loss.hessian_product(xp, u, y, unit.reshape(u.shape)).ravel() for unit in units])


@pytest.mark.slow
def test_stated_optimum_of_ijcnn1_is_what_a_deterministic_solve_finds():
    from tools.h_star import minimise

    problem = helpers.dataset_problem("ijcnn1")
    result = minimise(problem, problem.init(np.random.default_rng(5))[1])
    assert_allclose(result.fun, problem.h_star, rtol=0, atol=1e-12)
