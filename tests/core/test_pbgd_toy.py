"""The toy problem of Shen and Chen: closed forms, and where its 1,000 starts end."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

import helpers
from benchmark_utils.evaluation.toy import local_minima, slope, upper
from benchmark_utils.problem.namespace import xp

#: gamma = 10 and steps .1 / gamma, as in the released code, which knows that min G is 0.
V_PBGD = {
    "n_inner_steps": 5, "inner_ratio": 0.5, "penalty": 10.0, "penalty_start": 10.0, "schedule": "constant",
    "step_scaling": "current", "step_size": 0.1, "outer_ratio": 1.0,
}  # fmt: skip
#: The same weight of ‖grad_z G‖^2 / 2; the steps of V-PBGD are too long for it.
G_PBGD = V_PBGD | {"penalty": 5.0, "penalty_start": 5.0, "step_size": 0.02}


def build(starts=1000):
    """Return the problem."""
    return helpers.dataset_module("pbgd_toy").Dataset.get_instance(starts=starts).get_data()["problem"]


def test_minus_x_is_the_one_minimiser_of_the_lower_level():
    problem, z = build(1), np.linspace(-10, 10, 20_001)
    for x in np.linspace(0, 3, 31):
        values = np.array([problem.inner.sample_values(xp, z[k : k + 1], np.array([x]), {"ones": 1.0})
                           for k in range(0, len(z), 10)])  # fmt: skip
        assert values.min() >= 0
        assert abs(z[::10][values.argmin()] + x) <= 0.01


def test_closed_forms_are_central_differences():
    problem, rng, step = build(6), np.random.default_rng(0), 1e-4
    x, z = rng.uniform(0.1, 2.9, 6), rng.uniform(-3, 1, 6)
    ones = {"ones": np.ones(1)}
    difference = lambda f, at: np.array([(f(at + step * e) - f(at - step * e)) / (2 * step) for e in np.eye(6)])
    solution, evaluator = problem.evaluator.solve(x), problem.evaluator
    assert_allclose(solution.gradient, difference(lambda x: evaluator.solve(x).h, x), atol=1e-6)
    assert_allclose(solution.gradient, slope(x), atol=1e-13)
    F = lambda z, x: problem.outer.sample_values(xp, z, x, ones)[0]
    _, f_z, f_x = upper(z, x)
    assert_allclose(evaluator.outer_value(z, x), F(z, x), rtol=1e-14)
    assert_allclose(f_z, difference(lambda z: F(z, x), z), atol=1e-6)
    assert_allclose(f_x, difference(lambda x: F(z, x), x), atol=1e-6)
    # H v and C v at any z, from gradients of G
    G_z = lambda z, x: difference(lambda z: problem.inner.sample_values(xp, z, x, ones)[0], z)
    at = 0.1 * rng.standard_normal(6) - x
    v = evaluator.adjoint(at, x)
    Hv = (G_z(at + step * v, x) - G_z(at - step * v, x)) / (2 * step)
    assert_allclose(Hv, -upper(at, x)[1], atol=1e-4)
    Cv = (G_z(at, x + step) - G_z(at, x - step)) / (2 * step) * v  # no copy depends on another
    assert_allclose(evaluator.direction(at, v, x), Cv + upper(at, x)[2], atol=1e-4)


def test_local_minima_are_those_of_scipy_from_many_starts():
    h = lambda x: upper(-np.array([x]), np.array([x]))[0][0]
    starts, exact = np.arange(0, 3, 0.1), {"xatol": 1e-9}
    found = [minimize_scalar(h, bounds=(a, a + 0.1), method="bounded", options=exact) for a in starts]
    inside = sorted(r.x for r, a in zip(found, starts, strict=True) if a + 1e-4 < r.x < a + 0.0999)
    assert_allclose(local_minima(0.0, 3.0), inside, atol=1e-5)
    problem = build()
    assert_allclose(problem.h_star, 1000 * min(h(x) for x in inside), rtol=1e-9)


def test_starts_do_not_see_each_other():
    problem, one = build(3), build(1)
    z, x = problem.init(np.random.default_rng(0))
    runs = []
    for name in ("v_pbgd", "g_pbgd"):
        parameters = (V_PBGD if name == "v_pbgd" else G_PBGD) | {"backend": "torch"}
        solver = helpers.make_solver(helpers.solver_classes()[name], problem, 9, precision="float64", **parameters)
        solver.program.place(z, x, 0)
        helpers.begin(solver)
        runs.append(helpers.on_host(helpers.advance(solver, 9) and solver).x)
        for k in range(3):
            solver = helpers.make_solver(helpers.solver_classes()[name], one, 9, precision="float64", **parameters)
            solver.program.place(z[k : k + 1], x[k : k + 1], 0)
            helpers.begin(solver)
            helpers.advance(solver, 9)
            assert_allclose(helpers.on_host(solver).x, runs[-1][k], rtol=1e-14)


def ends(solver, parameters, n_iter=1500):
    """Return (x, z, the metrics) of all starts at the end of a run."""
    problem = build()
    out = helpers.run(helpers.solver_classes()[solver], problem, n_iter, backend="jax", **parameters)
    return out["x"], out["z"], problem.metrics(out["z"], out["x"], None)


def test_v_pbgd_ends_at_the_local_minima_of_h():
    x, z, metrics = ends("v_pbgd", V_PBGD)
    assert metrics["at_local_minimum"] == metrics["lower_level_solved"] == 1
    assert 0.1 < metrics["at_global_minimum"] < 0.5
    minima = local_minima(0.0, 3.0)
    assert {int(k) for k in np.abs(x[:, None] - minima).argmin(axis=1)} == {0, 1, 2}, "each is found from somewhere"


def test_g_pbgd_may_end_where_the_lower_level_is_not_solved():
    x, z, metrics = ends("g_pbgd", G_PBGD)
    lost = np.abs(x + z) > 0.5
    assert lost.mean() > 0.1
    assert metrics["at_local_minimum"] < 0.9
    # there the gradient of ‖grad_z G‖^2 vanishes, though grad_z G does not
    H = 2 + 2 * x[lost] * np.cos(2 * (x[lost] + z[lost]))
    assert np.median(np.abs(H)) < 0.5


@pytest.mark.parametrize("starts", [0, 2.5, "many"])
def test_a_wrong_number_of_starts_gets_a_sentence(starts):
    out = helpers.dataset_module("pbgd_toy").Dataset.get_instance(starts=starts).get_data()
    assert out["problem"] is None
    assert out["reason"].startswith(f"starts is {starts!r}")
