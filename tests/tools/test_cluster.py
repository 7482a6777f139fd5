"""Parallel configurations ask for what they say; runs under Dask are those without, a killed worker included."""

import importlib.util
import time

import optuna
import psutil
import pytest
import yaml
from benchopt.results import read_results
from numpy.testing import assert_array_equal
from optuna.trial import TrialState
from project_copy import call, copied, start

import helpers

NEEDS = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="needs Dask: pip install -r requirements-cluster.txt"
)
PARALLEL = {"dask.yml": "dask", "slurm.yml": "submitit"}

#: Four curves of some seconds each.
RUN = ["-s", "SOBA[backend=torch]", "-d", "simulated[n=128,m=96,p=6,d=4]", "-o",
       "Bilevel[max_seconds=inf,max_samples=3e6]", "-r", "4", "--seed", "1", "--no-plot", "--no-display"]  # fmt: skip

#: Columns that the machine has no part in.
SAME = ["objective_value", "objective_h_gap", "objective_n_samples", "objective_n_iter", "objective_problem_version"]


def configuration(name):
    return yaml.safe_load((helpers.ROOT / "configs" / name).read_text(encoding="utf-8"))


def test_parallel_configurations_are_told_from_run_configurations():
    for path in (helpers.ROOT / "configs").glob("*.yml"):
        assert ("backend" in configuration(path.name)) == (path.name in PARALLEL)
    for name, backend in PARALLEL.items():
        assert configuration(name)["backend"] == backend


def test_a_worker_of_dask_does_one_run_at_a_time():
    assert configuration("dask.yml")["dask_threads_per_worker"] == 1


def test_the_slurm_script_asks_for_cores_of_its_own_and_a_time_above_benchopt_s():
    pytest.importorskip("submitit", reason="needs submitit: pip install -r requirements-cluster.txt")
    from benchopt.parallel_backends import check_parallel_config, slurm_executor
    from submitit.slurm.slurm import _make_sbatch_string

    config = check_parallel_config(str(helpers.ROOT / "configs" / "slurm.yml"), None)
    config.pop("backend")
    asked = {k.removeprefix("slurm_"): v for k, v in slurm_executor.merge_slurm_configs(config).items()}
    script = _make_sbatch_string(command="run", folder="jobs", map_count=3, **asked)
    for line in ("--cpus-per-task=2", "--time=01:00:00", "--array=0-2%3", "--nodes=1"):
        assert f"#SBATCH {line}" in script


# ---------------------------------------------------------------------- runs
@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a copy of the project with a result file "alone" of one process."""
    folder = copied(tmp_path_factory.mktemp("project"), "datasets/simulated.py", "solvers/soba.py")
    call(folder, "tools.guarded", "run", str(folder), *RUN, "--output", "alone", "--no-cache")
    return folder


def curves(folder, name):
    """Return dict of repetition to its rows."""
    df = read_results(folder / "outputs" / f"{name}.parquet")
    assert df.solver_name.nunique() == 1
    return {rep: rows.sort_values("stop_val") for rep, rows in df.groupby("idx_rep")}


def assert_same(folder, name):
    """Assert that a result file holds the curves of the run alone."""
    found, alone = curves(folder, name), curves(folder, "alone")
    assert sorted(found) == sorted(alone) == [0, 1, 2, 3]
    for rep in alone:
        for column in SAME:
            assert_array_equal(found[rep][column].to_numpy(), alone[rep][column].to_numpy(), err_msg=column)
        assert alone[rep].objective_n_workers.unique().tolist() == [1]


@NEEDS
@pytest.mark.slow
def test_runs_under_dask_are_those_of_one_process_and_say_how_many_workers_there_were(project):
    dask = ["--parallel-config", "configs/dask.yml", "--no-cache"]
    call(project, "tools.guarded", "run", str(project), *RUN, "--output", "dask", *dask)
    assert_same(project, "dask")
    assert {w for rows in curves(project, "dask").values() for w in rows.objective_n_workers} == {2}


@NEEDS
@pytest.mark.slow
def test_a_worker_of_dask_that_is_killed_loses_no_curve(project):
    """The other curves are kept, the killed one is run again by another worker, and the run ends well."""
    dask = ["--parallel-config", "configs/dask.yml"]
    process = start(project, "tools.guarded", "run", str(project), *RUN, "--output", "killed", *dask)
    try:
        finished = wait_for_a_curve(project, process)
        times = {path: path.stat().st_mtime_ns for path in finished}
        workers = [c for c in psutil.Process(process.pid).children() if "spawn_main" in " ".join(c.cmdline())]
        assert len(workers) == 2
        workers[0].kill()
        assert process.wait(600) == 0, (project / "log").read_text(encoding="utf-8", errors="replace")
    finally:
        process.kill()
    assert_same(project, "killed")
    assert {path: path.stat().st_mtime_ns for path in finished} == times, "what had finished was not run again"
    assert "Restarting worker" in (project / "log").read_text(encoding="utf-8", errors="replace")


def wait_for_a_curve(folder, process):
    """Wait until a curve has finished; return the files of those that have."""
    for _ in range(3000):
        finished = list((folder / "__cache__").rglob("output.pkl"))
        if finished:
            return finished
        assert process.poll() is None, (folder / "log").read_text(encoding="utf-8", errors="replace")
        time.sleep(0.05)
    raise AssertionError("no curve has finished")


# ---------------------------------------------------------------------- the tuner
@pytest.mark.slow
def test_one_command_in_two_processes_shares_the_trials(tmp_path):
    """What `srun --ntasks=2` does: nothing is run twice, nothing is left, and either may write the file."""
    copied(tmp_path, "datasets/simulated.py", "solvers/soba.py", "solvers/ttsa.py")
    url = f"sqlite:///{tmp_path / 'tuning.db'}"
    command = ["SOBA", "TTSA", "simulated", "trials=4", "seeds=1", "structures=2", "samples=6000", "n_finalists=2",
               "n_final_seeds=2", "backend=torch", f"storage={url}", "write=no"]  # fmt: skip
    processes = [start(tmp_path, "tools.tune", *command, log=f"log{i}") for i in range(2)]
    try:
        assert [p.wait(600) for p in processes] == [0, 0], [p.read_text("utf-8") for p in tmp_path.glob("log?")]
    finally:
        for process in processes:
            process.kill()
    said = call(tmp_path, "tools.tune", *command)
    assert "not tuned" not in said
    studies = optuna.get_all_study_names(url)
    assert len(studies) == 2
    workers = set()
    for name in studies:
        trials = optuna.load_study(study_name=name, storage=url).trials
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
        assert len({tuple(sorted(trial.params.items())) for trial in trials}) == 4, "no trial is run twice"
        workers |= {tuple(trial.user_attrs["begun"][1:]) for trial in trials}
    assert len(workers) == 2, "both took part"
