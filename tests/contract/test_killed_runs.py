"""A run that is killed at random moments, and taken up again each time, records what an uninterrupted one does."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

#: Kills, and the seconds in which one of them falls after the run has begun to save.
KILLS, WITHIN = 20, 0.6

RUN = """
import json, sys, time
from pathlib import Path
import numpy as np
import helpers
from benchmark_utils.builders.quadratic import quadratic_problem
from benchmark_utils.running.journal import Journal
from benchmark_utils.running.rules import Rules

folder, backend, every, slow = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
problem = quadratic_problem(70, 50, 6, 4, mu=0.5, L=1.0, L_cross=0.2, seed=0)
objective = helpers.objective_class().get_instance()
objective.problem, objective._last = problem, None
objective.journal = Journal("drill", folder=folder, every=every)
solver = helpers.solver_classes()["saba"].get_instance(backend=backend, batch_size=16, step_size=0.1, outer_ratio=5.0)
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
    row.pop("compile_time")
(folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
"""


def start(folder, backend, every, slow):
    """Start a run in a process of its own."""
    tests = Path(__file__).parents[1]
    env = os.environ | {"PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}"}
    arguments = [sys.executable, "-c", RUN, str(folder), backend, str(every), str(slow)]
    return subprocess.Popen(arguments, env=env, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_killed_at_random_moments_a_run_records_what_an_uninterrupted_one_does(tmp_path, backend):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    assert start(whole, backend, 1e9, 0.0).wait(timeout=300) == 0
    rng, kills = random.Random(0), 0
    while not (killed / "rows.json").exists():
        process = start(killed, backend, 0.0, 0.05)
        alive = killed / "alive"
        alive.unlink(missing_ok=True)
        while process.poll() is None and not alive.exists():
            time.sleep(0.01)
        if kills < KILLS:
            time.sleep(WITHIN * rng.random())
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait(timeout=300)
    expected, got = (json.loads((folder / "rows.json").read_text(encoding="utf-8")) for folder in (whole, killed))
    assert kills >= KILLS / 2, "the run ended before it was killed often enough to tell"
    assert json.dumps(got) == json.dumps(expected)
    assert not list(killed.glob("*.pkl")), "the file of a finished run is deleted"
