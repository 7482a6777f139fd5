"""Long runs written down at their rows, so that a killed run goes on from its last saved row.

The file holds what the run is (`run_state.save`), every row recorded so far, and the evaluator's warm start. It is
written beside and renamed, at a row, when `SAVE_EVERY` seconds have passed since the last time: short runs write
nothing. It is deleted when the run ends. A run is known by its data set, rules, repetition, solver and the code.
"""

import hashlib
import pickle
import sys
import time
from pathlib import Path

from benchmark_utils.files.whole import delete_torn, replacing
from benchmark_utils.running import run_state

#: Seconds between two savings of a run; shorter runs are not saved.
SAVE_EVERY = 60.0

ROOT = Path(__file__).parents[2]

#: Folder of the files; benchopt's own cache lies beside it.
FOLDER = ROOT / "__cache__" / "unfinished_runs"


def code_hash(*files):
    """Return a hash of the code that a run depends on: this package, the objective, and the given files."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "benchmark_utils").rglob("*.py")) + [ROOT / "objective.py", *map(Path, files)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Journal:
    """The file of one run.

    Parameters
    ----------
    key : str
        What tells data set, rules and repetition apart.
    folder : Path
    every : float
        Seconds between two savings.
    """

    def __init__(self, key, folder=None, every=None):
        self.key, self.folder = key, Path(folder or FOLDER)
        self.every = SAVE_EVERY if every is None else every
        self.path, self.rows, self.saved_at = None, [], time.monotonic()

    def open(self, solver_name, code):
        """Name the file for one solver and forget the rows of an earlier run."""
        name = hashlib.sha256(f"{self.key}|{solver_name}|{code}".encode()).hexdigest()[:24]
        self.path, self.rows, self.saved_at = self.folder / f"{name}.pkl", [], time.monotonic()
        delete_torn(self.path)  # of a run that was killed while it wrote

    def load(self):
        """Return what was saved, or None; a file that cannot be read is set aside with a sentence."""
        if not self.path.exists():
            return None
        try:
            return pickle.loads(self.path.read_bytes())
        except Exception as error:  # whatever a torn or foreign file raises: the run starts anew
            print(f"{self.path} cannot be read ({error}); the run starts anew.", file=sys.stderr)
            self.path.unlink(missing_ok=True)
            return None

    def record(self, row, clock, state_of, warm_start):
        """Keep a row, and save the run where it is time.

        Parameters
        ----------
        row : dict
            Columns of the row.
        clock : float
            benchopt's clock at the row, in seconds.
        state_of : callable
            Returns the saved run state.
        warm_start : object
            The evaluator's last solution.
        """
        self.rows.append((row, clock))
        if state_of is None or time.monotonic() - self.saved_at < self.every:
            return  # a row that is recorded again has no state to save
        content = pickle.dumps(dict(state=state_of(), rows=self.rows, warm_start=warm_start))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as beside:
                beside.write_bytes(content)
        except OSError as error:  # a full disk must not end a run
            print(f"The run could not be saved ({error}); it goes on.", file=sys.stderr)
        self.saved_at = time.monotonic()

    def close(self):
        """Delete the file: the run has ended."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def replay(solver, callback):
    """Take up a saved run: give its rows to benchopt again, with their times, and return its state, or None.

    Parameters
    ----------
    solver : BackendSolver
        With a journal, opened.
    callback : callable
        benchopt's callback, or any function without arguments.
    """
    saved = solver.journal.load()
    if saved is None:
        return None
    for row, clock in saved["rows"]:
        solver.replayed = dict(row=row, warm_start=saved["warm_start"], clock=clock)
        if hasattr(callback, "time_iter"):  # the row keeps the time it was recorded with
            callback.time_callback = time.perf_counter() - (clock - callback.time_iter)
        callback()
    solver.replayed = None
    return run_state.load(solver.program, saved["state"])
