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


def control_variate(backend, memory, mean, i, row):
    """Return (``mean - memory[i]``, the memory with ``row`` in row i, its mean): the control variate of SAGA.

    ``row + mean - memory[i]`` is the SAGA estimate. Defazio, Bach, Lacoste-Julien 2014, arXiv:1407.0202.

    Parameters
    ----------
    backend : benchmark_utils.backends.Backend
    memory : array, shape (n_blocks, q)
    mean : array, shape (q,)
        Mean over the rows of ``memory``.
    i : int or 0-d integer array
    row : array, shape (q,)
    """
    kept, table = backend.row_swap(memory, i, row)
    return mean - kept, table, mean + (row - kept) / memory.shape[0]
