"""Exact solutions where z solves multinomial logistic regressions on features that depend on x.

At a fixed x every task is ``G(z) = 1/n sum_j CE(z; f_j, y_j) + ridge / 2 ‖z‖^2``; all tasks are
solved at once by damped Newton with dense Hessians, in float64. Data poisoning is one task
without an axis of its own, few-shot episodes are many.
"""

import numpy as np

from benchmark_utils.evaluation.solution import Solution
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.variables import flatten, unflatten
from benchmark_utils.terms.links import MULTINOMIAL

#: Newton steps, and halvings of one of them.
MAX_STEPS, MAX_HALVINGS = 60, 30


class Regressions:
    """Multinomial logistic regressions, one for each task.

    Parameters
    ----------
    features : array of shape (t, n, k)
    targets : array of shape (t, n, c)
        One-hot rows.
    ridge : float
        Positive.
    """

    def __init__(self, features, targets, ridge):
        self.features, self.ridge, self.n = features, ridge, features.shape[1]
        self.transposed = features.swapaxes(1, 2)
        self.targets = targets.reshape(-1, targets.shape[2])

    def _predictions(self, z):
        return (self.features @ z).reshape(self.targets.shape)

    def values(self, z):
        """Return G of each task, shape (t,)."""
        losses = MULTINOMIAL.value(xp, self._predictions(z), self.targets)
        return losses.reshape(len(z), -1).mean(axis=1) + 0.5 * self.ridge * _squares(z)

    def gradients(self, z):
        """Return grad_z G of each task, shape (t, k, c)."""
        slopes = MULTINOMIAL.gradient(xp, self._predictions(z), self.targets)
        return self.transposed @ slopes.reshape(len(z), self.n, -1) / self.n + self.ridge * z

    def hessians(self, z):
        """Return H of each task, shape (t, k c, k c)."""
        t, k, c = z.shape
        curved = MULTINOMIAL.hessian(xp, self._predictions(z), self.targets)
        H = np.empty((t, k, c, k, c))
        for j, unit in enumerate(np.eye(c)):
            along = curved(np.broadcast_to(unit, self.targets.shape)).reshape(t, self.n, c) / self.n
            for i in range(j + 1):
                H[:, :, i, :, j] = self.transposed @ (along[:, :, i, None] * self.features)
                H[:, :, j, :, i] = H[:, :, i, :, j]  # each block is symmetric
        H = H.reshape(t, k * c, k * c)
        diagonal = np.arange(k * c)
        H[:, diagonal, diagonal] += self.ridge
        return H

    def solve_systems(self, z, b):
        """Return H^{-1} b of each task, shape (t, k, c); NaN where numbers are out of range."""
        try:
            out = np.linalg.solve(self.hessians(z), b.reshape(len(z), -1, 1))
        except np.linalg.LinAlgError:
            return np.full(b.shape, np.nan)
        return out.reshape(b.shape)

    def minimise(self, z, tolerance):
        """Return (z*, norms of grad_z G of the tasks) from z; the tasks are damped one by one.

        Newton stops where every norm is below ``tolerance`` or rounding stops progress.
        """
        value, gradient = self.values(z), self.gradients(z)
        size = np.sqrt(_squares(gradient))
        for _ in range(MAX_STEPS):
            if not size.max() > tolerance:  # also where it is not a number
                break
            step = -self.solve_systems(z, gradient)
            slope, scale = np.sum((gradient * step).reshape(len(z), -1), axis=1), np.ones(len(z))
            for _ in range(MAX_HALVINGS):
                z_new = z + scale[:, None, None] * step
                value_new = self.values(z_new)
                bad = value_new > value + 1e-4 * scale * slope + 1e-14 * abs(value)
                if not bad.any():
                    break
                scale = np.where(bad, scale / 2, scale)
            gradient_new = self.gradients(z_new)
            size_new = np.sqrt(_squares(gradient_new))
            better = (size_new < size) | (value_new < value - 1e-13 * abs(value))
            if not better.any():
                break
            z = np.where(better[:, None, None], z_new, z)
            gradient = np.where(better[:, None, None], gradient_new, gradient)
            value, size = np.where(better, value_new, value), np.where(better, size_new, size)
        return z, size


class MultinomialEvaluator:
    """Solutions by Newton for the term `LastLayer`: each row is a task, z and v are tables (n, features classes).

    Parameters
    ----------
    inner, outer : Term
        G, with the method ``features(xp, x, rows)`` and closed forms of grad_z and cross, and F.
    inner_rows, outer_rows : dict of str to array
        Rows of both levels, with "targets" in those of G.
    inner_shape : tuple of int
        (features, classes), of one task.
    outer_shape : tuple of int, or dict of str to tuple of int
    ridge : float
        G has ``ridge / 2 ‖z‖^2``; positive.
    tolerance : float
        Newton stops at ``‖grad_z G‖ <= tolerance`` in every task.
    """

    def __init__(
        self,
        inner,
        outer,
        inner_rows,
        outer_rows,
        inner_shape,
        outer_shape,
        ridge,
        tolerance=1e-12,
    ):
        self.inner, self.outer = inner, outer
        self.inner_rows, self.outer_rows = _numbered(inner_rows), _numbered(outer_rows)
        self.inner_shape, self.outer_shape = inner_shape, outer_shape
        self.ridge, self.tolerance = ridge, tolerance

    def solve(self, x, start=None):
        """Return the `Solution` at a flat x, warm-started from the `Solution` ``start``."""
        shaped = self._shaped(x)
        regressions, table, residual = self._minimise(shaped, self.inner_rows, None if start is None else start.z)
        of_outer = self._of_outer(table, shaped)
        v = regressions.solve_systems(table, -of_outer["grad_z"].reshape(table.shape))
        correction = np.sum(v * regressions.gradients(table)) / len(table)
        gradient = self._direction(table, v, shaped, of_outer)
        shape = (len(table), -1)
        h = float(of_outer["value"] + correction)
        return Solution(table.reshape(shape), v.reshape(shape), h, gradient, float(residual.max()))

    def adjoint(self, z, x, start=None):
        """Return v*(z, x) = -H^{-1} grad_z F at any flat z, shape of z; ``start`` is not needed."""
        del start
        shaped, table = self._shaped(x), np.reshape(z, (-1, *self.inner_shape))
        regressions = self._regressions(shaped, self.inner_rows)
        outer_gradient = self._of_outer(table, shaped)["grad_z"].reshape(table.shape)
        return regressions.solve_systems(table, -outer_gradient).reshape(np.shape(z))

    def direction(self, z, v, x):
        """Return C v + grad_x F at any flat z and v, shape (d,)."""
        shaped, (table, v) = self._shaped(x), (np.reshape(a, (-1, *self.inner_shape)) for a in (z, v))
        return self._direction(table, v, shaped, self._of_outer(table, shaped))

    def _of_outer(self, table, shaped):
        want, rows = {"value", "grad_z", "grad_x"}, self.outer_rows
        return self.outer.derivatives(xp, want, table, shaped, None, rows, _weights(rows))

    def _direction(self, table, v, shaped, of_outer):
        rows = self.inner_rows
        cross = self.inner.derivatives(xp, {"cross"}, table, shaped, v, rows, _weights(rows))["cross"]
        return flatten(xp, cross) + flatten(xp, of_outer["grad_x"])

    def outer_value(self, z, x):
        """Return F at z, shaped as that of a `Solution` or flat, and a flat x."""
        z = np.reshape(z, (-1, *self.inner_shape))
        rows = self.outer_rows
        return float(self.outer.value(xp, z, self._shaped(x), rows, _weights(rows)))

    def minimisers(self, x, rows):
        """Return z* for any rows of G, shape (n_tasks, features, classes)."""
        return self._minimise(self._shaped(x), _numbered(rows), None)[1]

    def _minimise(self, shaped, rows, start):
        regressions = self._regressions(shaped, rows)
        z = np.zeros((len(regressions.features), *self.inner_shape)) if start is None else start
        z, residual = regressions.minimise(z.reshape(-1, *self.inner_shape), self.tolerance)
        return regressions, z, residual

    def _regressions(self, shaped, rows):
        return Regressions(self.inner.features(xp, shaped, rows), rows["targets"], self.ridge)

    def _shaped(self, x):
        return unflatten(xp, np.asarray(x, np.float64), self.outer_shape)


def _numbered(rows):
    """Return rows with their numbers, as terms expect them."""
    return rows | {"ids": np.arange(len(rows["targets"]))}


def _weights(rows):
    n = len(rows["targets"])
    return np.full(n, 1 / n)


def _squares(z):
    return np.einsum("tkc,tkc->t", z, z)
