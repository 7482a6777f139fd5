"""Momentum and variance-reduction corrections, one formula each."""


def ema(d, new, a):
    """Return the exponential moving average ``(1 - a) d + a new``."""
    return (1 - a) * d + a * new


def storm(d, new, old, a):
    """Return the STORM estimate ``new + (1 - a) (d - old)``.

    ``new`` and ``old`` are the same stochastic quantity, same draws, at the current and at the previous point.
    Cutkosky, Orabona 2019, arXiv:1905.10018. ``a = 1`` is plain SGD, ``a = 0`` is `sarah`.
    """
    return new + (1 - a) * (d - old)


def sarah(d, new, old):
    """Return the SARAH / SPIDER estimate ``d + new - old``.

    Nguyen et al. 2017, arXiv:1703.00102.
    """
    return d + new - old
