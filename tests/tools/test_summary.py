"""The table and the curves: what is taken together, what is not, and how a run that diverged is shown."""

import importlib.util
import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tools
from benchmark_utils.statistics import table as tool
from benchmark_utils.statistics.labels import short_names
from benchmark_utils.statistics.table import as_text, summary

ROOT = Path(__file__).parents[2]


def load_plot():
    """Return the module of the plot."""
    spec = importlib.util.spec_from_file_location("bilevel_curves", ROOT / "plots" / "bilevel_curves.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results(values, diverged=(), time=0.5, **columns):
    """Return made-up results: one run for each list of ``values``, with rows at iterations 0, 1, 2, 4."""
    rows = []
    for rep, run in enumerate(values):
        for k, (n_iter, value) in enumerate(zip((0, 1, 2, 4), run, strict=False)):
            rows.append(dict(
                dataset_name="d", objective_name="o", solver_name="SOBA[backend=jax]", idx_rep=rep, stop_val=k,
                time=n_iter * time, p_solver_backend="jax", objective_value=value, objective_n_samples=64 * n_iter,
                objective_n_iter=n_iter, objective_compile_time=1.0 + rep,
                objective_diverged=int(rep in diverged and k == len(run) - 1),
            ) | columns)  # fmt: skip
    return pd.DataFrame(rows)


def test_a_diverged_run_ends_at_the_worst_value_and_not_at_its_last_finite_one():
    table = summary(results([[8.0, 4.0, 0.001, np.nan]], diverged=(0,)))
    assert table["last"].tolist() == [np.inf]
    assert as_text(table)["last"].tolist() == ["diverged"]
    assert as_text(table)["best"].tolist() == ["1.00e-03"]
    assert table["diverged"].tolist() == [1]


def test_h_and_its_gap_are_those_of_the_last_row_and_a_dash_where_they_are_not_known():
    df = results([[8.0, 4.0]]).assign(objective_h=[0.5, 0.25], objective_h_gap=[0.3, 0.05])
    assert summary(df)[["h", "h_gap"]].to_numpy().tolist() == [[0.25, 0.05]]
    assert as_text(summary(df))["h_gap"].tolist() == ["5.00e-02"]
    assert as_text(summary(results([[8.0, 4.0]])))[["h", "h_gap"]].to_numpy().tolist() == [["–", "–"]]
    assert summary(df.assign(objective_diverged=[0, 1]))["h_gap"].tolist() == [np.inf]


def test_a_run_that_says_it_diverged_is_the_worst_even_where_its_last_value_is_a_number():
    assert summary(results([[8.0, 4.0]], diverged=(0,)))["last"].tolist() == [np.inf]


def test_the_median_counts_a_diverged_repetition_as_worst():
    good, bad = [8.0, 4.0, 2.0, 1.0], [8.0, 4.0, 2.0, np.nan]
    one = summary(results([good, [8.0, 4.0, 3.0, 3.0], bad], diverged=(2,)))
    assert one["last"].tolist() == [3.0], "the median of (1, 3, inf)"
    assert as_text(one)["last"].tolist() == ["3.00e+00"]
    two = summary(results([good, bad, bad], diverged=(1, 2)))
    assert as_text(two)["last"].tolist() == ["diverged"]


def test_a_value_that_is_not_known_is_a_dash_and_no_divergence():
    text = as_text(summary(results([[np.nan, np.nan]])))
    assert text[["start", "best", "last"]].to_numpy().tolist() == [["–"] * 3]
    assert text["diverged"].tolist() == ["0"]


def test_the_last_row_is_the_one_recorded_last_in_whatever_order_rows_are_stored():
    df = results([[8.0, 4.0, 2.0, 1.0]]).iloc[::-1]
    assert summary(df)[["start", "last", "iterations"]].to_numpy().tolist() == [[8.0, 1.0, 4.0]]


@pytest.mark.parametrize(
    ("column", "first", "second", "parameter"),
    [
        ("dataset_name", "d[corruption=0.2]", "d[corruption=0.5]", "p_dataset_corruption"),
        ("objective_name", "o[device=cpu]", "o[device=cuda]", "p_obj_device"),
        ("solver_name", "SOBA[backend=jax,step_size=0.1]", "SOBA[backend=jax,step_size=0.2]", "p_solver_step_size"),
    ],
)
def test_variants_have_rows_and_names_of_their_own(column, first, second, parameter):
    value = lambda name: name.rpartition("=")[2].rstrip("]")
    parts = [(first, 1.0), (second, 100.0)]
    df = pd.concat([results([[9.0, last]], **{column: name, parameter: value(name)}) for name, last in parts])
    table = summary(df)
    assert sorted(table["last"]) == [1.0, 100.0]
    shown = table[tool.NAMES[column]]
    assert all(f"{parameter.split('_', 2)[2]}={value(name)}" in " ".join(shown) for name, _ in parts)
    assert shown.nunique() == 2


def test_runs_of_two_seeds_or_machines_are_not_averaged():
    df = pd.concat([results([[9.0, 1.0]], base_seed=0), results([[9.0, 3.0]], base_seed=1)])
    assert summary(df)[["seed", "last"]].to_numpy().tolist() == [[0, 1.0], [1, 3.0]]
    traces = load_plot().Plot().plot(df, "d", "o", "objective_value", "Outer iterations")
    assert [(t["label"], t["y"]) for t in traces] == [
        ("SOBA (jax), seed=0", [9.0, 1.0]),
        ("SOBA (jax), seed=1", [9.0, 3.0]),
    ]


def test_names_that_parameters_do_not_tell_apart_stay_long():
    df = pd.concat([results([[1.0]], solver_name=name) for name in ("SOBA[a=1]", "SOBA[a=2]")])
    assert short_names(df) == {"SOBA[a=1]": "SOBA[a=1]", "SOBA[a=2]": "SOBA[a=2]"}


def test_runs_that_ended_before_their_budget_are_counted():
    df = results([[8, 4, 2, 1], [10, 5, 3], [12, 6, np.nan]], diverged=(2,))
    for rules, cut in (
        (dict(p_obj_max_seconds=2.0, p_obj_max_samples=np.inf), 1),
        (dict(p_obj_max_seconds="60", p_obj_max_samples="128"), 0),
    ):
        assert summary(df.assign(**rules))[["runs", "diverged", "cut"]].to_numpy().tolist() == [[3, 1, cut]]


def test_everything_can_be_printed_whatever_the_terminal_says(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    tools.write_utf8()
    print("‖∇h‖² –", flush=True)
    assert raw.getvalue().decode("utf-8").strip() == "‖∇h‖² –"


# ---------------------------------------------------------------------- curves
def test_curves_never_mix_two_rules_or_data_set_variants():
    variants = (("d[a=1]", "o", 1), ("d[a=2]", "o", 10), ("d[a=1]", "o[b=1]", 100))
    df = pd.concat([results([[9.0 * f, f]], dataset_name=data, objective_name=rules) for data, rules, f in variants])
    for data, rules, f in variants:
        (trace,) = load_plot().Plot().plot(df, data, rules, "objective_value", "Outer iterations")
        assert trace["y"] == [9.0 * f, f]


def test_the_band_of_few_repetitions_goes_from_the_smallest_to_the_largest():
    (trace,) = load_plot().Plot().plot(results([[8, 4], [10, 5], [12, 6]]), "d", "o", "objective_value", "Seconds")
    assert (trace["y_low"], trace["y"], trace["y_high"]) == ([8, 4], [10, 5], [12, 6])
    assert "10 % and 90 %" in load_plot().Plot().get_metadata(None, "d", "o", "objective_value", "Seconds")["title"]


def test_the_median_of_two_repetitions_is_their_middle():
    (trace,) = load_plot().Plot().plot(results([[8, 4], [10, 6]]), "d", "o", "objective_value", "Seconds")
    assert trace["y"] == [9, 5]


def test_a_diverged_repetition_is_the_worst_also_where_more_is_better():
    df = results([[0.1, 0.2, 0.3], [0.1, 0.2, np.nan], [0.1, 0.2, 0.9]], diverged=(1,))
    df = df.assign(objective_weights_auc=df.objective_value)
    (trace,) = load_plot().Plot().plot(df, "d", "o", "objective_weights_auc", "Outer iterations")
    assert trace["y"] == [0.1, 0.2, 0.3]
    assert np.isfinite(trace["y_low"]).all()


# ---------------------------------------------------------------------- merged files
def machine(name, date, values, **columns):
    """Return the results of one file: those of one machine, written at one time."""
    return results(values, run_date=date, **{"system-processor": name, "system-cpus": 2}, **columns)


def merged(*frames):
    """Return results as `benchopt merge` joins files: of rows that are named alike the newest."""
    df = pd.concat(frames, ignore_index=True).sort_values("run_date", kind="stable")
    return df.drop_duplicates(["dataset_name", "objective_name", "solver_name", "idx_rep", "stop_val"], keep="last")


def test_two_machines_in_one_frame_have_rows_and_curves_of_their_own():
    df = pd.concat([machine("A", "2026-01-01", [[9, 1], [9, 2]]), machine("B", "2026-01-02", [[9, 7], [9, 8]])])
    assert summary(df)[["machine", "runs", "last"]].to_numpy().tolist() == [["A", 2, 1.5], ["B", 2, 7.5]]
    traces = load_plot().Plot().plot(df, "d", "o", "objective_value", "Outer iterations")
    assert [(t["label"], t["y"]) for t in traces] == [
        ("SOBA (jax), machine=A", [9, 1.5]),
        ("SOBA (jax), machine=B", [9, 7.5]),
    ]


def test_the_rest_of_a_run_that_a_merge_left_is_no_run():
    """The longer run of A keeps its last two rows where `benchopt merge` replaces rows by those of B."""
    df = merged(machine("A", "2026-01-01", [[9, 6, 5, 4]]), machine("B", "2026-01-02", [[8, 7]]))
    assert summary(df)[["start", "last", "runs"]].to_numpy().tolist() == [[8, 7, 1]]
    (trace,) = load_plot().Plot().plot(df, "d", "o", "objective_value", "Outer iterations")
    assert trace["y"] == [8, 7]


def test_a_run_that_was_repeated_counts_once_and_its_newest_rows_count():
    old, new = machine("A", "2026-01-01", [[9, 6, 5, 4]]), machine("A", "2026-01-02", [[9, 3]])
    for df in (merged(old, new), pd.concat([old, new]), pd.concat([new, old])):
        assert summary(df)[["runs", "last", "iterations"]].to_numpy().tolist() == [[1, 3, 1]]
        (trace,) = load_plot().Plot().plot(df, "d", "o", "objective_value", "Outer iterations")
        assert trace["y"] == [9, 3]


def test_repetitions_of_two_files_of_one_machine_are_taken_together():
    df = pd.concat([machine("A", "2026-01-01", [[9, 1]]), machine("A", "2026-01-02", [[9, 3]]).assign(idx_rep=1)])
    assert summary(df)[["runs", "last"]].to_numpy().tolist() == [[2, 2.0]]


def test_machines_are_named_by_what_tells_them_apart_and_by_no_more():
    same = {"system-processor": "A", "system-ram (GB)": 8}
    df = pd.concat([
        results([[1]], **same, **{"system-cpus": 2, "env-OMP_NUM_THREADS": None}),
        results([[2]], **same | {"system-ram (GB)": 16}, **{"system-cpus": 4, "env-OMP_NUM_THREADS": "1"}),
    ])  # fmt: skip
    assert summary(df)[["cores", "last"]].to_numpy().tolist() == [[2, 1], [4, 2]]
    assert not {"RAM", "threads", "machine"} & set(summary(df).columns)
    df = df.assign(**{"system-cpus": 2, "system-ram (GB)": 8})
    assert sorted(summary(df)["threads"]) == ["1", "none"]


def test_the_page_shows_the_table_of_the_summary():
    spec = importlib.util.spec_from_file_location("summary_table", ROOT / "plots" / "summary_table.py")
    plot = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plot)
    other = results([[5.0, 5.0]], objective_name="o[b=1]")
    df = pd.concat([results([[9.0, 1.0], [9.0, np.nan]], diverged=(1,)), other], ignore_index=True)
    (row,) = plot.Plot().plot(df, "d", "o")
    columns = plot.Plot().get_metadata(df, "d", "o")["columns"]
    shown = dict(zip(columns, row, strict=True))
    assert shown["last"] == "diverged", "the median of (1, inf)"
    assert (shown["solver"], shown["runs"], shown["start"]) == ("SOBA (jax)", 2, 9.0)
