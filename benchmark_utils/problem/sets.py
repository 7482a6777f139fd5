"""Feasible sets of single problems: noise on images, matrices of small norm."""

import dataclasses

from benchmark_utils.problem.feasible_set import FeasibleSet


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

        The projection of a row u is ``clip(t u, -a, 1 - a)`` with ``t = 1 / (1 + mu)``, mu the
        multiplier of the ball: t = 1 where that lies in the ball, else the t at which the norm is
        the radius. The squared norm is piecewise quadratic in t with a knot where a pixel reaches
        its bound, so t follows from the sorted knots, without iterations.
        """
        images, squared_radius = arrays["images"], self.radius**2
        room, size = xp.where(x < 0, images, 1 - images), xp.abs(x)
        bounded, one = size > room, xp.ones_like(x)
        knots = xp.where(bounded, room / xp.where(bounded, size, one), one)
        order = xp.argsort(knots, axis=1)
        sorted_by_knot = lambda a: xp.take_along_axis(a, order, axis=1)
        t, u = sorted_by_knot(knots), sorted_by_knot(size)
        fixed = xp.cumsum(sorted_by_knot(room) ** 2, axis=1)
        # Summed from the far end: a difference of large sums would drown the small ones.
        beyond = xp.flip(xp.cumsum(xp.flip(u * u, axis=1), axis=1), axis=1) - u * u
        fits = fixed + t * t * beyond <= squared_radius
        last = xp.max(xp.where(fits, t, 0 * t), axis=1)[:, None]
        # The pixels at their bounds are known now: the sums anew, without cancellation.
        at_bound = bounded & (knots <= last)
        left = squared_radius - _row_sums(xp, xp.where(at_bound, room * room, 0 * room))
        free = _row_sums(xp, xp.where(at_bound, 0 * size, size * size))
        ratio = xp.where(free > 0, left / xp.where(free > 0, free, 1 + free), 1 + free)
        scale = xp.sqrt(xp.clip(ratio, 0, 1))
        whole = self._clipped(xp, x, images)
        inside = _row_sums(xp, whole * whole) <= squared_radius
        return xp.where(inside, whole, self._clipped(xp, scale * x, images))

    def _clipped(self, xp, x, images):
        x = xp.where(x < -images, -images, x)
        return xp.where(x > 1 - images, 1 - images, x)


def _row_sums(xp, a):
    return xp.sum(a, axis=1)[:, None]


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
        """Return x with the singular values of the matrix clipped, the nearest such x."""
        U, s, Vt = xp.linalg.svd(x[self.name], full_matrices=False)
        return x | {self.name: (U * xp.clip(s, 0, self.radius)) @ Vt}
