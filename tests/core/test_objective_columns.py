"""Every column of a row against NumPy, on problems where no two of the quantities that could be confused are equal."""

import dataclasses
import json
import math
import zlib

import numpy as np
import psutil
import pytest
from benchopt import run_benchmark
from benchopt.results import read_results
from numpy.testing import assert_allclose, assert_array_equal

import helpers
from benchmark_utils.builders import classification
from benchmark_utils.files.labels import one_hot
from benchmark_utils.oracles.draws import DrawStreams
from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.problem.feasible_set import Box
from benchmark_utils.running.rules import VERSION
from helpers import CARD

COUNTS = dict(zip(ORACLES, (3, 50, 700, 11_000, 130_000, 1_700_000), strict=True))
ALPHA = 0.7  # step of the gradient mapping
BOX = Box(-0.6, 0.3)


def point(p, d):
    """Return z, x, d_x, x_before: nothing equal, nothing at a solution."""
    rng = np.random.default_rng(7)
    x = rng.uniform(-0.5, 0.25, d)
    return dict(
        z=rng.standard_normal(p),
        x=x,
        d_x=3 * rng.standard_normal(d),
        x_before=x + 0.2 * rng.standard_normal(d),
    )


def result(problem, **changes):
    """Return what a solver would hand to the objective."""
    return (
        dict(
            point(problem.inner_size, problem.outer_size),
            counts=COUNTS,
            n_iter=5,
            seconds=0.5,
            compile_time=1.25,
            diverged=False,
            hyper_parameters={"step_size": 0.25, "outer_ratio": 4.0},
            run_facts={},
            peak_memory=2**30,
        )
        | changes
    )


def objective_for(problem):
    """Return the objective with its data set."""
    objective = helpers.objective_class().get_instance(max_seconds=5.0, max_samples=1e7)
    objective.set_data(problem)
    return objective


class ByHand:
    """h, its gradient and F of the quadratic, from the rows."""

    def __init__(self, problem):
        self.G, self.F = (self.means(problem.rows(level)) for level in ("inner", "outer"))

    @staticmethod
    def means(rows):
        a, b, r, s = (rows[k] for k in "abrs")
        n = len(a)
        return a.T @ a / n, b.T @ b / n, r.T @ s / n, rows["c"].mean(axis=0), rows["e"].mean(axis=0)

    def z_star(self, x):
        A, _, C, c, _ = self.G
        return -np.linalg.solve(A, C.T @ x + c)

    def outer(self, z, x):
        A, B, C, c, e = self.F
        return 0.5 * z @ A @ z + 0.5 * x @ B @ x + x @ C @ z + c @ z + e @ x

    def h(self, x):
        return self.outer(self.z_star(x), x)

    def gradient(self, x):
        A, B, C, c, e = self.F
        z = self.z_star(x)
        adjoint = np.linalg.solve(self.G[0], A @ z + C.T @ x + c)
        return B @ x + C @ z + e - self.G[2] @ adjoint


def expected(problem, z, x, d_x, x_before, counts, n_iter, seconds, compile_time, hyper_parameters, **_):
    """Return all columns of a row on the quadratic; the accuracy of the evaluator is compared apart."""
    by_hand = ByHand(problem)
    gradient, before = by_hand.gradient(x), by_hand.gradient(x_before)
    value = gradient @ gradient
    if problem.feasible_set is not None:
        moved = np.minimum(np.maximum(x - ALPHA * gradient, BOX.lower), BOX.upper)
        value = np.sum((x - moved) ** 2) / ALPHA**2
    x_star = np.linalg.lstsq(*normal_equations(by_hand, len(x)), rcond=None)[0]
    return {
        "value": value,
        "h": by_hand.h(x),
        "h_gap": by_hand.h(x) - by_hand.h(x_star),
        "inner_gap": np.linalg.norm(z - by_hand.z_star(x)) ** 2,
        "outer_loss": by_hand.outer(z, x),
        "hypergrad_error": np.linalg.norm(d_x - before) / np.linalg.norm(before),
        "hypergrad_cosine": d_x @ before / np.linalg.norm(d_x) / np.linalg.norm(before),
        "sum_of_z": z.sum(),
        "first_of_x": x[0],
        "exact_z": by_hand.z_star(x)[0],
        **{f"n_{name}": counts[name] for name in ORACLES},
        "n_samples": 3 + 50 + 700 + 11_000 + 130_000 + 1_700_000,
        "n_iter": n_iter,
        "n_workers": 1,
        "spent_samples": sum(counts.values()) / 1e7,
        "spent_seconds": seconds / 5,
        "compile_time": compile_time,
        "peak_memory": 1073741824.0,
        "diverged": 0,
        **{f"hp_{name}": number for name, number in hyper_parameters.items()},
    }


def normal_equations(by_hand, d):
    """Return (matrix, right side) of grad h = 0, which is affine."""
    at_zero = by_hand.gradient(np.zeros(d))
    return np.stack([by_hand.gradient(unit) - at_zero for unit in np.eye(d)], axis=1), -at_zero


def quadratic(feasible_set):
    """Return the quadratic with extra columns."""
    metrics = lambda z, x, solution: dict(sum_of_z=float(z.sum()), first_of_x=x[0], exact_z=solution.z[0])
    return dataclasses.replace(
        helpers.small_quadratic(), metrics=metrics, feasible_set=feasible_set, gradient_mapping_step=ALPHA
    )


@pytest.mark.parametrize("feasible_set", [None, BOX], ids=["free", "box"])
def test_every_column_of_two_rows_that_are_close_together(feasible_set):
    """The second row is 1e-3 away: a solution that is taken over from the first one would show."""
    problem = quadratic(feasible_set)
    objective, first = objective_for(problem), result(problem)
    second = first | dict(x=first["x"] + 1e-3)
    for given in (first, second, first):
        row = objective.evaluate_result(**given)
        residual = row.pop("reference_residual")
        assert 0 <= residual < 1e-12
        assert (row.pop("problem_version"), row.pop("rules_version")) == (problem.version, VERSION)
        assert row.pop("n_cores") == len(psutil.Process().cpu_affinity())
        columns = expected(problem, **given)
        assert set(row) == set(columns)
        for name, number in columns.items():
            assert_allclose(row[name], number, rtol=1e-9, err_msg=name)
            assert type(row[name]) in (int, float) or name in ("first_of_x", "exact_z")
    assert len({float(f"{v:.6g}") for v in columns.values()}) == len(columns), "two columns cannot be told apart"


def test_the_box_matters_for_the_gradient_mapping():
    problem, free = quadratic(BOX), quadratic(None)
    given = result(problem)
    value, squared = (objective_for(p).evaluate_result(**given)["value"] for p in (problem, free))
    assert value < 0.9 * squared


def test_direction_at_the_start_is_unknown_and_at_the_same_x_is_compared_there():
    problem = quadratic(None)
    given = result(problem, n_iter=0)
    row = objective_for(problem).evaluate_result(**given)
    assert math.isnan(row["hypergrad_error"])
    assert math.isnan(row["hypergrad_cosine"])
    given = result(problem)
    exact = ByHand(problem).gradient(given["x_before"])
    row = objective_for(problem).evaluate_result(**given | dict(d_x=2 * exact))
    assert_allclose([row["hypergrad_error"], row["hypergrad_cosine"]], [1, 1], rtol=1e-9)
    row = objective_for(problem).evaluate_result(**given | dict(d_x=-exact))
    assert_allclose([row["hypergrad_error"], row["hypergrad_cosine"]], [2, -1], rtol=1e-9)


@pytest.mark.parametrize("name", ["z", "x"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_iterates_that_are_not_finite_are_nan_and_diverged_but_their_cost_counts(name, value):
    problem = quadratic(None)
    given = result(problem)
    given[name] = given[name].copy()
    given[name][1] = value
    row = objective_for(problem).evaluate_result(**given)
    assert all(math.isnan(row[column]) for column in ("value", "h", "inner_gap"))
    assert row["diverged"] == 1
    assert row["n_samples"] == sum(COUNTS.values())
    assert [row[f"n_{oracle}"] for oracle in ORACLES] == list(COUNTS.values())
    assert objective_for(problem).evaluate_result(**result(problem, diverged=True))["diverged"] == 1


def test_without_an_evaluator_what_is_not_known_is_nan():
    problem = dataclasses.replace(helpers.small_quadratic(), evaluator=None)
    given = result(problem)
    row = objective_for(problem).evaluate_result(**given)
    unknown = {"value", "h", "inner_gap", "hypergrad_error", "hypergrad_cosine", "reference_residual"}
    numbers = {name: value for name, value in row.items() if not isinstance(value, str)}
    assert {name for name, number in numbers.items() if math.isnan(number)} == unknown
    assert_allclose(row["outer_loss"], ByHand(problem).outer(given["z"], given["x"]), rtol=1e-12)


# ---------------------------------------------------------------------- classification
def cleaning_problem(n=40, m=30, n_features=5, n_classes=3):
    """Return a small hyper-cleaning problem with a test split and the true labels of its training rows."""
    rng = np.random.default_rng(3)
    features = {
        name: rng.standard_normal((k, n_features)) for name, k in (("train", n), ("validation", m), ("test", 25))
    }
    mixing = rng.standard_normal((n_features, n_classes))
    labels = {name: (rows @ mixing).argmax(axis=1) for name, rows in features.items()}
    clean = rng.random(n) < 0.6
    noisy = np.where(clean, labels["train"], (labels["train"] + 1) % n_classes)
    splits = {name: (features[name], one_hot(labels[name], n_classes)) for name in features}
    splits["train"] = (features["train"], one_hot(noisy, n_classes))
    splits["clean_train"] = (features["train"], one_hot(labels["train"], n_classes))
    problem = classification.hyper_cleaning(
        "small_cleaning", splits, clean=clean, ridge=0.05, n_classes=n_classes, card=CARD,
        init=lambda rng: (np.zeros(n_features * n_classes), np.zeros(n)),
    )  # fmt: skip
    return problem, clean


def loss_and_error(split, z):
    """Return the mean cross-entropy and the share of wrong predictions."""
    u = split["features"] @ z
    right = np.sum(u * split["targets"], axis=1)
    loss = np.mean(np.log(np.exp(u).sum(axis=1)) - right)
    return loss, np.mean(u.argmax(axis=1) != split["targets"].argmax(axis=1))


def test_columns_of_a_classification_problem_are_at_the_z_they_say():
    problem, clean = cleaning_problem()
    objective, given = objective_for(problem), result(problem)
    given["z"] = 0.5 * given["z"]
    columns, listed = {}, []
    for shift in (0.0, 1e-3):
        x = given["x"] + shift * np.arange(len(given["x"])) / 10
        row = objective.evaluate_result(**given | dict(x=x))
        z, exact = given["z"].reshape(5, 3), newton(problem, x)
        for split in ("train", "validation", "test", "clean_train"):
            columns[f"{split}_loss"], columns[f"{split}_error"] = loss_and_error(problem.splits[split], z)
        columns["test_loss_exact"], columns["test_error_exact"] = loss_and_error(problem.splits["test"], exact)
        pairs = [(x[i] > x[j]) + 0.5 * (x[i] == x[j]) for i in np.flatnonzero(clean) for j in np.flatnonzero(~clean)]
        columns["weights_auc"] = np.mean(pairs)
        columns["h"] = loss_and_error(problem.splits["validation"], exact)[0]
        columns["inner_gap"] = np.sum((z - exact) ** 2)
        for name, number in columns.items():
            assert_allclose(row[name], number, rtol=1e-8, err_msg=name)
        listed.append(columns["h"])
    assert columns["weights_auc"] != 0.5
    assert columns["test_error_exact"] != columns["test_error"]
    assert abs(listed[0] - listed[1]) > 1e-7 * listed[0], "the move of x must matter"


def newton(problem, x):
    """Return z*(x) by Newton's method on the dense Hessian, differentiated by hand."""
    A, Y = (problem.rows("inner")[name] for name in ("features", "targets"))
    weights = 1 / (1 + np.exp(-x)) / len(A)
    z = np.zeros((A.shape[1], Y.shape[1]))
    for _ in range(50):
        u = A @ z
        share = np.exp(u) / np.exp(u).sum(axis=1, keepdims=True)
        gradient = A.T @ (weights[:, None] * (share - Y)) + 0.1 * z
        curvature = np.einsum("ij,jk->ijk", share, np.eye(3)) - np.einsum("ij,ik->ijk", share, share)
        hessian = np.einsum("i,ia,ib,ijk->ajbk", weights, A, A, curvature).reshape(15, 15) + 0.1 * np.eye(15)
        z = z - np.linalg.solve(hessian, gradient.ravel()).reshape(z.shape)
    assert np.linalg.norm(gradient) < 1e-12
    return z


# ---------------------------------------------------------------------- repetitions
def test_repetitions_differ_in_seed_start_and_draws_and_solvers_do_not(monkeypatch):
    problem = dataclasses.replace(
        helpers.small_quadratic(), init=lambda rng: (rng.standard_normal(6), rng.standard_normal(4))
    )
    objective = objective_for(problem)
    asked, repetition = [], [0]

    def get_seed(**of):
        asked.append(of)
        return 100 + repetition[0]

    monkeypatch.setattr(objective, "get_seed", get_seed)
    given = []
    for repetition[0] in (0, 1):
        given.append(objective.get_objective())
    assert [g["seed"] for g in given] == [100, 101]
    assert asked[0] == dict(use_repetition=True), "the same for every solver, data set and rule"
    for g in given:
        z0, x0 = problem.init(np.random.default_rng([g["seed"], zlib.crc32(b"init")]))
        assert_array_equal(g["z0"], z0)
        assert_array_equal(g["x0"], x0)
        assert g["problem"] is problem.view
    assert np.abs(given[0]["z0"] - given[1]["z0"]).max() > 0.1
    solver = helpers.make_solver(helpers.solver_classes()["soba"], problem, 1, backend="torch", batch_size=16, seed=100)
    assert_array_equal(solver.program.z0, given[0]["z0"], "tools and tests start where benchopt's runner does")
    draws = [DrawStreams(solver.plan, solver.partitions, g["seed"]).take(50)["xi"] for g in given]
    assert (draws[0] != draws[1]).any()


def test_repetitions_of_a_whole_run_are_recorded_with_their_seeds(tmp_path):
    df = run_benchmark(
        str(helpers.ROOT),
        solver_names=["SOBA[backend=torch,batch_size=16]", "AmIGO[backend=torch,batch_size=16]"],
        dataset_names=["simulated[n=64,m=48,p=6,d=4]"],
        objective_filters=["Bilevel[max_samples=3000]"],
        n_repetitions=2,
        max_runs=100,
        plot_result=False,
        display=False,
        no_cache=True,
        output_file=str(tmp_path / "out.parquet"),
    )
    df = df if hasattr(df, "columns") else read_results(df)
    runs = {key: run for key, run in df.groupby(["solver_name", "idx_rep"])}
    assert len(runs) == 4
    seeds = {key: json.loads(final(run)["environment"])["seed"] for key, run in runs.items()}
    (a, b) = sorted({name for name, _ in runs})
    assert seeds[a, 0] == seeds[b, 0]
    assert seeds[a, 1] == seeds[b, 1]
    assert seeds[a, 0] != seeds[a, 1]
    for name in (a, b):
        first, second = (runs[name, rep].objective_value.to_numpy() for rep in (0, 1))
        assert first[0] == second[0], "this problem has one start"
        assert first[1] != second[1], "the draws differ"


def final(run):
    """Return the final results of a run."""
    (found,) = [value for value in run.final_results if isinstance(value, dict)] or [run.final_results.iloc[-1]]
    return found
