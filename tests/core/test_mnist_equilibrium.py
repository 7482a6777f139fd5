"""The equilibrium model of MNIST: exact solutions, the feasible set, blocks of tasks, on made-up images."""

import itertools
import time

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose, assert_array_equal

import helpers
from benchmark_utils.evaluation import fixed_point
from benchmark_utils.files import mnist
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.variables import flatten, unflatten
from benchmark_utils.running import run as run_loop

STATES, IMAGES, PIXELS = 5, 23, 12


def build(monkeypatch, n=IMAGES, pixels=PIXELS, **parameters):
    """Return the problem on made-up images."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (n, pixels)).astype(np.uint8), rng.integers(0, 10, n).astype(np.uint8)
    monkeypatch.setattr(mnist, "load", lambda: (images, labels, images[:9], labels[:9]))
    cls = helpers.dataset_module("mnist_equilibrium").Dataset
    data = cls.get_instance(**{"states": STATES, "n_images": n} | parameters).get_data()
    assert data["problem"] is not None, data["reason"]
    return data["problem"]


@pytest.fixture
def model(monkeypatch):
    """Return (the problem, a feasible x where ‖A‖_2 and D are at their bounds)."""
    monkeypatch.setattr(fixed_point, "CHUNK", 7)  # three whole chunks and a ragged one
    problem, rng = build(monkeypatch), np.random.default_rng(1)
    x = unflatten(xp, 0.8 * rng.standard_normal(problem.outer_size), problem.outer_shape)
    problem.evaluator.tolerance = 1e-13
    return problem, flatten(xp, problem.feasible_set.project(xp, x, {}))


# ------------------------------------------------------------------------------- exact solutions
def test_gradient_is_that_of_central_differences_of_h(model):
    problem, x = model
    solution, rng = problem.evaluator.solve(x), np.random.default_rng(2)
    for _ in range(3):
        along, step = rng.standard_normal(len(x)), 1e-3
        h = [problem.evaluator.solve(x + k * step * along, solution).h for k in (-2, -1, 1, 2)]
        slope = (h[0] - 8 * h[1] + 8 * h[2] - h[3]) / (12 * step)
        assert_allclose(solution.gradient @ along, slope, rtol=1e-7)


def test_adjoint_and_gradient_are_those_of_dense_transposed_systems(model):
    problem, flat = model
    solution, x = problem.evaluator.solve(flat), unflatten(xp, flat, problem.outer_shape)
    expected = {name: np.zeros_like(array) for name, array in x.items()}
    features, targets = problem.splits["train"]["features"], problem.splits["validation"]["targets"]
    for u, y, w, v in zip(features, targets, solution.z, solution.v, strict=True):
        logits = x["D"] @ w + x["b"]
        error = np.exp(logits - logits.max())
        error = error / error.sum() - y
        slopes = 1 - w * w
        J = slopes[:, None] * x["A"]
        assert np.abs(J - J.T).max() > 0.01, "the system is not symmetric"
        q = np.linalg.solve((np.eye(STATES) - J).T, x["D"].T @ error)
        assert_allclose(v, -q, atol=1e-12)
        pulled = slopes * q
        parts = {"A": np.outer(pulled, w), "B": np.outer(pulled, u), "c": pulled, "D": np.outer(error, w), "b": error}
        for name, part in parts.items():
            expected[name] += part / IMAGES
    assert_allclose(solution.gradient, flatten(xp, expected), atol=1e-13)


def test_states_are_those_of_fifty_iterations_within_the_stated_error(model):
    problem, flat = model
    x, features = unflatten(xp, flat, problem.outer_shape), problem.splits["train"]["features"]
    w = np.zeros((IMAGES, STATES))
    for _ in range(60):
        w = np.tanh(w @ x["A"].T + features @ x["B"].T + x["c"])
    for tolerance in (1e-4, 1e-9):
        problem.evaluator.tolerance = tolerance
        solution = problem.evaluator.solve(flat)
        error = np.linalg.norm(solution.z - w, axis=1).max()
        assert 0 < error <= 2 * tolerance, "1 / (1 - q) is 2"
        assert solution.residual <= tolerance


def test_chunks_change_nothing(model, monkeypatch):
    problem, x = model
    cut = problem.evaluator.solve(x)
    monkeypatch.setattr(fixed_point, "CHUNK", 1000)
    whole = problem.evaluator.solve(x)
    assert_allclose(cut.gradient, whole.gradient, atol=1e-12)
    assert_allclose([cut.h, *cut.z.ravel()], [whole.h, *whole.z.ravel()], atol=1e-12)
    assert_allclose(problem.evaluator.outer_value(whole.z.ravel(), x), whole.h, rtol=1e-11)


def test_one_chunk_that_does_not_converge_gives_up_all(model):
    problem, x = model
    far = unflatten(xp, x, problem.outer_shape)
    far["A"] = np.linalg.qr(np.random.default_rng(3).standard_normal((STATES, STATES)))[0] * -9
    problem.evaluator.max_iterations = 50
    solution = problem.evaluator.solve(flatten(xp, far))
    assert np.isnan(solution.h)
    assert np.isnan(solution.gradient).all()


# ------------------------------------------------------------------------------- the feasible set
def test_projection_clips_singular_values_and_entries(monkeypatch):
    problem, rng = build(monkeypatch), np.random.default_rng(4)
    x = {name: rng.standard_normal(shape) for name, shape in problem.outer_shape.items()}
    x["A"] *= 0.5
    moved = problem.feasible_set.project(xp, x, {})
    U, s, Vt = scipy.linalg.svd(x["A"], lapack_driver="gesvd")
    assert s[0] > 0.5 > s[-1]
    assert_allclose(moved["A"], U @ np.diag(np.minimum(s, 0.5)) @ Vt, atol=1e-14)
    assert_array_equal(moved["D"], np.clip(x["D"], -1, 1))
    for name in "Bcb":
        assert_array_equal(moved[name], x[name])
    assert list(moved) == list(x), "the order in which x is flattened"
    again = problem.feasible_set.project(xp, moved, {})
    assert_allclose(flatten(xp, again), flatten(xp, moved), atol=1e-14)


def test_start_is_that_of_the_paper(monkeypatch):
    problem = build(monkeypatch, pixels=40, states=40)
    z, x = problem.init(np.random.default_rng(5))
    x = unflatten(xp, x, problem.outer_shape)
    assert not z.any()
    assert not x["b"].any()
    for name in "ABD":
        assert_allclose(x[name].std(), 0.01, rtol=0.1)


# ------------------------------------------------------------------------------- runs
STEPS = {
    "batch_size": 8, "schedule": "constant", "length_schedule": "constant", "n_steps": 3, "n_inner_steps": 3,
    "n_linear_steps": 3, "step_size": 1.0, "linear_ratio": 1.0, "outer_ratio": 2.0, "sampling": "reshuffled",
    "decay_offset": 1000.0,
}  # fmt: skip


@pytest.mark.parametrize("warm_start", ["none", "z"])
def test_bsgm_on_tasks_is_implicit_differentiation_by_fixed_points(monkeypatch, warm_start):
    problem, solvers = build(monkeypatch), helpers.solver_classes()
    runs = [
        helpers.run(solvers[name], problem, 7, backend="torch", warm_start=warm_start, **STEPS)
        for name in ("bsgm", "aid_fp")
    ]
    helpers.assert_agree(*runs, atol=1e-14)


def test_warm_states_of_an_x_that_hardly_moves_are_the_fixed_points(monkeypatch):
    problem, solvers = build(monkeypatch, scale=0.5), helpers.solver_classes()
    gaps = []
    for warm_start in ("none", "z"):
        slow = STEPS | {"outer_ratio": 1e7, "warm_start": warm_start}
        out = helpers.run(solvers["bsgm"], problem, 30, backend="torch", **slow)
        gaps.append(np.abs(out["z"] - problem.evaluator.solve(out["x"]).z.ravel()).max())
    cold, warm = gaps
    assert cold > 1e-3, "three iterations from zero"
    assert warm < 1e-5, "ten passes of three iterations"


def test_an_iteration_changes_the_states_of_the_drawn_images_alone(monkeypatch, backend):
    problem = build(monkeypatch)
    steps = STEPS | {"backend": backend, "warm_start": "z"}
    solver = helpers.make_solver(helpers.solver_classes()["bsgm"], problem, 9, **steps)
    helpers.begin(solver)
    seen = set()
    for _ in range(3):  # a pass over three blocks
        before = helpers.on_host(solver).z
        helpers.advance(solver)
        changed = np.flatnonzero(np.abs(helpers.on_host(solver).z - before).max(axis=(1, 2)) > 0)
        assert len(changed) == 1
        seen.update(changed)
    assert seen == {0, 1, 2}


@pytest.mark.slow
def test_seconds_of_an_iteration_depend_on_the_batch_and_not_on_the_number_of_images(monkeypatch, backend):
    def seconds(n):
        problem = build(monkeypatch, n=n, pixels=4, states=100)
        steps = STEPS | {"backend": backend, "warm_start": "z", "batch_size": 100}
        solver = helpers.make_solver(helpers.solver_classes()["bsgm"], problem, 10**6, **steps)
        state = run_loop.advance(solver.program, run_loop.begin(solver.program), 100)
        took = []
        for _ in range(5):
            began = time.perf_counter()
            state = run_loop.advance(solver.program, state, 100)
            took.append(time.perf_counter() - began)
        return min(took) / 100

    few, many = seconds(3000), seconds(60000)
    assert many < 1.5 * few, f"{few:.2g} s an iteration for 3,000 images, {many:.2g} s for 60,000"


def test_rows_of_a_run_cost_one_solution_each(monkeypatch):
    problem = build(monkeypatch)
    solves, solve = [], problem.evaluator.solve
    monkeypatch.setattr(problem.evaluator, "solve", lambda x, start=None: solves.append(1) or solve(x, start))
    objective = helpers.objective_class().get_instance()
    objective.set_data(problem)
    row = objective.evaluate_result(**helpers.run(helpers.solver_classes()["bsgm"], problem, 3, **STEPS))
    assert len(solves) == 1
    assert np.isnan(row["hypergrad_error"])
    for name in ("value", "h", "inner_gap", "outer_loss", "train_error_exact", "test_error_exact"):
        assert np.isfinite(row[name]), name


# ------------------------------------------------------------------------------- parameters
@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("n_images", 0),
        ("n_images", 60001),
        ("clamp", 0.0),
        ("clamp", "one"),
        ("states", 0),
        ("norm", 1.0),
        ("rows_per_octave", 1e-4),
    ],
)
def test_a_wrong_parameter_gets_a_sentence(parameter, value):
    out = helpers.dataset_module("mnist_equilibrium").Dataset.get_instance(**{parameter: value}).get_data()
    assert out["problem"] is None
    assert out["reason"].startswith(f"{parameter} is {value!r}")


@pytest.mark.parametrize(
    ("asked", "counts"),
    [({}, [1, 2, 4, 8, 16]), ({"rows_per_octave": 3}, [1, 2, 3, 4, 5, 6]), ({"rows_per_octave": 0.1}, [1, 1024])],
)
def test_rows_are_recorded_as_often_as_asked_for(monkeypatch, asked, counts):
    planned = run_loop.checkpoints(build(monkeypatch, **asked).checkpoints_per_octave)
    assert list(itertools.islice(planned, len(counts))) == counts


@pytest.mark.slow
def test_full_size_is_that_of_the_paper():
    problem = helpers.dataset_problem("mnist_equilibrium")
    assert (problem.inner_size, problem.outer_size) == (200, 199_010)
    assert problem.card.splits == {"train": 60_000, "validation": 60_000, "test": 10_000}
    assert problem.splits["train"]["features"].max() == 1
