"""The clock, the budgets, the ledger totals and the checkpoints: one run loop for every solver.

`TimedSolver.run` is final. A solver advances by whole outer iterations; after each advance the device is waited
for, the clock is read, and the budgets are looked at. Rows are recorded at iteration counts that depend on
nothing but the count, plus one last row where a budget ends the run.
"""

import math
import sys
import time

import numpy as np
from benchopt import BaseSolver

from benchmark_utils.ledger import ORACLES

#: Longest stretch, in seconds, between two looks at the budgets (as far as single iterations allow).
LOOK_EVERY = 0.25


def checkpoints(per_octave=2.0, at_most=math.inf):
    """Yield increasing iteration counts, ``per_octave`` of them for each doubling: 1, 2, 3, 4, 6, 8, 11, 16, ...

    After ``at_most`` of them come counts that no run reaches.
    """
    last, j, n = 0, 0, 0
    while n < at_most:
        count = round(2 ** (j / per_octave))
        if count > last:
            yield count
            last, n = count, n + 1
        j += 1
    while True:
        yield 1 << 62


def put_at_start(solver, problem, seed=0, **rules):
    """Put a solver at the start of a problem, compiled, as benchopt's runner would.

    Parameters
    ----------
    solver : TimedSolver
    problem : Problem
    seed : int
        Seed of the start and of every draw.
    **rules : float
        ``max_seconds``, ``max_samples``, ``max_iterations``; infinite where left out.

    Returns
    -------
    reason : str or None
        The sentence of a solver that declines the problem; it is then not at the start.
    """
    skip, reason = solver.skip(problem=problem)
    if skip:
        return reason
    z0, x0 = problem.init(np.random.default_rng(seed))
    rules = dict.fromkeys(("max_seconds", "max_samples", "max_iterations"), math.inf) | rules
    solver.set_objective(problem=problem, z0=z0, x0=x0, seed=seed, rules=rules)
    solver.pre_run_hook(None)
    return None


class TimedSolver(BaseSolver):
    """Base of all solvers: an iteration loop under one clock, one ledger and one set of budgets.

    Subclasses implement `begin`, `advance`, `sync` and `iterates`.

    Attributes
    ----------
    n_iter : int
        Outer iterations done.
    seconds : float
        Solver time so far: initialisation and iterations; no compilation, no evaluation.
    ledger_totals : ndarray of int64, shape (6,)
        Samples so far, in the order of `benchmark_utils.ledger.ORACLES`.
    compile_time : float
        Seconds spent compiling, outside ``seconds``.
    diverged : bool
        Whether the iterates left the finite numbers.
    """

    sampling_strategy = "callback"
    search_space = {}
    references = []
    requires = ()

    #: Most iterations per call of `advance`.
    longest_advance = 1 << 30
    #: Iterations that the last call of `advance` left out because a budget ended it.
    unfinished = 0
    compile_time = 0.0

    def begin(self):
        """Set the iterates to their start; count what that costs."""
        raise NotImplementedError

    def advance(self, n):
        """Do ``n`` outer iterations, add their cost to ``ledger_totals``; may return before the device is done."""
        raise NotImplementedError

    def sync(self):
        """Wait for the device, then bring ``ledger_totals`` and ``diverged`` up to date."""

    def iterates(self):
        """Return dict(z, x, d_x, x_before): float64 vectors; d_x is the last outer direction, taken at x_before."""
        raise NotImplementedError

    def describe_run(self):
        """Return dict of facts for the environment record."""
        return {}

    # ------------------------------------------------------------------ the loop
    def get_next(self, stop_val):
        """Record a row at every callback."""
        return stop_val + 1

    def run(self, callback):
        """Run until a budget is spent, the iterates diverge or the callback says stop."""
        self.n_iter, self.seconds, self.diverged = 0, 0.0, False
        self.ledger_totals = np.zeros(len(ORACLES), np.int64)
        self._timed(self.begin)
        pace = 0.0  # seconds of the slowest recent iteration, to size the next advance
        # Two rows are the start and the end.
        for target in checkpoints(self.problem.checkpoints_per_octave, self.problem.max_checkpoints - 2):
            if not callback():
                self._say_if_cut()
                return
            if self._finished():
                return
            while self.n_iter < target and not self._finished():
                n = min(target - self.n_iter, self.longest_advance, self._affordable())
                if pace > 0:
                    n = max(1, min(n, int(LOOK_EVERY / pace)))
                pace = max(self._timed(self.advance, n) / n, pace / 2)
                self.n_iter += n - self.unfinished

    def _say_if_cut(self):
        if not self._finished():
            print(
                f"\n{self.name} was stopped by benchopt's --timeout (wall time, evaluation included) or --max-runs "
                f"after {self.seconds:.3g} s of solver time, before its budget was spent; raise them, and pass "
                "--no-cache, since benchopt keeps the cut curve.",
                file=sys.stderr,
            )

    def _timed(self, work, *args):
        self._work_began = time.perf_counter()
        work(*args)
        self.sync()
        elapsed = time.perf_counter() - self._work_began
        self.seconds += elapsed
        return elapsed

    def _affordable(self):
        """Return how many iterations the count budgets still allow, at the average cost so far; at least 1."""
        n = self.rules["max_iterations"] - self.n_iter
        left, spent = self.rules["max_samples"] - self.ledger_totals.sum(), self.ledger_totals.sum()
        if self.n_iter == 0 and math.isfinite(left):
            n = min(n, 1)  # the cost of an iteration is not known yet
        elif spent > 0 and math.isfinite(left):
            n = min(n, math.ceil(left * self.n_iter / spent))
        return max(1, n)

    def _finished(self):
        return self.diverged or self._spent(self.seconds) or self.n_iter >= self.rules["max_iterations"]

    def _spent(self, seconds):
        return seconds >= self.rules["max_seconds"] or self.ledger_totals.sum() >= self.rules["max_samples"]

    def spent_now(self):
        """Return whether a budget of seconds or samples is spent in the middle of `advance`."""
        return self._spent(self.seconds + time.perf_counter() - self._work_began)

    def get_result(self):
        """Return the iterates and the totals, as NumPy arrays and Python numbers."""
        counts = dict(zip(ORACLES, map(int, self.ledger_totals), strict=True))
        return dict(
            **self.iterates(),
            counts=counts,
            n_iter=self.n_iter,
            compile_time=float(self.compile_time),
            diverged=bool(self.diverged),
            run_facts=self.describe_run(),
        )
