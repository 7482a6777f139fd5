"""Published results are what the manifest says, hold nothing of a machine's folders, and stay small."""

import subprocess

import pandas as pd
import pytest
from benchopt.benchmark import Benchmark
from benchopt.results import read_results
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.statistics.comparison import leaderboard
from made_up_results import HERE, result_file
from tools import reference

CONFIG = helpers.ROOT / "configs" / "quickstart.yml"


@pytest.fixture
def folder(tmp_path):
    """Return a folder with one published file."""
    result_file(tmp_path / "run.parquet")
    reference.publish(tmp_path / "run.parquet", CONFIG, "field", tmp_path / "reference")
    return tmp_path / "reference"


# ---------------------------------------------------------------------- what is here
def test_every_published_file_is_as_the_manifest_says():
    assert not reference.why_not_as_stated()
    size = sum(path.stat().st_size for path in reference.FOLDER.iterdir())
    assert size < reference.LARGEST == 10_000_000
    for name in reference.manifest():
        df = reference.read(reference.FOLDER / name)
        assert len(df) == reference.manifest()[name]["rows"]


def test_git_takes_the_reference_and_nothing_else_of_outputs():
    if not (helpers.ROOT / ".git").exists():
        pytest.skip("no git checkout")
    names = ["outputs/reference/a.parquet", "outputs/reference/manifest.yml", "outputs/a.parquet", "outputs/compare/a"]
    out = subprocess.run(
        ["git", "check-ignore", *names], cwd=helpers.ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert out.stdout.split() == names[2:]


def test_benchopt_does_not_take_the_reference_for_its_own_results(tmp_path, monkeypatch, folder):
    result_file(tmp_path / "mine.parquet")
    monkeypatch.setattr(Benchmark, "get_output_folder", lambda self: tmp_path)
    names = {path.name for path in Benchmark(helpers.ROOT).get_result_files("all")}
    assert names == {"run.parquet", "mine.parquet"}


# ---------------------------------------------------------------------- damage
@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), "field.parquet is damaged or was changed"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "field.parquet is damaged or was changed"),
        (lambda path: path.unlink(), "field.parquet is in the manifest, but not"),
        (lambda path: path.with_name("other.parquet").write_bytes(b"?"), "other.parquet is not in the manifest"),
    ],
)
def test_a_damaged_file_is_named(folder, harm, sentence):
    assert not reference.why_not_as_stated(folder)
    harm(folder / "field.parquet")
    (found,) = reference.why_not_as_stated(folder)
    assert found.startswith(sentence)
    if "damaged" in sentence:
        with pytest.raises(SystemExit, match=r"field\.parquet is damaged"):
            reference.read(folder / "field.parquet")


# ---------------------------------------------------------------------- what travels
def test_iterates_files_and_folders_do_not_travel_and_what_names_a_run_does(folder):
    df = reference.read(folder / "field.parquet")
    assert not {"final_results", "file_solver", "file_dataset", "platform-version"} & set(df.columns)
    assert set(HERE) <= set(df.columns)
    text = df.to_csv() + (folder / reference.MANIFEST).read_text(encoding="utf-8")
    assert "/home" not in text
    assert str(helpers.ROOT) not in text


def test_the_leaderboard_of_what_travelled_is_that_of_the_run(folder, tmp_path):
    there, here = (leaderboard(df, 1e-6) for df in (reference.read(folder / "field.parquet"), reference_run(tmp_path)))
    assert list(there.solver_name) == list(here.solver_name)
    assert_allclose(there["median"], here["median"])
    assert_allclose(there["rank"], here["rank"])


def reference_run(tmp_path):
    return read_results(tmp_path / "run.parquet")


def test_the_manifest_says_what_made_a_file(folder):
    entry = reference.manifest(folder)["field.parquet"]
    assert entry["bytes"] == (folder / "field.parquet").stat().st_size
    assert (entry["rows"], entry["repetitions"], entry["seeds"]) == (90, 5, [0])
    assert entry["problems"]["d"] == {"version": "a1b2", "data": {"d.bz2": "12"}, "tuned": None}
    assert (entry["solvers"], entry["rules"]) == (["A", "B", "C"], ["Bilevel"])
    assert entry["machine"] | {"machine": "P", "cores": "2", "RAM": "8", "workers": "1"} == entry["machine"]
    assert (entry["versions"]["jax"], entry["commit"], entry["uncommitted_changes"]) == (["0.1"], ["c0ffee"], False)
    assert entry["configuration"] == {"file": "configs/quickstart.yml", "sha256": reference.hash_of(CONFIG)}


def test_published_again_a_file_is_renewed_and_a_second_one_stands_beside_it(folder, tmp_path):
    before = reference.manifest(folder)["field.parquet"]
    result_file(tmp_path / "later.parquet", run_date="2026-02-02T00:00:00")
    reference.publish(tmp_path / "later.parquet", CONFIG, None, folder)
    reference.publish(tmp_path / "later.parquet", CONFIG, "field", folder)
    after = reference.manifest(folder)
    assert list(after) == ["field.parquet", "quickstart.parquet"]
    assert after["field.parquet"]["sha256"] != before["sha256"]
    assert not reference.why_not_as_stated(folder)


# ---------------------------------------------------------------------- refused
@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (dict(p_dataset_path="/data/me/table.csv"), "p_dataset_path holds a folder of this machine"),
        (dict(dataset_name="own[path=~/me/table.csv]"), "dataset_name holds a folder of this machine"),
        (dict(dataset_name="own[path=C:\\me\\table.csv]"), "dataset_name holds a folder of this machine"),
        (dict(objective_rules_version="0.1"), r"made by version 0\.1 of the rules"),
        (dict(objective_problem_version=None), "made before results recorded problem_version"),
        ({"objective_n_workers": [1, 2] * 45}, "several machines or worker numbers"),
        ({"objective_problem_version": ["a", "b"] * 45}, "several versions of d"),
    ],
)
def test_what_cannot_travel_is_refused_with_a_sentence(tmp_path, columns, sentence):
    path = result_file(tmp_path / "run.parquet")
    df = pd.read_parquet(path).assign(**columns)
    df.to_parquet(path)
    with pytest.raises(SystemExit, match=sentence):
        reference.publish(path, CONFIG, "field", tmp_path / "reference")
    assert not list((tmp_path / "reference").glob("*"))


def test_names_of_files_below_the_data_folder_travel(tmp_path):
    path = result_file(tmp_path / "run.parquet", p_dataset_path="tables/mine.csv", note="1/n sum, G / F")
    assert reference.publish(path, CONFIG, "field", tmp_path / "reference").exists()


def test_what_is_too_large_is_refused_and_leaves_nothing(folder, tmp_path, monkeypatch):
    size = sum(path.stat().st_size for path in folder.iterdir())
    monkeypatch.setattr(reference, "LARGEST", size + 1000)
    before = (folder / reference.MANIFEST).read_text(encoding="utf-8")
    with pytest.raises(SystemExit, match=r"second\.parquet would take [\d,]+ bytes"):
        reference.publish(tmp_path / "run.parquet", CONFIG, "second", folder)
    assert {path.name for path in folder.iterdir()} == {"field.parquet", reference.MANIFEST}
    assert (folder / reference.MANIFEST).read_text(encoding="utf-8") == before


def test_the_configuration_must_be_a_file_of_the_project(tmp_path):
    path = result_file(tmp_path / "run.parquet")
    (tmp_path / "c.yml").write_text("seed: 0", encoding="utf-8")
    with pytest.raises(SystemExit, match="is no file of the project"):
        reference.publish(path, tmp_path / "c.yml", "field", tmp_path / "reference")
