"""Covtype, 20 Newsgroups and MNIST hyper-cleaning: published facts, splits, noise, exact solutions, sparse rows."""

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
import scipy.linalg
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import fetch_20newsgroups_vectorized, load_files
from helpers import CALLS, make_oracles

import helpers
from benchmark_utils import cards, families, mnist, newton_cg
from benchmark_utils.oracles.oracles import FULL
from benchmark_utils.problem.card import Card
from benchmark_utils.sampling import SparseRows


def splits_of(problem):
    """Return the splits that the metrics of a problem use."""
    (splits,) = [c.cell_contents for c in problem.metrics.__closure__ if isinstance(c.cell_contents, dict)]
    return splits


# ---------------------------------------------------------------------- the published facts
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
@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_dagreou_labels_are_replaced_by_uniform_draws_once(share):
    problem = helpers.dataset_problem("mnist_cleaning", corruption=share)
    splits = splits_of(problem)
    noisy, true = splits["train"][1].argmax(axis=1), splits["clean_train"][1].argmax(axis=1)
    wrong = np.mean(noisy != true)
    assert abs(wrong - 0.9 * share) < 4 * math.sqrt(0.25 / 20_000), "a tenth of the uniform draws is right"
    assert problem.card.splits == {"train": 20_000, "validation": 5_000, "test": 10_000}
    assert (problem.inner_size, problem.outer_size) == (7_840, 20_000)
    again = helpers.dataset_module("mnist_cleaning").Dataset.get_instance(corruption=share).get_data()["problem"]
    assert_array_equal(again.rows("inner")["targets"], problem.rows("inner")["targets"])
    assert problem.inner.penalty == ("constant", 0.4)


@pytest.mark.parametrize(("share", "count"), [(0.1, 2000), (0.2, 4000), (0.4, 8000), (0.57, 11_400)])
def test_ji_labels_are_wrong_for_exactly_the_stated_share(share, count):
    problem = helpers.dataset_problem("mnist_cleaning", version="ji", corruption=share)
    splits = splits_of(problem)
    noisy, true = splits["train"][1].argmax(axis=1), splits["clean_train"][1].argmax(axis=1)
    assert np.sum(noisy != true) == count
    shift = (noisy - true)[noisy != true] % 10
    assert_allclose(np.bincount(shift, minlength=10)[1:] / len(shift), 1 / 9, atol=0.05)
    images, labels, *_ = mnist.load()
    assert_array_equal(true, labels[:20_000])
    assert_array_equal(splits["validation"][1].argmax(axis=1), labels[-5_000:])
    assert_array_equal(problem.rows("inner")["features"][:, -1], 1)
    assert problem.inner.penalty == ("constant", 0.002)
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
        ({"version": "other"}, "version is 'other'; choose one of dagreou, ji."),
        ({"corruption": 1.5}, "corruption is 1.5; it must lie between 0 and 1."),
    ],
)
def test_bad_parameters_are_refused_by_name(parameters, sentence):
    answer = helpers.dataset_module("mnist_cleaning").Dataset.get_instance(**parameters).get_data()
    assert answer == {"problem": None, "reason": sentence}


# ---------------------------------------------------------------------- exact solutions
SUBSETS = {"covtype": 400, "newsgroups20": 60, "mnist_cleaning": 40}


def subset(name, **parameters):
    """Return a problem of the data set's family on its first rows, and on the 200 most frequent features they have."""
    problem, n = helpers.dataset_problem(name, **parameters), SUBSETS[name]
    splits = {s: tuple(a[:n] for a in splits_of(problem)[s]) for s in ("train", "validation")}
    frequency = sum(np.bincount(rows.nonzero()[1], minlength=rows.shape[1]) for rows, _ in splits.values())
    used = np.sort(np.argsort(-frequency, kind="stable")[: min(200, np.count_nonzero(frequency))])
    splits = {s: (rows[:, used], labels) for s, (rows, labels) in splits.items()}
    n_classes = problem.inner.n_classes
    options = dict(card=Card(name, "", "", ""), n_classes=n_classes, reference_tolerance=1e-11)
    x0 = problem.init(np.random.default_rng(0))[1]
    x0 = x0[:n] if name == "mnist_cleaning" else x0[used] if name == "newsgroups20" else x0
    options["init"] = lambda rng: (np.zeros(len(used) * n_classes), x0)
    if name == "mnist_cleaning":
        return families.hyper_cleaning(name, splits, clean=None, ridge=problem.inner.penalty[1] / 2, **options)
    return families.regularisation(name, splits, penalty=problem.inner.penalty, outer_size=len(x0), **options)


@pytest.mark.parametrize("solution", ["direct", "iterative"])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [("covtype", {}), ("newsgroups20", {}), ("mnist_cleaning", {}), ("mnist_cleaning", {"version": "ji"})],
)
def test_gradient_agrees_with_central_differences(name, parameters, solution, monkeypatch):
    """On some rows; docs/problems.md has the figures of all rows."""
    if solution == "iterative":  # as on all rows
        monkeypatch.setattr(sys.modules["benchmark_utils.reference"], "DENSE_LIMIT", 0)
    error, n = cards.gradient_check(subset(name, **parameters), n=20)
    assert error < 1e-5
    assert n == 20


def test_gradient_check_sees_a_wrong_gradient(monkeypatch):
    problem = helpers.small_classes()
    assert cards.gradient_check(problem)[0] < 1e-6
    wrong = type(problem.evaluator)._cross
    monkeypatch.setattr(type(problem.evaluator), "_cross", lambda *a: 1.0001 * wrong(*a))
    assert cards.gradient_check(problem)[0] > 5e-5


@pytest.fixture(params=["blocks", "whole"])
def preconditioner(request, monkeypatch):
    """Let the reference solve its systems iteratively, with each of the preconditioners."""
    monkeypatch.setattr(sys.modules["benchmark_utils.reference"], "DENSE_LIMIT", 0)
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
        patch.setattr(sys.modules["benchmark_utils.reference"], "DENSE_LIMIT", 1000)
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


@pytest.mark.parametrize("penalty", ["constant", "exp_classes", "exp_features"])
def test_preconditioner_knows_that_shifts_of_all_classes_cost_only_the_penalty(penalty):
    """Without the exact treatment of shifts this takes several times as many iterations."""
    rng = np.random.default_rng(0)
    n, k, c = 400, 30, 6
    rows = (np.arange(1, k + 1) ** -1.0) * rng.standard_normal((n, k)) @ np.linalg.qr(rng.standard_normal((k, k)))[0]
    splits = {"train": (rows, families.one_hot(rng.integers(0, c, n), c))}
    splits["validation"] = splits["train"]
    d = {"constant": n, "exp_classes": c, "exp_features": k}[penalty]
    problem = families.regularisation(
        "shifts", splits, penalty=(penalty, 1e-6), outer_size=d, n_classes=c, init=None, card=Card("", "", "", "")
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
    monkeypatch.setattr(sys.modules["benchmark_utils.reference"], "DENSE_LIMIT", 0)
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
    monkeypatch.setattr(sys.modules["benchmark_utils.reference"], "DENSE_LIMIT", 0)

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


# ---------------------------------------------------------------------- sparse rows
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


@pytest.mark.parametrize("make", [helpers.small_sparse, helpers.small_classes])
def test_every_solver_agrees_between_backends_on_sparse_rows_and_class_penalties(solver_class, make):
    """The matrix of solvers and backends on small problems built like newsgroups20 and covtype."""
    problem = make()
    results = []
    for backend in ("jax", "torch"):
        skip, reason = solver_class.get_instance(backend=backend, batch_size=16).skip(problem=problem)
        if skip:
            pytest.skip(reason)
        common = dict(batch_size=16) | helpers.stated_steps(solver_class)
        results.append(helpers.run(solver_class, problem, 5, backend=backend, **common))
    a, b = results
    assert all(np.isfinite(a[name]).all() for name in ("z", "x", "d_x"))
    helpers.assert_agree(a, b, atol=1e-9, scaled=True)


def test_saba_on_20_newsgroups_is_refused_with_the_size_and_the_remedy(monkeypatch):
    problem = dataclasses.replace(helpers.dataset_problem("newsgroups20"))
    memory = psutil.virtual_memory()._replace(total=4 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    skip, reason = helpers.solver_classes()["saba"].get_instance().skip(problem=problem)
    assert skip
    assert "89 x 5334387 + 89 x 2732247 numbers = 2.7 GiB" in reason
    assert "raise batch_size or use SOBA" in reason
    assert helpers.solver_classes()["saba"].get_instance(batch_size=512).skip(problem=problem) == (False, None)


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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
@pytest.mark.parametrize("framework", helpers.BACKENDS)
def test_memory_of_soba_on_20_newsgroups_stays_under_2_gib(framework):
    helpers.dataset_problem("newsgroups20")
    assert sp.issparse(helpers.dataset_problem("newsgroups20").reference.A)
    text = RUN.format(root=str(helpers.ROOT), backend=framework)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert len(record["rows"]) >= 3
    last = record["rows"][-1]
    assert np.isfinite(last["value"])
    assert last["outer_loss"] > last["h"] + 0.1, "F at the own z and h(x) are different curves"
    assert record["peak"] < 2.0
