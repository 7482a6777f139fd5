"""Closed forms of the toy problem of Shen and Chen: z*(x) = -x for x >= 0."""

import numpy as np
from scipy.optimize import brentq

from benchmark_utils.evaluation.solution import Solution
from benchmark_utils.problem.namespace import xp

#: Points of [lower, upper] between which h' changes its sign at most once.
GRID = 3001


def upper(z, x):
    """Return (f, f_z, f_x) of each copy."""
    t, angle = 4 * x - 2, 4 * z + 2
    s, cosine = xp.sigmoid(t), np.cos(angle)
    f = cosine * s + 0.5 * np.log(t * t + 1)
    return f, -4 * np.sin(angle) * s, 4 * cosine * s * (1 - s) + 4 * t / (t * t + 1)


def slope(x):
    """Return h'(x) of each copy: along z = -x."""
    _, f_z, f_x = upper(-x, x)
    return f_x - f_z


def local_minima(lower, upper_end):
    """Return the local minimisers of h(x) = f(-x, x) on an interval of x >= 0, in increasing order."""
    grid = np.linspace(lower, upper_end, GRID)
    slopes = slope(grid)
    found = [lower] if slopes[0] > 0 else []
    for k in np.flatnonzero((slopes[:-1] < 0) & (slopes[1:] >= 0)):
        found.append(brentq(slope, grid[k], grid[k + 1], xtol=1e-14))
    return np.array(found + ([upper_end] if slopes[-1] < 0 else []))


class ToyEvaluator:
    """Exact quantities for x >= 0; z and x have shape (copies,)."""

    def solve(self, x, start=None):
        """Return the `Solution` at x; NaN where a copy is negative, where z = -x need not be the minimiser."""
        x = np.asarray(x, np.float64)
        z = -x
        h = float(np.sum(upper(z, x)[0])) if (x >= 0).all() else np.nan
        v = self.adjoint(z, x)
        gradient = self.direction(z, v, x) if np.isfinite(h) else np.full_like(x, np.nan)
        return Solution(z, v, h, gradient, 0.0)

    def outer_value(self, z, x):
        """Return F."""
        return float(np.sum(upper(z, x)[0]))

    def adjoint(self, z, x, start=None):
        """Return -H^{-1} grad_z F at any z, H = 2 + 2 x cos(2 (x + z)); NaN where H is not positive."""
        H = 2 + 2 * x * np.cos(2 * (x + z))
        return -upper(z, x)[1] / np.where(H > 0, H, np.nan)

    def direction(self, z, v, x):
        """Return C v + grad_x F at any z and v."""
        s = 2 * (x + z)
        return (2 + np.sin(s) + 2 * x * np.cos(s)) * v + upper(z, x)[2]
