"""Feasible sets of single problems: images within a ball and the pixel box, matrices of small norm."""

import dataclasses

from benchmark_utils.problem.feasible_set import FeasibleSet

#: Halvings of the interval that holds the scale: from 1 to the rounding of float64.
HALVINGS = 54


@dataclasses.dataclass(frozen=True)
class NoisyImages(FeasibleSet):
    """Noise on images: row i of x with ``‖x_i‖ <= radius`` and ``0 <= a_i + x_i <= 1``.

    The arrays of the set hold "images", the a_i within 0..1, shape (n, pixels), the shape of x.

    Attributes
    ----------
    radius : float
        Positive Euclidean radius of each image.
    """

    radius: float

    def project(self, xp, x, arrays):
        """Return the exact projection of x, shape (n, pixels).

        The projection of a row u is ``clip(t u, -a, 1 - a)`` with ``t = 1 / (1 + mu)``, mu the multiplier
        of the ball: t = 1 where that lies in the ball, else the t at which the norm is the radius, found
        by bisection for all rows at once (reference: algorithms, 6.7).
        """
        images = arrays["images"]

        def clipped(t):
            scaled = t[:, None] * x
            scaled = xp.where(scaled < -images, -images, scaled)
            return xp.where(scaled > 1 - images, 1 - images, scaled)

        def inside(t):
            moved = clipped(t)
            return xp.sum(moved * moved, axis=1) <= self.radius**2

        norm = xp.sqrt(xp.sum(x * x, axis=1))
        one = xp.ones_like(norm)
        free = inside(one)
        low, high = self.radius / xp.where(norm > self.radius, norm, self.radius * one), one
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            fits = inside(middle)
            low, high = xp.where(fits, middle, low), xp.where(fits, high, middle)
        return clipped(xp.where(free, one, low))


@dataclasses.dataclass(frozen=True)
class SpectralBall(FeasibleSet):
    """Dict of arrays one of which, a matrix, has singular values of at most ``radius``.

    Attributes
    ----------
    name : str
        Key of the matrix in x; the other entries are free.
    radius : float
    """

    name: str
    radius: float

    def project(self, xp, x, arrays):
        """Return x with the singular values of the matrix clipped: its projection in Frobenius norm."""
        U, s, Vt = xp.linalg.svd(x[self.name], full_matrices=False)
        return x | {self.name: (U * xp.clip(s, 0, self.radius)) @ Vt}
