"""Random bilevel quadratics with rank-one samples, and their closed-form reference."""

import numpy as np
import scipy.linalg

from benchmark_utils.problem import Card, Level, Problem
from benchmark_utils.reference import Solution

#: Draws of the data until h is strongly convex; the conditions asked for make the first one succeed usually.
ATTEMPTS = 20


def _orthonormal(rng, n, k):
    return np.linalg.qr(rng.standard_normal((n, k)))[0]


def _level(rng, n, p, d, mu, L, L_cross):
    """Return the factor arrays of one level: mean Hessians with spectra logspace(mu, L), rank one for each sample."""

    def factors(size, spectrum):
        return np.sqrt(n) * _orthonormal(rng, n, size) * np.sqrt(spectrum) @ _orthonormal(rng, size, size).T

    spectrum_x = np.geomspace(mu, L, d)
    spectrum_x[0] = 0  # one flat direction in x
    k = min(p, d)
    shared = np.sqrt(n) * _orthonormal(rng, n, k) * np.sqrt(np.geomspace(mu, L_cross, k))
    return {
        "a": factors(p, np.geomspace(mu, L, p)),
        "b": factors(d, spectrum_x),
        "r": shared @ _orthonormal(rng, d, k).T,
        "s": shared @ _orthonormal(rng, p, k).T,
        "c": rng.standard_normal((n, p)),
        "e": rng.standard_normal((n, d)),
    }


class QuadraticReference:
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
        F_z = self.A_F @ z + self.C_F.T @ x + self.c_F
        v = -scipy.linalg.cho_solve(self.factor, F_z)
        gradient = self.C @ v + self.B_F @ x + self.C_F @ z + self.e_F
        residual = np.linalg.norm(self.A @ z + self.C.T @ x + self.c)
        return Solution(z, v, self.outer_value(z, x), gradient, float(residual))

    def outer_value(self, z, x):
        """Return F(z, x)."""
        quadratic = 0.5 * z @ self.A_F @ z + 0.5 * x @ self.B_F @ x + x @ self.C_F @ z
        return float(quadratic + self.c_F @ z + self.e_F @ x)

    def minimiser(self):
        """Return argmin h from the normal equations."""
        return -np.linalg.solve(self.h_hessian, self.solve(np.zeros(len(self.e))).gradient)


def quadratic_problem(n, m, p, d, mu, L, L_cross, seed):
    """Build the simulated problem.

    Parameters
    ----------
    n, m : int
        Inner and outer samples, each at least max(p, d).
    p, d : int
        Inner and outer dimensions.
    mu, L, L_cross : float
        Smallest and largest eigenvalues of the mean Hessians, largest singular value of the mean cross term.
    seed : int
        Data seed.

    Raises
    ------
    ValueError
        If there are fewer samples than dimensions, or no draw gives a strongly convex h.
    """
    if min(n, m) < max(p, d):
        raise ValueError(f"simulated needs at least max(p, d) = {max(p, d)} samples a level, got n = {n} and m = {m}.")
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([seed, attempt])
        inner, outer = _level(rng, n, p, d, mu, L, L_cross), _level(rng, m, p, d, mu, L, L_cross)
        reference = QuadraticReference(inner, outer)
        if np.linalg.eigvalsh(reference.h_hessian)[0] > 1e-3 * mu:
            break
    else:
        raise ValueError(f"no strongly convex h in {ATTEMPTS} draws; lower L_cross = {L_cross} or change the seed.")
    x_star = reference.minimiser()
    card = Card(
        title="Simulated quadratics",
        formula="G, F = 1/n sum_i 1/2 (a_i.z)^2 + 1/2 (b_i.x)^2 + (r_i.x)(s_i.z) + c_i.z + e_i.x",
        source="drawn at construction from the data seed",
        licence="none needed",
        splits={"inner": n, "outer": m},
        notes=f"mean spectra logspace({mu}, {L}), cross terms up to {L_cross}; rank-one samples in factor form",
    )
    return Problem(
        name="simulated",
        inner=Level("quadratic", inner),
        outer=Level("quadratic", outer),
        inner_shape=(p,),
        outer_shape=(d,),
        init=lambda rng: (np.zeros(p), np.full(d, -2.0)),
        reference=reference,
        card=card,
        h_star=reference.solve(x_star).h,
        data_seed=seed,
    )
