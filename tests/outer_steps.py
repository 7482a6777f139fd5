"""The steps of x that several transcriptions of tests/papers share, in plain NumPy."""

import numpy as np


def moments(x0):
    """Return the part of the first state that `moved` needs."""
    return dict(m_x=np.zeros_like(x0), s_x=np.zeros_like(x0))


def moved(s, o, k, D_x, gamma):
    """Return x and the moments after a step along D_x; ``t`` of the state counts from 0.

    Heavy ball: the sum of all directions so far, each weighed by momentum^age. Adam: Kingma, Ba 2015, Algorithm 1.
    """
    x, m, v, n, beta = s["x"], s["m_x"], s["s_x"], s["t"] + 1, k["outer_momentum"]
    if k["outer_optimiser"] == "sgd":
        move = D_x
    elif k["outer_optimiser"] == "heavy_ball":
        m = D_x + beta * m
        move = m
    else:
        m = m + (1 - beta) * (D_x - m)
        v = v + 0.001 * (D_x**2 - v)
        move = (m / (1 - beta**n)) / (np.sqrt(v / (1 - 0.999**n)) + 1e-8)
    return dict(x=o.project(x - gamma * move), m_x=m, s_x=v)
