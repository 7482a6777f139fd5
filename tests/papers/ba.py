"""BA, Ghadimi, Wang 2018, Algorithm 1, with a Neumann series of Q_k products for the inverse."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), t=0)


def length(first, t, k):
    """Return first, or min(cap, ceil(first (t + 1)^{1/4})): the least n, n^4 >= first^4 (t + 1)."""
    if k["schedule"] == "constant":
        return first
    n = first
    while n**4 < first**4 * (t + 1):
        n += 1
    return min(n, k["max_steps"])


def step(s, o, hp, d, k):
    x, t, i, j = s["x"], s["t"], d["xi"], d["zeta"]
    beta, alpha = hp["step_size"], hp["step_size"] / hp["outer_ratio"]
    eta = hp["neumann_step"]

    z = s["z"] if k["warm_start"] == "z" else np.zeros_like(s["z"])
    for _ in range(length(k["n_inner_steps"], t, k)):
        z = z - beta * o.grad_z(z, x, i)

    # q = eta sum_{q=0}^{Q_k} (I - eta H)^q grad_z F
    term = o.F_z(z, x, j)
    total = term
    for _ in range(length(k["n_neumann_steps"], t, k)):
        term = term - eta * o.hvp(z, x, term, i)
        total = total + term
    D_x = o.F_x(z, x, j) - o.cross(z, x, eta * total, i)
    return dict(z=z, x=o.project(x - alpha * D_x), d_x=D_x, t=t + 1)
