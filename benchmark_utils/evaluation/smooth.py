"""Exact solutions for terms that state their value only: derivatives by automatic differentiation, in float64."""

import numpy as np
import scipy.sparse as sp

from benchmark_utils.backends import get_backend, why_unavailable
from benchmark_utils.evaluation.solution import Solution
from benchmark_utils.problem.not_built import NotBuilt
from benchmark_utils.problem.variables import unflatten

#: Newton steps, halvings of one of them, and iterations of conjugate gradients for each unknown.
MAX_STEPS, MAX_HALVINGS, ITERATIONS_PER_UNKNOWN = 100, 40, 4


class SmoothEvaluator:
    """Newton's method with conjugate gradients for a G that is smooth and strongly convex in z.

    Parameters
    ----------
    inner, outer : Term
        G and F, of which `Term.value` is used; F may depend on x.
    splits : dict
        As of `Problem`, dense: "train" and "validation" hold the rows of G and F.
    inner_shape, outer_shape : tuple of int, or dict of str to tuple of int
        Shapes of z and x.
    tolerance : float
        Newton stops at ``‖grad_z G‖ <= tolerance`` (or where rounding stops progress). Where the norm stays above 100
        times the tolerance, h and grad h are NaN.
    adjoint_tolerance : float
        Relative residual of the adjoint.
    """

    def __init__(self, inner, outer, splits, inner_shape, outer_shape, tolerance=1e-10, adjoint_tolerance=1e-9):
        self.terms = {"train": inner, "validation": outer}
        self.rows = {split: dict(splits[split]) for split in self.terms}
        for rows in self.rows.values():
            if any(sp.issparse(array) for array in rows.values()):
                raise NotBuilt("SmoothEvaluator takes dense rows; call .toarray(), or pass evaluator=None to Problem.")
        self.shapes = inner_shape, outer_shape
        self.tolerance, self.adjoint_tolerance = tolerance, adjoint_tolerance
        self._bk = None

    # ------------------------------------------------------------------ derivatives
    def _backend(self):
        """Return the backend, with the rows on it; the framework is imported by the first solution."""
        if self._bk is None:
            # Eager torch is the faster one where nothing is compiled.
            framework = "torch" if why_unavailable("torch") is None else "jax"
            self._bk = bk = get_backend(framework, "cpu", "float64")
            self._on_device = {}
            for split, rows in self.rows.items():
                arrays = {name: bk.asarray(np.asarray(array, np.float64)) for name, array in rows.items()}
                n = len(next(iter(rows.values())))
                arrays["ids"] = bk.asarray(np.arange(n))
                self._on_device[split] = arrays, bk.asarray(np.full(n, 1 / n))
        return self._bk

    def _value(self, split):
        bk = self._backend()
        (rows, weights), term = self._on_device[split], self.terms[split]

        def value(z, x):
            z, x = (unflatten(bk.xp, a, shape) for a, shape in zip((z, x), self.shapes, strict=True))
            return term.value(bk.xp, z, x, rows, weights)

        return value

    def _ask(self, quantity, z, x, v=None):
        """Return a quantity at flat NumPy vectors as float64."""
        split, quantity = ("validation", quantity[6:]) if quantity.startswith("outer_") else ("train", quantity)
        bk, value = self._backend(), self._value(split)
        z, x = bk.asarray(z), bk.asarray(x)
        slope = lambda z, x: bk.grad(value, (z, x), (0,))[0]
        if quantity == "value":
            return float(bk.to_numpy(bk.evaluate(value, z, x)))
        if quantity == "grad_z":
            out = bk.evaluate(slope, z, x)
        elif quantity == "grad_x":
            out = bk.grad(value, (z, x), (1,))[0]
        elif quantity == "hvp":
            out = bk.symmetric_product(lambda z: slope(z, x), z, bk.asarray(v))
        else:
            out = bk.vjp(lambda x: slope(z, x), (x,), bk.asarray(v), (0,))[1][0]
        return bk.to_numpy(out)

    # ------------------------------------------------------------------ the solution
    def outer_value(self, z, x):
        """Return F at flat z and x."""
        return self._ask("outer_value", z, x)

    def solve(self, x, start=None):
        """Return the `Solution` at x, warm-started from the `Solution` ``start``."""
        x = np.asarray(x, np.float64)
        z = self._zeros() if start is None else start.z
        z, slope = self._newton(z, x)
        residual = float(np.linalg.norm(slope))
        v = self._adjoint(z, x, start)
        gradient = self.direction(z, v, x)
        h = self.outer_value(z, x) + float(v @ slope)
        if not residual <= 100 * self.tolerance:
            h, gradient = np.nan, np.full_like(gradient, np.nan)
        return Solution(z, v, h, gradient, residual)

    def adjoint(self, z, x, start=None):
        """Return v*(z, x) = -H^{-1} grad_z F at any flat z, from a `Solution`; NaN where H is not positive."""
        v = self._adjoint(z, x, start)
        F_z = self._ask("outer_grad_z", z, x)
        left = np.linalg.norm(self._ask("hvp", z, x, v) + F_z)
        solved = left <= 100 * self.adjoint_tolerance * np.linalg.norm(F_z)
        return v if solved else np.full_like(v, np.nan)

    def direction(self, z, v, x):
        """Return C v + grad_x F at any flat z and v, shape (d,)."""
        return self._ask("outer_grad_x", z, x) + self._ask("cross", z, x, v)

    def _adjoint(self, z, x, start):
        F_z = self._ask("outer_grad_z", z, x)
        return self._solve_system(z, x, -F_z, self.adjoint_tolerance, None if start is None else start.v)

    def _zeros(self):
        shape = self.shapes[0]
        sizes = shape.values() if isinstance(shape, dict) else [shape]
        return np.zeros(sum(int(np.prod(s)) for s in sizes))

    def _newton(self, z, x):
        """Return (z, grad_z G) at z*, from z."""
        value, slope = self._ask("value", z, x), self._ask("grad_z", z, x)
        for _ in range(MAX_STEPS):
            size = np.linalg.norm(slope)
            if size <= self.tolerance or not np.isfinite(size):
                break
            step = self._solve_system(z, x, -slope, min(0.1, max(np.sqrt(size), 0.1 * self.tolerance / size) / 10))
            scale, along = 1.0, float(slope @ step)
            for _ in range(MAX_HALVINGS):
                z_new = z + scale * step
                value_new = self._ask("value", z_new, x)
                # Close to the solution the value no longer tells, within its rounding.
                if value_new <= value + 1e-4 * scale * along + 1e-14 * abs(value):
                    break
                scale /= 2
            slope_new = self._ask("grad_z", z_new, x)
            if np.linalg.norm(slope_new) >= size and value_new >= value - 1e-13 * abs(value):
                break  # rounding level reached
            z, value, slope = z_new, value_new, slope_new
        return z, slope

    def _solve_system(self, z, x, b, rtol, start=None):
        """Return H^{-1} b to a relative residual, by conjugate gradients."""
        out = np.zeros_like(b) if start is None else start.copy()
        r = b - self._ask("hvp", z, x, out) if start is not None else b.copy()
        p, square, goal = r.copy(), float(r @ r), (rtol * np.linalg.norm(b)) ** 2
        for _ in range(ITERATIONS_PER_UNKNOWN * len(b)):
            if square <= goal:
                break
            along = self._ask("hvp", z, x, p)
            curvature = float(p @ along)
            if not curvature > 0:  # not convex here: the direction so far, or down the gradient
                return out if out.any() else b
            alpha = square / curvature
            out, r = out + alpha * p, r - alpha * along
            square, last = float(r @ r), square
            p = r + square / last * p
        return out
