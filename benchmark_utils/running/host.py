"""Solvers that drive their loop on the host: SciPy, Optuna, third-party libraries, loops written by hand.

They run under the clock, the ledger, the budgets, the seeds and the checkpoints of every other solver. What they
call on the problem are *counted functions*: compiled functions made of oracles whose exact cost is added to
``ledger_totals`` at each call, whoever makes the call.
"""

import importlib.util

import numpy as np

from benchmark_utils.oracles.oracles import Oracles
from benchmark_utils.running.host_program import BudgetSpent, HostProgram, Iterates
from benchmark_utils.running.solver import BackendSolver

__all__ = ["BudgetSpent", "HostSolver", "Iterates"]


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
    #: Names of what the method asks of a problem, as `Oracles.asked` collects them.
    requires = ()
    #: What an outer iteration takes over from the one before, of ("z", "v"), for docs/solvers.md.
    warm_starts = ()
    #: Whether ``current`` holds arrays of the backend; NumPy arrays otherwise.
    on_device = False
    loop_kind = "double"
    program_class = HostProgram

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

    def snapshot(self):
        """Return what the iterations carry besides ``current`` as a dict of NumPy arrays and plain objects."""
        return {}

    def restore(self, snapshot):
        """Set what `snapshot` returned, after `start`."""
        for name, value in snapshot.items():
            setattr(self, name, value)

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
            ``counted(*args)``; adds the samples its oracles visited to the ledger.

        Raises
        ------
        BudgetSpent
            By the returned function, if a budget of the run is spent before the call.
        """
        program = self.program
        to_device = self.bk.asarray if host else lambda a: a

        def with_counts(data, *args):
            oracles = Oracles(self.bk, program.spec, data)
            return function(oracles, *args), oracles.ledger.vector()

        compiled, seconds = self.bk.compile_once(with_counts, program.data, *map(to_device, examples))
        program.compile_time += seconds

        def counted(*args):
            program.check()
            result, counts = compiled(program.data, *map(to_device, args))
            program.count(counts)
            return _map(self.to_host, result) if host else result

        return counted

    def to_host(self, array):
        """Return an array of the backend, or of NumPy, as a float64 NumPy array or a Python float."""
        array = array if isinstance(array, np.ndarray) else self.bk.to_numpy(array)
        return array if array.ndim else float(array)

    # ------------------------------------------------------------------ set-up, outside the clock
    def skip(self, problem, rules, **objective):
        """Return (True, sentence) if this configuration cannot run here."""
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                return True, f"{self.name} needs the package {package}, not installed here; `pip install {package}`."
        if problem.tasks is not None:
            return True, f"{self.name} runs its loop on the host and does not draw tasks, which {problem.name} has."
        return super().skip(problem, rules)

    def required(self):
        """Return the names of what this algorithm asks of a problem."""
        return self.requires

    def why_not_backend(self):
        """Return a sentence if the file is not written for the chosen backend."""
        if self.backend == "torch-compiled" and "torch" in self.frameworks:
            return f"{self.name} runs its loop on the host, so there is no graph for torch-compiled; use torch."
        if self.backend not in self.frameworks:
            return f"{self.name} is written in {self.frameworks[0]}; choose the backend {self.frameworks[0]}."
        return None

    # ------------------------------------------------------------------ what a solver file may use
    @property
    def hp(self):
        """Hyper-parameters as arrays of the backend."""
        return self.program.hp

    @property
    def start_point(self):
        """The start of the run, (z0, x0), float64 NumPy vectors."""
        return self.program.z0, self.program.x0

    @property
    def seed(self):
        """Seed of the repetition."""
        return self.program.seed

    def begin(self):
        """Go to the start; `compile` calls it to have examples of what `start` sets."""
        self.program._start_solver()

    def take_draws(self, n):
        """Return the draws of the next ``n`` iterations, as the backend packs them."""
        return self.program.take(self.live_draws, n)

    def on_the_device(self, arrays):
        """Return arrays of the backend."""
        return tuple(self.bk.asarray(a) for a in arrays)

    def advance(self, n):
        """Do ``n`` outer iterations, fewer where a budget is spent; return how many."""
        left = n
        try:
            while left and not self.exhausted and self.is_finite():
                done, self.current = self.chunk(left)
                left -= done
        except BudgetSpent:
            pass
        return n - left

    def is_finite(self):
        """Return whether z and x are finite."""
        return all(np.isfinite(self.to_host(a)).all() for a in self.current[:2])


def _map(function, tree):
    """Apply a function to the arrays of a tuple, a NamedTuple, a list or a dict, or to one array."""
    if isinstance(tree, dict):
        return {name: _map(function, item) for name, item in tree.items()}
    if isinstance(tree, (tuple, list)):
        items = [_map(function, item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return function(tree)
