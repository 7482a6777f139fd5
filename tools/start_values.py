"""Run every solver with the start values of its search space and say whether h falls.

Nothing is tuned: each hyper-parameter takes the start of its range, everything else its default. A run ends after 2,000
iterations or 20 seconds of solver time (compilation and evaluation excluded) on JAX, on torch where a solver is
written for it alone, in float32. h(x) = F(z*(x), x) comes from the exact lower-level solution in float64.

Usage: python -m tools.start_values [words]

The words name solvers (file names), data sets, or the limits, as in ``soba simulated iterations=500 seconds=2``; all
solvers, three data sets and the limits above where left out. The exit status is 1 if a run diverges or h does not fall.
"""

import math
import sys
import time

from benchopt.benchmark import Benchmark

from benchmark_utils.running.search_space import start_of
from benchmark_utils.running.start import put_at_start
from tools import write_utf8
from tools.classes import ROOT, solver_classes

DATASETS = ("simulated", "breast_cancer", "digits_cleaning")


def start_values(cls, view):
    """Return the parameters of a run: the start of every range, and JAX where the solver has it."""
    starts = {name: start_of(space, view) for name, space in cls.search_space.items()}
    return starts | {"backend": "jax" if "jax" in cls.parameters["backend"] else cls.parameters["backend"][0]}


def run(cls, problem, iterations, seconds):
    """Run a solver from its start values.

    Returns
    -------
    dict
        h at the start and at the end, ``n_iter``, ``seconds`` (solver time), ``verdict``: "ok", "h does not fall",
        "diverged", or the sentence with which the solver declines the problem.
    """
    solver = cls.get_instance(**start_values(cls, problem.view))
    row = dict(start=math.nan, end=math.nan, n_iter=0, seconds=math.nan)
    reason = put_at_start(solver, problem, max_iterations=iterations, max_seconds=seconds)
    if reason is not None:
        return row | dict(verdict=f"skipped: {reason}")
    first = []
    solver.run(lambda: bool(first) or first.append(solver.get_result()["x"]) or True)
    result = solver.get_result()
    row |= dict(n_iter=result["n_iter"], seconds=solver.run_state.seconds)
    row["start"] = float(problem.evaluator.solve(first[0], None).h)
    if result["diverged"]:
        return row | dict(verdict="diverged")
    row["end"] = float(problem.evaluator.solve(result["x"], None).h)
    return row | dict(verdict="ok" if row["end"] < row["start"] else "h does not fall")


def main(words):
    """Print the table, row by row as the runs end."""
    limits = {"iterations": 2000.0, "seconds": 20.0}
    limits |= {name: float(value) for name, _, value in (word.partition("=") for word in words) if value}
    words = [word for word in words if "=" not in word]
    datasets = [word for word in words if word in DATASETS] or DATASETS
    classes = solver_classes()
    stems = [word for word in words if word in classes] or list(classes)
    unknown = set(words) - set(DATASETS) - set(classes)
    if unknown:
        sys.exit(f"no solver or data set is called {', '.join(sorted(unknown))}; data sets: {', '.join(DATASETS)}.")
    print(
        f"{'solver':18} {'data set':16} {'h at start':>12} {'h at end':>12} {'iterations':>10} {'seconds':>8}  verdict"
    )
    bad, n = 0, 0
    for dataset in datasets:
        (cls,) = Benchmark(ROOT).check_dataset_patterns([dataset], class_only=True)
        problem = cls.get_instance().get_data()["problem"]
        for stem in stems:
            began = time.perf_counter()
            row = run(classes[stem], problem, limits["iterations"], limits["seconds"])
            good = row["verdict"] == "ok" or row["verdict"].startswith("skipped")
            bad, n = bad + (not good), n + 1
            numbers = f"{row['start']:12.6g} {row['end']:12.6g} {row['n_iter']:10d} {row['seconds']:8.2f}"
            wall = time.perf_counter() - began
            print(f"{stem:18} {dataset:16} {numbers}  {row['verdict']} ({wall:.0f} s in all)", flush=True)
    print(f"{bad} of {n} runs diverge or end with h above its start.")
    return int(bad > 0)


if __name__ == "__main__":
    write_utf8()
    sys.exit(main(sys.argv[1:]))
