"""Step-size schedules: pure functions of the outer iteration counter."""


def power_law(c, t, exponent, offset=1):
    """Return ``c (1 + t / offset)**-exponent`` in the precision of ``c``: ``c / (t + 1)**exponent`` with offset 1.

    Parameters
    ----------
    c : float or 0-d array
        Step size at the first iteration.
    t : int or 0-d integer array
        Outer iterations done so far, starting at 0.
    exponent : float
        Decay exponent; 0 gives the constant schedule.
    offset : float or 0-d array
        m of schedules proportional to ``(m + t)**-exponent``: iterations over which the value stays close to ``c``.
    """
    if exponent == 0:
        return c
    # 0 * c gives the integer counter the floating type of c on every backend.
    return c * ((t + 0 * c) / offset + 1) ** -exponent


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


def noisy_levels(noise, batch_size, outer_batch_size):
    """Return which levels have noisy gradients: "both", "outer" (F alone) or "none".

    Parameters
    ----------
    noise : {"auto", "both", "outer", "none"}
        Anything but "auto" is returned as it is; "auto": what the sizes of the batches say.
    batch_size, outer_batch_size : int, "full" or "same"
    """
    if noise != "auto":
        return noise
    if batch_size != "full":
        return "both"
    return "none" if outer_batch_size in ("full", "same") else "outer"


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


class GrowingLengths:
    """Lengths of a loop at the outer iterations 0, 1, ...; ``lengths[t]`` is one, ``lengths[-1]`` the longest.

    Parameters
    ----------
    length : callable
        Outer iteration counter to number of steps, nondecreasing; integers in, integers out, so that no rounding
        depends on the backend.
    longest : int
        Cap; draw plans have to state a largest size.
    """

    #: Iterations that are looked at: backends keep integer arrays with 32 bits. No length rises later.
    END = 2**31 - 1

    def __init__(self, length, longest):
        self.length, self.longest = length, longest

    def __getitem__(self, t):
        return self.longest if t < 0 else min(self.length(t), self.longest)

    def rises(self):
        """Return the iterations from which on the length is larger by one, in order; twice where it is by two.

        There are fewer of them than steps in the longest loop, however slowly it gets there.
        """
        found, t = [], 0
        for target in range(self[0] + 1, self.longest + 1):
            low, step = t, 1  # the first iteration with this length is not before that of the length before
            while self[low + step - 1] < target:
                low, step = low + step, 2 * step
                if low > self.END:
                    return found
            high = low + step - 1
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if self[middle] >= target else (middle + 1, high)
            if low > self.END:
                return found
            found.append(t := low)
        return found


def length_at(bk, lengths, t):
    """Return ``lengths[t]``: traced if t is, unless all are equal.

    Parameters
    ----------
    bk : backend
    lengths : list of int or GrowingLengths
        The last entry of a list stands for all later ones.
    t : int or 0-d integer array
    """
    if isinstance(lengths, GrowingLengths):
        if isinstance(t, int):
            return lengths[t]
        rises = lengths.rises()
        if not rises:
            return lengths[0]
        rises = bk.asarray(rises)
        return lengths[0] + bk.xp.sum(rises <= t, dtype=rises.dtype)
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


def penalised_step(backend, step_size, gamma, last, scaling):
    """Return the step on F + gamma p, where gamma rises to ``last``.

    Parameters
    ----------
    backend : benchmark_utils.backends.Backend
    step_size, gamma, last : float or 0-d array
    scaling : {"fixed", "current"}
        "fixed": ``step_size / (1 + last)``; "current": ``step_size min(1 / gamma, 1)``.
    """
    if scaling == "fixed":
        return step_size / (1 + last)
    return step_size / backend.select(gamma > 1, gamma, 1 + 0 * gamma)


def unit_vector(backend, d):
    """Return ``d / ‖d‖``, or ``d`` where it is zero, for an array of the shape of x."""
    xp = backend.xp
    norm = xp.sqrt(xp.sum(d * d))
    return d / xp.where(norm > 0, norm, 1 + 0 * norm)
