"""Covtype, 20 Newsgroups and MNIST hyper-cleaning: published facts, splits, noise, memory."""

import codecs
import dataclasses
import json
import math
import pickle
import subprocess
import sys
import tarfile

import numpy as np
import psutil
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import fetch_20newsgroups_vectorized, load_files

import helpers
from benchmark_utils.files import mnist
from benchmark_utils.problem.namespace import xp
from benchmark_utils.terms.penalties import Ridge


# ---------------------------------------------------------------------- the published facts
@pytest.mark.slow
def test_covtype_is_the_published_file():
    helpers.dataset_problem("covtype")
    features, labels = helpers.dataset_module("covtype").read()
    assert features.shape == (581_012, 54)
    assert_array_equal(np.bincount(labels), [211_840, 283_301, 35_754, 2_747, 9_493, 17_367, 20_510])
    published = {0: (2959.36, 279.98), 1: (155.65, 111.91), 2: (14.10, 7.49), 5: (2350.15, 1559.25)}
    for column, (mean, deviation) in published.items():  # UCI's covtype.info
        assert_allclose(features[:, column].mean(), mean, atol=0.01)
        assert_allclose(features[:, column].std(), deviation, atol=0.01)
    assert_array_equal(np.unique(features[:, 10:]), [0, 1])
    assert_array_equal(features[:, 10:14].sum(axis=1), 1)
    assert_array_equal(features[:, 14:].sum(axis=1), 1)


@pytest.mark.slow
def test_covtype_split():
    problem = helpers.dataset_problem("covtype")
    assert problem.card.splits == {"train": 371_847, "validation": 92_962, "test": 116_203}
    assert (problem.inner_size, problem.outer_size) == (378, 7)
    rows = problem.rows("inner")["features"]
    assert_allclose(rows.mean(axis=0), 0, atol=1e-9)
    assert_allclose(np.delete(rows.std(axis=0), 28), 1, atol=1e-9)
    assert not rows[:, 28].any(), "soil type 15, three rows of the file, has none in the inner split"
    z0, x0 = problem.init(np.random.default_rng(0))
    assert not z0.any()
    assert_array_equal(x0, -2)


def test_mnist_is_the_published_file():
    helpers.dataset_problem("mnist_cleaning")
    images, labels, test_images, test_labels = mnist.load()
    assert images.shape == (60_000, 784)
    assert test_images.shape == (10_000, 784)
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert_array_equal(np.bincount(labels), counts)
    assert_array_equal(np.bincount(test_labels), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    assert_allclose(images.mean() / 255, mnist.MEAN, atol=5e-5)
    assert_allclose(images.std() / 255, mnist.DEVIATION, atol=5e-5)


@pytest.mark.slow
def test_newsgroups_are_the_published_documents():
    problem = helpers.dataset_problem("newsgroups20")
    (train, y_train), (test, y_test) = helpers.dataset_module("newsgroups20").read()
    assert train.shape == (11_314, 130_107)
    assert test.shape == (7_532, 130_107)
    assert train.nnz == 1_787_565
    counts = [480, 584, 591, 590, 578, 593, 585, 594, 598, 597, 600, 595, 591, 594, 593, 599, 546, 564, 465, 377]
    assert_array_equal(np.bincount(y_train), counts)
    assert_array_equal(np.bincount(y_test)[:3], [319, 389, 394])
    for rows in (train, test):
        assert_allclose(np.sqrt(rows.multiply(rows).sum(axis=1)), 1, atol=1e-12)
    assert problem.card.splits == {"train": 5657, "validation": 5657, "test": 7532}
    assert (problem.inner_size, problem.outer_size) == (2_602_140, 130_107)
    halves = [problem.rows("inner")["targets"].sum(axis=0), problem.rows("outer")["targets"].sum(axis=0)]
    assert np.abs(halves[0] - halves[1]).max() <= 1, "the halves are stratified by group"


@pytest.mark.slow
def test_newsgroups_rows_equal_scikit_learns_own(tmp_path):
    """The same rows as `fetch_20newsgroups_vectorized`, whose cache is filled with the same documents."""
    helpers.dataset_problem("newsgroups20")
    module = helpers.dataset_module("newsgroups20")
    with tarfile.open(module.fetch_archive()) as archive:
        archive.extractall(tmp_path, filter="data")
    read = lambda part: load_files(tmp_path / f"20news-bydate-{part}", encoding="latin1")
    cache = pickle.dumps({part: read(part) for part in ("train", "test")})
    (tmp_path / "20news-bydate_py3.pkz").write_bytes(codecs.encode(cache, "zlib_codec"))
    for ours, part in zip(module.read(), ("train", "test"), strict=True):
        theirs = fetch_20newsgroups_vectorized(subset=part, data_home=tmp_path, download_if_missing=False)
        a, b = (rows.T @ np.eye(20)[labels] for rows, labels in (ours, (theirs.data, theirs.target)))
        assert_allclose(a, b, atol=1e-12, err_msg="sums over the rows of each group")
        a, b = ((rows.T @ rows.sum(axis=1)) for rows in (ours[0], theirs.data))
        assert_allclose(np.asarray(a).ravel(), np.asarray(b).ravel(), atol=1e-10, err_msg="products of the rows")


# ---------------------------------------------------------------------- label noise
@pytest.mark.parametrize("share", [0.5, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.7, 0.9))])
def test_dagreou_labels_are_replaced_by_uniform_draws_once(share):
    problem = helpers.dataset_problem("mnist_cleaning", corruption=share)
    splits = problem.splits
    noisy, true = splits["train"]["targets"].argmax(axis=1), splits["clean_train"]["targets"].argmax(axis=1)
    wrong = np.mean(noisy != true)
    assert abs(wrong - 0.9 * share) < 4 * math.sqrt(0.25 / 20_000), "a tenth of the uniform draws is right"
    assert problem.card.splits == {"train": 20_000, "validation": 5_000, "test": 10_000}
    assert (problem.inner_size, problem.outer_size) == (7_840, 20_000)
    again = helpers.dataset_module("mnist_cleaning").Dataset.get_instance(corruption=share).get_data()["problem"]
    assert_array_equal(again.rows("inner")["targets"], problem.rows("inner")["targets"])
    assert problem.inner.penalty_term == Ridge(0.4)


@pytest.mark.parametrize(
    ("share", "count"),
    [
        (0.1, 2000),
        pytest.param(0.2, 4000, marks=pytest.mark.slow),
        pytest.param(0.4, 8000, marks=pytest.mark.slow),
        (0.57, 11_400),
    ],
)
def test_ji_labels_are_wrong_for_exactly_the_stated_share(share, count):
    problem = helpers.dataset_problem("mnist_cleaning", version="ji", corruption=share)
    splits = problem.splits
    noisy, true = splits["train"]["targets"].argmax(axis=1), splits["clean_train"]["targets"].argmax(axis=1)
    assert np.sum(noisy != true) == count
    shift = (noisy - true)[noisy != true] % 10
    assert_allclose(np.bincount(shift, minlength=10)[1:] / len(shift), 1 / 9, atol=0.05)
    images, labels, *_ = mnist.load()
    assert_array_equal(true, labels[:20_000])
    assert_array_equal(splits["validation"]["targets"].argmax(axis=1), labels[-5_000:])
    assert_array_equal(problem.rows("inner")["features"][:, -1], 1)
    assert problem.inner.penalty_term == Ridge(0.002)
    z0, x0 = problem.init(np.random.default_rng(0))
    assert_allclose(z0.std(), math.sqrt(0.2), rtol=0.05)
    assert not x0.any()


def test_noise_depends_on_the_seed_alone(monkeypatch):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (26_000, 4)).astype(np.uint8), rng.integers(0, 10, 26_000).astype(np.uint8)
    images.flags.writeable = labels.flags.writeable = False  # what was read stays as it is
    module = helpers.dataset_module("mnist_cleaning")
    monkeypatch.setattr(mnist, "load", lambda: (images, labels, images[:10], labels[:10]))
    for version, build in (("dagreou", module.dagreou), ("ji", module.ji)):
        noisy = [build(images, labels, 0.5, seed)[2] for seed in (3, 3, 4)]
        assert_array_equal(noisy[0], noisy[1])
        assert (noisy[0] != noisy[2]).any()
        problem = module.Dataset.get_instance(version=version, corruption=0.5, seed=3).get_data()["problem"]
        assert_array_equal(problem.rows("inner")["targets"].argmax(axis=1), noisy[0])


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"version": "other"}, "version is 'other'; choose one of dagreou, ji, pbgd."),
        ({"corruption": 1.5}, "corruption is 1.5; it must be a number above 0 and below 1."),
        ({"version": "ji", "model": "network"}, "model is 'network'; choose one of linear."),
        ({"version": "pbgd", "noise": "shift"}, "noise is 'shift'; choose one of as_published, uniform."),
    ],
)
def test_bad_parameters_are_refused_by_name(parameters, sentence):
    answer = helpers.dataset_module("mnist_cleaning").Dataset.get_instance(**parameters).get_data()
    assert answer == {"problem": None, "reason": sentence}


def test_ji_labels_are_shifted_or_replaced_at_the_same_rows(monkeypatch):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (26_000, 4)).astype(np.uint8), rng.integers(0, 10, 26_000).astype(np.uint8)
    module = helpers.dataset_module("mnist_cleaning")
    monkeypatch.setattr(mnist, "load", lambda: (images, labels, images[:10], labels[:10]))

    def noisy(version, noise):
        data = module.Dataset.get_instance(version=version, corruption=0.4, noise=noise, seed=3).get_data()
        if data["problem"] is None:
            return data["reason"]
        return data["problem"].rows("inner")["targets"].argmax(axis=1)

    true = labels[:20_000]
    shift, uniform = noisy("ji", "shift"), noisy("ji", "uniform")
    assert_array_equal(noisy("ji", "as_published"), shift)
    assert np.sum(shift != true) == 8000, "a shifted label is wrong"
    assert abs(np.sum(uniform != true) - 0.9 * 8000) < 150, "a tenth of the uniform draws is right"
    assert not (uniform != true)[shift == true].any()
    assert np.bincount(uniform[shift != true], minlength=10).min() > 650, "each class is drawn, 0 too"
    assert (noisy("dagreou", "as_published") == noisy("dagreou", "uniform")).all()
    assert noisy("dagreou", "shift") == "noise is 'shift'; choose one of as_published, uniform."


# ---------------------------------------------------------------------- variants of 20 Newsgroups
def made_up_groups(remove):
    """Return a small stand-in for the documents, whose width says what was removed."""
    rng, width = np.random.default_rng(0), {"nothing": 6, "metadata": 4}[remove]
    labels = np.repeat(np.arange(20), 4)
    rows = sp.csr_array(rng.random((80, width)))
    return (rows, labels), (rows, labels)


def test_newsgroups_penalty_is_the_mean_or_its_half(monkeypatch):
    module = helpers.dataset_module("newsgroups20")
    monkeypatch.setattr(module, "read", made_up_groups)
    build = lambda **p: module.Dataset.get_instance(**p).get_data()["problem"]
    half, whole, cut = build(), build(half=False), build(remove="metadata")
    z, x = np.ones((6, 20)), np.zeros(6)
    penalties = [p.inner.penalty(xp, z, x) for p in (half, whole)]
    assert_allclose(penalties, [0.5, 1.0])
    assert "1/(2 p c)" in half.card.formula
    assert "1/(p c)" in whole.card.formula
    assert (half.outer_size, cut.outer_size) == (6, 4)
    assert "headers kept" in half.card.source
    assert "headers removed" in cut.card.source
    reason = module.Dataset.get_instance(remove="headers").get_data()["reason"]
    assert reason == "remove is 'headers'; choose one of nothing, metadata."


def test_metadata_is_headers_footers_and_quotes():
    module = helpers.dataset_module("newsgroups20")
    text = "From: someone\nSubject: words\n\nA writes:\n> quoted line\nkept line\n\nmore kept\n\n--\nsignature\n"
    assert module.cut(text, "nothing") == text
    cut = module.cut(text, "metadata")
    assert "kept line" in cut
    for gone in ("From", "Subject", "quoted", "writes", "signature"):
        assert gone not in cut


@pytest.mark.slow
def test_newsgroups_without_metadata_have_the_published_number_of_features():
    helpers.dataset_problem("newsgroups20")
    (train, _), (test, _) = helpers.dataset_module("newsgroups20").read("metadata")
    assert train.shape == (11_314, 101_631)
    assert test.shape == (7_532, 101_631)


# ---------------------------------------------------------------------- memory
@pytest.mark.slow
def test_saba_on_20_newsgroups_is_refused_with_the_size_and_the_remedy(monkeypatch):
    problem = dataclasses.replace(helpers.dataset_problem("newsgroups20"))
    memory = psutil.virtual_memory()._replace(total=4 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    saba = helpers.solver_classes()["saba"]
    reason = helpers.why_skipped(saba, problem)
    assert "SABA keeps 2.7 GiB of state (inner_table alone 89 x 5334387 numbers, 1.8 GiB)" in reason
    assert "raise batch_size or use a method that keeps less, such as SOBA" in reason
    assert helpers.why_skipped(saba, problem, batch_size=512) is None


RUN = """
import json, sys
sys.path[:0] = [{root!r}, {root!r} + "/tests"]
import helpers
from objective import Objective

problem = helpers.dataset_problem("newsgroups20")
objective = Objective.get_instance()
objective.set_data(problem)
solver = helpers.make_solver(
    helpers.solver_classes()["soba"], problem, 4, backend={backend!r}, schedule="constant", step_size=10.0
)
rows = []
def callback():
    rows.append(objective.evaluate_result(**solver.get_result()))
    return True
solver.run(callback)
# Not ru_maxrss, which a child takes over from the process that started it.
(peak,) = (int(line.split()[1]) / 2**20 for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(json.dumps(dict(peak=peak, rows=rows)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
@pytest.mark.parametrize("framework", helpers.BACKENDS)
def test_memory_of_soba_on_20_newsgroups_stays_under_2_gib(framework):
    helpers.dataset_problem("newsgroups20")
    assert sp.issparse(helpers.dataset_problem("newsgroups20").evaluator.A)
    text = RUN.format(root=str(helpers.ROOT), backend=framework)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, encoding="utf-8", timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert len(record["rows"]) >= 3
    last = record["rows"][-1]
    assert np.isfinite(last["value"])
    assert last["outer_loss"] > last["h"] + 0.1, "F at the own z and h(x) are different curves"
    assert record["peak"] < 2.0
