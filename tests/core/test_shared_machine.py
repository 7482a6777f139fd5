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


class Processes:
    """psutil's processes: a parent with these children, the first of which is this process."""

    def __init__(self, *commands):
        self.commands = commands

    def __call__(self):
        return self.of(0)

    def of(self, i):
        process = type("Process", (), {})()
        process.cmdline = lambda: self.commands[i]
        process.parent = lambda: self
        return process

    def children(self):
        return [self.of(i) for i in range(len(self.commands))]


def spawned(number):
    return [sys.executable, "-c", f"from multiprocessing.spawn import spawn_main; spawn_main(pipe_handle={number})"]


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ([[*LOKY, "LokyProcess-1"], [*LOKY, "LokyProcess-2"], [sys.executable, "-c", "tracker(3)"]], 2),
        ([spawned(1), spawned(2), spawned(3), [sys.executable, "-c", "tracker(3)"]], 3),
    ],
)
def test_workers_are_counted_among_the_children_of_their_parent(commands, expected, monkeypatch):
    assert provenance.n_workers() == 1, "this process is no worker"
    monkeypatch.setattr(multiprocessing.current_process(), "_name", "LokyProcess-1")
    monkeypatch.setattr(psutil, "Process", Processes(*commands))
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
