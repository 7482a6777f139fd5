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
    if schedule not in ("theory", "constant"):
        raise ValueError(f"schedule is {schedule!r}; it must be 'theory' (the decay of the paper) or 'constant'.")
    return exponent if schedule == "theory" else 0
