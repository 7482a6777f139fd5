"""Pieces of methods that look for v in a subspace that they build: unit vectors, and the tridiagonal T of Lanczos."""

import numpy as np


def unit(oracles, a, scale, precision):
    """Return (norm of a, a / norm), both zero where the norm is lost to rounding.

    Parameters
    ----------
    oracles : Oracles
    a : array
        Of the shape of z; with tasks each row is taken by itself.
    scale : float or array
        Norm of what ``a`` was computed from as a difference, 0 if it was not.
    precision : {"float32", "float64"}
        A norm of at most the root of its unit roundoff times ``scale`` is lost.
    """
    xp = oracles.bk.xp
    norm = xp.sqrt(oracles.dot(a, a))
    kept = norm > float(np.finfo(precision).eps) ** 0.5 * scale
    return xp.where(kept, norm, 0 * norm), xp.where(kept, a / xp.where(kept, norm, 1 + 0 * norm), 0 * a)


def bordered(xp, T, last, diagonal, coupling):
    """Return T with row and column ``last`` written and all that comes after them set to zero.

    Parameters
    ----------
    xp : array namespace
    T : array, shape (n, n)
        Symmetric and tridiagonal in its first ``last`` rows and columns.
    last : int or 0-d integer array
    diagonal, coupling : 0-d arrays
        T[last, last], and T[last, last - 1] = T[last - 1, last] (of no meaning where ``last`` is 0).
    """
    k, zero = xp.to_device_of(xp.arange(T.shape[0]), T), 0 * T
    old, new, neighbour = k < last, k == last, k == last - 1
    T = xp.where(old[:, None] & old, T, zero) + xp.where(new[:, None] & new, diagonal, zero)
    return T + xp.where((new[:, None] & neighbour) | (neighbour[:, None] & new), coupling, zero)


def solve_leading(xp, T, right, last):
    """Return the solution of the equations 0 .. ``last`` of ``T s = right``, zero after it.

    T is one that `bordered` returned; entries of ``right`` after ``last`` are not looked at.
    """
    k = xp.to_device_of(xp.arange(T.shape[0]), T)
    unused = k > last
    return xp.linalg.solve(T + xp.diag(xp.where(unused, 1 + 0 * right, 0 * right)), xp.where(unused, 0 * right, right))
