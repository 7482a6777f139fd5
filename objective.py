import json
import math
import traceback
import warnings

import numpy as np
from benchopt import BaseObjective
from benchopt.stopping_criterion import NoCriterion
from threadpoolctl import threadpool_limits

from benchmark_utils.evaluation.split import split
from benchmark_utils.files.provenance import environment, n_cores, n_workers
from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.parameters import NumericParameters
from benchmark_utils.problem.variables import flatten, unflatten
from benchmark_utils.running import guard
from benchmark_utils.running.journal import Journal
from benchmark_utils.running.rules import VERSION, Rules
from benchmark_utils.running.start import start_point


class Objective(NumericParameters, BaseObjective):
    """Bilevel optimisation: min over x of h(x) = F(z*(x), x), where z*(x) minimises G(z, x) or is a fixed point.

    Every metric comes from float64 solutions of z*(x) and v*(x), the same for all solvers. The first column,
    ``value``, is the squared norm of grad h (of the gradient mapping where X is a set).

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        Where solvers run; "auto" takes a GPU where there is one.
    precision : {"float32", "float64"}
        Floating type of the solvers' arrays.
    max_seconds : float
        Solver time after which a run ends (seconds; compilation and evaluation excluded).
    max_samples : float
        Samples of the ledger after which a run ends, all oracles together.
    diagnose : {False, True}
        Whether each row says where the error of the outer direction comes from (docs/statistics.md); rows take longer.
    """

    name = "Bilevel"
    min_benchopt_version = "1.10"
    requirements = [
        "numpy", "scipy", "scikit-learn", "threadpoolctl", "pip::array-api-compat", "psutil", "pyyaml",
    ]  # fmt: skip
    parameters = {
        "device": ["auto"], "precision": ["float32"], "max_seconds": [5.0], "max_samples": [math.inf],
        "diagnose": [False],
    }  # fmt: skip
    sampling_strategy = "callback"
    stopping_criterion = NoCriterion()
    test_config = {"dataset": {"name": "simulated"}, "max_seconds": 1.0}
    #: Processes of this run that share the machine, found anew for each repetition.
    workers = 1

    def _rules(self):
        return Rules.read(**{name: getattr(self, name) for name in self.parameters})

    def skip(self, problem, reason=None):
        """Skip a data set that could not be had or cannot be used, or rules that cannot be right."""
        if problem is not None:
            reason = self._rules().why_bad() or self._why_endless() or problem.check(xp)
        return reason is not None, reason

    def _why_endless(self):
        if math.isinf(self.max_seconds) and math.isinf(self.max_samples):
            return "max_seconds and max_samples are both inf, so that no run would end; give one of them a number."
        return None

    def _set_dataset(self, dataset):
        """Skip a data set whose file raises an error: benchopt would end there and lose all runs that are finished."""
        try:
            return super()._set_dataset(dataset)
        except Exception as error:
            traceback.print_exc()
            return True, f"{dataset} could not be made, {type(error).__name__}: {error}"

    def set_data(self, problem, reason=None):
        output = getattr(getattr(self, "_run_context", None), "run_output_base", None)
        guard.watch(output and output.parent)
        # NumPy and SciPy keep to one thread from here on: threads of a larger pool spin on after each evaluation and
        # take the cores from the solver that is timed next (measured: eager torch ten times slower on two cores).
        threadpool_limits(limits=1, user_api="blas")
        self.problem, self.journal = problem, None
        self._last = None  # solution at the last checkpoint of this run: warm start of the next

    def get_objective(self):
        # The same start and the same draws for every solver: the seed knows the repetition alone.
        self.seed = self.get_seed(use_repetition=True)
        z0, x0 = start_point(self.problem, self.seed)
        self.workers = n_workers()
        if self.workers > 1:
            sentence = "workers share this machine: compare samples and iterations, not seconds (docs/rules.md)."
            warnings.warn(f"{self.workers} {sentence}", RuntimeWarning, stacklevel=2)
        run = self.get_seed(use_objective=True, use_dataset=True, use_repetition=True)
        self.journal = Journal(f"{self.problem.name}-{run}-{self.seed}")
        return dict(problem=self.problem.view, z0=z0, x0=x0, seed=self.seed, rules=self._rules(), journal=self.journal)

    def get_one_result(self):
        z0, x0 = self.problem.init(np.random.default_rng(0))
        return dict(
            z=z0, x=x0, d_x=0 * x0, x_before=x0, counts=dict.fromkeys(ORACLES, 0), n_iter=0, seconds=0.0,
            compile_time=0.0, diverged=False, hyper_parameters={}, run_facts={},
        )  # fmt: skip

    def evaluate_result(self, row=None, warm_start=None, clock=None, saved=None, **result):
        """Return the row of a checkpoint as Python numbers; NaN where the iterates or the evaluator are not finite.

        A run that goes on hands in the rows that it has recorded already.
        """
        if row is not None:
            self._last = warm_start
        else:
            row = self._row(**result)
        if self.journal is not None and clock is not None:
            self.journal.record(row, clock, saved, self._last)
        return row

    def _row(
        self, z, x, d_x, x_before, counts, n_iter, seconds, compile_time, diverged, hyper_parameters, run_facts,
        peak_memory=math.nan, taken=None, adaptation=None,
    ):  # fmt: skip
        finite = (z is None or np.isfinite(z).all()) and np.isfinite(x).all()
        nothing = dict.fromkeys(("value", "h", "inner_gap"), math.nan)
        row = self._metrics(z, x, d_x, x_before, n_iter, taken, adaptation) if finite else nothing
        row |= {f"n_{name}": int(counts[name]) for name in ORACLES}
        row |= {f"hp_{name}": value for name, value in hyper_parameters.items()}
        rules, n_samples = self._rules(), sum(counts.values())
        return row | dict(
            n_samples=n_samples,
            n_iter=int(n_iter),
            n_workers=self.workers,
            n_cores=n_cores(),
            spent_samples=n_samples / rules.max_samples,
            spent_seconds=float(seconds) / rules.max_seconds,
            compile_time=float(compile_time),
            peak_memory=float(peak_memory),
            diverged=int(diverged or not finite),
            problem_version=self.problem.version,
            rules_version=VERSION,
        )

    def _metrics(self, z, x, d_x, x_before, n_iter, taken, adaptation):
        names = ("value", "h", "inner_gap", "outer_loss", "hypergrad_error", "hypergrad_cosine", "reference_residual")
        row, problem, solution = dict.fromkeys(names, math.nan), self.problem, None
        with np.errstate(all="ignore"):  # a run on its way to divergence overflows here, and the row says so
            if problem.evaluator is not None:
                solution = self._solve(x)
                row["value"], row["h"] = self._stationarity(x, solution.gradient), solution.h
                row["reference_residual"] = solution.residual
                if problem.h_star is not None:
                    row["h_gap"] = solution.h - problem.h_star
                if z is not None:
                    z = getattr(problem.evaluator, "seen", np.asarray)(z)  # some know a part of the tasks
                    # With tasks a mean over them, like every inner product in the space of z.
                    n_tasks = 1 if problem.tasks is None else len(solution.z)
                    row["inner_gap"] = float(np.sum((z - solution.z.ravel()) ** 2)) / n_tasks
                    row["outer_loss"] = float(problem.evaluator.outer_value(z, x))
                if n_iter > 0 and problem.compares_directions:  # no direction has been used at the start
                    exact = solution if np.array_equal(x, x_before) else self._solve(x_before, keep=False)
                    row["hypergrad_error"], row["hypergrad_cosine"] = compare(d_x, exact.gradient)
                if taken is not None:
                    parts = split(problem.evaluator, x, solution.gradient, **taken, start=solution)
                    row |= {f"direction_{name}": value for name, value in parts.items()}
            elif z is not None:
                row["outer_loss"] = problem.outer_value(xp, z, x)
            if problem.metrics is not None and not (z is None and solution is None):
                row |= problem.metrics(z, x, solution)
            if problem.adapted_metrics is not None:
                row |= problem.adapted_metrics(x, adaptation)
        return row

    def _solve(self, x, keep=True):
        """Return the solution at x, warm-started from the last checkpoint of this run."""
        start = self._last if self._last is not None and np.isfinite(self._last.h) else None
        solution = self.problem.evaluator.solve(x, start)
        if keep:
            self._last = solution
        return solution

    def _stationarity(self, x, gradient):
        """Return ‖grad h‖^2, or the squared gradient mapping at the problem's fixed step where X is a constraint."""
        problem = self.problem
        if problem.feasible_set is None:
            return float(gradient @ gradient)
        alpha, shape = problem.gradient_mapping_step, problem.outer_shape
        trial = unflatten(xp, x - alpha * gradient, shape)
        moved = flatten(xp, problem.feasible_set.nearest(xp, trial, problem.feasible_arrays))
        return float(np.sum(((x - moved) / alpha) ** 2))

    def save_final_results(self, z=None, x=None, run_facts=None, **_):
        """Store the last iterates and the environment record."""
        return dict(z=z, x=x, environment=json.dumps(environment(self.problem, self.seed, run_facts, self.workers)))


def compare(direction, gradient):
    """Return (relative error, cosine) of a direction against a gradient; NaN where the norms are zero."""
    norm, other = np.linalg.norm(gradient), np.linalg.norm(direction)
    error = float(np.linalg.norm(direction - gradient) / norm) if norm > 0 else math.nan
    cosine = float(direction @ gradient / (norm * other)) if norm > 0 and other > 0 else math.nan
    return error, cosine
