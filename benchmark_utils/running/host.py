"""Solvers that drive their loop on the host: SciPy, Optuna, third-party libraries, loops written by hand.

They run under the clock, the ledger, the budgets, the seeds and the checkpoints of every other solver. What they
call on the problem are *counted functions*: compiled functions made of oracles whose exact cost is added to
``ledger_totals`` at each call, whoever makes the call.
"""

import importlib.util
import math
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize

from benchmark_utils.oracles import Oracles
from benchmark_utils.solver_base import BackendSolver

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


class HostSolver(BackendSolver):
    """A bilevel algorithm whose loop runs on the host: a file adds `compile`, `start` and `iterate` (or `chunk`).

    Budgets are looked at before each call of a counted function too: an inner solve that is too long is cut off
    there, its outer iteration does not count, and the iterates stay those of the last whole iteration.

    Attributes
    ----------
    current : Iterates
        Iterates after the last whole outer iteration.
    exhausted : bool
        Set it when nothing is left to do; the run ends there.
    """

    #: Backends the file is written for.
    frameworks = ("jax", "torch")
    #: Packages the file needs besides its backend.
    packages = ()
    #: What an outer iteration takes over from the one before, of ("z", "v"), for docs/solvers.md.
    warm_starts = ()
    loop_kind = "double"

    # ------------------------------------------------------------------ what a solver file defines
    def compile(self):
        """Build the counted functions with `compile_oracle`; called once per problem, outside the clock."""
        raise NotImplementedError

    def start(self, z0, x0):
        """Reset what the iterations carry besides ``current``; z0 and x0 are float64 NumPy vectors."""

    def iterate(self):
        """Do one outer iteration from ``self.current`` and return the new `Iterates`."""
        raise NotImplementedError

    def chunk(self, n):
        """Do between 1 and ``n`` outer iterations; return how many and the `Iterates`. Native loops override it."""
        return 1, self.iterate()

    # ------------------------------------------------------------------ counted functions
    def compile_oracle(self, function, *examples, host=True):
        """Compile a function of the oracles and return it as a counted function.

        Parameters
        ----------
        function : callable
            ``function(oracles, *args) -> array``, or a tuple or dict of arrays.
        *examples : arrays
            Arguments of the shapes and types that calls will have.
        host : bool
            True: arguments and results of the calls are NumPy arrays (float64) and Python floats; False: arrays
            of the backend, any pytree of them.

        Returns
        -------
        callable
            ``counted(*args)``; adds the samples its oracles visited to ``ledger_totals``.

        Raises
        ------
        BudgetSpent
            By the returned function, if a budget of the run is spent before the call.
        """
        to_device = self.bk.asarray if host else lambda a: a

        def with_counts(data, *args):
            oracles = Oracles(self.bk, self.spec, data)
            return function(oracles, *args), oracles.ledger.vector()

        program, seconds = self.bk.compile_once(with_counts, self.data, *map(to_device, examples))
        self.compile_time += seconds

        def counted(*args):
            if self.spent_now():
                raise BudgetSpent
            result, counts = program(self.data, *map(to_device, args))
            self.ledger_totals += [int(count) for count in counts]
            return _map(self._to_host, result) if host else result

        return counted

    def _to_host(self, array):
        array = array if isinstance(array, np.ndarray) else self.bk.to_numpy(array)
        return array if array.ndim else float(array)

    # ------------------------------------------------------------------ set-up, outside the clock
    def skip(self, problem, **objective):
        """Return (True, sentence) if this configuration cannot run here."""
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                return True, f"{self.name} needs the package {package}, not installed here; `pip install {package}`."
        return super().skip(problem, **objective)

    def why_not_backend(self):
        """Return a sentence if the file is not written for the chosen backend."""
        if self.backend == "torch-compiled" and "torch" in self.frameworks:
            return f"{self.name} runs its loop on the host, so there is no graph for torch-compiled; use torch."
        if self.backend not in self.frameworks:
            return f"{self.name} is written in {self.frameworks[0]}; choose the backend {self.frameworks[0]}."

    def prepare(self):
        """Forget the programs compiled for another problem."""
        self._compiled = False

    def pre_run_hook(self, callback):
        """Compile, once per problem, and rehearse one outer iteration."""
        if self._compiled:
            return
        self.compile_time = 0.0
        self.compile()
        rules, self.rules = self.rules, dict(max_seconds=REHEARSAL_SECONDS, max_samples=math.inf, max_iterations=1)
        self.run(lambda: True)
        self.rules, self._compiled = rules, True

    # ------------------------------------------------------------------ the timed part
    def begin(self):
        """Set the iterates to their start."""
        z0, x0 = (np.array(a, dtype=np.float64) for a in self._start)
        self.current, self.exhausted, self.unfinished = Iterates(z0, x0), False, 0
        self.start_draws()
        try:
            self.start(z0, x0)
        except BudgetSpent:
            self.exhausted = True

    def advance(self, n):
        """Do ``n`` outer iterations, fewer where a budget is spent."""
        self.unfinished = n
        try:
            while self.unfinished and not self.exhausted and self._finite():
                done, self.current = self.chunk(self.unfinished)
                self.unfinished -= done
        except BudgetSpent:
            pass

    def sync(self):
        """Wait for the device and look whether the iterates are finite."""
        self.bk.sync(tuple(a for a in self.current if a is not None))
        self.diverged = not self._finite()

    def _finite(self):
        return all(np.isfinite(self._to_host(a)).all() for a in self.current[:2])

    def _finished(self):
        return super()._finished() or self.exhausted

    def iterates(self):
        """Return z, x, the last outer direction (NaN where there is none) and the x it was taken at."""
        z, x, d_x, x_before = self.current
        x = self._to_host(x)
        return dict(
            z=self._to_host(z),
            x=x,
            d_x=np.full_like(x, np.nan) if d_x is None else self._to_host(d_x),
            x_before=x if x_before is None else self._to_host(x_before),
        )


def _map(function, tree):
    """Apply a function to the arrays of a tuple, a NamedTuple, a list or a dict, or to one array."""
    if isinstance(tree, dict):
        return {name: _map(function, item) for name, item in tree.items()}
    if isinstance(tree, (tuple, list)):
        items = [_map(function, item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return function(tree)


def lbfgs(value_and_gradient, z0, tolerance, relative=False, precision="float64", max_iterations=1000):
    """Minimise on the host with SciPy's L-BFGS-B, until the gradient is small in the Euclidean norm.

    Parameters
    ----------
    value_and_gradient : callable
        ``z -> (value, gradient)``.
    z0 : array of shape (p,)
    tolerance : float
        Stop at ``‖gradient‖ <= tolerance``, or where a decrease is below the rounding of ``precision``.
    relative : bool
        Whether ``tolerance`` is a fraction of the norm of the gradient at z0.
    precision : {"float32", "float64"}
        Precision of the values.
    max_iterations : int

    Returns
    -------
    scipy.optimize.OptimizeResult
        ``nfev`` is the number of calls of ``value_and_gradient``.
    """
    value, gradient = value_and_gradient(z0)
    size = np.linalg.norm(gradient)
    tolerance = tolerance * size if relative else tolerance
    if not size > tolerance:  # SciPy would look at the largest entry instead
        return scipy.optimize.OptimizeResult(x=z0, fun=value, jac=gradient, nfev=1, nit=0)
    first = [(value, gradient)]

    def evaluate(z):  # SciPy's first call is at z0 again
        nonlocal gradient
        value, gradient = first.pop() if first else value_and_gradient(z)
        return value, gradient

    def stop(intermediate_result):  # called after a line search, whose last evaluation is the new iterate
        if np.linalg.norm(gradient) <= tolerance:
            raise StopIteration

    options = {
        "maxiter": max_iterations,
        "maxfun": 20 * max_iterations,
        "gtol": 0.0,
        "ftol": float(np.finfo(precision).eps),
    }
    return scipy.optimize.minimize(evaluate, z0, method="L-BFGS-B", jac=True, callback=stop, options=options)
