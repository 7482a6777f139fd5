"""Exact inner solutions, adjoints and hypergradients in float64, the same for every solver.

For generalised linear problems

    G(z, x) = 1/n sum_i s_i(x) loss(A_i z, y_i) + 1/2 sum_k q_k(x) z_k^2,    F(z) = 1/m sum_j loss(B_j z, t_j)

the inner problem is solved by damped Newton to ``tolerance`` and the adjoint v = -H^{-1} grad_z F by the same
factorisation (small problems) or preconditioned conjugate gradients (large ones).
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg

from benchmark_utils.backends.numpy_namespace import xp
from benchmark_utils.losses import GLM_LOSSES, penalty_weights

#: Up to this many inner variables the Hessian is assembled and factorised.
DENSE_LIMIT = 1000


class Solution(NamedTuple):
    """Exact quantities at one x, float64.

    Accuracy: ``‖z - z*‖ <= residual / mu`` with mu the strong convexity of G in z.
    """

    z: np.ndarray  # z*(x), shape (p,)
    v: np.ndarray  # -H^{-1} grad_z F at z*, shape (p,)
    h: float  # F(z*(x), x)
    gradient: np.ndarray  # grad h(x), shape (d,)
    residual: float  # ‖grad_z G(z, x)‖ reached


class GLMReference:
    """Newton reference of a generalised linear problem.

    Parameters
    ----------
    inner, outer : benchmark_utils.problem.Level
        G with features, targets, penalty and possibly sample weights; F without penalty.
    tolerance : float
        Newton stops at ``‖grad_z G‖ <= tolerance`` (or where rounding stops progress).
    """

    def __init__(self, inner, outer, tolerance=1e-12):
        self.inner, self.outer, self.tolerance = inner, outer, tolerance
        self.A, self.y = _float64(inner.arrays["features"]), np.asarray(inner.arrays["targets"], np.float64)
        self.B, self.t = _float64(outer.arrays["features"]), np.asarray(outer.arrays["targets"], np.float64)
        self.loss, self.outer_loss = GLM_LOSSES[inner.loss], GLM_LOSSES[outer.loss]
        self.shape = (self.A.shape[1],) if inner.n_classes == 1 else (self.A.shape[1], inner.n_classes)
        self.size = int(np.prod(self.shape))

    # ------------------------------------------------------------------ G and F at one x
    def row_weights(self, x):
        """Return s_i(x) / n, shape (n,)."""
        n = self.A.shape[0]
        return xp.sigmoid(x) / n if self.inner.sample_weights == "sigmoid" else np.full(n, 1 / n)

    def penalty_diagonal(self, x):
        """Return q(x) with the shape of z."""
        return np.broadcast_to(penalty_weights(xp, self.inner, x), self.shape)

    def outer_value(self, z):
        """Return F at a flat z."""
        return float(np.mean(self.outer_loss.value(xp, self.B @ z.reshape(self.shape), self.t)))

    def outer_gradient(self, z):
        """Return grad_z F with the shape of z."""
        return self.B.T @ (self.outer_loss.gradient(xp, self.B @ z.reshape(self.shape), self.t) / self.B.shape[0])

    def _value(self, z, u, w, q):
        return w @ self.loss.value(xp, u, self.y) + 0.5 * np.sum(q * z * z)

    def _gradient(self, z, u, w, q):
        return self.A.T @ (_rows(w, u) * self.loss.gradient(xp, u, self.y)) + q * z

    def hessian_product(self, u, w, q, v):
        """Return H v with the shape of z, at the predictions u."""
        curved = self.loss.hessian_product(xp, u, self.y, self.A @ v)
        return self.A.T @ (_rows(w, u) * curved) + q * v

    # ------------------------------------------------------------------ the solution
    def solve(self, x, start=None):
        """Return the `Solution` at x, warm-started from the `Solution` ``start``."""
        x = np.asarray(x, np.float64)
        w, q = self.row_weights(x), self.penalty_diagonal(x)
        z, u, residual = self._newton(w, q, np.zeros(self.shape) if start is None else start.z.reshape(self.shape))
        linear = self._linear_solver(u, w, q)
        v = linear(-self.outer_gradient(z), None if start is None else start.v.reshape(self.shape), 1e-10)
        gradient = self._cross(x, z, u, v)
        return Solution(z.ravel(), v.ravel(), self.outer_value(z), gradient, residual)

    def _newton(self, w, q, z, max_steps=60):
        u = self.A @ z
        gradient = self._gradient(z, u, w, q)
        value, size = self._value(z, u, w, q), np.linalg.norm(gradient)
        for _ in range(max_steps):
            if size <= self.tolerance or not np.isfinite(size):
                break
            step = self._linear_solver(u, w, q)(-gradient, None, min(0.1, max(1e-10, 0.1 * np.sqrt(size))))
            slope, scale = float(np.sum(gradient * step)), 1.0
            for _ in range(40):
                z_new = z + scale * step
                u_new = self.A @ z_new
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
        return z, u, float(size)

    def _linear_solver(self, u, w, q):
        """Return ``solve(b, start, rtol) -> H^{-1} b`` at the predictions u."""
        if self.size <= DENSE_LIMIT:
            factor = scipy.linalg.cho_factor(self.dense_hessian(u, w, q), check_finite=False)
            back = lambda b: scipy.linalg.cho_solve(factor, b.ravel(), check_finite=False)
            return lambda b, start, rtol: back(b).reshape(self.shape)
        operator = scipy.sparse.linalg.LinearOperator(
            (self.size, self.size), lambda v: self.hessian_product(u, w, q, v.reshape(self.shape)).ravel()
        )
        inverse = 1 / self._diagonal(u, w, q).ravel()
        jacobi = scipy.sparse.linalg.LinearOperator((self.size, self.size), lambda v: inverse * v.ravel())

        def solve(b, start, rtol):
            start = None if start is None else start.ravel()
            out, _ = scipy.sparse.linalg.cg(operator, b.ravel(), x0=start, rtol=rtol, maxiter=5000, M=jacobi)
            return out.reshape(self.shape)

        return solve

    def dense_hessian(self, u, w, q):
        """Return H as a matrix of shape (p, p)."""
        basis = np.eye(self.inner.n_classes)
        k, c = self.A.shape[1], self.inner.n_classes
        if c == 1:
            curved = w * self.loss.hessian_product(xp, u, self.y, np.ones_like(u))
            return self.A.T @ (curved[:, None] * self.A) + np.diag(q)
        H = np.zeros((k, c, k, c))
        for j in range(c):
            curved = _rows(w, u) * self.loss.hessian_product(xp, u, self.y, np.broadcast_to(basis[j], u.shape))
            for i in range(j + 1):
                H[:, i, :, j] = self.A.T @ (curved[:, i, None] * self.A)
                H[:, j, :, i] = H[:, i, :, j].T
        return H.reshape(self.size, self.size) + np.diag(q.ravel())

    def _diagonal(self, u, w, q):
        """Return the diagonal of H, shape of z."""
        squares = self.A.multiply(self.A) if sp.issparse(self.A) else self.A**2
        if u.ndim == 1:
            return squares.T @ (w * self.loss.hessian_product(xp, u, self.y, np.ones_like(u))) + q
        columns = []
        for j in range(u.shape[1]):
            unit = np.zeros(u.shape[1])
            unit[j] = 1
            curved = self.loss.hessian_product(xp, u, self.y, np.broadcast_to(unit, u.shape))[:, j]
            columns.append(squares.T @ (w * curved))
        return np.stack(columns, axis=1) + q

    def _cross(self, x, z, u, v):
        """Return C v, shape (d,)."""
        if self.inner.sample_weights == "sigmoid":
            s = xp.sigmoid(x)
            along = self.loss.gradient(xp, u, self.y) * (self.A @ v)
            return s * (1 - s) * (along.sum(axis=1) if along.ndim == 2 else along) / self.A.shape[0]
        name, scale = self.inner.penalty
        if name == "constant":
            return np.zeros_like(x)
        if name == "exp_classes":
            return scale * np.exp(x) * np.sum(z * v, axis=0)
        return scale * np.exp(x) * (np.sum(z * v, axis=1) if z.ndim == 2 else z * v)


def _float64(features):
    return sp.csr_array(features, dtype=np.float64) if sp.issparse(features) else np.asarray(features, np.float64)


def _rows(w, u):
    """Shape row weights to multiply predictions."""
    return w if u.ndim == 1 else w[:, None]
