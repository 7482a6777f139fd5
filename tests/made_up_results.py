"""Made-up results whose statistics are known."""

import json

import numpy as np
import pandas as pd
from benchopt.results import save_results

from benchmark_utils.running.rules import VERSION


def results(curves, **columns):
    """Return a frame like benchopt's: curves is dict of (dataset, solver, repetition) to list of (gap, samples)."""
    rows = [
        {
            "dataset_name": dataset, "objective_name": "Bilevel", "solver_name": solver, "idx_rep": rep, "stop_val": k,
            "objective_h_gap": gap, "objective_n_samples": samples, "time": samples / 100, "objective_n_iter": k,
            "objective_value": gap**2, **columns,
        }
        for (dataset, solver, rep), curve in curves.items()
        for k, (gap, samples) in enumerate(curve)
    ]  # fmt: skip
    return pd.DataFrame(rows)


#: Three solvers whose order is known.
FIELD = {
    (dataset, solver, rep): [(1.0, 0), (1e-3, samples * (rep + 1)), (1e-7, 4 * samples * (rep + 1))]
    for dataset in ("d", "e")
    for solver, samples in (("A", 10), ("B", 30), ("C", 90))
    for rep in range(5)
}

#: What benchopt records of a machine, and the columns of a run.
HERE = {"system-processor": "P", "version-cuda": None, "system-cpus": 2, "system-ram (GB)": 8, "platform": "Linux"}
COLUMNS = HERE | {
    "base_seed": 0, "objective_n_workers": 1, "objective_n_cores": 2, "objective_problem_version": "a1b2",
    "objective_rules_version": VERSION, "run_date": "2026-01-01T00:00:00", "file_solver": "/home/me/solvers/a.py",
    "file_dataset": "d.py", "platform-version": "#1 built by me", "objective_diverged": 0,
    "objective_compile_time": 0.0, "p_obj_max_seconds": 5.0, "p_obj_max_samples": np.inf,
}  # fmt: skip
RECORD = {"versions": {"jax": "0.1"}, "git_commit": "c0ffee", "git_dirty": False, "data_hashes": {"d.bz2": "12"}}


def result_file(path, field=FIELD, **columns):
    """Write made-up results as a run of benchopt leaves them, with last iterates and records; return the path."""
    df = results(field, **(COLUMNS | columns))
    last = df.groupby(["dataset_name", "solver_name", "idx_rep"]).stop_val.transform("max") == df.stop_val
    final = dict(z=np.ones(3), x=np.ones(2), environment=json.dumps(RECORD))
    df["final_results"] = [final if end else None for end in last]
    return save_results(df, path)


#: Twelve configurations on one problem, more than a figure shows at first; the first four on a second problem too.
SITE_SOLVERS = [f"{method}[backend={backend}]" for method in ("SOBA", "SABA") for backend in ("jax", "torch")]
SITE_SOLVERS += [f"method {k}[backend=torch]" for k in range(8)]
SITE_PROBLEMS = {"breast_cancer[seed=0]": SITE_SOLVERS, "simulated[d=2]": SITE_SOLVERS[:4]}


def of_a_site():
    """Return made-up results: solver k takes k + 1 times the samples of the first; h* is known on one problem.

    Only SOBA has two repetitions: intervals are what takes time.
    """
    curves = {
        (dataset, solver, rep): [(1.0, 0), (1e-3, 10 * (k + 1) + rep), (1e-7, 40 * (k + 1) + rep)]
        for dataset, solvers in SITE_PROBLEMS.items()
        for k, solver in enumerate(solvers)
        for rep in range(2 if k < 2 else 1)
    }
    df = results(curves, objective_compile_time=0.0, objective_diverged=0, run_date="2026-01-02T03:04")
    df["objective_hypergrad_error"] = 0.5 * df.objective_value
    df["p_solver_backend"] = df.solver_name.str.extract(r"backend=([\w-]+)")
    df.loc[df.dataset_name.str.startswith("breast"), "objective_h_gap"] = float("nan")
    return df
