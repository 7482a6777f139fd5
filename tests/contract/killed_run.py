"""One run with a journal, in a process of its own: what tests/contract/test_killed_runs.py kills."""

import importlib
import json
import time

import numpy as np

import helpers
from benchmark_utils.backends import MODULES
from benchmark_utils.builders.quadratic import quadratic_problem
from benchmark_utils.running.journal import Journal
from benchmark_utils.running.rules import Rules

#: Imported before processes are forked; a framework starts when a backend is made.
for name in (MODULES["jax"], MODULES["torch"]):
    importlib.import_module(f"benchmark_utils.backends.{name}")


def run(folder, backend, every, slow):
    """Run, or go on with, SABA; save at rows that are ``every`` seconds apart and wait ``slow`` seconds at each row.

    The file ``alive`` of the folder says how many rows there are; ``rows.json`` holds them at the end.
    """
    problem = quadratic_problem(70, 50, 6, 4, mu=0.5, L=1.0, L_cross=0.2, seed=0)
    objective = helpers.objective_class().get_instance()
    objective.problem, objective._last = problem, None
    objective.journal = Journal("drill", folder=folder, every=every)
    cls = helpers.load(helpers.ROOT / "solvers" / "saba.py").Solver
    solver = cls.get_instance(backend=backend, batch_size=16, step_size=0.1, outer_ratio=5.0)
    rules = Rules(device="cpu", precision="float64", max_iterations=3000)
    solver.skip(problem.view, rules)
    z0, x0 = problem.init(np.random.default_rng(0))
    solver.set_objective(problem.view, z0, x0, 0, rules, objective.journal)
    solver.pre_run_hook(None)
    rows = []

    def callback():
        rows.append(objective.evaluate_result(**solver.get_result()))
        (folder / "alive").write_text(str(len(rows)), encoding="utf-8")
        time.sleep(slow)
        return True

    solver.run(callback)
    for row in rows:
        for name in ("compile_time", "spent_seconds", "peak_memory"):  # those of the other process are others
            row.pop(name)
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
