"""Fixed points and adjoints of contractions, iterated to a stated tolerance in float64."""

import numpy as np

from benchmark_utils.evaluation.solution import Solution
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.variables import flatten, unflatten


class FixedPointEvaluator:
    """Solutions of a problem with tasks whose lower level is ``z_i = Phi_i(z_i, x)``.

    Both ``z <- Phi(z, x)`` and ``v <- v - (H v + grad_z F)`` are iterated for all tasks at
    once. With a contraction q the error left is ``tolerance / (1 - q)``.

    Parameters
    ----------
    inner, outer : Term
        Phi and F, with closed forms of grad_z, hvp and cross, and of value, grad_z and grad_x.
    inner_rows, outer_rows : dict of str to array
        Rows of both levels: row i of either is task i.
    n_states : int
        Entries of z of one task.
    outer_shape : dict of str to tuple of int, or tuple of int
    tolerance : float
        The iterations stop where the largest ‖z_i - Phi_i‖, or ‖H v_i + grad_z F_i‖, is below it.
    max_iterations : int
        For a Phi that is no contraction: h and its gradient are then NaN.
    """

    def __init__(
        self,
        inner,
        outer,
        inner_rows,
        outer_rows,
        n_states,
        outer_shape,
        tolerance=1e-12,
        max_iterations=1000,
    ):
        self.inner, self.outer = inner, outer
        self.inner_rows, self.outer_rows = inner_rows, outer_rows
        self.n_states, self.outer_shape = n_states, outer_shape
        self.tolerance, self.max_iterations = tolerance, max_iterations
        self.n_tasks = len(next(iter(inner_rows.values())))
        self.weights = np.full(self.n_tasks, 1 / self.n_tasks)

    def solve(self, x, start=None):
        """Return the `Solution` at a flat x, warm-started from the `Solution` ``start``.

        z and v have shape (n_tasks, n_states).
        """
        shaped = self._shaped(x)
        z, residual = self.states(x, self.inner_rows, None if start is None else start.z)
        weights, rows = self.weights, self.inner_rows
        ask = lambda term, want, v, rows: term.derivatives(xp, want, z, shaped, v, rows, weights)
        outer = ask(self.outer, {"value", "grad_z", "grad_x"}, None, self.outer_rows)
        product = lambda v: ask(self.inner, {"hvp"}, v, rows)["hvp"] + outer["grad_z"]
        v, left = self._iterate(product, -outer["grad_z"] if start is None else start.v)
        if not max(residual, left) <= self.tolerance:
            nothing = np.full(len(flatten(xp, shaped)), np.nan)
            return Solution(z, v, np.nan, nothing, residual)
        last = ask(self.inner, {"grad_z", "cross"}, v, rows)
        h = float(outer["value"] + np.sum(weights[:, None] * v * last["grad_z"]))
        gradient = flatten(xp, last["cross"]) + flatten(xp, outer["grad_x"])
        return Solution(z, v, h, gradient, residual)

    def outer_value(self, z, x):
        """Return F at z of shape (n_tasks, n_states) or flat, and a flat x."""
        z, shaped = np.reshape(z, (self.n_tasks, self.n_states)), self._shaped(x)
        return float(self.outer.value(xp, z, shaped, self.outer_rows, self.weights))

    def states(self, x, rows, start=None):
        """Return the fixed points for any rows, (b, n_states), and the largest ‖z_i - Phi_i‖."""
        shaped, n_rows = self._shaped(x), len(next(iter(rows.values())))
        residual = lambda z: self.inner.derivatives(xp, {"grad_z"}, z, shaped, None, rows, None)["grad_z"]
        return self._iterate(residual, np.zeros((n_rows, self.n_states)) if start is None else start)

    def _iterate(self, residual, z):
        """Return z after ``z <- z - residual(z)`` and the largest norm of a row of that."""
        for _ in range(self.max_iterations):
            step = residual(z)
            size = float(np.sqrt(np.max(np.einsum("ij,ij->i", step, step))))
            if size <= self.tolerance or not np.isfinite(size):
                break
            z = z - step
        return z, size

    def _shaped(self, x):
        return unflatten(xp, np.asarray(x, np.float64), self.outer_shape)
