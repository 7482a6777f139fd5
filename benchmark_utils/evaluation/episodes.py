"""Exact last layers of a fixed set of few-shot tasks, and their errors on new tasks, for any network of features."""

import numpy as np

from benchmark_utils.backends import get_backend, why_unavailable
from benchmark_utils.evaluation.multinomial import Regressions
from benchmark_utils.evaluation.solution import Solution
from benchmark_utils.problem.variables import unflatten

#: Most numbers of the images that pass through the network at once, times filters: what autograd keeps of them.
CHUNK = 1 << 23


class EpisodeEvaluator:
    """h and its gradient in float64, averaged over a fixed set of tasks.

    The features and their derivative come from a framework, the last layers from Newton's method with dense Hessians.
    Where a task has fewer support images than features, its z* lies in their span, so that Newton runs on
    coordinates there: 25 x 5 unknowns for 5 ways and 5 shots, however wide the network.

    Parameters
    ----------
    inner, outer : LastLayer
        G and F.
    support, query : dict of str to array
        "images" and "targets" of the tasks that are evaluated, the first ones of the problem.
    shared : dict of str to array
        The problem's shared arrays.
    inner_shape : tuple of int
        (features, classes).
    outer_shape : dict of str to tuple of int
    tolerance : float
        Newton stops at ``‖grad_z G‖ <= tolerance`` in every task.
    """

    #: Step of central differences of h (`constants.gradient_check`): features have kinks that longer steps cross.
    difference_step = 1e-6

    def __init__(self, inner, outer, support, query, shared, inner_shape, outer_shape, tolerance=1e-10):
        self.inner, self.outer, self.tolerance = inner, outer, tolerance
        self.support, self.query, self.shared = support, query, shared
        self.inner_shape, self.outer_shape = inner_shape, outer_shape
        self._bk, self._pools = None, {}

    # ------------------------------------------------------------------ the network
    def _backend(self):
        """Return the backend; the framework is imported by the first solution."""
        if self._bk is None:
            framework = "torch" if why_unavailable("torch") is None else "jax"
            self._bk = get_backend(framework, "cpu", "float64")
        return self._bk

    def _rows(self, rows, part, shared):
        """Return the rows of some tasks, and the shared arrays, on the backend."""
        bk = self._backend()
        if id(shared) not in self._pools:
            self._pools[id(shared)] = {name: bk.asarray(array) for name, array in shared.items()}
        return {name: bk.asarray(np.asarray(array[part], float)) for name, array in rows.items()} | self._pools[
            id(shared)
        ]

    def _parts(self, rows):
        """Return slices of tasks that pass through the network at once."""
        n, shots = rows["images"].shape
        network = self.inner.network
        size = max(1, CHUNK // (shots * network.side**2 * network.filters))
        return [slice(first, first + size) for first in range(0, n, size)]

    def features(self, x, rows, shared):
        """Return the features of all tasks, float64 of shape (tasks, shots, features)."""
        bk, out = self._backend(), []
        x = bk.asarray(np.asarray(x, np.float64))
        for part in self._parts(rows):
            f = lambda x, part=part: self.inner.features(
                bk.xp, unflatten(bk.xp, x, self.outer_shape), self._rows(rows, part, shared)
            )
            out.append(bk.to_numpy(bk.evaluate(f, x)))
        return np.concatenate(out)

    def direction(self, z, v, x):
        """Return C v + grad_x F at any tables z and v of the evaluated tasks, shape (d,)."""
        bk, n = self._backend(), len(self.support["images"])
        z, v = (np.reshape(a, (-1, *self.inner_shape)) for a in (z, v))
        total, at = 0.0, bk.asarray(np.asarray(x, np.float64))
        for part in self._parts(self.support):
            support, query = (self._rows(rows, part, self.shared) for rows in (self.support, self.query))
            z_i, v_i, ones = bk.asarray(z[part]), bk.asarray(v[part]), bk.asarray(np.ones(len(z[part])))

            def lagrangian(x, support=support, query=query, z_i=z_i, v_i=v_i, ones=ones):
                x = unflatten(bk.xp, x, self.outer_shape)
                slope = self.inner.derivatives(bk.xp, {"grad_z"}, z_i, x, None, support, ones)["grad_z"]
                return (bk.xp.sum(self.outer.sample_values(bk.xp, z_i, x, query)) + bk.xp.sum(slope * v_i)) / n

            total = total + bk.to_numpy(bk.grad(lagrangian, (at,), (0,))[0])
        return total

    # ------------------------------------------------------------------ last layers
    def heads(self, features, targets, start=None):
        """Return (z*, largest norm of grad_z G) for support features, shape (tasks, features, classes)."""
        reduced, basis = _reduced(features)
        z = np.zeros((len(features), *self.inner_shape)) if start is None else start
        regressions = Regressions(reduced, targets, self.inner.ridge)
        z, size = regressions.minimise(_into(basis, z), self.tolerance)
        return _out_of(basis, z), float(size.max())

    def solve(self, x, start=None):
        """Return the `Solution` at a flat x for the evaluated tasks, warm-started from the `Solution` ``start``."""
        support = self.features(x, self.support, self.shared)
        query = self.features(x, self.query, self.shared)
        warm = None if start is None else start.z.reshape(-1, *self.inner_shape)
        z, residual = self.heads(support, self.support["targets"], warm)
        outer = Regressions(query, self.query["targets"], 0.0)
        v = self._adjoint(support, z, outer.gradients(z))
        slope = Regressions(support, self.support["targets"], self.inner.ridge).gradients(z)
        h = float(outer.values(z).mean() + np.sum(v * slope) / len(z))
        table = (len(z), -1)
        return Solution(z.reshape(table), v.reshape(table), h, self.direction(z, v, x), residual)

    def _adjoint(self, features, z, outer_gradient):
        """Return -H^-1 grad_z F: within the span of the features by a dense solve, ridge alone acts outside it."""
        reduced, basis = _reduced(features)
        regressions = Regressions(reduced, self.support["targets"], self.inner.ridge)
        inside = _into(basis, -outer_gradient)
        v = _out_of(basis, regressions.solve_systems(_into(basis, z), inside))
        return v - (outer_gradient + _out_of(basis, inside)) / self.inner.ridge

    def seen(self, z):
        """Return the part of all tasks' z that is evaluated."""
        return np.reshape(z, (-1, *self.inner_shape))[: len(self.support["images"])].ravel()

    def outer_value(self, z, x):
        """Return F at the z of all or of the evaluated tasks, and a flat x."""
        z = self.seen(z).reshape(-1, *self.inner_shape)
        return float(
            Regressions(self.features(x, self.query, self.shared), self.query["targets"], 0.0).values(z).mean()
        )

    # ------------------------------------------------------------------ errors on new tasks
    def errors(self, x, support, query, shared, adaptation):
        """Return the shares of wrong query images, (with the exact last layers, after a few steps).

        Parameters
        ----------
        x : array of shape (d,)
        support, query, shared : dict of str to array
            The tasks, as those of the constructor.
        adaptation : Adaptation
            The steps, see `benchmark_utils.problem.tasks`.
        """
        f, g = (self.features(x, rows, shared) for rows in (support, query))
        wrong = lambda u: float(np.mean(u.argmax(axis=2) != query["targets"].argmax(axis=2)))
        exact = wrong(g @ self.heads(f, support["targets"])[0])
        if adaptation.of_x:
            return exact, wrong(self._all_adapted(x, support, query, shared, adaptation))
        regressions = Regressions(f, support["targets"], self.inner.ridge)
        z = np.broadcast_to(np.reshape(adaptation.start, self.inner_shape), (len(f), *self.inner_shape))
        for _ in range(adaptation.n_steps):
            z = z - adaptation.step_size * regressions.gradients(z)
        return exact, wrong(g @ z)

    def _all_adapted(self, x, support, query, shared, adaptation):
        """Return the predictions after steps of z and of the task's own copy of x, task by task."""
        bk, out = self._backend(), []
        for i in range(len(support["images"])):
            near, far = (self._rows(rows, slice(i, i + 1), shared) for rows in (support, query))

            def loss(z, x, near=near):
                z = z.reshape((1, *self.inner_shape))
                x = unflatten(bk.xp, x, self.outer_shape)
                return bk.xp.sum(self.inner.sample_values(bk.xp, z, x, near))

            z, at = (bk.asarray(np.asarray(a, np.float64)) for a in (adaptation.start, x))
            for _ in range(adaptation.n_steps):
                slopes = bk.grad(loss, (z, at), (0, 1))
                z, at = (a - adaptation.step_size * slope for a, slope in zip((z, at), slopes, strict=True))
            f = self.inner.features(bk.xp, unflatten(bk.xp, at, self.outer_shape), far)
            out.append(bk.to_numpy(f @ z.reshape((1, *self.inner_shape))))
        return np.concatenate(out)


def _reduced(features):
    """Return (features in coordinates of their span, the orthonormal basis or None where there are few of them)."""
    if features.shape[2] <= features.shape[1]:
        return features, None
    if not np.isfinite(features).all():
        return np.full((*features.shape[:2], features.shape[1]), np.nan), features.swapaxes(1, 2)
    basis, triangle = np.linalg.qr(features.swapaxes(1, 2))
    return np.ascontiguousarray(triangle.swapaxes(1, 2)), basis


def _into(basis, z):
    return z if basis is None else basis.swapaxes(1, 2) @ z


def _out_of(basis, z):
    return z if basis is None else basis @ z
