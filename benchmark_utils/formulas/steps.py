"""Step-size schedules: pure functions of the outer iteration counter."""


def power_law(c, t, exponent):
    """Return ``c / (t + 1)**exponent`` in the precision of ``c``.

    Parameters
    ----------
    c : float or 0-d array
        Step size at the first iteration.
    t : int or 0-d integer array
        Outer iterations done so far, starting at 0.
    exponent : float
        Decay exponent; 0 gives the constant schedule.
    """
    if exponent == 0:
        return c
    # 0 * c gives the integer counter the floating type of c on every backend.
    return c * (t + 1 + 0 * c) ** -exponent


def theory_or_constant(schedule, exponent):
    """Return the decay exponent that the schedule called ``schedule`` uses.

    Parameters
    ----------
    schedule : {"theory", "constant"}
        ``"theory"`` keeps the exponent of the paper, ``"constant"`` sets it to 0.
    exponent : float
        Exponent of the paper.
    """
    return exponent if schedule == "theory" else 0


def momentum(backend, a, t):
    """Return the weight of the newest term of a moving estimate: 1 at iteration 0, afterwards ``a``.

    With the weight 1 the first direction is a plain stochastic one, whatever the estimate was started with.

    Parameters
    ----------
    backend : benchmark_utils.backends.Backend
    a : float or 0-d array
        Weight in (0, 1], see `estimators.ema` and `estimators.storm`.
    t : int or 0-d integer array
        Outer iterations done so far, starting at 0.
    """
    return backend.select(t == 0, 1.0, a)


def growing_lengths(length, longest):
    """Return ``[length(0), length(1), ...]`` up to the first one that reaches ``longest``, capped there.

    Parameters
    ----------
    length : callable
        Outer iteration counter to number of steps, nondecreasing and unbounded; integers in, integers out, so that
        no rounding depends on the backend.
    longest : int
        Cap; draw plans have to state a largest size.
    """
    lengths = [min(length(0), longest)]
    while lengths[-1] < longest:
        lengths.append(min(length(len(lengths)), longest))
    return lengths


def length_at(bk, lengths, t):
    """Return ``lengths[t]``, the last entry from there on: traced if t is, unless there is only one entry.

    Parameters
    ----------
    bk : backend
    lengths : list of int
        For example from `growing_lengths`.
    t : int or 0-d integer array
    """
    last = len(lengths) - 1
    if last == 0:
        return lengths[0]
    t = bk.select(t < last, t, last)
    return lengths[t] if isinstance(t, int) else bk.row_get(bk.asarray(lengths), t)


def linear_ramp(backend, first, last, t, length):
    """Return the value that rises linearly from ``first`` at t = 0 to ``last`` at t = ``length`` and stays there.

    Parameters
    ----------
    backend : benchmark_utils.backends.Backend
    first, last : float or 0-d array
    t : int or 0-d integer array
        Outer iterations done so far, starting at 0.
    length : int
        Iterations of the rise, at least 1.
    """
    # 0 * first gives the integer counter the floating type of first on every backend.
    done = backend.select(t < length, t, length) + 0 * first
    return first + (last - first) * (done / length)


def cumulative(xp, first, total):
    """Return ``sqrt(first^2 + total)``, whose inverse is a step that needs no tuning (AdaGrad-Norm).

    Parameters
    ----------
    xp : array namespace
    first : float or 0-d array
        Inverse of the step before the first gradient, positive.
    total : 0-d array
        Sum of the squared norms of the gradients so far, the one that is about to be followed included.
    """
    return xp.sqrt(first * first + total)
