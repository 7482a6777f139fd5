"""Projections, written once against an array namespace: onto the feasible set X, and those that methods ask for."""


def box(xp, x, lower, upper):
    """Project onto ``lower <= x <= upper``."""
    return xp.clip(x, lower, upper)


def ball(xp, x, radius):
    """Project an array of any shape onto the Euclidean (for a matrix: Frobenius) ball of the given radius."""
    norm = xp.sqrt(xp.sum(x * x))
    return x * xp.where(norm > radius, radius / xp.where(norm > 0, norm, 1 + 0 * norm), 1 + 0 * norm)


def eigenvalue_floor(xp, A, floor):
    """Project a matrix onto the symmetric matrices whose eigenvalues are at least ``floor``.

    Returns
    -------
    tuple of two arrays of shape (p, p)
        The projection in Frobenius norm, and its inverse.
    """
    eigenvalues, U = xp.linalg.eigh((A + A.T) / 2)
    eigenvalues = xp.where(eigenvalues > floor, eigenvalues, floor + 0 * eigenvalues)
    return (U * eigenvalues) @ U.T, (U / eigenvalues) @ U.T


PROJECTIONS = {"box": box, "ball": ball}


def project(xp, x, constraint):
    """Project ``x`` as the problem's ``constraint`` says: ``None`` or ``(name, keyword arguments)``."""
    if constraint is None:
        return x
    name, arguments = constraint
    return PROJECTIONS[name](xp, x, **arguments)
