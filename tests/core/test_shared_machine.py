"""Runs that share their machine say so, and are never taken together with runs that had it to themselves."""

import json
import multiprocessing
import sys

import numpy as np
import pandas as pd
import psutil
import pytest

import helpers
from benchmark_utils.files import provenance
from benchmark_utils.statistics.final import final_results
from benchmark_utils.statistics.labels import told_apart

LOKY = [sys.executable, "-m", "joblib.externals.loky.backend.popen_loky_posix", "--process-name"]
RUN, OTHER = ["benchopt", "run", "."], ["dask", "worker", "tcp://host:8786"]


class Process:
    """A process of psutil with a command and that of its parent."""

    def __init__(self, command, parent):
        self.cmdline = lambda: command
        self.parent = lambda: parent and Process(parent, None)


def spawned(number, *flags):
    what = f"from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=3, pipe_handle={number})"
    return [sys.executable, *flags, "-c", what]


def tracker(*flags):
    return [sys.executable, *flags, "-c", "from multiprocessing.resource_tracker import main;main(22)"]


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ([([*LOKY, "LokyProcess-1"], RUN), ([*LOKY, "LokyProcess-2"], RUN), (tracker(), RUN)], 2),
        ([(spawned(1), RUN), (spawned(2), RUN), (spawned(3), RUN), (tracker(), RUN)], 3),
        ([(spawned(1, "-B"), RUN), (spawned(2, "-B"), RUN), (tracker("-B"), RUN), (RUN, None)], 2),
        ([(spawned(1), OTHER), (spawned(2), OTHER), (spawned(3), ["another", "program"])], 2),
    ],
)
def test_workers_are_counted_among_processes_started_like_this_one(commands, expected, monkeypatch):
    assert provenance.n_workers() == 1, "this process is no worker"
    monkeypatch.setattr(multiprocessing.current_process(), "_name", "LokyProcess-1")
    processes = [Process(*pair) for pair in commands]
    monkeypatch.setattr(psutil, "Process", lambda: processes[0])
    monkeypatch.setattr(psutil, "process_iter", lambda: processes)
    assert provenance.n_workers() == expected


def test_jobs_of_slurm_have_cores_of_their_own_and_those_of_its_dry_run_are_counted(monkeypatch):
    job = [sys.executable, "-u", "-m", "submitit.core._submit", "benchopt_run"]
    start = [sys.executable, "-m", "submitit.local._local", "benchopt_run"]
    processes = [Process(job, start), Process(job, start), Process(start, None)]
    monkeypatch.setattr(psutil, "Process", lambda: processes[0])
    monkeypatch.setattr(psutil, "process_iter", lambda: processes)
    for executor, expected in (("slurm", 1), ("local", 2)):
        monkeypatch.setenv("SUBMITIT_EXECUTOR", executor)
        assert provenance.n_workers() == expected


def test_a_run_that_shares_its_machine_warns_and_records_it(monkeypatch):
    objective = helpers.objective_class().get_instance()
    objective.set_data(helpers.small_quadratic())
    monkeypatch.setattr(objective, "get_seed", lambda **of: 3)
    monkeypatch.setitem(vars(sys.modules[type(objective).__module__]), "n_workers", lambda: 2)
    with pytest.warns(RuntimeWarning, match="2 workers share this machine"):
        objective.get_objective()
    row = objective.evaluate_result(**objective.get_one_result())
    assert row["n_workers"] == 2
    assert row["n_cores"] == len(psutil.Process().cpu_affinity())
    record = json.loads(objective.save_final_results(z=None, x=None, run_facts={})["environment"])
    assert record["workers"] == 2
    assert record["cpus_allowed"] >= 1
    assert told_apart(pd.DataFrame({"objective_n_workers": [1, 2]})) == {"objective_n_workers": "workers"}


def test_the_share_of_each_budget_is_recorded():
    objective = helpers.objective_class().get_instance(max_seconds=4.0, max_samples=1000)
    objective.set_data(helpers.small_quadratic())
    result = objective.get_one_result() | dict(seconds=4.1)
    result["counts"] = result["counts"] | dict(hvp=250)
    row = objective.evaluate_result(**result)
    assert (row["spent_seconds"], row["spent_samples"]) == (4.1 / 4, 0.25)
    objective = helpers.objective_class().get_instance(max_seconds="inf", max_samples="inf")
    objective.set_data(helpers.small_quadratic())
    row = objective.evaluate_result(**result)
    assert (row["spent_seconds"], row["spent_samples"]) == (0, 0)


def test_final_results_are_read_into_one_row_a_run(tmp_path):
    from benchopt.results import save_results

    names = dict(dataset_name="D", objective_name="O", solver_name="S")
    last = dict(z=np.arange(3.0), x=np.array([7.0]), environment=json.dumps({"seed": 5}))
    rows = [names | dict(idx_rep=rep, stop_val=k, final_results=last if k else None) for rep in (0, 1) for k in (0, 1)]
    path = save_results(pd.DataFrame(rows), tmp_path / "a.parquet")
    out = final_results(path)
    assert list(out.idx_rep) == [0, 1]
    assert out.z[1].tolist() == [0, 1, 2]
    assert out.environment[0] == {"seed": 5}


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_rows_are_read_without_last_points_and_are_else_as_benchopt_reads_them(tmp_path, monkeypatch, suffix):
    from benchopt.results import read_results, save_results

    from benchmark_utils.statistics import final

    frame = pd.DataFrame({"solver_name": ["S", "S"], "objective_value": [2.0, 1.0], "time": [0.0, 0.5]})
    path = save_results(frame.assign(final_results=[None, {"x": np.ones(3)}]), tmp_path / f"a.{suffix}")
    expected = read_results(path).drop(columns="final_results")
    if suffix == "parquet":
        monkeypatch.setattr(final, "read_results", None)  # it would read them
    pd.testing.assert_frame_equal(final.read_rows(path), expected)
