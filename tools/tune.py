"""Tune solvers on problems: equal trials, equal budgets of samples, the best of each written to ``tuned/``.

Usage: python -m tools.tune SOLVER... PROBLEM... [option=value]...

SOLVER and PROBLEM are names as `benchopt run` takes them after -s and -d ("SOBA", "SABA[batch_size=512]", "ijcnn1");
the word ``solvers`` stands for all solvers, ``stochastic`` for those that draw mini-batches by default.

Options (defaults): sampler=qmc (or tpe, random, grid), trials=64, rounds=3 (of qmc), structures=4, seeds=3,
epochs=100 (budget of a run: so many times the samples of both levels) or samples=1e7, backend=jax,
storage=sqlite:///outputs/tuning.db, jobs=1 (processes, each takes the next solver), write=yes.

Stopped and started again, a study goes on where it was. `optuna-dashboard` opens the storage; workers on other
machines share it by a URL of a database server. See docs/tuning.md.
"""

import concurrent.futures
import functools
import gc
import multiprocessing
import sys
import time
from pathlib import Path

import filelock
import optuna
from benchopt.benchmark import Benchmark
from benchopt.utils.parametrized_name_mixin import product_param
from tqdm import tqdm

from benchmark_utils.problem.namespace import xp
from benchmark_utils.tuning.protocol import Protocol
from benchmark_utils.tuning.study import Tuning
from benchmark_utils.tuning.tuned_file import entry, write
from tools import write_utf8

ROOT = Path(__file__).parents[1]
OUTPUTS = ROOT / "outputs"

#: Options that are not the protocol's own, with their defaults.
OPTIONS = {"epochs": "100", "samples": "", "backend": "jax", "storage": "", "jobs": "1", "write": "yes"}

#: Short names of the protocol's entries.
SHORT = {"trials": "n_trials", "rounds": "n_rounds", "structures": "n_structures", "seeds": "n_seeds"}


def read(arguments):
    """Return (names, options) of the command line.

    Raises
    ------
    SystemExit
        With a sentence, for an option that is not known.
    """
    names = [a for a in arguments if "=" not in a.split("[")[0]]
    given = dict(a.split("=", 1) for a in arguments if a not in names)
    given = {SHORT.get(name, name): value for name, value in given.items()}
    known = {**OPTIONS, **{name: "" for name in Protocol._fields}}
    unknown = set(given) - set(known)
    if unknown:
        raise SystemExit(f"{', '.join(sorted(unknown))}: not known; options are {', '.join(sorted(known))}.")
    return names, OPTIONS | given


def protocol_of(options, problem):
    """Return the Protocol that the options ask for on a problem.

    Raises
    ------
    SystemExit
        With a sentence.
    """
    numbers = {}
    for name, default in Protocol()._asdict().items():
        if name in options:
            try:
                numbers[name] = type(default)(options[name])
            except ValueError:
                raise SystemExit(f"{name} is {options[name]!r}; it must be like {default!r}.") from None
    n_rows = sum(problem.view.n_samples(level) for level in ("inner", "outer"))
    try:
        numbers["max_samples"] = float(options["samples"]) if options["samples"] else float(options["epochs"]) * n_rows
    except ValueError:
        raise SystemExit("samples and epochs must be numbers.") from None
    protocol = Protocol(**numbers)
    reason = protocol.why_bad()
    if reason:
        raise SystemExit(reason)
    return protocol


def chosen(names):
    """Return (solver instances' (class, parameters), data set names) that the names stand for."""
    benchmark = Benchmark(ROOT)
    solvers, problems = [], []
    everything = benchmark.get_solvers()
    for name in names:
        if name in ("solvers", "stochastic"):
            solvers += [cls for cls in everything if cls.search_space and (name == "solvers" or is_stochastic(cls))]
        elif any(cls.name.lower() == name.split("[")[0].lower() for cls in everything):
            solvers.append(name)
        else:
            problems.append(name)
    if not solvers or not problems:
        raise SystemExit(__doc__)
    return [solver if isinstance(solver, str) else solver.name for solver in solvers], problems


def is_stochastic(cls):
    """Return whether a solver draws mini-batches by default."""
    return isinstance(cls.parameters.get("batch_size", ["full"])[0], int)


@functools.cache
def problem_of(name):
    """Return the Problem of a data set.

    Raises
    ------
    SystemExit
        With the sentence of a data set that cannot be had.
    """
    data = instance(Benchmark(ROOT).check_dataset_patterns([name]), name).get_data()
    if data["problem"] is None:
        raise SystemExit(data["reason"])
    reason = data["problem"].check(xp)
    if reason:
        raise SystemExit(reason)
    return data["problem"]


def instance(found, name):
    """Return the one data set or solver that benchopt has found for a name.

    Raises
    ------
    SystemExit
        If the name stands for several.
    """
    configurations = [(cls, values) for cls, grid in found for values in product_param(grid)]
    if len(configurations) != 1:
        raise SystemExit(f"{name} stands for {len(configurations)} configurations; tune them one by one.")
    (cls, values), *_ = configurations
    return cls.get_instance(**values)


def solver_of(name, backend):
    """Return (class, parameters outside its search space) of a solver as named on the command line."""
    base, _, rest = name.partition("[")
    given = [part for part in rest.rstrip("]").split(",") if part]
    (cls,) = Benchmark(ROOT).check_solver_patterns([base], class_only=True)
    if not any(part.startswith("backend=") for part in given):
        words = cls.parameters["backend"]
        given.append(f"backend={backend if backend in words else words[0]}")
    full = f"{base}[{','.join(given)}]"
    found = instance(Benchmark(ROOT).check_solver_patterns([full]), full)
    names = {part.split("=")[0] for part in given} - set(cls.search_space)
    return cls, {name: getattr(found, name) for name in sorted(names)}


def alone():
    """Return the lock that workers of this folder hold while they ask for trials, or make the storage's tables."""
    OUTPUTS.mkdir(exist_ok=True)
    return filelock.FileLock(OUTPUTS / ".tuning.lock")


def open_storage(url):
    """Return the Optuna storage of a URL; one process at a time, since the first one makes its tables."""
    with alone():
        return optuna.storages.get_storage(url)


def tune(solver, problem_name, options, bar=True):
    """Tune one solver on one problem; return the line that says what came of it."""
    gc.collect()  # the programs of the solver before, which hang in cycles
    began, problem = time.perf_counter(), problem_of(problem_name)
    protocol = protocol_of(options, problem)
    cls, given = solver_of(solver, options["backend"])
    storage = open_storage(options["storage"] or f"sqlite:///{OUTPUTS / 'tuning.db'}")
    label = f"{cls.name} on {problem.name}"
    with tqdm(total=protocol.n_trials, desc=label, unit="trial", disable=not bar) as progress:

        def on_batch(done, total):
            progress.n = done
            progress.refresh()

        try:
            tuning = Tuning(cls, problem, protocol, storage, given, alone=alone())
            tuning.go(on_batch)
            finalists = tuning.finalists()
        except ValueError as error:
            return f"{label}: not tuned. {error}"
    outcomes = tuning.outcomes()
    try:
        values, record = entry(
            cls, problem, protocol, outcomes, finalists, {k: v for k, v in given.items() if k != "backend"}
        )
    except ValueError as error:
        return f"{label}: not tuned. {error}"
    if options["write"] == "yes":
        write(problem.name, cls.name, values, record)
    shown = ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()
    )
    edge = record.get("at_the_edge_of_the_range")
    warning = f" At the edge of its range: {', '.join(edge)}." if edge else ""
    return (
        f"{label}: {shown}; h {record['score']:.6g}, {record['score_at_the_start']:.6g} at the start of the ranges; "
        f"{record['samples']:.3g} samples, {time.perf_counter() - began:.0f} s.{warning}"
    )


def main(arguments):
    """Tune what is asked for and print one line for each solver and problem."""
    write_utf8()
    names, options = read(arguments)
    solvers, problems = chosen(names)
    tasks = [(solver, problem, options) for problem in problems for solver in solvers]
    jobs = int(options["jobs"])
    if jobs == 1:
        for task in tasks:
            print(tune(*task), flush=True)
        return
    # A process stays for all its solvers: the pool of Python 3.11 hangs where it renews one after several tasks.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context) as pool:
        waiting = [pool.submit(tune, *task, bar=False) for task in tasks]
        for done in tqdm(concurrent.futures.as_completed(waiting), total=len(tasks), unit="solver"):
            tqdm.write(done.result())


if __name__ == "__main__":
    main(sys.argv[1:])
