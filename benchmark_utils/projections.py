"""Projections onto the feasible set X of the outer variable, written once against an array namespace."""


def box(xp, x, lower, upper):
    """Project onto ``lower <= x <= upper``."""
    return xp.clip(x, lower, upper)


def ball(xp, x, radius):
    """Project onto the Euclidean ball of the given radius."""
    norm = xp.sqrt(xp.sum(x * x))
    return x * xp.where(norm > radius, radius / xp.where(norm > 0, norm, 1 + 0 * norm), 1 + 0 * norm)


PROJECTIONS = {"box": box, "ball": ball}


def project(xp, x, constraint):
    """Project ``x`` as the problem's ``constraint`` says: ``None`` or ``(name, keyword arguments)``."""
    if constraint is None:
        return x
    name, arguments = constraint
    return PROJECTIONS[name](xp, x, **arguments)
