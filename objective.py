import json
import math
import zlib

import numpy as np
from benchopt import BaseObjective
from benchopt.stopping_criterion import NoCriterion
from threadpoolctl import threadpool_limits

from benchmark_utils.backends.numpy_namespace import xp
from benchmark_utils.environment import environment
from benchmark_utils.ledger import ORACLES
from benchmark_utils.problem import flatten, unflatten
from benchmark_utils.projections import project


class Objective(BaseObjective):
    """Bilevel optimisation: min over x of h(x) = F(z*(x), x), where z*(x) minimises G(z, x).

    Rules: a run ends when it has spent ``max_seconds`` of solver time (compilation and evaluation excluded) or
    ``max_samples`` oracle samples, whichever comes first. Every metric comes from float64 reference solutions of
    z*(x) and v*(x), the same for all solvers. The first column, ``value``, is the squared norm of grad h.
    """

    name = "Bilevel"
    url = "https://github.com/benchopt/benchmark_bilevel"
    min_benchopt_version = "1.10"
    requirements = ["numpy", "scipy", "scikit-learn", "threadpoolctl", "pip::array-api-compat", "psutil"]
    parameters = {"max_seconds": [5.0], "max_samples": [math.inf]}
    sampling_strategy = "callback"
    stopping_criterion = NoCriterion()
    test_config = {"dataset": {"name": "simulated"}, "max_seconds": 1.0}

    def skip(self, problem, reason=None):
        """Skip a data set that could not be had, with its sentence, or one whose data are not numbers."""
        if problem is None:
            return True, reason
        reason = problem.check()
        return reason is not None, reason

    def set_data(self, problem, reason=None):
        # NumPy and SciPy keep to one thread from here on: threads of a larger pool spin on after each evaluation and
        # take the cores from the solver that is timed next (measured: eager torch ten times slower on two cores).
        threadpool_limits(limits=1, user_api="blas")
        self.problem = problem
        self._last = None  # solution at the last checkpoint of this run: warm start of the next

    def get_objective(self):
        # The same start and the same draws for every solver: the seed knows the repetition alone.
        self.seed = self.get_seed(use_repetition=True)
        z0, x0 = self.problem.init(np.random.default_rng([self.seed, zlib.crc32(b"init")]))
        rules = dict(max_seconds=self.max_seconds, max_samples=self.max_samples, max_iterations=math.inf)
        return dict(problem=self.problem, z0=z0, x0=x0, seed=self.seed, rules=rules)

    def get_one_result(self):
        z0, x0 = self.problem.init(np.random.default_rng(0))
        return dict(
            z=z0, x=x0, d_x=0 * x0, x_before=x0, counts=dict.fromkeys(ORACLES, 0), n_iter=0, compile_time=0.0,
            diverged=False, run_facts={},
        )  # fmt: skip

    def evaluate_result(self, z, x, d_x, x_before, counts, n_iter, compile_time, diverged, run_facts):
        """Return the row of a checkpoint as Python numbers; NaN where the iterates or the reference are not finite."""
        finite = np.isfinite(z).all() and np.isfinite(x).all()
        nothing = dict.fromkeys(("value", "h", "inner_gap"), math.nan)
        row = self._metrics(z, x, d_x, x_before, n_iter) if finite else nothing
        row |= {f"n_{name}": int(counts[name]) for name in ORACLES}
        return row | dict(
            n_samples=sum(counts.values()),
            n_iter=int(n_iter),
            compile_time=float(compile_time),
            diverged=int(diverged or not finite),
        )

    def _metrics(self, z, x, d_x, x_before, n_iter):
        with np.errstate(all="ignore"):  # a run on its way to divergence overflows here, and the row says so
            solution = self._solve(x)
            row = dict(value=self._stationarity(x, solution.gradient), h=solution.h)
            if self.problem.h_star is not None:
                row["h_gap"] = solution.h - self.problem.h_star
            row["inner_gap"] = float(np.sum((z - solution.z) ** 2))
            row["outer_loss"] = float(self.problem.reference.outer_value(z, x))
            row["hypergrad_error"], row["hypergrad_cosine"] = math.nan, math.nan
            if n_iter > 0:  # no direction has been used at the start
                exact = solution if np.array_equal(x, x_before) else self._solve(x_before, keep=False)
                row["hypergrad_error"], row["hypergrad_cosine"] = compare(d_x, exact.gradient)
            row["reference_residual"] = solution.residual
            if self.problem.metrics is not None:
                row |= self.problem.metrics(z, x, solution)
        return row

    def _solve(self, x, keep=True):
        """Return the reference solution at x, warm-started from the last checkpoint of this run."""
        start = self._last if self._last is not None and np.isfinite(self._last.h) else None
        solution = self.problem.reference.solve(x, start)
        if keep:
            self._last = solution
        return solution

    def _stationarity(self, x, gradient):
        """Return ‖grad h‖^2, or the squared gradient mapping at the problem's fixed step where X is a constraint."""
        if self.problem.constraint is None:
            return float(gradient @ gradient)
        alpha, shape = self.problem.gradient_mapping_step, self.problem.outer_shape
        moved = flatten(xp, project(xp, unflatten(xp, x - alpha * gradient, shape), self.problem.constraint))
        return float(np.sum(((x - moved) / alpha) ** 2))

    def save_final_results(self, z, x, run_facts, **_):
        """Store the last iterates and the environment record."""
        return dict(z=z, x=x, environment=json.dumps(environment(self.problem, self.seed, run_facts)))


def compare(direction, gradient):
    """Return (relative error, cosine) of a direction against a gradient; NaN where the norms are zero."""
    norm, other = np.linalg.norm(gradient), np.linalg.norm(direction)
    error = float(np.linalg.norm(direction - gradient) / norm) if norm > 0 else math.nan
    cosine = float(direction @ gradient / (norm * other)) if norm > 0 and other > 0 else math.nan
    return error, cosine
