"""The program of a solver whose loop runs on the host: counted functions and budgets that are looked at inside."""

import math
import time
from typing import Any, NamedTuple

import numpy as np

from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.running.program import BackendProgram, Launched

#: Longest rehearsal, in seconds, that warms caches and compiles what libraries compile on first use.
REHEARSAL_SECONDS = 2.0


class Iterates(NamedTuple):
    """What a row of the results is computed from; NumPy arrays or arrays of the backend."""

    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any = None  # last outer direction, shape (d,); None where the method has none
    x_before: Any = None  # the x at which d_x was taken, shape (d,); None for x itself


class BudgetSpent(Exception):
    """A budget was spent inside an outer iteration; caught by `HostSolver.advance`."""


class HostProgram(BackendProgram):
    """The program of a loop on the host: counted functions, budgets looked at before each call of one."""

    def __init__(self, solver, view, rules):
        super().__init__(solver, view, rules)
        self.compiled, self.counts = False, np.zeros(len(ORACLES), np.int64)
        self.deadline, self.samples_left = math.inf, math.inf

    @staticmethod
    def why_too_large(solver, view, rules, partitions):
        """Return None: host solvers say so themselves in `why_not`."""

    def compile(self):
        """Compile, once, and rehearse one outer iteration, which also compiles what libraries compile on first use."""
        if self.compiled:
            return
        self.compile_time = 0.0
        self.deadline = time.perf_counter() + REHEARSAL_SECONDS
        self.solver.compile()
        self.deadline = time.perf_counter() + REHEARSAL_SECONDS
        self._start_solver()
        self.solver.advance(1)
        self.deadline, self.compiled = math.inf, True

    def count(self, counts):
        """Add the counts of one call."""
        self.counts += [int(count) for count in counts]

    def check(self):
        """Raise `BudgetSpent` if a budget of the run is spent now."""
        if time.perf_counter() >= self.deadline or self.counts.sum() >= self.samples_left:
            raise BudgetSpent

    def _limit(self, seconds, samples):
        self.deadline = time.perf_counter() + self.rules.max_seconds - seconds
        self.samples_left = self.rules.max_samples - samples
        self.counts[:] = 0

    def _start_solver(self):
        solver = self.solver
        z0, x0 = (np.array(a, dtype=np.float64) for a in (self.z0, self.x0))
        solver.current, solver.exhausted = Iterates(z0, x0), False
        solver.live_draws = self.streams()
        try:
            solver.start(z0, x0)
        except BudgetSpent:
            solver.exhausted = True

    # ------------------------------------------------------------------ what the run loop calls
    def begin(self):
        """Set the iterates to their start."""
        self._limit(0.0, 0)
        self._start_solver()
        return Launched(self.solver.current, None, self.solver.live_draws, None, 0)

    def advance(self, state, n):
        """Do ``n`` outer iterations, fewer where a budget is spent."""
        self._limit(state.seconds, int(state.ledger.sum()))
        self.solver.live_draws = state.draws
        done = self.solver.advance(n)
        return Launched(self.solver.current, None, state.draws, None, done)

    def wait(self, launched):
        """Wait for the device; return (counts, int64 array, status)."""
        self.bk.sync(tuple(a for a in launched.carry if a is not None))
        if not self.solver.is_finite():
            return self.counts.copy(), "diverged"
        return self.counts.copy(), "exhausted" if self.solver.exhausted else "running"

    # ------------------------------------------------------------------ states on the host
    def iterates(self, state):
        """Return z, x, the last outer direction (NaN where there is none) and the x it was taken at."""
        z, x, d_x, x_before = state.carry
        to_host = self.solver.to_host
        x = to_host(x)
        return dict(
            z=to_host(z),
            x=x,
            d_x=np.full_like(x, np.nan) if d_x is None else to_host(d_x),
            x_before=x if x_before is None else to_host(x_before),
        )

    def to_host(self, tree):
        """Return what the solver carries, as plain objects."""
        if tree is None:
            return None
        return dict(
            current=self.bk.tree_map(self.bk.to_host, tuple(tree)),
            exhausted=self.solver.exhausted,
            snapshot=self.solver.snapshot(),
        )

    def to_device(self, tree):
        """Put back into the solver what `to_host` returned."""
        if tree is None:
            return None
        self._start_solver()
        self.solver.restore(tree["snapshot"])
        on_host = all(isinstance(a, np.ndarray) or a is None for a in self.solver.current)
        back = (lambda a: a) if on_host and not self.solver.on_device else self.bk.from_host
        self.solver.current = Iterates(*self.bk.tree_map(back, tree["current"]))
        self.solver.exhausted = tree["exhausted"]
        return self.solver.current
