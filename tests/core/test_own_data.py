"""Data of one's own: every odd array, label and file is converted as documented, or refused with one sentence."""

import dataclasses
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from benchopt import BaseDataset
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import dump_svmlight_file

import helpers
from benchmark_utils.builders.classification import hyper_cleaning, regularisation
from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.builders.own_data import penalty_selection, split_table
from benchmark_utils.files.labels import encode, one_hot, signs
from benchmark_utils.files.names import why_twice
from benchmark_utils.files.tables import read_table
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.not_built import NotBuilt
from benchmark_utils.problem.problem import Problem
from benchmark_utils.running.solver import BackendSolver
from benchmark_utils.terms.penalties import ExpRidge
from benchmark_utils.terms.quadratic import Quadratic

RNG = np.random.default_rng(0)
N, P = 120, 3
X = np.round(4 * RNG.standard_normal((N, P)))
Y = np.where(X @ [1, -1, 2] + RNG.standard_normal(N) > 0, 1, -1)


def binary(features=X, labels=Y, n_classes=1, outer=None, **more):
    """Return a problem built from arrays as they are; 70 rows are inner, the others outer."""
    labels, A = np.asarray(labels), sp.csr_array(features) if sp.issparse(features) else features
    back = lambda rows: type(features)(rows) if sp.issparse(features) else rows
    splits = {
        "train": (back(A[:70]), labels[:70]),
        "validation": outer or (back(A[70:]), labels[70:N]),
    }
    size = P * n_classes
    return regularisation(
        "mine", splits, penalty=ExpRidge(1.0), outer_size=P, n_classes=n_classes, card=helpers.CARD,
        init=lambda rng: (np.zeros(size), np.full(P, -2.0)), **more,
    )  # fmt: skip


def refused(function, *args, **kwargs):
    """Return the sentence of a refusal."""
    with pytest.raises(NotBuilt) as error:
        function(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---------------------------------------------------------------------- arrays
ODD_FEATURES = {
    "integers": X.astype(int),
    "bytes": (X - X.min()).astype(np.uint8) + 0 * X.astype(np.uint8),
    "single": X.astype(np.float32),
    "column order": np.asfortranarray(X),
    "booleans": X > 0,
    **{f"sparse {kind}": sp.coo_array(X).asformat(kind) for kind in ("lil", "coo", "dok", "csc", "bsr")},
    "old sparse matrix": sp.lil_matrix(X),
    "sparse integers": sp.coo_array(X.astype(int)),
}


@pytest.mark.parametrize("kind", ODD_FEATURES)
def test_features_of_every_type_are_the_same_float64_rows(kind):
    odd = ODD_FEATURES[kind]
    plain = odd.toarray().astype(float) if sp.issparse(odd) else np.asarray(odd, float)
    problem = binary(odd)
    for level in ("inner", "outer"):
        features = problem.rows(level)["features"]
        assert features.dtype == np.float64
        assert not sp.issparse(features) or features.format == "csr"
    assert_array_equal(problem.rows("inner")["features"] @ np.eye(P), plain[:70])
    assert problem.check(xp) is None


@pytest.mark.parametrize("kind", ["integers", "sparse lil"])
def test_odd_features_run_on_both_backends(kind, backend):
    odd = ODD_FEATURES[kind]
    problem, same = binary(odd), binary(sp.csr_array(X) if sp.issparse(odd) else X)
    soba = helpers.solver_classes()["soba"]
    runs = [helpers.run(soba, p, 3, backend=backend, batch_size=16) for p in (problem, same)]
    helpers.assert_agree(*runs, atol=1e-12)


def test_duplicate_entries_of_a_sparse_matrix_are_summed_and_the_users_own_stays_as_it_is():
    twice = sp.csr_array((np.ones(4), [0, 0, 1, 2], [0, 2, 3, 4]), shape=(3, 3))
    rows = sp.vstack([twice] * 30, format="csr")
    before = rows.data.copy()
    features = Problem(**fields(splits={"train": {"features": rows}, "validation": {"features": rows}})).rows("inner")
    assert features["features"].nnz == 90, "evaluators look at entries"
    assert_array_equal(features["features"].toarray()[:3], twice.toarray())
    assert_array_equal(rows.data, before)


def fields(**changes):
    """Return the fields of a quadratic problem with some changed."""
    problem = helpers.small_quadratic()
    return {f.name: getattr(problem, f.name) for f in dataclasses.fields(problem)} | changes


def test_arrays_that_are_no_numbers_or_not_finite_are_refused_with_their_place():
    broken = X.copy()
    broken[5, 2] = np.nan
    assert refused(binary, broken) == (
        "1 of the 210 entries of the features of the train split of mine are NaN or infinite, the first (nan) at row "
        "5, column 2 (counted from 0); clean the data, or delete a file that was fetched so that it is fetched again."
    )
    broken = sp.lil_array(X)
    for column in (0, 1):
        broken[71, column] = np.inf  # row 1 of the second split
        broken[71, 1 - column] = 1.0
        assert f"the first (inf) at row 1, column {column}" in refused(binary, broken)
    assert "has 'a' at row 0, column 0; it must hold numbers only" in refused(binary, np.full((N, P), "a", object))
    assert "must hold real numbers" in refused(binary, np.full((N, P), "a"))
    assert "must hold real numbers" in refused(binary, X + 1j)
    assert "rows of one length" in refused(binary, [[1.0], [1.0, 2.0]] * 60)
    assert "have the shape (70,)" in refused(binary, X[:, 0])
    assert "have the shape (70, 0)" in refused(binary, X[:, :0])


def test_splits_that_cannot_be_used_are_refused():
    assert "have the shape (0, 3)" in refused(binary, outer=(X[:0], Y[:0]))
    assert "different numbers of columns ({'train': 3, 'validation': 2})" in refused(binary, outer=(X[:, :2], Y))
    assert "all labels of the validation split of mine are the same" in refused(binary, outer=(X, np.ones(N)))
    assert "there are 119 labels of the validation split of mine but 120 rows" in refused(binary, outer=(X, Y[1:]))
    assert binary(np.hstack([X[:, :1]] * 3)).check(xp) is None, "columns may be equal"


# ---------------------------------------------------------------------- labels
@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ((Y + 1) // 2, "found 0, 1"),
        ((Y + 3) // 2, "found 1, 2"),
        (Y > 0, "found False, True"),
        (np.where(Y > 0, "yes", "no"), "found 'no', 'yes'"),
        (np.where(Y > 0, 1, np.nan), "found 1.0, nan"),
        (np.stack([Y, -Y], axis=1), "found labels of shape (70, 2)"),
        (np.arange(N), "found 0, 1, 2, 3, 4, 5 and 64 more"),
    ],
)
def test_labels_that_are_no_signs_are_refused_where_signs_are_wanted(labels, found):
    sentence = refused(binary, labels=labels)
    assert sentence.startswith(f"the labels of the train split of mine must be -1 and +1, one a row; {found}.")
    assert "`signs` of benchmark_utils/files/labels.py" in sentence


@pytest.mark.parametrize("labels", [(Y + 1) // 2, np.eye(2)[(Y + 1) // 2], one_hot((Y + 1) // 2, 2) * 2, Y])
def test_labels_that_are_no_unit_rows_are_refused_where_those_are_wanted(labels):
    assert "must be one-hot rows of shape (n, 3)" in refused(binary, labels=labels, n_classes=3)


def test_labels_in_a_column_and_rows_of_booleans_are_converted():
    assert_array_equal(binary(labels=Y[:, None]).rows("inner")["targets"], Y[:70].astype(float))
    rows = binary(labels=np.eye(2)[(Y + 1) // 2] > 0, n_classes=2).rows("inner")["targets"]
    assert rows.dtype == np.float64
    assert_array_equal(rows, np.eye(2)[(Y[:70] + 1) // 2])


def test_class_numbers_out_of_range_are_refused_and_never_cut_or_wrapped():
    for labels in ([0, 1, -1], [0, 1, 2], [0, 0.5, 1], [[0], [1], [0]], ["0", "1", "0"]):
        assert "the 2 labels wanted here are the integers 0 to 1; found" in refused(one_hot, labels, 2)
    assert_array_equal(one_hot([1.0, 0.0], 2), [[0, 1], [1, 0]])
    assert_array_equal(one_hot([True, False], 2), [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("labels", "codes", "classes"),
    [
        ([2, 1, 2], [1, 0, 1], [1, 2]),
        ([[0.5], [3.0]], [0, 1], [0.5, 3.0]),
        ([True, False], [1, 0], [False, True]),
        (["b", "c", "a"], [1, 2, 0], ["a", "b", "c"]),
        (np.array(["x", 1], object), [1, 0], ["1", "x"]),
    ],
)
def test_labels_of_any_type_are_numbered_in_order(labels, codes, classes):
    found, names = encode(labels)
    assert_array_equal(found, codes)
    assert names == classes
    if len(classes) == 2:
        assert_array_equal(signs(labels), 2 * np.array(codes) - 1)


def test_labels_that_cannot_be_numbered_are_refused():
    assert "1 of the 3 labels are missing, the first in row 1" in refused(encode, [0.0, np.nan, 1.0])
    assert "1 of the 2 labels are missing, the first in row 1" in refused(encode, np.array(["a", None], object))
    assert refused(encode, [1, 1]) == "found 1; a classifier needs at least two classes."
    assert "the labels have the shape (2, 2)" in refused(encode, [[1, 0], [0, 1]])
    assert "two classes are wanted; found 0, 1, 2." in refused(signs, [0, 1, 2])


def test_which_labels_are_clean_is_asked_of_every_row():
    splits = {"train": (X, Y), "validation": (X, Y)}
    build = lambda clean: hyper_cleaning(
        "mine", splits, clean=clean, ridge=0.1, n_classes=1, card=helpers.CARD,
        init=lambda rng: (np.zeros(P), np.zeros(N)),
    )  # fmt: skip
    assert "clean of mine has the shape (3,)" in refused(build, [True] * 3)
    problem = build([True] * N)
    assert np.isnan(problem.metrics(np.zeros(P), np.zeros(N), None)["weights_auc"]), "every label is clean"


# ---------------------------------------------------------------------- a table
def test_a_table_is_split_class_by_class_and_scaled_by_its_training_rows():
    labels = np.repeat(["a", "b", "c"], [60, 50, 10])
    features = np.column_stack([X, np.ones(N)])  # a column that does not vary
    splits, classes = split_table("mine", features, labels, validation=0.2, test=0.1, seed=3)
    assert classes == ["a", "b", "c"]
    counts = {split: y.sum(axis=0).tolist() for split, (_, y) in splits.items()}
    assert counts == {"train": [42, 35, 7], "validation": [12, 10, 2], "test": [6, 5, 1]}
    rows = splits["train"][0]
    assert_allclose(rows.mean(axis=0), 0, atol=1e-12)
    assert_allclose(rows.std(axis=0), [1, 1, 1, 0], atol=1e-12)
    raw, _ = split_table("mine", np.arange(N)[:, None], labels, scale=False, seed=3)
    together = np.concatenate([A[:, 0] for A, _ in raw.values()])
    assert_array_equal(np.sort(together), np.arange(N), "every row is in one split")
    again, _ = split_table("mine", np.arange(N)[:, None], labels, scale=False, seed=4)
    assert (raw["train"][0] != again["train"][0]).any()
    ordered = raw["train"][1].argmax(axis=1)
    assert (np.diff(ordered) < 0).any(), "rows of one split are in random order"


def test_two_classes_are_unit_vectors_for_networks():
    signs, rows = (split_table("mine", X, Y, signs=s)[0]["train"][1] for s in (True, False))
    assert_array_equal(rows, one_hot((signs + 1) / 2, 2))


def test_sparse_tables_stay_sparse():
    splits, _ = split_table("mine", sp.lil_array(X), Y)
    rows = splits["train"][0]
    assert sp.issparse(rows)
    assert_allclose(np.abs(rows).max(axis=0).toarray(), 1)
    assert penalty_selection("mine", sp.lil_array(X), Y).check(xp) is None


def test_tables_that_cannot_be_split_are_refused():
    rare = np.where(np.arange(N) < 2, "rare", "frequent")
    assert "the class 'rare' of mine has 2 row(s); each class needs at least 3" in refused(split_table, "mine", X, rare)
    assert split_table("mine", X, rare, test=0)[0]["validation"][1].sum() != 0
    assert "labels must be classes, not measurements" in refused(split_table, "mine", X, RNG.standard_normal(N))
    assert "validation is 1.5; it must be a number" in refused(split_table, "mine", X, Y, validation=1.5)
    assert "but there are 119 labels" in refused(split_table, "mine", X, Y[1:])
    broken = X.copy()
    broken[110, 1] = np.inf
    assert "the first (inf) at row 110, column 1" in refused(split_table, "mine", broken, Y), "the row of the file"


@pytest.mark.parametrize("labels", [(Y + 1) // 2, Y > 0, np.where(Y > 0, "yes", "no"), Y[:, None], Y.astype(float)])
def test_the_same_two_classes_are_the_same_problem_whatever_they_are_called(labels):
    problem, same = penalty_selection("mine", X, labels), penalty_selection("mine", X, Y)
    z, x = same.init(np.random.default_rng(0))
    assert_array_equal(problem.rows("outer")["targets"], same.rows("outer")["targets"])
    assert problem.evaluator.solve(x).h == same.evaluator.solve(x).h
    exact = same.evaluator.solve(x)
    assert same.metrics(exact.z, x, exact)["train_error"] < 0.15, "and the right sign is learned"


# ---------------------------------------------------------------------- files
@pytest.fixture
def files(tmp_path):
    """Return a folder with one table in every format."""
    table = pd.DataFrame(X, columns=["a", "b", "c"]).assign(label=Y)
    table.to_csv(tmp_path / "comma.csv", index=False)
    table.to_csv(tmp_path / "semicolon.csv", index=False, sep=";")
    table.to_csv(tmp_path / "no_header.csv", index=False, header=False)
    table.to_csv(tmp_path / "tabs.tsv", index=False, sep="\t", encoding="utf-8-sig")
    dump_svmlight_file(X, Y, str(tmp_path / "rows.svm"), zero_based=False)
    np.savez(tmp_path / "numpy.npz", X=X, y=Y)
    sp.save_npz(tmp_path / "sparse.npz", sp.csr_array(X))
    np.save(tmp_path / "labels.npy", Y)
    (tmp_path / "labels.txt").write_text("\n".join(map(str, Y)), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("comma.csv", {"label": "label"}),
        ("comma.csv", {}),
        ("semicolon.csv", {"label": 3}),
        ("no_header.csv", {}),
        ("no_header.csv", {"label": 3}),
        ("tabs.tsv", {"label": "label"}),
        ("rows.svm", {}),
        ("numpy.npz", {}),
        ("numpy.npz", {"label": "y"}),
        ("sparse.npz", {"labels": "labels.npy"}),
        ("sparse.npz", {"labels": "labels.txt"}),
    ],
)
def test_every_format_gives_the_same_table(files, name, options):
    options = {k: files / v if k == "labels" else v for k, v in options.items()}
    table = read_table(files / name, **options)
    features = table.features.toarray() if sp.issparse(table.features) else table.features
    assert_array_equal(features, X)
    assert_array_equal(table.labels, Y)
    assert len(table.hashes[name]) == 64


def test_files_that_cannot_be_read_are_refused_with_what_to_do(files):
    assert "there is no file" in refused(read_table, "data/not_there.csv")
    assert "has no column 'y'; its 4 columns are a, b, c, label." in refused(read_table, files / "comma.csv", "y")
    assert "has no column 4" in refused(read_table, files / "comma.csv", 4)
    assert "has no labels; pass labels=" in refused(read_table, files / "sparse.npz")
    (files / "rows.parquet").write_bytes(b"")
    assert "ends in '.parquet'; what can be read is .csv" in refused(read_table, files / "rows.parquet")
    (files / "text.csv").write_text("a,b,y\n1,red,0\n2,blue,1\n", encoding="utf-8")
    assert "the column 'b' of" in refused(read_table, files / "text.csv")
    assert "holds text, such as 'red'" in refused(read_table, files / "text.csv")
    (files / "latin.csv").write_bytes("größe,y\n1,0\n".encode("latin1"))
    assert "is not UTF-8" in refused(read_table, files / "latin.csv")
    (files / "empty.csv").write_text("", encoding="utf-8")
    assert "cannot be read as .csv" in refused(read_table, files / "empty.csv")
    (files / "short.npz").write_bytes((files / "numpy.npz").read_bytes()[:50])
    assert "cannot be read as .npz" in refused(read_table, files / "short.npz")
    (files / "bad.svm").write_text("1 a:b\n", encoding="utf-8")
    assert "cannot be read as .svm" in refused(read_table, files / "bad.svm")
    np.savez(files / "other.npz", data=X)
    assert "the features must be called X, the labels y" in refused(read_table, files / "other.npz")
    pd.DataFrame(X).assign(y=Y).to_csv(files / "numbered.csv")
    assert "counts the rows; write the file without it" in refused(read_table, files / "numbered.csv")


# ---------------------------------------------------------------------- nothing is lost
def data_of(get_data):
    """Return what the decorated ``get_data`` of a data set returns."""
    body = dict(name="mine", parameters={}, get_data=skipped_if_not_built(get_data))
    return type("Dataset", (BaseDataset,), body).get_instance().get_data()


def test_no_error_of_a_data_set_reaches_benchopt():
    def unforeseen(self):
        return {}["nothing"]

    data = data_of(unforeseen)
    line = unforeseen.__code__.co_firstlineno + 1
    assert data["problem"] is None
    assert data["reason"] == (f"mine could not be built: KeyError: 'nothing' (datasets/test_own_data.py, line {line}).")

    def refuse(self):
        raise NotBuilt("a sentence.")

    assert data_of(refuse) == {"problem": None, "reason": "a sentence."}
    assert "returns ndarray; end it with `return dict(problem=problem)`" in data_of(lambda self: X)["reason"]
    problem = helpers.small_quadratic()
    assert data_of(lambda self: dict(problem=problem))["problem"] is problem


@pytest.mark.parametrize("path", sorted((helpers.ROOT / "datasets").glob("*.py")), ids=lambda path: path.stem)
def test_every_data_set_is_skipped_where_it_cannot_be_built(path):
    get_data = helpers.load(path).Dataset.get_data
    assert get_data.__wrapped__.__name__ == "get_data", "decorate it with @skipped_if_not_built"


def why_skipped(**changes):
    """Return the sentence with which the objective skips a problem with these fields."""
    skip, sentence = helpers.objective_class().get_instance().skip(problem=Problem(**fields(**changes)))
    assert skip == (sentence is not None)
    return sentence


class Wrong(Quadratic):
    """A term whose ``fault`` is given."""

    fault = staticmethod(lambda xp, z, x, rows: None)

    def sample_values(self, xp, z, x, rows):
        return type(self).fault(xp, z, x, rows)


def wrong(function):
    """Return a term with these sample values."""
    return type("Wrong", (Wrong,), {"fault": staticmethod(function)})()


def test_a_problem_typed_by_hand_is_checked_before_any_solver_runs():
    assert why_skipped() is None
    splits = helpers.small_quadratic().splits
    assert "has no arrays of the split 'validation'" in why_skipped(splits={"train": splits["train"]})
    assert "has no arrays of the split 'train'" in why_skipped(splits=splits | {"train": {}})
    texts = splits | {"train": splits["train"] | {"c": np.full((70, 6), "a", object)}}
    assert "the inner array 'c' of simulated has 'a' at row 0, column 0" in why_skipped(splits=texts)
    none = {name: array[:0] for name, array in splits["train"].items()}
    assert "of simulated has no rows" in why_skipped(splits=splits | {"train": none})
    lengths = splits | {"validation": splits["validation"] | {"c": np.ones((3, 6))}}
    assert "have different numbers of rows" in why_skipped(splits=lengths)
    assert "returns z0 of shape (5,)" in why_skipped(init=lambda rng: (np.zeros(5), np.zeros(4)))
    assert "it must be init(rng) -> (z0, x0)" in why_skipped(init=lambda: None)
    assert "returns a x0 that is not finite" in why_skipped(init=lambda rng: (np.zeros(6), np.full(4, np.nan)))
    assert "returns the shape () for 2 rows" in why_skipped(inner=wrong(lambda xp, z, x, rows: xp.sum(z)))
    failing = why_skipped(outer=wrong(lambda xp, z, x, rows: rows["features"] @ z))
    assert "the outer term of simulated, fails on 2 rows at the start: KeyError: 'features'." in failing
    assert "Rows have 'a' (2, 6)" in failing


def test_a_problem_is_checked_once(monkeypatch):
    problem = Problem(**fields())
    assert problem.check(xp) is None
    monkeypatch.setattr(sys.modules[Problem.__module__], "why_not_usable", lambda *_: "again")
    assert problem.check(xp) is None


# ---------------------------------------------------------------------- two of one name
def test_two_files_of_one_name_are_refused_and_both_are_named(tmp_path):
    text = 'class {cls}:\n    """name = "Other" is no name."""\n\n    name = {name!r}\n'
    for folder, cls in (("solvers", "Solver"), ("datasets", "Dataset")):
        (tmp_path / folder).mkdir()
        for stem, name in (("a", "Mine"), ("b", "Mine"), ("c", "Other"), ("template_d", "Other"), ("e", "mine")):
            (tmp_path / folder / f"{stem}.py").write_text(text.format(cls=cls, name=name), encoding="utf-8")
        (tmp_path / folder / "broken.py").write_text('name = "Mine" (', encoding="utf-8")
        found = {s: why_twice(getattr(helpers.load(tmp_path / folder / f"{s}.py"), cls)) for s in "abce"}
        assert found["a"] == found["b"]
        assert found["a"].startswith(f"{folder}/a.py and {folder}/b.py have the same name, 'Mine'; rename one, so")
        assert ("--no-cache" in found["a"]) == (folder == "solvers"), "benchopt caches what solvers skip"
        assert found["c"] is None
        assert found["e"] is None
    assert why_twice(type("Solver", (), {"name": "Mine"})) is None


def test_solvers_and_data_sets_of_one_name_are_skipped(monkeypatch):
    for module in (sys.modules[BackendSolver.__module__], sys.modules[skipped_if_not_built.__module__]):
        monkeypatch.setattr(module, "why_twice", lambda cls: f"{cls.name} is there twice.")
    soba = helpers.solver_classes()["soba"]
    assert helpers.why_skipped(soba, helpers.small_quadratic()) == "SOBA is there twice."
    assert data_of(lambda self: dict(problem=helpers.small_quadratic())) == {
        "problem": None,
        "reason": "mine is there twice.",
    }
