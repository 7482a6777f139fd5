"""Feasible sets of single problems: noise on images, matrices of small norm."""

import dataclasses

from benchmark_utils.problem.feasible_set import FeasibleSet

#: Steps of Newton's method along a piecewise linear function. For lognormal noise of 0.15 to 500
#: times the radius a pixel, 64 pixels an image, the sixth was at the root. Most steps taken, that is.
NEWTON_STEPS = 12


@dataclasses.dataclass(frozen=True)
class NoisyImages(FeasibleSet):
    """Noise on images: row i of x with ``‖x_i‖ <= radius`` and ``0 <= a_i + x_i <= 1``.

    The arrays of the set hold "images", the a_i within 0..1, shape (n, pixels), the shape of x.

    Attributes
    ----------
    radius : float
        Positive Euclidean radius of each image.
    projection : {"exact", "sequential"}
        What solvers take for the projection: the nearest point, or, as in published code, each row onto its ball and
        then clipped. That lies in the set, is no projection, and its fixed points need not be stationary.
    """

    radius: float
    projection: str = "exact"

    def project(self, xp, x, arrays):
        """Return the point of the set that solvers move to from x, shape (n, pixels)."""
        if self.projection == "exact":
            return self.nearest(xp, x, arrays)
        norms = xp.sqrt(_row_sums(xp, x * x))
        outside = norms > self.radius
        scale = xp.where(outside, self.radius / xp.where(outside, norms, 1 + norms), 1 + 0 * norms)
        return self._clipped(xp, scale * x, arrays["images"])

    def nearest(self, xp, x, arrays):
        """Return the exact projection of x, shape (n, pixels).

        The projection of a row u is ``clip(t u, -a, 1 - a)`` with ``t = 1 / (1 + mu)``, mu the
        multiplier of the ball: t = 1 where that lies in the ball, else the t at which the norm is
        the radius. Its square is concave and piecewise linear in ``t^2``, with a knot where a
        pixel reaches its bound: Newton's method from 0 goes from piece to piece and ends at the
        root, not beside it.
        """
        images, squared_radius = arrays["images"], self.radius**2
        room = xp.where(x < 0, images, 1 - images)
        squares, bounds = x * x, room * room

        def newton(t_squared):
            at_bound = t_squared * squares >= bounds
            left = squared_radius - _row_sums(xp, xp.where(at_bound, bounds, 0 * bounds))
            free = _row_sums(xp, xp.where(at_bound, 0 * squares, squares))
            moved = xp.where(free > 0, left / xp.where(free > 0, free, 1 + free), 1 + free)
            return xp.where(inside, t_squared, moved)

        whole = self._clipped(xp, x, images)
        inside = _row_sums(xp, whole * whole) <= squared_radius
        t_squared = xp.until_still(newton, xp.where(inside, 1 + 0 * x[:, :1], 0 * x[:, :1]), NEWTON_STEPS)
        return xp.where(inside, whole, self._clipped(xp, xp.sqrt(xp.clip(t_squared, 0, 1)) * x, images))

    def _clipped(self, xp, x, images):
        x = xp.where(x < -images, -images, x)
        return xp.where(x > 1 - images, 1 - images, x)


def _row_sums(xp, a):
    return xp.sum(a, axis=1)[:, None]


@dataclasses.dataclass(frozen=True)
class SpectralBall(FeasibleSet):
    """Matrices whose singular values are at most ``radius``.

    Attributes
    ----------
    radius : float
    """

    radius: float

    def project(self, xp, x, arrays):
        """Return the matrix with its singular values clipped, the nearest one."""
        U, s, Vt = xp.linalg.svd(x, full_matrices=False)
        return (U * xp.clip(s, 0, self.radius)) @ Vt


@dataclasses.dataclass(frozen=True)
class Entries(FeasibleSet):
    """Dict of arrays some of which have a set of their own; the others are free.

    Attributes
    ----------
    sets : tuple of (str, FeasibleSet)
        Keys of x and their sets.
    """

    sets: tuple

    def project(self, xp, x, arrays):
        """Return x with each entry projected onto its set, the nearest such x."""
        return x | {name: of_entry.project(xp, x[name], arrays) for name, of_entry in self.sets}
