"""Weights of finite differences on integer points."""

import math


def first_derivative(order):
    """Return dict of integer point j to weight alpha_j: ``sum_j alpha_j psi(j nu) / nu`` is psi'(0) + O(nu^order).

    The points are -p/2..p/2 for even p, where alpha_0 = 0 is left out, and -(p - 1)/2..(p + 1)/2 for odd p: with
    p + 1 points the weights are those of the polynomial through them, and no others have this order.

    Parameters
    ----------
    order : int
        p, at least 1; 1 is the forward difference, 2 the central one.
    """
    first = -(order // 2)
    points = range(first, first + order + 1)
    # The derivative at 0 of the Lagrange polynomial of the point j, which has the factor y / j.
    weights = {j: math.prod(m / (m - j) for m in points if m not in (0, j)) / j for j in points if j}
    if order % 2:
        weights[0] = -sum(weights.values())
    return dict(sorted(weights.items()))
