"""Exact solutions of large problems: gradients, preconditioners, and what is said where a system is not solved."""

import math
import sys

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.builders import classification
from benchmark_utils.evaluation import constants, newton_cg
from benchmark_utils.files.labels import one_hot
from benchmark_utils.problem.card import Card
from benchmark_utils.terms.penalties import ExpRidge, Ridge

GLM_MODULE = "benchmark_utils.evaluation.glm"
SUBSETS = {"covtype": 400, "newsgroups20": 60, "mnist_cleaning": 40}


def subset(name, **parameters):
    """Return a problem of the data set's family on its first rows, and on the 200 most frequent features they have."""
    problem, n = helpers.dataset_problem(name, **parameters), SUBSETS[name]
    splits = {s: tuple(a[:n] for a in problem.splits[s].values()) for s in ("train", "validation")}
    frequency = sum(np.bincount(rows.nonzero()[1], minlength=rows.shape[1]) for rows, _ in splits.values())
    used = np.sort(np.argsort(-frequency, kind="stable")[: min(200, np.count_nonzero(frequency))])
    splits = {s: (rows[:, used], labels) for s, (rows, labels) in splits.items()}
    n_classes, penalty = problem.inner.n_classes, problem.inner.penalty_term
    options = dict(card=Card(name, "", "", ""), n_classes=n_classes, reference_tolerance=1e-11)
    x0 = problem.init(np.random.default_rng(0))[1]
    x0 = x0[:n] if name == "mnist_cleaning" else x0[used] if name == "newsgroups20" else x0
    options["init"] = lambda rng: (np.zeros(len(used) * n_classes), x0)
    if name == "mnist_cleaning":
        return classification.hyper_cleaning(
            name, splits, clean=np.arange(n) % 2 == 0, ridge=penalty.scale / 2, **options
        )
    return classification.regularisation(name, splits, penalty=penalty, outer_size=len(x0), **options)


@pytest.mark.parametrize("solution", ["direct", "iterative"])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        pytest.param("covtype", {}, marks=pytest.mark.slow),
        pytest.param("newsgroups20", {}, marks=pytest.mark.slow),
        pytest.param("mnist_cleaning", {}, marks=pytest.mark.slow),
        pytest.param("mnist_cleaning", {"version": "ji"}, marks=pytest.mark.slow),
    ],
)
def test_gradient_agrees_with_central_differences(name, parameters, solution, monkeypatch):
    """On some rows; docs/problems.md has the figures of all rows."""
    if solution == "iterative":  # as on all rows
        monkeypatch.setattr(sys.modules[GLM_MODULE], "DENSE_LIMIT", 0)
    error, n = constants.gradient_check(subset(name, **parameters), n=20)
    assert error < 1e-5
    assert n == 20


def test_gradient_check_sees_a_wrong_gradient(monkeypatch):
    problem = helpers.small_classes()
    assert constants.gradient_check(problem)[0] < 1e-6
    wrong = type(problem.evaluator)._cross
    monkeypatch.setattr(type(problem.evaluator), "_cross", lambda *a: 1.0001 * wrong(*a))
    assert constants.gradient_check(problem)[0] > 5e-5


@pytest.fixture(params=["blocks", "whole"])
def preconditioner(request, monkeypatch):
    """Let the reference solve its systems iteratively, with each of the preconditioners."""
    monkeypatch.setattr(sys.modules[GLM_MODULE], "DENSE_LIMIT", 0)
    monkeypatch.setattr(newton_cg, "WHOLE", 1000 if request.param == "whole" else 0)
    return request.param


@pytest.mark.parametrize("single_precision", ["works", "fails"])
@pytest.mark.parametrize("make", [helpers.small_sparse, helpers.small_classes])
def test_iterative_solution_equals_newtons(make, single_precision, preconditioner, monkeypatch):
    """Also where conjugate gradients fail in float32 and float64 takes over."""
    run = newton_cg.conjugate_gradients

    def fails_in_single(*args):
        return (None, 3, 0.0) if np.dtype(args[4]) == np.float32 else run(*args)

    if single_precision == "fails":
        monkeypatch.setattr(newton_cg, "conjugate_gradients", fails_in_single)
    problem = make()
    x = problem.init(np.random.default_rng(0))[1] + 0.3 * np.random.default_rng(1).standard_normal(problem.outer_size)
    found = problem.evaluator.solve(x)
    exact = directly(make(dense=True) if make is helpers.small_sparse else problem, x)
    assert found.residual <= 1e-11
    for name in ("z", "v", "gradient"):
        a, b = getattr(found, name), getattr(exact, name)
        assert_allclose(a, b, rtol=0, atol=1e-8 * np.abs(b).max(), err_msg=name)
    assert_allclose(found.h, exact.h, rtol=1e-12)


def directly(problem, x):
    """Return the solution by factorised Hessians."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[GLM_MODULE], "DENSE_LIMIT", 1000)
        return problem.evaluator.solve(x)


@pytest.mark.parametrize("log_penalty", [-6, -12, -18, -24, -30])
def test_gradient_is_right_or_unknown_where_penalties_are_weak(log_penalty, preconditioner):
    problem = helpers.small_classes()
    x = log_penalty + np.array([0.0, 0.5, 1.0, 1.5])
    found, exact = problem.evaluator.solve(x), directly(problem, x)
    if np.isfinite(found.gradient).all():
        assert_allclose(found.gradient, exact.gradient, rtol=0, atol=1e-4 * np.abs(exact.gradient).max())
    known = np.isfinite(found.gradient).all()
    assert known or log_penalty < (-20 if preconditioner == "whole" else -10)


PENALTIES = {"one": Ridge(1e-6), "class": ExpRidge(1e-6, per="class"), "feature": ExpRidge(1e-6)}


@pytest.mark.parametrize("penalty", PENALTIES)
def test_preconditioner_knows_that_shifts_of_all_classes_cost_only_the_penalty(penalty):
    """Without the exact treatment of shifts this takes several times as many iterations."""
    rng = np.random.default_rng(0)
    n, k, c = 400, 30, 6
    rows = (np.arange(1, k + 1) ** -1.0) * rng.standard_normal((n, k)) @ np.linalg.qr(rng.standard_normal((k, k)))[0]
    splits = {"train": (rows, one_hot(rng.integers(0, c, n), c))}
    splits["validation"] = splits["train"]
    d = {"one": n, "class": c, "feature": k}[penalty]
    problem = classification.regularisation(
        "shifts", splits, penalty=PENALTIES[penalty], outer_size=d, n_classes=c, init=None, card=Card("", "", "", "")
    )
    reference = problem.evaluator
    w, q = reference.row_weights(np.zeros(d)), reference.penalty_diagonal(0.5 * rng.standard_normal(d))
    u = reference.A @ (0.3 * rng.standard_normal((k, c)))
    single = reference._single_hessian(u, w, q)
    b = rng.standard_normal((k, c))
    precondition = newton_cg.BlockPreconditioner(single)
    _, iterations, _ = newton_cg.conjugate_gradients(single.product, b, precondition, 1e-4)
    assert iterations <= 25
    shift = np.ones((1, c)) * rng.standard_normal((k, 1))
    H_shift = reference.hessian(u, w, q).product(shift)
    assert_allclose(precondition(H_shift.astype(np.float32)), shift, rtol=0, atol=1e-2)


def test_outdated_preconditioner_is_built_anew(preconditioner):
    problem = helpers.small_classes()
    x = np.full(4, -2.0)
    first = problem.evaluator.solve(x)
    first = first._replace(frozen=first.frozen._replace(excess=0.0))
    assert problem.evaluator.solve(x + 1e-3, first).frozen.precondition is first.frozen.precondition
    patience = newton_cg.PATIENCE_WHOLE if preconditioner == "whole" else newton_cg.PATIENCE
    outdated = first._replace(frozen=first.frozen._replace(excess=patience + 1))
    assert problem.evaluator.solve(x + 1e-3, outdated).frozen.precondition is not first.frozen.precondition


def test_matrix_from_a_sample_of_the_rows_is_close_and_has_all_rare_ones():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((20_000, 6))
    A[:, 5] = 0
    A[:3, 5] = 80  # a feature of three rows
    hessian = newton_cg.Hessian(A, A.T, lambda du: du / len(A), np.full(6, 1e-3))
    whole, estimate = hessian.data_matrix(), hessian.data_matrix(0.1)
    assert_allclose(whole, A.T @ A / len(A), rtol=1e-12)
    assert not np.allclose(estimate, whole, rtol=1e-6)
    values = scipy.linalg.eigh(estimate, whole, eigvals_only=True)
    assert 0.85 < values[0] < values[-1] < 1.15


def test_whole_preconditioner_takes_over_a_new_penalty(monkeypatch):
    problem = helpers.small_classes()
    monkeypatch.setattr(sys.modules[GLM_MODULE], "DENSE_LIMIT", 0)
    reference, z = problem.evaluator, np.random.default_rng(0).standard_normal(problem.inner_shape)
    u, w = reference.A @ z, reference.row_weights(None)
    precondition = newton_cg.WholePreconditioner(reference.hessian(u, w, reference.penalty_diagonal(np.zeros(4))))
    new = reference.hessian(u, w, reference.penalty_diagonal(np.array([-9.0, -7.0, -8.0, 2.0])))
    precondition.update(new.q)
    assert_allclose(precondition(new.product(z)), z, rtol=0, atol=1e-9)


def test_system_that_takes_too_long_is_given_up_and_said_to_be_unknown(preconditioner, monkeypatch):
    problem = helpers.small_classes()
    monkeypatch.setattr(newton_cg, "MAX_ITERATIONS", 2 if preconditioner == "blocks" else 0)
    solution = problem.evaluator.solve(np.full(4, -2.0))
    assert math.isnan(solution.h)
    assert np.isnan(solution.gradient).all()
    assert math.isnan(solution.residual)


@pytest.mark.parametrize("useful_runs", [0, 2])
def test_system_is_not_taken_for_solved_where_the_last_runs_gained_nothing(useful_runs, monkeypatch):
    monkeypatch.setattr(newton_cg, "WHOLE", 0)
    monkeypatch.setattr(newton_cg, "SLACK", 1.0)
    problem, run, runs = helpers.small_classes(), newton_cg.conjugate_gradients, []

    def idle_later(product, b, *args):
        runs.append(1)
        return run(product, b, *args) if len(runs) <= useful_runs else (np.zeros_like(b), 5, 4.0)

    reference, z = problem.evaluator, np.random.default_rng(0).standard_normal(problem.inner_shape)
    u, w, q = reference.A @ z, reference.row_weights(None), reference.penalty_diagonal(np.full(4, -5.0))
    hessians = reference.hessian(u, w, q), reference._single_hessian(u, w, q)
    solution, frozen = newton_cg.solve(*hessians, z, None, 1e-11, None)
    assert_allclose(hessians[0].product(solution), z, rtol=0, atol=1e-8)
    monkeypatch.setattr(newton_cg, "conjugate_gradients", idle_later)
    assert np.isnan(newton_cg.solve(*hessians, z, None, 1e-11, frozen)[0]).all()


def test_preconditioner_is_used_with_the_penalty_of_the_system(monkeypatch):
    """From penalties of exp(-2) to exp(-9), the preconditioner kept: about as few iterations as with a new one."""
    problem, runs, run = helpers.small_classes(), [], newton_cg.conjugate_gradients
    monkeypatch.setattr(sys.modules[GLM_MODULE], "DENSE_LIMIT", 0)

    def counted(*args):
        out = run(*args)
        runs.append(out[1])
        return out

    monkeypatch.setattr(newton_cg, "conjugate_gradients", counted)
    reference, z = problem.evaluator, 0.1 * np.random.default_rng(0).standard_normal(problem.inner_shape)
    u, w, frozen, spent = reference.A @ z, reference.row_weights(None), None, []
    for x in (-2.0, -9.0):
        q = reference.penalty_diagonal(np.array([x, x, x - 1, x + 1]))
        _, frozen = newton_cg.solve(
            reference.hessian(u, w, q), reference._single_hessian(u, w, q), z, None, 1e-9, frozen
        )
        spent.append(sum(runs))
        runs.clear()
    assert spent[1] <= spent[0] + 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_conjugate_gradients_say_where_numbers_leave_the_range(dtype):
    b, huge = np.ones((3, 2)), np.finfo(dtype).max
    with np.errstate(all="ignore"):
        assert newton_cg.conjugate_gradients(lambda p: huge * p * 4, b, lambda r: r, 1e-3, dtype)[0] is None


def test_numbers_out_of_range_end_in_nan_not_in_an_error(preconditioner):
    problem = helpers.small_sparse()
    with np.errstate(all="ignore"):
        for value in (800.0, -800.0):
            solution = problem.evaluator.solve(np.full(problem.outer_size, value))
            assert math.isnan(solution.h) or solution.residual <= problem.evaluator.tolerance
