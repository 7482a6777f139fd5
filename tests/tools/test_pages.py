"""Plots draw what they say, configurations parse, the environment record is complete."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from benchopt.benchmark import Benchmark
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.files.provenance import environment
from benchmark_utils.statistics.labels import short_names
from benchmark_utils.statistics.table import summary

PLOT = helpers.load(helpers.ROOT / "plots" / "bilevel_curves.py")


def results(values, diverged=(), name="SOBA[backend=jax,step_size=0.1]"):
    """Return made-up results: one row of ``values`` for each repetition, at iterations 0, 1, 2, 4."""
    rows = []
    for rep, run in enumerate(values):
        for k, (n_iter, value) in enumerate(zip((0, 1, 2, 4), run, strict=False)):
            rows.append(dict(
                dataset_name="d", objective_name="o", solver_name=name, idx_rep=rep, stop_val=k,
                time=n_iter * 0.5 + 0.01 * rep, p_solver_backend="jax", p_solver_step_size=0.1,
                objective_value=value, objective_n_samples=64 * n_iter, objective_n_iter=n_iter,
                objective_compile_time=0.0, objective_diverged=int(rep in diverged and k == len(run) - 1),
            ))  # fmt: skip
    return pd.DataFrame(rows)


def test_curves_are_medians_with_bands_over_repetitions():
    df = results([[8, 4, 2, 1], [10, 5, 3, 2], [12, 6, 4, 3]])
    (trace,) = PLOT.Plot().plot(df, "d", "o", "objective_value", "Oracle samples")
    assert trace["x"] == [0, 64, 128, 256]
    assert trace["y"] == [10, 5, 3, 2]
    assert trace["y_low"] == [8, 4, 2, 1]
    assert trace["label"] == "SOBA (jax)"
    (trace,) = PLOT.Plot().plot(df, "d", "o", "objective_value", "Seconds")
    assert_allclose(trace["x"], [0.01, 0.51, 1.01, 2.01])


def test_rows_that_not_all_repetitions_reached_are_not_drawn():
    df = results([[8, 4, 2, 1], [10, 5, 3], [12, 6, 4]])
    (trace,) = PLOT.Plot().plot(df, "d", "o", "objective_value", "Outer iterations")
    assert trace["x"] == [0, 1, 2]


def test_a_run_that_ends_inside_an_iteration_is_drawn_at_its_last_whole_one():
    df = results([[8, 4, 2, 1], [10, 5, 3, 2]])
    end = df[df.stop_val == 3].assign(stop_val=4, objective_n_samples=999)
    (trace,) = PLOT.Plot().plot(pd.concat([end, df]), "d", "o", "objective_value", "Oracle samples")
    assert trace["x"] == [0, 64, 128, 256]
    assert trace["y"] == [9, 4.5, 2.5, 1.5]


def test_diverged_repetitions_count_as_infinite_and_are_not_dropped():
    df = results([[8, 4, 2, 1], [10, 5, np.nan], [12, 6, 4, 3]], diverged=(1,))
    (trace,) = PLOT.Plot().plot(df, "d", "o", "objective_value", "Outer iterations")
    assert trace["x"] == [0, 1, 2, 4]
    assert trace["y"] == [10, 5, 4, 3], "the median of (2, inf, 4) is 4"


def test_a_run_that_ended_in_the_middle_of_an_iteration_is_drawn_up_to_the_last_whole_one():
    df = results([[8, 4, 2, 1], [10, 5, 3, 2]])
    df.loc[df.stop_val == 3, "objective_n_iter"] = 2  # as loops on the host record it
    (trace,) = PLOT.Plot().plot(df, "d", "o", "objective_value", "Oracle samples")
    assert (trace["x"], trace["y"]) == ([0, 64, 128], [9, 4.5, 2.5])


def test_labels_tell_configurations_apart_and_nothing_else():
    df = pd.concat([
        results([[1]]),
        results([[1]], name="SOBA[backend=jax,step_size=0.2]").assign(p_solver_step_size=0.2),
        results([[1]], name="SABA[backend=torch]").assign(p_solver_backend="torch"),
    ])  # fmt: skip
    assert list(short_names(df).values()) == ["SOBA (jax, step_size=0.1)", "SOBA (jax, step_size=0.2)", "SABA (torch)"]


def test_whole_numbers_are_written_alike_whatever_else_is_in_their_column():
    df = pd.concat([results([[1]], name=f"A[n={n}]").assign(p_solver_n=n) for n in (100, 500)])
    with_none = pd.concat([df, results([[1]], name="B").assign(p_solver_n=None)])
    with_none["p_solver_n"] = with_none.p_solver_n.astype(float)
    labels = [short_names(each) for each in (df, with_none, df.assign(p_solver_n=df.p_solver_n.astype(object)))]
    assert [each["A[n=100]"] for each in labels] == ["A (jax, n=100)"] * 3


@pytest.mark.parametrize("missing", [np.nan, None])
def test_a_parameter_that_a_result_is_older_than_is_not_named(missing):
    df = pd.concat([
        results([[1]], name="A[n=1]").assign(p_solver_n=1.0),
        results([[1]], name="A[n=2]").assign(p_solver_n=2.0),
        results([[1]], name="A").assign(p_solver_n=missing),
    ])  # fmt: skip
    assert short_names(df) == {"A[n=1]": "A (jax, n=1)", "A[n=2]": "A (jax, n=2)", "A": "A (jax)"}


@pytest.mark.parametrize("path", sorted((helpers.ROOT / "configs").rglob("*.yml")), ids=lambda path: path.name)
def test_run_configurations_name_what_exists(path):
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    benchmark = Benchmark(helpers.ROOT)
    if "solver" in config:
        assert benchmark.check_solver_patterns(config["solver"])
    if "dataset" in config:
        assert benchmark.check_dataset_patterns(config["dataset"])


def test_dashboard_opens_on_stationarity_against_samples():
    config = yaml.safe_load((helpers.ROOT / "config.yml").read_text(encoding="utf-8"))
    first = next(iter(config["plot_configs"].values()))
    assert first["plot_kind"] == config["plots"][0] == "bilevel_curves"
    assert first["bilevel_curves_metric"] == "objective_value"
    assert first["bilevel_curves_x_axis"] == "Oracle samples"


def test_environment_record_is_complete(backend):
    problem = helpers.small_quadratic()
    solver = helpers.make_solver(helpers.solver_classes()["soba"], problem, 1, backend=backend, batch_size=16)
    record = environment(problem, 7, solver.program.describe())
    assert json.loads(json.dumps(record)) == record
    for key in ("python", "platform", "versions", "data_seed", "backend", "precision", "device"):
        assert record[key] is not None, key
    in_git = (helpers.ROOT / ".git").exists()
    assert [record[key] is None for key in ("git_commit", "git_dirty")] == [not in_git] * 2
    assert record["seed"] == 7
    assert record["matmul_precision"] == "highest"
    assert record["versions"][backend].split("+")[0] == record[backend].split("+")[0]


def test_summary_counts_runs_that_ended_before_their_budget():
    df = results([[8, 4, 2, 1], [10, 5, 3], [12, 6, np.nan]], diverged=(2,))
    table = summary(df.assign(p_obj_max_seconds=2.0, p_obj_max_samples=np.inf))
    assert table[["runs", "diverged", "cut"]].to_numpy().tolist() == [[3, 1, 1]]
    table = summary(df.assign(p_obj_max_seconds=60.0, p_obj_max_samples=128.0))
    assert table[["runs", "diverged", "cut"]].to_numpy().tolist() == [[3, 1, 0]]


def test_the_dashboard_asks_for_plots_that_there_are():
    config = yaml.safe_load((helpers.ROOT / "config.yml").read_text(encoding="utf-8"))
    offered = {plot._get_name() for plot in Benchmark(helpers.ROOT).get_plots()}
    assert set(config["plots"]) <= offered
    assert {view["plot_kind"] for view in config["plot_configs"].values()} <= set(config["plots"])
