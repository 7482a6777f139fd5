"""Covtype, 20 Newsgroups and MNIST hyper-cleaning: files, splits, noise, exact solutions, sparse rows."""

import contextlib
import dataclasses
import gzip
import hashlib
import http.server
import io
import json
import math
import os
import subprocess
import sys
import tarfile
import threading
import time

import numpy as np
import psutil
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from test_sampling import CALLS, make_oracles

import helpers
from benchmark_utils import cards, data, families, mnist, newton_cg
from benchmark_utils.oracles import FULL
from benchmark_utils.problem import Card
from benchmark_utils.sampling import SparseRows

NEEDS = {
    "covtype": "covtype/covtype.data.gz",
    "newsgroups20": "20newsgroups/20news-bydate.tar.gz",
    "mnist_cleaning": "mnist/*-ubyte.gz",
}


def real(name, **parameters):
    """Return the problem of a data set, or skip where its files are missing."""
    problem = helpers.dataset_problem(name, **parameters)
    if problem is None:
        pytest.skip(f"{NEEDS[name]} is not in benchopt's data_home and cannot be downloaded here")
    return problem


def dataset_module(name):
    """Return the module of a data set's file."""
    return helpers.load(helpers.ROOT / "datasets" / f"{name}.py")


def splits_of(problem):
    """Return the splits that the metrics of a problem use."""
    (splits,) = [c.cell_contents for c in problem.metrics.__closure__ if isinstance(c.cell_contents, dict)]
    return splits


# ---------------------------------------------------------------------- the published facts
def test_covtype_is_the_published_file():
    real("covtype")
    features, labels = dataset_module("covtype").read()
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
    problem = real("covtype")
    assert problem.card.splits == {"train": 371_847, "validation": 92_962, "test": 116_203}
    assert (problem.inner_size, problem.outer_size) == (378, 7)
    rows = problem.inner.arrays["features"]
    assert_allclose(rows.mean(axis=0), 0, atol=1e-9)
    assert_allclose(np.delete(rows.std(axis=0), 28), 1, atol=1e-9)
    assert not rows[:, 28].any(), "soil type 15, three rows of the file, has none in the inner split"
    z0, x0 = problem.init(np.random.default_rng(0))
    assert not z0.any()
    assert_array_equal(x0, -2)


def test_mnist_is_the_published_file():
    real("mnist_cleaning")
    images, labels, test_images, test_labels = mnist.load()
    assert images.shape == (60_000, 784)
    assert test_images.shape == (10_000, 784)
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert_array_equal(np.bincount(labels), counts)
    assert_array_equal(np.bincount(test_labels), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    assert_allclose(images.mean() / 255, mnist.MEAN, atol=5e-5)
    assert_allclose(images.std() / 255, mnist.DEVIATION, atol=5e-5)


def test_newsgroups_are_the_published_documents():
    problem = real("newsgroups20")
    (train, y_train), (test, y_test) = dataset_module("newsgroups20").read()
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
    halves = [problem.inner.arrays["targets"].sum(axis=0), problem.outer.arrays["targets"].sum(axis=0)]
    assert np.abs(halves[0] - halves[1]).max() <= 1, "the halves are stratified by group"


def test_newsgroups_rows_equal_scikit_learns_own_vectoriser():
    from sklearn.datasets import fetch_20newsgroups_vectorized

    try:
        bunch = fetch_20newsgroups_vectorized(subset="train", download_if_missing=False)
    except OSError:
        pytest.skip("scikit-learn's own cache of 20 Newsgroups is not filled")
    (train, labels), _ = dataset_module("newsgroups20").read()
    for rows, y in ((train, labels), (bunch.data, bunch.target)):
        assert rows.shape == (11_314, 130_107)
        assert_allclose(rows.sum(), train.sum(), rtol=1e-12)
        assert_allclose(rows.T @ np.eye(20)[y], train.T @ np.eye(20)[labels], atol=1e-9)


# ---------------------------------------------------------------------- label noise
@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_dagreou_labels_are_replaced_by_uniform_draws_once(share):
    problem = real("mnist_cleaning", corruption=share)
    splits = splits_of(problem)
    noisy, true = splits["train"][1].argmax(axis=1), splits["clean_train"][1].argmax(axis=1)
    wrong = np.mean(noisy != true)
    assert abs(wrong - 0.9 * share) < 4 * math.sqrt(0.25 / 20_000), "a tenth of the uniform draws is right"
    assert problem.card.splits == {"train": 20_000, "validation": 5_000, "test": 10_000}
    assert (problem.inner_size, problem.outer_size) == (7_840, 20_000)
    again = dataset_module("mnist_cleaning").Dataset.get_instance(corruption=share).get_data()["problem"]
    assert_array_equal(again.inner.arrays["targets"], problem.inner.arrays["targets"])
    assert problem.inner.penalty == ("constant", 0.4)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4])
def test_ji_labels_are_wrong_for_exactly_the_stated_share(share):
    problem = real("mnist_cleaning", version="ji", corruption=share)
    splits = splits_of(problem)
    noisy, true = splits["train"][1].argmax(axis=1), splits["clean_train"][1].argmax(axis=1)
    assert np.sum(noisy != true) == int(share * 20_000)
    shift = (noisy - true)[noisy != true] % 10
    assert_allclose(np.bincount(shift, minlength=10)[1:] / len(shift), 1 / 9, atol=0.05)
    images, labels, *_ = mnist.load()
    assert_array_equal(true, labels[:20_000])
    assert_array_equal(splits["validation"][1].argmax(axis=1), labels[-5_000:])
    assert_array_equal(problem.inner.arrays["features"][:, -1], 1)
    assert problem.inner.penalty == ("constant", 0.002)
    z0, x0 = problem.init(np.random.default_rng(0))
    assert_allclose(z0.std(), math.sqrt(0.2), rtol=0.05)
    assert not x0.any()


def test_noise_depends_on_the_seed_alone(monkeypatch):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (26_000, 4)).astype(np.uint8), rng.integers(0, 10, 26_000).astype(np.uint8)
    module = dataset_module("mnist_cleaning")
    for build in (module.dagreou, module.ji):
        noisy = [build(images, labels, 0.5, seed)[2] for seed in (3, 3, 4)]
        assert_array_equal(noisy[0], noisy[1])
        assert (noisy[0] != noisy[2]).any()
    monkeypatch.setattr(mnist, "load", lambda: (images, labels, images[:10], labels[:10]))
    before = labels.copy()
    module.Dataset.get_instance(corruption=0.5).get_data()
    assert_array_equal(labels, before, "the labels that were read stay as they are")


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"version": "other"}, "version is 'other'; choose one of dagreou, ji."),
        ({"corruption": 1.5}, "corruption is 1.5; it must lie between 0 and 1."),
    ],
)
def test_bad_parameters_are_refused_by_name(parameters, sentence):
    answer = dataset_module("mnist_cleaning").Dataset.get_instance(**parameters).get_data()
    assert answer == {"problem": None, "reason": sentence}


# ---------------------------------------------------------------------- altered and cut files
@pytest.fixture
def data_home(tmp_path, monkeypatch):
    """Point benchopt's data path to an empty folder."""
    monkeypatch.setattr(data, "get_data_path", lambda key: tmp_path / key)
    monkeypatch.setattr(data, "_failed", {})
    monkeypatch.setattr(data, "_checked", set())
    for name in NEEDS.values():
        (tmp_path / name).parent.mkdir(exist_ok=True)
    return tmp_path


def archive(documents):
    """Return a gzipped tar of the documents."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in documents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
    return out.getvalue()


DOCUMENTS = {
    f"20news-bydate-{part}/sci.space/{i}": b"From: me\n\nhello" for i in range(9) for part in ("train", "test")
}
MADE_UP = {
    "covtype": ("covtype/covtype.data.gz", gzip.compress(b"2596,51,3,258\n" * 50)),
    "newsgroups20": ("20newsgroups/20news-bydate.tar.gz", archive(DOCUMENTS)),
    "mnist_cleaning": ("mnist/train-images-idx3-ubyte.gz", gzip.compress(b"\0\0\x08\x03" + bytes(200))),
}


@pytest.mark.parametrize("name", MADE_UP)
@pytest.mark.parametrize("fault", ["altered", "cut"])
def test_altered_or_cut_file_is_refused_by_name(name, fault, data_home):
    filename, content = MADE_UP[name]
    (data_home / filename).write_bytes(content if fault == "altered" else content[: len(content) // 2])
    answer = dataset_module(name).Dataset.get_instance().get_data()
    assert answer["problem"] is None
    assert str(data_home / filename) in answer["reason"]
    told = "is cut short or not readable" if fault == "cut" and name != "mnist_cleaning" else "the file was altered or"
    assert told in answer["reason"]
    assert "delete it and fetch https://" in answer["reason"]


def test_hash_of_the_documents_does_not_depend_on_the_packing(tmp_path):
    module = dataset_module("newsgroups20")
    packings = [DOCUMENTS, dict(reversed(DOCUMENTS.items())), {f"./{k}": v for k, v in DOCUMENTS.items()}]
    changed = DOCUMENTS | {"20news-bydate-test/sci.space/3": b"From: you\n\nhello"}
    hashes = []
    for i, documents in enumerate([*packings, changed]):
        (tmp_path / f"{i}.tar.gz").write_bytes(archive(documents))
        hashes.append(module.content_hash(tmp_path / f"{i}.tar.gz"))
    assert hashes[0] == hashes[1] == hashes[2]
    assert hashes[3] != hashes[0]


def test_idx_file_with_a_wrong_header_is_refused(tmp_path):
    for content in (b"\0\0\x08\x01\0\0\0\x05" + bytes(4), b"\0\0\x0d\x01\0\0\0\x04" + bytes(4)):
        (tmp_path / "a.gz").write_bytes(gzip.compress(content))
        with pytest.raises(data.DataUnavailable, match=r"a\.gz is not an idx file of bytes"):
            mnist.read_idx(tmp_path / "a.gz")


# ---------------------------------------------------------------------- downloads
CONTENT = np.random.default_rng(0).bytes(300_000)


class Server:
    """A server of one file that can break off and that logs the ranges it was asked for."""

    def __init__(self, break_after=None, ranges=True, content=CONTENT):
        self.break_after, self.ranges, self.content, self.asked = break_after, ranges, content, []

    def handler(server):
        """Return the handler class."""

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                asked = self.headers.get("Range")
                server.asked.append(asked)
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
                if start >= len(server.content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(server.content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body = server.content[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body)))
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
                self.end_headers()
                self.wfile.write(body[: server.break_after] if server.break_after else body)

        return Handler


@contextlib.contextmanager
def serve(**options):
    """Yield (url, Server)."""
    server = Server(**options)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), server.handler()) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}/rows.bin", server
        httpd.shutdown()
        thread.join()


def fetch_rows(url):
    """Fetch the served file."""
    return data.fetch("mnist", "rows.bin", url, hashlib.sha256(CONTENT).hexdigest(), compressed=False)


def test_broken_download_is_taken_up_where_it_stopped(data_home, capsys):
    with serve(break_after=100_000) as (url, server):
        path = fetch_rows(url)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=200000-"]
    assert "rows.bin: 100%" in capsys.readouterr().err
    assert [p.name for p in path.parent.iterdir()] == ["rows.bin"]


def test_interrupted_download_is_taken_up_by_the_next_call(data_home, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with serve() as (url, server):
        monkeypatch.setattr(data.tqdm, "update", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch_rows(url)
        kept = (data_home / "mnist" / "rows.bin.part").stat().st_size
        assert 0 < kept < len(CONTENT)
        monkeypatch.undo()
        monkeypatch.setattr(data, "get_data_path", lambda key: data_home / key)
        assert fetch_rows(url).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={kept}-"]


@pytest.mark.parametrize("age", [0, 3600])
def test_part_of_a_killed_process_is_taken_over_once_it_is_old(data_home, age):
    part = data_home / "mnist" / "rows.bin.999999.part"
    part.write_bytes(CONTENT[:1000])
    os.utime(part, (time.time() - age,) * 2)
    with serve() as (url, server):
        assert fetch_rows(url).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-" if age else None]
    assert part.exists() == (age == 0), "a part that is being written belongs to another process"


def test_server_without_ranges_sends_the_whole_file(data_home):
    (data_home / "mnist" / "rows.bin.part").write_bytes(b"something else")
    with serve(ranges=False) as (url, _):
        assert fetch_rows(url).read_bytes() == CONTENT


@pytest.mark.parametrize("length", [len(CONTENT), len(CONTENT) + 5])
def test_part_that_is_complete_or_too_long(data_home, length):
    (data_home / "mnist" / "rows.bin.part").write_bytes((CONTENT + bytes(9))[:length])
    with serve() as (url, server):
        assert fetch_rows(url).read_bytes() == CONTENT
    assert len(server.asked) == (1 if length == len(CONTENT) else 2)


def test_wrong_content_is_not_kept(data_home):
    with serve(content=CONTENT[:-1] + b"?") as (url, _), pytest.raises(data.DataUnavailable) as error:
        fetch_rows(url)
    assert f"what {url} sent has sha256" in str(error.value)
    assert list((data_home / "mnist").iterdir()) == []


# ---------------------------------------------------------------------- exact solutions
SUBSETS = {"covtype": 400, "newsgroups20": 60, "mnist_cleaning": 40}


def subset(name, **parameters):
    """Return a problem of the data set's family on its first rows, and on the 200 most frequent features they have."""
    problem, n = real(name, **parameters), SUBSETS[name]
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


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("covtype", {}), ("newsgroups20", {}), ("mnist_cleaning", {}), ("mnist_cleaning", {"version": "ji"})],
)
def test_gradient_agrees_with_central_differences(name, parameters):
    assert cards.gradient_check(subset(name, **parameters), n=20) < 1e-5


def test_gradient_check_sees_a_wrong_gradient(monkeypatch):
    problem = helpers.small_classes()
    assert cards.gradient_check(problem) < 1e-7
    wrong = type(problem.reference)._cross
    monkeypatch.setattr(type(problem.reference), "_cross", lambda *a: 1.0001 * wrong(*a))
    assert cards.gradient_check(problem) > 5e-5


@pytest.mark.parametrize("make", [helpers.small_sparse, helpers.small_classes])
def test_iterative_solution_equals_newtons(make, monkeypatch):
    problem = make()
    x = problem.init(np.random.default_rng(0))[1] + 0.3 * np.random.default_rng(1).standard_normal(problem.outer_size)
    expected = make(dense=True) if make is helpers.small_sparse else problem
    exact = expected.reference.solve(x)
    monkeypatch.setattr(sys.modules[type(problem.reference).__module__], "DENSE_LIMIT", 0)
    found = problem.reference.solve(x)
    assert found.residual <= 1e-11
    for name in ("z", "v", "gradient"):
        a, b = getattr(found, name), getattr(exact, name)
        assert_allclose(a, b, rtol=0, atol=1e-8 * np.abs(b).max(), err_msg=name)
    assert_allclose(found.h, exact.h, rtol=1e-12)


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
    reference = problem.reference
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


def test_outdated_preconditioner_is_built_anew(monkeypatch):
    problem = helpers.small_classes()
    monkeypatch.setattr(sys.modules[type(problem.reference).__module__], "DENSE_LIMIT", 0)
    x = np.full(4, -2.0)
    first = problem.reference.solve(x)
    assert problem.reference.solve(x + 1e-3, first).frozen.precondition is first.frozen.precondition
    outdated = first._replace(frozen=first.frozen._replace(excess=newton_cg.PATIENCE + 1))
    assert problem.reference.solve(x + 1e-3, outdated).frozen.precondition is not first.frozen.precondition


def test_system_that_takes_too_long_is_given_up_and_said_to_be_unknown(monkeypatch):
    problem = helpers.small_classes()
    monkeypatch.setattr(sys.modules[type(problem.reference).__module__], "DENSE_LIMIT", 0)
    monkeypatch.setattr(newton_cg, "MAX_ITERATIONS", 2)
    solution = problem.reference.solve(np.full(4, -2.0))
    assert math.isnan(solution.h)
    assert np.isnan(solution.gradient).all()
    assert math.isnan(solution.residual)


def test_numbers_out_of_range_end_in_nan_not_in_an_error(monkeypatch):
    problem = helpers.small_sparse()
    monkeypatch.setattr(sys.modules[type(problem.reference).__module__], "DENSE_LIMIT", 0)
    with np.errstate(all="ignore"):
        for value in (800.0, -800.0):
            solution = problem.reference.solve(np.full(problem.outer_size, value))
            assert isinstance(solution.h, float)


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
    assert helpers.counts(a) == helpers.counts(b)
    for name in ("z", "x", "d_x"):
        assert np.isfinite(a[name]).all()
        assert_allclose(a[name], b[name], rtol=0, atol=1e-9 * max(1.0, np.abs(a[name]).max()), err_msg=name)


def test_saba_on_20_newsgroups_is_refused_with_the_size_and_the_remedy(monkeypatch):
    problem = dataclasses.replace(real("newsgroups20"))
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
def test_memory_of_soba_on_20_newsgroups_stays_under_2_gib():
    real("newsgroups20")
    assert sp.issparse(real("newsgroups20").reference.A)
    text = RUN.format(root=str(helpers.ROOT), backend="jax")
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert len(record["rows"]) >= 3
    last = record["rows"][-1]
    assert np.isfinite(last["value"])
    assert last["outer_loss"] > last["h"] + 0.1, "F at the own z and h(x) are different curves"
    assert record["peak"] < 2.0
