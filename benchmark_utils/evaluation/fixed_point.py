"""Fixed points and adjoints of contractions, iterated to a stated tolerance in float64."""

import numpy as np

from benchmark_utils.evaluation.solution import Solution
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.variables import flatten, unflatten

#: Tasks that are iterated together: few enough for their states to stay near the processor.
CHUNK = 2048


class FixedPointEvaluator:
    """Solutions of a problem with tasks whose lower level is ``z_i = Phi_i(z_i, x)``.

    Both ``z <- Phi(z, x)`` and ``v <- v - (H v + grad_z F)``, whose matrix is not symmetric, are
    iterated for chunks of tasks until the last task of the chunk is there. With a contraction q
    the error left is ``tolerance / (1 - q)``. Beside the rows and the solution, z and v of all
    tasks, memory is needed for one chunk only.

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
        The iterations stop where the largest ‖z_i - Phi_i‖, or ‖H v_i + grad_z F_i‖ with F_i the
        loss of task i, is below it.
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
        self.n_tasks = n_rows(inner_rows)

    def solve(self, x, start=None):
        """Return the `Solution` at a flat x, warm-started from the `Solution` ``start``.

        z and v have shape (n_tasks, n_states).
        """
        shaped = self._shaped(x)
        z, v = (np.empty((self.n_tasks, self.n_states)) for _ in "zv")
        h, gradient, residuals = 0.0, np.zeros(np.size(x)), []
        for part in chunks(self.n_tasks):
            first = (None, None) if start is None else (start.z[part], start.v[part])
            z[part], v[part], *of_chunk = self._solve_chunk(shaped, part, *first)
            h, gradient = h + of_chunk[0], gradient + of_chunk[1]
            residuals.append(of_chunk[2])
            if not max(residuals[-1]) <= self.tolerance:  # given up: the rest cannot mend it
                z[part.stop :], v[part.stop :] = np.nan, np.nan
                h, gradient = np.nan, np.full_like(gradient, np.nan)
                break
        return Solution(z, v, h, gradient, max(residual for residual, _ in residuals))

    def outer_value(self, z, x):
        """Return F at z of shape (n_tasks, n_states) or flat, and a flat x."""
        z, shaped = np.reshape(z, (self.n_tasks, self.n_states)), self._shaped(x)
        weights = np.full(self.n_tasks, 1 / self.n_tasks)
        return float(self.outer.value(xp, z, shaped, self.outer_rows, weights))

    def states(self, x, rows, start=None):
        """Return the fixed points for any rows, (b, n_states), and the largest ‖z_i - Phi_i‖."""
        shaped, n, largest = self._shaped(x), n_rows(rows), 0.0
        z = np.zeros((n, self.n_states)) if start is None else np.array(start)
        for part in chunks(n):
            z[part], size = self._iterate(self._residual_of(shaped, cut(rows, part))[0], z[part])
            largest = np.maximum(largest, size)  # NaN stays
        return z, float(largest)

    def _solve_chunk(self, x, part, z, v):
        """Return (z, v, its part of h, of grad h, the two residuals) of a slice of tasks."""
        inner_rows, outer_rows = cut(self.inner_rows, part), cut(self.outer_rows, part)
        n, weights = n_rows(inner_rows), np.full(n_rows(inner_rows), 1 / self.n_tasks)
        residual_of, inner_rows = self._residual_of(x, inner_rows)
        z, residual = self._iterate(residual_of, np.zeros((n, self.n_states)) if z is None else z)
        want = {"value", "grad_z", "grad_x"}
        F = self.outer.derivatives(xp, want, z, x, None, outer_rows, weights)
        product = self.inner.product_at(xp, z, x, inner_rows)
        v, left = self._iterate(lambda v: product(v) + F["grad_z"], -F["grad_z"] if v is None else v)
        h = float(F["value"] + np.sum(weights[:, None] * v * residual_of(z)))
        cross = self.inner.derivatives(xp, {"cross"}, z, x, v, inner_rows, weights)["cross"]
        return z, v, h, flatten(xp, cross) + flatten(xp, F["grad_x"]), (residual, left)

    def _residual_of(self, x, rows):
        """Return (the function ``z -> z - Phi(z, x)`` at one x, the rows prepared for that x)."""
        rows = self.inner.prepared(xp, x, rows)
        ask = self.inner.derivatives
        return lambda z: ask(xp, {"grad_z"}, z, x, None, rows, None)["grad_z"], rows

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


def n_rows(rows):
    """Return the number of rows of a dict of arrays."""
    return len(next(iter(rows.values())))


def chunks(n):
    """Return slices of at most `CHUNK` that cover n rows."""
    return [slice(i, min(i + CHUNK, n)) for i in range(0, n, CHUNK)]


def cut(rows, part):
    """Return a slice of every array."""
    return {name: array[part] for name, array in rows.items()}
