"""Where the error of an outer direction comes from: the inner variable, the linear system, or sampling."""

import math

import numpy as np

#: What `split` returns, each a norm; see docs/statistics.md.
PARTS = ("gradient", "error", "inner", "linear", "noise", "rest")


def split(evaluator, x, exact, d=None, z=None, v=None, start=None):
    """Return dict of the names of `PARTS` to float; NaN for what is not known.

    Parameters
    ----------
    evaluator : object
        With ``adjoint(z, x, start)`` and ``direction(z, v, x)`` in float64.
    x : array of shape (d,)
    exact : array of shape (d,)
        grad h(x).
    d : array of shape (d,), optional
        Direction that a method takes at x.
    z, v : array of shape (p,), optional
        Inner variable and solution of the linear system that it was taken with.
    start : Solution, optional
        At x: warm start of the linear system.
    """
    norm = lambda a: float(np.linalg.norm(a))
    out = dict.fromkeys(PARTS, math.nan) | {"gradient": norm(exact)}
    if d is None:
        return out
    out["error"] = norm(d - exact)
    if z is None:
        return out
    try:
        at_z = evaluator.direction(z, evaluator.adjoint(z, x, start), x)
    except np.linalg.LinAlgError:  # H at this z has left the range of the numbers
        return out
    out |= {"inner": norm(at_z - exact), "rest": norm(d - at_z)}
    if v is not None:
        at_v = evaluator.direction(z, v, x)
        out |= {"linear": norm(at_v - at_z), "noise": norm(d - at_v)}
    return out
