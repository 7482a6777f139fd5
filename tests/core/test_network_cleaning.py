"""Hyper-cleaning as in the released code of Shen and Chen, on made-up images, and the columns of the cleaner."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import precision_recall_fscore_support

import helpers
from benchmark_utils.builders.cleaning import cleaner
from benchmark_utils.files import mnist
from benchmark_utils.problem.variables import size_of

PIXELS = 16


@pytest.fixture
def build(monkeypatch):
    """Return a function that builds the data set on images whose first pixels say which one it is."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 22_000).astype(np.uint8)
    images = rng.integers(0, 256, (22_000, PIXELS)).astype(np.uint8)
    images[:, 0], images[:, 1] = np.arange(22_000) // 256, np.arange(22_000) % 256
    images.flags.writeable = labels.flags.writeable = False
    monkeypatch.setattr(mnist, "load", lambda: (images, labels, None, None))
    make = helpers.dataset_module("mnist_cleaning").Dataset.get_instance

    def problem(**parameters):
        data = make(version="pbgd", **parameters).get_data()
        assert data["problem"] is not None, data["reason"]
        return data["problem"], labels

    return problem


def ids(rows):
    """Return which images the rows of a split are."""
    return (np.rint(255 * rows["features"][:, :2]) @ [256, 1]).astype(int)


def test_splits_are_disjoint_and_half_of_the_training_rows_are_polluted(build):
    problem, labels = build()
    numbers = {split: ids(rows) for split, rows in problem.splits.items()}
    assert {split: len(n) for split, n in numbers.items()} == {"train": 5000, "validation": 5000, "test": 10_000}
    assert len(np.unique(np.concatenate(list(numbers.values())))) == 20_000
    for split in ("validation", "test"):
        assert_array_equal(problem.splits[split]["targets"].argmax(axis=1), labels[numbers[split]])
    wrong = problem.rows("inner")["targets"].argmax(axis=1) != labels[numbers["train"]]
    assert abs(wrong.sum() - 0.9 * 2500) < 5 * np.sqrt(2500 * 0.09), "a tenth of the uniform draws is right"
    assert problem.card.splits == {split: len(n) for split, n in numbers.items()}
    perfect = problem.metrics(problem.init(np.random.default_rng(0))[0], np.where(wrong, -1.0, 1.0), None)
    assert perfect["cleaner_recall"] == 1
    assert_allclose(perfect["cleaner_precision"], 2500 / (5000 - wrong.sum()), err_msg="right by chance is polluted")


def test_noise_depends_on_the_seed_and_not_on_the_model(build):
    noisy = [
        build(**p)[0].rows("inner")["targets"].argmax(axis=1)
        for p in ({"seed": 3}, {"seed": 3, "model": "network"}, {"seed": 4})
    ]
    assert_array_equal(noisy[0], noisy[1])
    assert (noisy[0] != noisy[2]).any()


def test_models_and_starts_are_those_of_the_released_code(build):
    (linear, _), (network, _) = build(), build(model="network")
    assert linear.inner_shape == (PIXELS + 1, 10)
    assert_array_equal(linear.rows("inner")["features"][:, -1], 1)
    assert network.inner_size == PIXELS * 300 + 300 + 300 * 10 + 10
    assert network.inner.units == network.outer.units == "sigmoid"
    for problem in (linear, network):
        z, x = problem.init(np.random.default_rng(1))
        assert not x.any()
        assert problem.evaluator is None
        assert problem.inner.penalty(np, {"z": z}, x) == 0
    z = network.init(np.random.default_rng(1))[0]
    first = size_of({k: network.inner_shape[k] for k in ("W1", "b1")})
    assert 0.99 * PIXELS**-0.5 < np.abs(z[:first]).max() <= PIXELS**-0.5
    assert 0.99 * 300**-0.5 < np.abs(z[first:]).max() <= 300**-0.5


def test_columns_of_the_cleaner_are_scikit_learns():
    rng = np.random.default_rng(2)
    clean, x = rng.random(200) < 0.6, rng.standard_normal(200)
    x[:3] = 0, -0.0, 1e-300  # a weight of one half is kept
    found = cleaner(clean, x)
    expected = precision_recall_fscore_support(clean, x >= 0, average="binary")[:3]
    assert_allclose([found[f"cleaner_{name}"] for name in ("precision", "recall", "f1")], expected, rtol=1e-14)
    nothing = cleaner(clean, np.full(200, -1.0))
    assert [nothing[f"cleaner_{name}"] for name in ("precision", "recall", "f1")] == [0, 0, 0]
    assert np.isnan(cleaner(np.ones(200, bool), x)["weights_auc"])


@pytest.mark.parametrize("model", ["linear", "network"])
@pytest.mark.parametrize("solver", ["v_pbgd", "g_pbgd", "itd_bio", "f2sa", "bome", "soba"])
def test_methods_of_the_comparison_run_on_both_models(build, model, solver):
    problem, _ = build(model=model)
    cls = helpers.solver_classes()[solver]
    out = helpers.run(cls, problem, 2, "float32", backend="torch", n_inner_steps=2, step_size=0.1)
    assert np.isfinite(out["x"]).all()
    # BOME's multiplier is zero as long as F and G fall together.
    assert np.abs(out["x"]).max() > 0 or solver == "bome"


@pytest.mark.parametrize(
    ("file", "parameters"),
    [
        pytest.param("soba", dict(step_size=0.1, outer_ratio=0.1), marks=pytest.mark.slow),
        pytest.param("f2sa", {}, marks=pytest.mark.slow),
        ("bome", {}),
    ],
)
def test_methods_find_wrong_labels_through_a_network(file, parameters):
    """On the embedded digits, where nothing is known of z*(x): the weights sort the rows, and the clean rows fit."""
    problem = helpers.dataset_problem("network_cleaning")
    start = problem.metrics(*problem.init(np.random.default_rng(0)), None)
    cls = helpers.step_solvers()[file]
    result = helpers.run(cls, problem, 300, "float32", backend="jax", batch_size=32, **parameters)
    end = problem.metrics(result["z"], result["x"], None)
    assert start["weights_auc"] == 0.5
    assert end["weights_auc"] > 0.7
    assert end["validation_loss"] < 0.97 * start["validation_loss"]
    assert end["test_error"] < start["test_error"]
