"""Random bilevel quadratics with rank-one samples, and their closed-form evaluator."""

import numpy as np
import scipy.linalg

from benchmark_utils.evaluation.solution import Solution


class QuadraticEvaluator:
    """Closed form of ``mean_i 1/2 (a_i.z)^2 + 1/2 (b_i.x)^2 + (r_i.x)(s_i.z) + c_i.z + e_i.x`` on both levels."""

    def __init__(self, inner, outer):
        self.A, self.B, self.C, self.c, self.e = self._means(inner)  # C is d x p: G has x^T C z
        self.A_F, self.B_F, self.C_F, self.c_F, self.e_F = self._means(outer)
        self.factor = scipy.linalg.cho_factor(self.A)
        self.jacobian = -scipy.linalg.cho_solve(self.factor, self.C.T)  # dz*/dx, p x d
        J = self.jacobian
        cross = self.C_F @ J
        self.h_hessian = self.B_F + J.T @ self.A_F @ J + cross + cross.T
        self.h_hessian = (self.h_hessian + self.h_hessian.T) / 2

    @staticmethod
    def _means(arrays):
        n = arrays["a"].shape[0]
        a, b, r, s = (arrays[k] for k in "abrs")
        return a.T @ a / n, b.T @ b / n, r.T @ s / n, arrays["c"].mean(0), arrays["e"].mean(0)

    def solve(self, x, start=None):
        """Return the exact `Solution` at x; ``start`` is not needed."""
        del start
        z = -scipy.linalg.cho_solve(self.factor, self.C.T @ x + self.c)
        v = self.adjoint(z, x)
        residual = np.linalg.norm(self.A @ z + self.C.T @ x + self.c)
        return Solution(z, v, self.outer_value(z, x), self.direction(z, v, x), float(residual))

    def adjoint(self, z, x, start=None):
        """Return v*(z, x) = -H^{-1} grad_z F at any z, shape (p,); ``start`` is not needed."""
        del start
        return -scipy.linalg.cho_solve(self.factor, self.A_F @ z + self.C_F.T @ x + self.c_F)

    def direction(self, z, v, x):
        """Return C v + grad_x F at any z and v, shape (d,)."""
        return self.C @ v + self.B_F @ x + self.C_F @ z + self.e_F

    def outer_value(self, z, x):
        """Return F(z, x)."""
        quadratic = 0.5 * z @ self.A_F @ z + 0.5 * x @ self.B_F @ x + x @ self.C_F @ z
        return float(quadratic + self.c_F @ z + self.e_F @ x)

    def minimiser(self):
        """Return argmin h from the normal equations."""
        return -np.linalg.solve(self.h_hessian, self.solve(np.zeros(len(self.e))).gradient)
