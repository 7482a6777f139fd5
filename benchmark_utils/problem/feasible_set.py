"""Feasible sets X of the outer variable, with their projections; written against an array namespace."""

import dataclasses

from benchmark_utils.problem import projections


@dataclasses.dataclass(frozen=True)
class FeasibleSet:
    """A closed convex (or spectral) set with a projection.

    Its own arrays, such as one box for each image, are fields of `Problem`'s ``feasible_arrays``: they are put on the
    device once and reach `project` as a dict.
    """

    def project(self, xp, x, arrays):
        """Return the projection of x, in the problem's shape, onto the set.

        Parameters
        ----------
        xp : array namespace
        x : array or dict of arrays
        arrays : dict of str to array
            Arrays of the set.
        """
        raise NotImplementedError

    def nearest(self, xp, x, arrays):
        """Return the exact projection, by which stationarity is measured; `project` unless that is a cheaper map."""
        return self.project(xp, x, arrays)


@dataclasses.dataclass(frozen=True)
class Box(FeasibleSet):
    """``lower <= x <= upper`` in every entry."""

    lower: float
    upper: float

    def project(self, xp, x, arrays):
        """Return the projection of x."""
        return projections.box(xp, x, self.lower, self.upper)


@dataclasses.dataclass(frozen=True)
class Ball(FeasibleSet):
    """Euclidean (for a matrix: Frobenius) ball around zero."""

    radius: float

    def project(self, xp, x, arrays):
        """Return the projection of x."""
        return projections.ball(xp, x, self.radius)
