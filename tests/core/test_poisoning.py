"""Data poisoning: the feasible set, exact solutions, training anew, means of cross products, the data set of MNIST."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import helpers
from benchmark_utils.builders.poisoning import poisoning
from benchmark_utils.evaluation.retraining import CHUNK, loss_and_error, retrained
from benchmark_utils.files.labels import one_hot
from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.sets import NoisyImages


def made_up(pixels=12, n_classes=3, n=90, m=40, seed=0, **options):
    """Return a problem of made-up images, black and white pixels among them, a third of them poisoned."""
    rng = np.random.default_rng(seed)
    centres = rng.random((n_classes, pixels))

    def images(k):
        labels = np.arange(k) % n_classes
        noise = 0.4 * rng.standard_normal((k, pixels))
        return np.clip(1.2 * centres[labels] + noise - 0.1, 0, 1), one_hot(labels, n_classes)

    splits = {"train": images(n), "validation": images(m), "test": images(m)}
    options = {"n_poisoned": n // 3, "radius": 0.6, "ridge": 0.01} | options
    return poisoning("made_up", splits, card=helpers.CARD, **options)


def noise(problem, scale, seed=1):
    return scale * np.random.default_rng(seed).standard_normal(problem.outer_shape)


# ------------------------------------------------------------------------------- the feasible set
def test_sequential_clipping_is_feasible_and_not_the_projection(backend):
    problem = made_up(projection="sequential")
    bk, images, x = helpers.get_backend(backend, "cpu", "float64"), problem.feasible_arrays["images"], noise(problem, 1)
    of = lambda name: np.asarray(
        getattr(problem.feasible_set, name)(bk.xp, bk.asarray(x), {"images": bk.asarray(images)})
    )
    clipped, nearest = of("project"), of("nearest")
    for moved in (clipped, nearest):
        assert (np.linalg.norm(moved, axis=1) <= 0.6 * (1 + 1e-14)).all()
        assert (images + moved >= 0).all()
        assert (images + moved <= 1).all()
    scaled = x * np.minimum(1, 0.6 / np.linalg.norm(x, axis=1, keepdims=True))
    assert_allclose(clipped, np.clip(scaled, -images, 1 - images), rtol=1e-14, atol=1e-15)
    assert_allclose(nearest, NoisyImages(0.6).project(xp, x, {"images": images}), atol=1e-14)
    assert np.linalg.norm(x - nearest) < 0.99 * np.linalg.norm(x - clipped)


def test_stationarity_is_measured_by_the_exact_projection():
    exact, sequential = made_up(), made_up(projection="sequential")
    x = NoisyImages(0.6).project(xp, noise(exact, 1), exact.feasible_arrays).ravel()
    gradient = -1e3 * exact.evaluator.solve(x).gradient
    found = []
    for problem in (exact, sequential):
        objective = helpers.objective_class().get_instance()
        objective.problem = problem
        found.append(objective._stationarity(x, gradient))
    assert found[0] == found[1] > 0


# -------------------------------------------------------------------------------- exact solutions
#: Few unknowns, whose Hessian is factorised, and many, for Newton's method with conjugate gradients.
SIZES = {"factorised": {}, "iterated": {"pixels": 104, "n_classes": 10, "n": 150, "m": 60, "ridge": 1e-4}}


@pytest.mark.parametrize("size", SIZES)
def test_gradient_of_h_is_that_of_central_differences(size):
    problem = made_up(**SIZES[size])
    evaluator, x = problem.evaluator, noise(problem, 0.1).ravel()
    solution = evaluator.solve(x)
    direction = noise(problem, 1, seed=2).ravel()
    direction += 3 * solution.gradient / np.linalg.norm(solution.gradient) * len(x) ** 0.5
    step = 2e-4
    h = [evaluator.solve(x + k * step * direction, solution).h for k in (-2, -1, 1, 2)]
    slope = (h[0] - 8 * h[1] + 8 * h[2] - h[3]) / (12 * step)
    assert_allclose(solution.gradient @ direction, slope, rtol=1e-5)


def test_a_copy_of_the_evaluator_and_training_anew_do_not_disturb_it():
    problem = made_up(retrain=5)
    x, other = (noise(problem, 0.1, seed).ravel() for seed in (1, 2))
    expected = problem.evaluator.solve(x)
    copy.copy(problem.evaluator).solve(other)
    problem.metrics(expected.z, other, None)
    assert_array_equal(problem.evaluator.solve(x).gradient, expected.gradient)
    assert_allclose(problem.evaluator.direction(expected.z, expected.v, x), expected.gradient, rtol=1e-10)


# ---------------------------------------------------------------------------------- training anew
def test_training_anew_is_gradient_descent_of_torch_with_momentum():
    rng = np.random.default_rng(3)
    n, k, c = CHUNK + 20, 7, 4
    features, targets = rng.random((n, k)), one_hot(rng.integers(0, c, n), c)
    W = torch.zeros((k, c), dtype=torch.float64, requires_grad=True)
    descent = torch.optim.SGD([W], lr=0.1, momentum=0.5)
    for _ in range(20):
        descent.zero_grad()
        loss = torch.nn.functional.cross_entropy(torch.from_numpy(features) @ W, torch.from_numpy(targets))
        (loss + 0.3 * (W * W).sum()).backward()
        descent.step()
    assert_allclose(retrained(features, targets, 0.3, n_steps=20), W.detach().numpy(), rtol=1e-12)


def test_columns_of_training_anew_are_those_of_the_noisy_images():
    problem, rows = made_up(exact=False, retrain=30), made_up().splits
    x = noise(problem, 0.3)
    out = problem.metrics(None, x.ravel(), None)
    assert problem.evaluator is None
    assert set(out) == {f"{s}_{what}_retrained" for s in ("validation", "test") for what in ("loss", "error")}
    images = rows["train"]["features"].copy()
    images[: len(x)] += x
    W = retrained(images.astype(np.float32), rows["train"]["targets"], 0.01, n_steps=30)
    loss, error = loss_and_error(rows["test"]["features"], rows["test"]["targets"], W)
    assert_allclose([out["test_loss_retrained"], out["test_error_retrained"]], [loss, error], rtol=1e-6)
    clean = problem.metrics(None, 0 * x.ravel(), None)
    assert clean["validation_loss_retrained"] < out["validation_loss_retrained"]
    assert problem.metrics(None, x.ravel(), None) == out


# ------------------------------------------------------------------------ means of cross products
@pytest.mark.parametrize("name", ["poisoned", "weighted"])
def test_mean_of_cross_products_is_that_of_single_ones(backend, name):
    problem = made_up() if name == "poisoned" else helpers.dataset_problem("digits_cleaning")
    oracles, rng = helpers.make_oracles(problem, backend, 16), np.random.default_rng(4)
    z, v, x = (
        oracles.bk.asarray(0.1 * rng.standard_normal(n))
        for n in (problem.inner_size, problem.inner_size, problem.outer_size)
    )
    last = oracles.spec.partitions["inner"].n_blocks - 1
    batches = [last, 0, 2, 0]  # the ragged one, one twice; three of the four are used
    expected = sum(np.asarray(oracles.cross(z, x, v, i)) for i in batches[:3]) / 3
    before = dict(zip(ORACLES, oracles.ledger.vector(), strict=True))
    drawn = np.array(batches, np.int32)
    found = oracles.cross_mean(z, x, v, oracles.bk.asarray(drawn) if backend == "jax" else batches, 3)
    assert_allclose(np.asarray(found), expected, rtol=1e-12, atol=1e-15)
    counted = dict(zip(ORACLES, oracles.ledger.vector(), strict=True))
    assert int(counted.pop("cross")) == 2 * int(before.pop("cross")) == 2 * (32 + problem.view.n_samples("inner") % 16)
    assert counted == before


LENGTHS = {
    "StocBiO": {"n_inner_steps": 2, "n_neumann_steps": 3, "n_cross_batches": 4},
    "AmIGO": {"n_inner_steps": 2, "n_linear_steps": 3, "n_cross_batches": 4},
    "BSGM": {"n_steps": 4, "length_schedule": "constant"},
}


@pytest.mark.parametrize("method", LENGTHS)
def test_cross_products_are_averaged_and_the_full_outer_gradient_is_taken_once(method, backend):
    problem = made_up(n=96)
    (cls,) = [c for c in helpers.solver_classes().values() if c.name == method]
    solver = cls.get_instance(backend=backend, batch_size=16, outer_batch_size="full", **LENGTHS[method])
    assert helpers.put_at_start(solver, problem, device="cpu", max_iterations=3) is None
    solver.run(lambda: True)
    result = solver.get_result()
    assert result["counts"]["cross"] == 3 * 4 * 16
    assert result["counts"]["grad_outer"] == 3 * 40
    # 4 of 6 blocks are drawn in an iteration, so more images move than one block has.
    assert np.any(result["x"].reshape(problem.outer_shape) != 0, axis=1).sum() > 16


# ------------------------------------------------------------------------------------ the data set
WRONG = [
    ("train", 1.5),
    ("validation", 20_000),
    ("test", 0),
    ("poisoned", 45_001),
    ("radius", 0),
    ("ridge", -1.0),
    ("projection", "dykstra"),
    ("exact", "no"),
    ("retrain", -1),
    ("checkpoints", 1),
    ("seed", -1),
]


@pytest.mark.parametrize(("parameter", "value"), WRONG)
def test_a_wrong_parameter_of_mnist_poisoning_gets_a_sentence(parameter, value):
    cls = helpers.dataset_module("mnist_poisoning").Dataset
    out = cls.get_instance(**{parameter: value}).get_data()
    assert out["problem"] is None
    assert out["reason"].startswith(f"{parameter} is {value!r}")
    assert out["reason"].endswith(".")


@pytest.mark.slow
def test_small_mnist_poisoning_is_stratified_and_an_attack_of_one_step_harms_it():
    sizes = {"train": 600, "validation": 200, "test": 200, "poisoned": 120}
    problem = helpers.dataset_problem("mnist_poisoning", **sizes, retrain=50)
    assert problem.check(xp) is None
    assert {s: len(rows["targets"]) for s, rows in problem.splits.items()} == {k: sizes[k] for k in problem.splits}
    shares = [problem.splits[s]["targets"].mean(axis=0) for s in ("train", "validation")]
    assert_allclose(*shares, atol=1 / 200)
    x = problem.init(np.random.default_rng(0))[1]
    start = problem.evaluator.solve(x)
    moved = (x - 1e4 * start.gradient).reshape(problem.outer_shape)
    moved = problem.feasible_set.project(xp, moved, problem.feasible_arrays).ravel()
    end = problem.evaluator.solve(moved, start)
    assert max(start.residual, end.residual) <= 1e-9
    assert end.h < start.h
    before, after = (problem.metrics(s.z, at, s) for s, at in ((start, x), (end, moved)))
    assert after["test_error_retrained"] > before["test_error_retrained"]
    assert after["test_error_exact"] > before["test_error_exact"]
