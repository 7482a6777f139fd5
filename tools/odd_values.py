"""Give odd values to every parameter of every solver, data set and rule, and say what becomes of each.

Negative, zero, fraction, word, huge, tiny, NaN, infinite, list, dict, nothing, empty text, truth values, numbers
written as text or with a point, a very long word: each value is a parameter of an instance that goes through benchopt's
own steps (`get_instance`, `get_data`, `skip`, `set_objective`, a run of 0.2 s, rows evaluated). It must end in

- ``run``: it ran, diverged or not, or a data set that is not bundled would be loaded now, or in
- ``sentence``: it was skipped with a sentence that names the parameter,

within 5 seconds of processor time and 2 GB of memory, imports and the compilation of known programs excluded. Anything
else is ``traceback``, ``unclear`` (a sentence without the name), ``hang`` or ``memory``, is printed, and makes the exit
status 1. Values are tried one after the other in a worker process, which is replaced after a hang.

Usage: python -m tools.odd_values [count=600] [seed=0] [only=WORD] [verbose=1]

``only`` keeps the parameters whose label (as in ``solvers/soba.py step_size``) contains the word.
"""

import collections
import multiprocessing
import os
import random
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from tools import classes, write_utf8

#: Processor seconds, seconds on the wall (for a process that sleeps) and bytes of a worker while it tries one value.
LIMIT_SECONDS, LIMIT_WALL, LIMIT_BYTES = 5.0, 300.0, 2e9

#: Kind of a value -> the values.
VALUES = {
    "negative": (-1, -0.5, -3.0), "zero": (0, 0.0, "0"), "fraction": (0.5, 2.5, "1.5"), "one": (1, 1.0),
    "whole": (3.0, 2, "3"), "word": ("nonsense", "tune", "full ", "auto"),
    "huge": (1e300, 10**12, 10**400, "1e400", "9" * 400),
    "tiny": (1e-300, 5e-324, 1e-9), "large": (1e5, "1e5", 123456), "nan": (float("nan"), "nan"),
    "infinite": (float("inf"), float("-inf"), "inf", "-inf"), "list": ([1, 2], [], ["tuned"], (0, 1)),
    "dict": ({"a": 1}, {}), "none": (None, "None"), "empty": ("", " "), "truth": (True, False, "True"),
    "long": ("x" * 5000, "é" * 300, "word " * 100), "code": ("__import__('os')", "{0}", "%s", "a\nb", "../.."),
}  # fmt: skip

GOOD = ("run", "sentence")
WORDS = (*GOOD, "unclear", "traceback", "hang", "memory")


class Trial(NamedTuple):
    """One value of one parameter."""

    folder: str  # "solvers", "datasets" or "objective"
    stem: str  # name of the file
    parameter: str
    kind: str
    value: Any
    backend: str = "jax"  # of the solver, where it has it and the parameter is another one

    @property
    def label(self):
        """Where the parameter is."""
        return f"{self.folder}/{self.stem}.py {self.parameter}"


def parameter_names(cls):
    """Return the names of the parameters of a class, coupled ones one by one."""
    return [name.strip() for names in cls.parameters for name in names.split(",")]


def places():
    """Return every (folder, stem, parameter) of the project."""
    found = [("solvers", stem, cls) for stem, cls in classes.solver_classes().items()]
    found += [("datasets", stem, cls) for stem, cls in classes.dataset_classes().items()]
    found += [("objective", "objective", classes.objective_class())]
    return [(folder, stem, name) for folder, stem, cls in found for name in parameter_names(cls)]


def drawn(count, seed, only=""):
    """Return ``count`` trials: every parameter gets about as many values, every kind its turn."""
    rng, where = random.Random(seed), [p for p in places() if only in "{}/{}.py {}".format(*p)]
    rng.shuffle(where)
    kinds = {place: rng.sample(sorted(VALUES), len(VALUES)) for place in where}
    trials = []
    for k in range(count):
        place = where[k % len(where)]
        kind = kinds[place][k // len(where) % len(VALUES)]
        trials.append(Trial(*place, kind, rng.choice(VALUES[kind]), "jax" if k % 4 == 0 else "torch"))
    return trials


# ---------------------------------------------------------------------- in the worker
class Bench:
    """One problem, kept, on which values are tried in the steps of benchopt's runner."""

    def __init__(self):
        self.dataset = classes.dataset_classes()["simulated"].get_instance()
        self.objective = self._objective()
        self._attach(self.objective, self.dataset)
        assert self.objective._set_dataset(self.dataset) == (False, None)

    @staticmethod
    def _objective(**parameters):
        limits = {"max_seconds": 0.2, "max_samples": 1e6}
        return classes.objective_class().get_instance(**limits | parameters)

    @staticmethod
    def _attach(objective, dataset, solver=None):
        from benchopt.utils.run_context import RunContext

        solver = solver or classes.solver_classes()["soba"].get_instance()
        RunContext().set_run_context(objective=objective, dataset=dataset, solver=solver, repetition=0, base_seed=0)

    def outcome(self, trial):
        """Return (word, sentence or None)."""
        given = {trial.parameter: trial.value}
        if trial.folder == "solvers":
            cls = classes.solver_classes()[trial.stem]
            backend = {"backend": trial.backend} if trial.backend in cls.parameters["backend"] else {}
            return self._run(self.objective, self.dataset, cls.get_instance(**backend | given))
        if trial.folder == "objective":
            return self._prepared(self._objective(**given), self.dataset)
        dataset = classes.dataset_classes()[trial.stem].get_instance(**given)
        return self._prepared(self._objective(), dataset)

    def _prepared(self, objective, dataset):
        self._attach(objective, dataset)
        skip, reason = objective._set_dataset(dataset)
        if skip:
            # So would the defaults be: a file is not here, or would be loaded now.
            defaults = type(dataset).get_instance() if dataset.name.startswith("template") else None
            absent = "would be loaded now" in str(reason) or (defaults and reason == defaults.get_data().get("reason"))
            return ("run", "loads") if absent else ("sentence", reason)
        out = None
        for stem in ("soba", "aid_fp", "aid_cg"):  # the first that takes the problem
            out = self._run(objective, dataset, classes.solver_classes()[stem].get_instance())
            if out[0] == "run":
                break
        return out

    def _run(self, objective, dataset, solver):
        self._attach(objective, dataset, solver)
        str(solver), hash(str(objective))
        skip, reason = solver._set_objective(objective)
        if skip:
            return "sentence", reason
        rows = []

        def callback():
            rows.append(objective(solver.get_result()))
            return len(rows) < 30

        solver.pre_run_hook(callback)
        solver.run(callback)
        return "run", "diverged" if rows[-1][0]["objective_diverged"] else None


def load_nothing():
    """Let the load of files end in a sentence: every check of a data set comes before it."""
    from benchmark_utils.files import fetch

    def refuse(*_, **__):
        raise fetch.DataUnavailable("(would be loaded now)")

    fetch.fetch = fetch.folder_of = refuse  # before the data sets' files bind them


def work(connection):
    """Answer trials until there are no more."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Programs run briefly: quick compilation, as in the tests.
    flags = Path(__file__).parents[1] / "tests" / "xla_flags"
    os.environ.setdefault("XLA_FLAGS", flags.read_text(encoding="utf-8").strip())
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")
    load_nothing()
    bench = Bench()
    for backend in ("jax", "torch"):
        bench.outcome(Trial("solvers", "soba", "backend", "warm", backend))
    connection.send("ready")
    while (trial := connection.recv()) is not None:
        try:
            answer = bench.outcome(trial)
        except Exception:
            answer = "traceback", traceback.format_exc()
        connection.send(answer)


# ---------------------------------------------------------------------- in the parent
class Worker:
    """A process that tries values; replaced after a hang."""

    def __init__(self):
        self.process = None

    def start(self):
        """Start the process and wait for its imports."""
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=work, args=(other,), daemon=True)
        self.process.start()
        other.close()
        if not self.connection.poll(600) or self.connection.recv() != "ready":
            raise RuntimeError("the worker did not start")
        self.ps = psutil.Process(self.process.pid)

    def stop(self):
        """Kill the process."""
        self.process.kill()
        self.process.join()
        self.process = None

    def seconds(self):
        """Return the processor seconds that the process has used."""
        times = self.ps.cpu_times()
        return times.user + times.system

    def outcome(self, trial):
        """Return (word, sentence or None, processor seconds)."""
        if self.process is None:
            self.start()
        first, began = self.seconds(), time.monotonic()
        self.connection.send(trial)
        while not self.connection.poll(0.05):
            used = self.seconds() - first
            if self.ps.memory_info().rss > LIMIT_BYTES:
                word = "memory"
            elif used > LIMIT_SECONDS or time.monotonic() - began > LIMIT_WALL:
                word = "hang"
            else:
                continue
            self.stop()
            return word, None, used
        try:
            word, sentence = self.connection.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            self.process = None
            return "traceback", f"the process ended with status {code}", 0.0
        return word, sentence, self.seconds() - first


def judged(trial, word, sentence):
    """Return the word, "unclear" for a sentence that does not name the parameter."""
    if word == "sentence" and not (isinstance(sentence, str) and trial.parameter in sentence):
        return "unclear"
    return word


def shown(value):
    """Return a value on one line of at most 30 characters."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**20 else "10**400"
    return text if len(text) <= 30 else text[:27] + "..."


def try_all(trials, verbose=False):
    """Try the values; print what is not good, and return a Counter of (folder, word)."""
    worker, counts, slowest = Worker(), collections.Counter(), (0.0, None)
    for trial in trials:
        outcome, sentence, seconds = worker.outcome(trial)
        word = judged(trial, outcome, sentence)
        counts[trial.folder, word] += 1
        slowest = max(slowest, (seconds, trial.label), key=lambda pair: pair[0])
        if verbose or word not in GOOD:
            sentence = (sentence or "").strip()
            last = sentence.splitlines()[-1] if word == "traceback" and sentence else sentence
            print(f"{word:10} {seconds:5.1f} s  {trial.label} = {shown(trial.value)}  {last[:300]}", flush=True)
            if verbose and word == "traceback":
                print(sentence, flush=True)
    if worker.process is not None:
        worker.stop()
    print(f"slowest: {slowest[1]}, {slowest[0]:.1f} s of processor time")
    return counts


def print_table(counts):
    """Print how many values of each folder ended how."""
    print(f"{'':12}" + "".join(f"{word:>10}" for word in WORDS))
    for folder in ("solvers", "datasets", "objective"):
        print(f"{folder:12}" + "".join(f"{counts[folder, word]:10}" for word in WORDS))


def main(arguments):
    """Try values and return 1 unless each is a run or a sentence."""
    options = dict(count=600, seed=0, only="", verbose=0)
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name not in options:
            sys.exit(f"{argument!r} is not one of {', '.join(f'{name}=' for name in options)}.")
        options[name] = type(options[name])(value)
    counts = try_all(drawn(options["count"], options["seed"], options["only"]), bool(options["verbose"]))
    print_table(counts)
    return int(any(n for (_, word), n in counts.items() if word not in GOOD))


if __name__ == "__main__":
    write_utf8()
    sys.exit(main(sys.argv[1:]))
