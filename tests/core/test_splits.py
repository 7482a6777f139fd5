"""Splits of the data sets: scaled by the inner rows alone, disjoint; residuals are those stated."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import helpers


def deviations(rows):
    """Return the standard deviations of the columns that vary."""
    return rows.std(axis=0)[rows.std(axis=0) > 0]


@pytest.mark.parametrize("name", ["mnist", "breast_cancer"])
def test_features_are_scaled_by_the_inner_rows_alone(name):
    if name == "mnist":  # as on the real images, and in a moment: made-up ones whose parts differ
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (25_000, 3)) * (1 + (np.arange(25_000) > 12_000)[:, None])
        labels = rng.integers(0, 10, 25_000)
        build = helpers.dataset_module("mnist_cleaning").dagreou
        (train, _), (validation, _), _, _ = build(images, labels, 0.5, 0)
    else:
        splits = helpers.dataset_problem(name).splits
        train, validation = (splits[k]["features"] for k in ("train", "validation"))
    assert_allclose(train.mean(axis=0), 0, atol=1e-12)
    assert_allclose(deviations(train), 1, atol=1e-12)
    assert np.abs(validation.mean(axis=0)).max() > 1e-4


def test_held_out_rows_of_ijcnn1_are_no_outer_rows():
    published = helpers.dataset_problem("ijcnn1")
    held_out = helpers.dataset_problem("ijcnn1", split="held_out")
    for name in ("features", "targets"):
        parts = [held_out.splits[split][name] for split in ("validation", "test")]
        assert_array_equal(np.concatenate(parts), published.rows("outer")[name])
        assert_array_equal(held_out.rows("inner")[name], published.rows("inner")[name])


#: Data set -> the largest residual at the start.
RESIDUALS = {"breast_cancer": 1e-11, "digits_cleaning": 1e-11, "mnist_cleaning": 1e-8}
RESIDUALS["covtype"] = 1e-8
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("covtype", "mnist_cleaning")]


@pytest.mark.parametrize("name", ["breast_cancer", "digits_cleaning", *SLOW])
def test_residual_at_the_start_is_as_small_as_columns_need(name):
    """The gradient of G at the evaluator's z, by NumPy on all rows."""
    problem = helpers.dataset_problem(name)
    x = problem.init(np.random.default_rng(0))[1]
    solution = problem.evaluator.solve(x)
    shape = problem.inner_shape
    z = solution.z.reshape(shape)
    A, Y = (problem.rows("inner")[k] for k in ("features", "targets"))
    u = A @ z
    if u.ndim == 1:
        slopes = -Y / (1 + np.exp(Y * u))
    else:
        share = np.exp(u - u.max(axis=1, keepdims=True))
        slopes = share / share.sum(axis=1, keepdims=True) - Y
    weights = 1 / (1 + np.exp(-x)) if problem.inner.weighted else np.ones(len(A))
    slopes *= weights.reshape(-1, *[1] * (u.ndim - 1)) / len(A)
    gradient = A.T @ slopes + problem.evaluator.penalty_diagonal(x) * z
    residual = np.linalg.norm(gradient)
    assert residual <= RESIDUALS[name]
    assert_allclose(solution.residual, residual, rtol=0, atol=1e-13 + 0.5 * RESIDUALS[name])
