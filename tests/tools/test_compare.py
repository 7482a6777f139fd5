"""A solver beside the reference: everything of both on one board, and what does not compare is refused."""

import numpy as np
import pandas as pd
import pytest
import yaml
from benchopt.results import read_results
from numpy.testing import assert_allclose
from project_copy import call, copied

import helpers
from benchmark_utils.statistics.comparison import leaderboard
from benchmark_utils.statistics.labels import short_names, told_apart, whole_runs
from benchmark_utils.statistics.targets import offered
from made_up_results import FIELD, result_file, results
from tools import compare, figures, reference
from tools.comparable import comparable, merged, why_no_seconds

MINE = {("d", "Mine", rep): [(1.0, 0), (1e-3, 20 * (rep + 1)), (1e-7, 100 * (rep + 1))] for rep in range(5)}
AGAIN = {("d", "A", rep): [(1.0, 0), (1e-7, 7)] for rep in range(5)}
LATER = "2026-03-03T00:00:00"


@pytest.fixture
def field(tmp_path):
    """Return the path of a published field: three solvers, two problems, five repetitions."""
    run = result_file(tmp_path / "field.parquet")
    config = helpers.ROOT / "configs" / "quickstart.yml"
    return reference.publish(run, config, "field", tmp_path / "reference")


def mine(tmp_path, runs=None, **columns):
    """Return the path of a solver's results."""
    return result_file(tmp_path / "mine.parquet", runs or MINE, **({"run_date": LATER} | columns))


def together(field, path):
    """Return (merged results, sentence about seconds) as the command makes them."""
    known = reference.read(field)
    new = comparable(known, read_results(path))
    sentence = why_no_seconds(known, new)
    return merged([field, path], known, new, seconds=sentence is None), sentence


# ---------------------------------------------------------------------- refused
@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (dict(objective_problem_version="ffff"), r"the formula of d .* differ: a1b2 in the reference, ffff in"),
        (dict(objective_name="Bilevel[max_seconds=9]"), r"rules on d differ: Bilevel in the reference, Bilevel\[max"),
        (dict(base_seed=7), "the seed on d differ: 0 in the reference, 7 in"),
        (dict(objective_rules_version="0.1"), r"made by version 0\.1 of the rules"),
        (dict(objective_problem_version=None), "made before results recorded problem_version"),
        (dict(dataset_name="f"), "on f, and the reference is on d, e: there is no problem in common"),
        (dict(run_date="2026-01-01T00:00:00"), "hold runs of the reference"),
        ({"system-processor": ["P", "Q", "P"] * 5}, "of the solver are of several machines"),
    ],
)  # fmt: skip
def test_what_does_not_compare_is_refused_with_a_sentence(field, tmp_path, columns, sentence):
    new = read_results(mine(tmp_path)).assign(**columns)
    known = reference.read(field)
    with pytest.raises(SystemExit, match=sentence):
        why_no_seconds(known, comparable(known, new))


def test_a_reference_of_another_version_is_refused_by_its_name(field):
    pd.read_parquet(field).assign(objective_rules_version="0.1").to_parquet(field.with_name("old.parquet"))
    with pytest.raises(SystemExit, match=r"old\.parquet: it was made by version 0\.1"):
        reference.read(field.with_name("old.parquet"))


def test_a_reference_that_is_refused_leaves_the_others_to_compare_with(field, capsys):
    old = field.with_name("old.parquet")
    pd.read_parquet(field).assign(objective_rules_version="0.1").to_parquet(old)
    assert list(compare.read_all([old, field])) == [field]
    assert "Left out: old.parquet: it was made by version 0.1" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"old\.parquet: .*\nthere is no absent\.parquet"):
        compare.read_all([old, "absent.parquet"])


def test_a_problem_or_a_solver_that_is_not_there_is_named(field, tmp_path):
    known = {field: reference.read(field)}
    assert set(compare.chosen_problems(known, ["E"])[field].dataset_name) == {"e"}
    with pytest.raises(SystemExit, match="the reference has no problem x; it has d, e"):
        compare.chosen_problems(known, ["x"])
    with pytest.raises(SystemExit, match=r"mine\.parquet has no run of Other; it has Mine"):
        compare.compare(field, known[field], "Other", result=mine(tmp_path))
    with pytest.raises(SystemExit, match="which solver"):
        compare.main([""])
    with pytest.raises(SystemExit, match=r"there is no .*absent\.parquet"):
        compare.main(["Mine", "--reference", "absent.parquet"])


def test_a_problem_is_found_in_whatever_file_has_it_and_the_others_are_left_alone(field, tmp_path, monkeypatch):
    folder = tmp_path / "published"
    folder.mkdir()
    df = pd.read_parquet(field)
    for name in ("d", "e"):
        df[df.dataset_name == name].to_parquet(folder / f"of_{name}.parquet")
    files = {path.name: {"sha256": reference.hash_of(path)} for path in sorted(folder.iterdir())}
    (folder / "manifest.yml").write_text(yaml.safe_dump({"files": files}), encoding="utf-8")
    monkeypatch.setattr(reference, "FOLDER", folder)
    compared = []
    note = lambda path, known, *_: compared.append((path.stem, set(known.dataset_name)))
    monkeypatch.setattr(compare, "compare", note)
    compare.main(["Mine", "--problem", "E"])
    assert compared == [("of_e", {"e"})]
    with pytest.raises(SystemExit, match="the reference has no problem x; it has d, e"):
        compare.main(["Mine", "--problem", "d", "--problem", "x"])
    compare.main(["Mine"])
    assert [stem for stem, _ in compared] == ["of_e", "of_d", "of_e"]


# ---------------------------------------------------------------------- merged
def test_a_board_has_every_solver_of_the_reference_and_the_new_one_and_nothing_averaged(field, tmp_path):
    df, sentence = together(field, mine(tmp_path))
    assert sentence is None
    assert set(df.dataset_name) == {"d"}, "a problem that the solver did not run is left out"
    board = leaderboard(df, 1e-6).set_index("solver_name")
    assert set(board.index) == {"A", "B", "C", "Mine"}
    alone = leaderboard(results(FIELD), 1e-6).query("dataset_name == 'd'").set_index("solver_name")
    assert_allclose(board.loc[["A", "B", "C"], "median"], alone.loc[["A", "B", "C"], "median"])
    assert list(board.runs) == [5, 5, 5, 5]
    assert_allclose(board["median"]["Mine"], 300)
    assert_allclose(board["rank"].loc[["A", "Mine", "B", "C"]], [1, 2, 3, 4])


def test_a_solver_of_the_reference_that_is_run_again_stands_beside_it(field, tmp_path):
    df, _ = together(field, mine(tmp_path, AGAIN))
    board = leaderboard(df, 1e-6).set_index("solver_name")
    (new,) = set(board.index) - {"A", "B", "C"}
    assert list(board["median"][["A", new]]) == [120, 7]
    assert list(board.runs[["A", new]]) == [5, 5]
    assert len(set(short_names(df).values())) == 4


def test_another_machine_leaves_samples_and_says_why(field, tmp_path):
    path = mine(tmp_path, **{"system-processor": "Q", "system-cpus": 64})
    df, sentence = together(field, path)
    assert "Seconds are not compared, samples are" in sentence
    assert "machine P there and Q here; cores 2 there and 64 here" in sentence
    assert df.time.isna().all()
    assert not told_apart(df)
    titles = [title for title, _ in compare.boards(df, {"Mine"})]
    assert len(titles) == 1
    assert "samples until" in titles[0]
    assert leaderboard(df, 1e-6)["rank"].notna().all(), "ranked together"
    plot = figures.curves_plot()
    assert plot.options["x_axis"](df) == ["Oracle samples", "Outer iterations"]
    path.unlink()
    same, _ = together(field, mine(tmp_path))
    assert plot.options["x_axis"](same) == list(figures.AXES)
    assert [title.splitlines()[-1].split()[0] for title, _ in compare.boards(same, {"Mine"})] == ["samples", "seconds"]
    with pytest.raises(SystemExit, match="Seconds: not known in these results"):
        figures.write(df, tmp_path, "a", x_axis="Seconds")
    assert offered(df, {"s": "time", "n": "objective_n_iter"}) == ["n"]


def test_runs_without_a_cuda_version_are_whole_in_merged_files():
    df = pd.concat([results(FIELD, run_date=date, **{"version-cuda": None}) for date in "12"], ignore_index=True)
    assert len(whole_runs(df)) == len(df) / 2


def test_one_version_of_each_problem_tells_no_runs_apart():
    df = results(FIELD)
    assert not told_apart(df.assign(objective_problem_version=df.dataset_name))


def test_a_target_is_reached_by_half_of_the_solvers():
    df = results(
        {("d", s, 0): [(1.0, 0), (best, 5)] for s, best in zip("abcd", (3e-9, 2.2e-5, 0.1, np.nan), strict=True)}
    )
    assert compare.target_of(df, "objective_h_gap") == 3e-5
    assert compare.target_of(df.assign(objective_h_gap=np.nan), "objective_h_gap") == compare.TARGETS[0]


# ---------------------------------------------------------------------- the command
@pytest.mark.slow
def test_the_command_prints_writes_and_leaves_the_reference_alone(field, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compare, "OUTPUTS", tmp_path)
    monkeypatch.setattr(compare, "page", lambda path, df: "the page")
    before = {path: reference.hash_of(path) for path in (field, field.with_name(reference.MANIFEST))}
    compare.main(["Mine", "--reference", str(field), "--no-run", str(mine(tmp_path))])
    assert {path: reference.hash_of(path) for path in before} == before
    out = capsys.readouterr().out
    assert "Mine among 4 solvers" in out
    assert "No run on e" in out
    assert "Page: the page" in out
    (written,) = (tmp_path / "compare").glob("*.parquet")
    assert len(read_results(written)) == 4 * 5 * 3
    assert len(list((tmp_path / "compare" / "figures").iterdir())) == 4, "two metrics, samples and seconds"


def test_the_solver_is_run_by_the_rules_the_seed_and_the_repetitions_of_the_reference():
    df = results(FIELD, base_seed=3, p_obj_max_seconds=500.0)
    (arguments,) = compare.commands(df, "Mine[backend=jax]", "out")
    for name, value in {
        "-f": "Mine[backend=jax]",
        "-o": "Bilevel",
        "--seed": "3",
        "-r": "5",
        "--timeout": "5000",
    }.items():
        assert arguments[arguments.index(name) + 1] == value
    assert [arguments[i + 1] for i, word in enumerate(arguments) if word == "-d"] == ["d", "e"]
    assert "-s" not in arguments, "a cached curve may be one of other tuned values"
    assert "-f" not in compare.commands(df, "Mine", "out", cached=True)[0]
    two = pd.concat([df, results(FIELD, base_seed=4, p_obj_max_seconds=np.inf)])
    assert len(compare.commands(two, "Mine", "out")) == 2


# ---------------------------------------------------------------------- from end to end
@pytest.mark.slow
def test_a_newcomer_s_file_is_compared_from_end_to_end(tmp_path):
    """A new solver file, run beside a reference of two solvers, in a copy of the project."""
    copied(tmp_path, "datasets/simulated.py", "solvers/soba.py", "solvers/saba.py")
    text = (helpers.ROOT / "solvers" / "template_solver.py").read_text(encoding="utf-8")
    (name,) = [line for line in text.splitlines() if line.startswith("    name = ")]
    (tmp_path / "solvers" / "mine.py").write_text(text.replace(name, '    name = "Mine"'), encoding="utf-8")

    problem, rules = "simulated[n=128,m=96,p=6,d=4]", "Bilevel[max_samples=30000,max_seconds=inf]"
    call(tmp_path, "tools.guarded", "run", ".", "-s", "SOBA[backend=torch]", "-s", "SABA[backend=torch]", "-d",
         problem, "-o", rules, "-r", "2", "--seed", "5", "--output", "field", "--no-plot")  # fmt: skip
    call(tmp_path, "tools.reference", "outputs/field.parquet", "--config", "configs/quickstart.yml")
    hashes = {path.name: reference.hash_of(path) for path in (tmp_path / "outputs" / "reference").iterdir()}
    said = call(tmp_path, "tools.compare", "mine[backend=torch]")
    assert "Mine (torch) among 3 solvers" in said
    assert {path.name: reference.hash_of(path) for path in (tmp_path / "outputs" / "reference").iterdir()} == hashes
    (page,) = [line.removeprefix("Page: ") for line in said.splitlines() if line.startswith("Page: ")]
    with open(page, encoding="utf-8") as file:
        text = file.read()
    assert all(name in text for name in ("Mine (torch)", "SOBA (torch)", "SABA (torch)"))
    (written,) = (tmp_path / "outputs" / "compare").glob("*.parquet")
    df = read_results(written)
    assert df.groupby("solver_name").idx_rep.nunique().tolist() == [2, 2, 2]
    assert df.base_seed.unique().tolist() == [5]
    starts = df[df.stop_val == 0].groupby("idx_rep").objective_value
    assert_allclose(starts.min(), starts.max(), rtol=1e-6, err_msg="the same start for every solver")
    stated = yaml.safe_load((tmp_path / "outputs" / "reference" / "manifest.yml").read_text(encoding="utf-8"))
    assert df.objective_problem_version.iloc[0] in str(stated)
