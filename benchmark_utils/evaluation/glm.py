"""Exact inner solutions, adjoints and hypergradients in float64, the same for every solver.

For generalised linear problems

    G(z, x) = 1/n sum_i s_i(x) loss(A_i z, y_i) + 1/2 sum_k q_k(x) z_k^2,    F(z) = 1/m sum_j loss(B_j z, t_j)

the inner problem is solved by damped Newton to ``tolerance`` and the adjoint v = -H^{-1} grad_z F by the same
factorisation (small problems) or preconditioned conjugate gradients (large ones, `newton_cg`).
"""

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from benchmark_utils.evaluation import newton_cg
from benchmark_utils.evaluation.solution import Solution
from benchmark_utils.problem.namespace import xp
from benchmark_utils.terms.links import LINKS
from benchmark_utils.terms.scaled import Scaled

#: Up to this many inner variables, and multiplications to assemble the Hessian, it is factorised at each step.
DENSE_LIMIT, DENSE_PRODUCTS = 1000, 10**8


class GLMEvaluator:
    """Newton evaluator of a generalised linear problem.

    Parameters
    ----------
    inner, outer : benchmark_utils.terms.glm.GLM
        G, with a penalty and possibly weighted rows; F without penalty, or such an F times a constant (`Scaled`).
    inner_rows, outer_rows : dict
        "features" and "targets" of both.
    tolerance : float
        Newton stops at ``‖grad_z G‖ <= tolerance`` (or where rounding stops progress).
    adjoint_tolerance : float
        Relative residual of the adjoint, in the norm of the preconditioner.
    """

    def __init__(self, inner, outer, inner_rows, outer_rows, tolerance=1e-12, adjoint_tolerance=1e-10):
        self.inner, self.outer = inner, outer
        self.tolerance, self.adjoint_tolerance = tolerance, adjoint_tolerance
        self.A, self.y = _float64(inner_rows["features"]), np.asarray(inner_rows["targets"], np.float64)
        self.B, self.t = _float64(outer_rows["features"]), np.asarray(outer_rows["targets"], np.float64)
        self.loss, self.outer_loss = LINKS[inner.link], _link(outer)
        self.shape = (self.A.shape[1],) if inner.n_classes == 1 else (self.A.shape[1], inner.n_classes)
        self.size = int(np.prod(self.shape))
        self.used, self.A_T = slice(None), self.A.T
        if sp.issparse(self.A):
            # Features that no row of G has stay at z_k = 0 and are left out; the others are sorted by the number
            # of rows that have them, so that the products find the frequent ones in the cache (1.6 times faster).
            rows = np.bincount(self.A.indices, minlength=self.A.shape[1])
            self.used = np.argsort(-rows, kind="stable")[: np.count_nonzero(rows)]
            self.A = sp.csr_array(self.A[:, self.used])
            self.A.sort_indices()
            self.A_T = sp.csr_array(self.A.T)
        self._single = None

    # ------------------------------------------------------------------ G and F at one x
    def place(self, x):
        """Bring what depends on x, and is kept, to a flat float64 x; here the features do not."""

    def row_weights(self, x):
        """Return s_i(x) / n, shape (n,)."""
        n = self.A.shape[0]
        return xp.sigmoid(x) / n if self.inner.weighted else np.full(n, 1 / n)

    def penalty_diagonal(self, x):
        """Return q(x) with the shape of z."""
        return np.broadcast_to(self.inner.penalty_term.diagonal(xp, np.empty(self.shape), x), self.shape)

    def outer_value(self, z, x=None):
        """Return F at a flat z; F does not depend on x here."""
        return float(np.mean(self.outer_loss.value(xp, self.B @ z.reshape(self.shape), self.t)))

    def outer_gradient(self, z):
        """Return grad_z F at a flat z, with the shape of z."""
        u = self.B @ z.reshape(self.shape)
        return self.B.T @ (self.outer_loss.gradient(xp, u, self.t) / self.B.shape[0])

    def _value(self, z, u, w, q):
        return w @ self.loss.value(xp, u, self.y) + 0.5 * np.sum(q * z * z)

    def _gradient(self, z, u, w, q):
        return self.A_T @ (_rows(w, u) * self.loss.gradient(xp, u, self.y)) + q * z

    def hessian(self, u, w, q):
        """Return the `newton_cg.Hessian` at the predictions u."""
        return newton_cg.Hessian(self.A, self.A_T, self._curvature(u, w), q)

    def _single_hessian(self, u, w, q):
        """Return `hessian` in float32."""
        if self._single is None:
            self._single = self.A.astype(np.float32), self.A_T.astype(np.float32)
        u, w, q = (a.astype(np.float32) for a in (u, w, q))
        return newton_cg.Hessian(*self._single, self._curvature(u, w), q)

    def _curvature(self, u, w):
        curved, w = self.loss.hessian(xp, u, self.y), _rows(w, u)
        return lambda du: w * curved(du)

    # ------------------------------------------------------------------ the solution
    def solve(self, x, start=None):
        """Return the `Solution` at x, warm-started from the `Solution` ``start``."""
        x = np.asarray(x, np.float64)
        self.place(x)
        w, q_all = self.row_weights(x), self.penalty_diagonal(x)
        q = q_all[self.used]
        z, v, frozen = np.zeros(self.shape)[self.used], None, None
        if start is not None:
            z, v, frozen = start.z.reshape(self.shape)[self.used], start.v.reshape(self.shape)[self.used], start.frozen
        z, u, gradient, frozen = self._newton(w, q, z, frozen)
        z_all = np.zeros(self.shape)
        z_all[self.used] = z
        v_all, frozen = self._adjoint(z_all, u, w, q_all, v, frozen)
        h = self.outer_value(z_all) + float(np.sum(v_all[self.used] * gradient))
        return Solution(
            z_all.ravel(), v_all.ravel(), h, self._cross(x, z_all, u, v_all), float(np.linalg.norm(gradient)), frozen
        )

    def adjoint(self, z, x, start=None):
        """Return v*(z, x) = -H^{-1} grad_z F at any flat z, shape (p,), from the `Solution` ``start`` at this x."""
        z, x = np.reshape(z, self.shape), np.asarray(x, np.float64)
        self.place(x)
        v, frozen = (None, None) if start is None else (start.v.reshape(self.shape)[self.used], start.frozen)
        u, w, q = self.A @ z[self.used], self.row_weights(x), self.penalty_diagonal(x)
        return self._adjoint(z, u, w, q, v, frozen)[0].ravel()

    def direction(self, z, v, x):
        """Return C v + grad_x F at any flat z and v, shape (d,); F does not depend on x here."""
        z, v, x = np.reshape(z, self.shape), np.reshape(v, self.shape), np.asarray(x, np.float64)
        self.place(x)
        return self._cross(x, z, self.A @ z[self.used], v)

    def _adjoint(self, z, u, w, q, v, frozen):
        """Return (v* at z and its predictions u, preconditioner) from a start v on the used features."""
        b = -self.outer_gradient(z)
        v, frozen = self._solve_system(u, w, q[self.used], b[self.used], v, self.adjoint_tolerance, frozen)
        v_all = b / q  # H is the penalty on features that no row of G has
        v_all[self.used] = v
        return v_all, frozen

    def _newton(self, w, q, z, frozen, max_steps=60):
        """Return (z, predictions u, grad_z G, preconditioner) at z*, from z."""
        u = self.A @ z
        gradient = self._gradient(z, u, w, q)
        value, size = self._value(z, u, w, q), np.linalg.norm(gradient)
        for _ in range(max_steps):
            if size <= self.tolerance or not np.isfinite(size):
                break
            rtol = min(0.1, max(0.1 * np.sqrt(size), 0.1 * self.tolerance / size))
            step, frozen = self._solve_system(u, w, q, -gradient, None, rtol, frozen, False)
            if not np.isfinite(step).all():
                gradient = np.full_like(gradient, np.nan)  # given up: nothing is known at this x
                break
            slope, scale, along = float(np.sum(gradient * step)), 1.0, self.A @ step
            for _ in range(40):
                z_new, u_new = z + scale * step, u + scale * along
                value_new = self._value(z_new, u_new, w, q)
                # Rounding: close to the solution the value no longer tells, the gradient does.
                if value_new <= value + 1e-4 * scale * slope + 1e-14 * abs(value):
                    break
                scale /= 2
            gradient_new = self._gradient(z_new, u_new, w, q)
            size_new = np.linalg.norm(gradient_new)
            if size_new >= size and value_new >= value - 1e-13 * abs(value):
                break  # rounding level reached
            z, u, gradient, value, size = z_new, u_new, gradient_new, value_new, size_new
        return z, u, gradient, frozen

    def _solve_system(self, u, w, q, b, start, rtol, frozen, checked=True):
        """Return (H^{-1} b at the predictions u, preconditioner for the next system)."""
        if self.size <= DENSE_LIMIT and self.size**2 * self.A.shape[0] <= DENSE_PRODUCTS:
            factor = scipy.linalg.cho_factor(self.dense_hessian(u, w, q), check_finite=False)
            return scipy.linalg.cho_solve(factor, b.ravel(), check_finite=False).reshape(b.shape), None
        single, double = self._single_hessian(u, w, q), self.hessian(u, w, q)
        return newton_cg.solve(double, single, b, start, rtol, frozen, checked)

    def dense_hessian(self, u, w, q):
        """Return H as a matrix of shape (p, p)."""
        return self.hessian(u, w, q).data_matrix() + np.diag(q.ravel())

    def _cross(self, x, z, u, v):
        """Return C v, shape (d,)."""
        if self.inner.weighted:
            s = xp.sigmoid(x)
            along = self.loss.gradient(xp, u, self.y) * (self.A @ v[self.used])
            return s * (1 - s) * (along.sum(axis=1) if along.ndim == 2 else along) / self.A.shape[0]
        of_penalty = self.inner.penalty_term.cross(xp, z, x, v)
        return np.zeros_like(x) if of_penalty is None else of_penalty


def _float64(features):
    return sp.csr_array(features, dtype=np.float64) if sp.issparse(features) else np.asarray(features, np.float64)


def _link(term):
    """Return the link of a GLM, or of one times a constant."""
    return _link(term.term).times(term.factor) if isinstance(term, Scaled) else LINKS[term.link]


def _rows(w, u):
    """Shape row weights to multiply predictions."""
    return w if u.ndim == 1 else w[:, None]
