"""StocBiO, Ji, Yang, Liang 2021, Algorithms 2 and 3; series with equal or shrinking batches."""

import numpy as np
from outer_steps import moments, moved


def start(z0, x0, o, k):
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), t=0, **moments(x0))


def blocks_of_factor(j, Q, L):
    """Return ceil(L^{(Q-j)/(Q-1)}): the least n with n^{Q-1} >= L^{Q-j}."""
    if j == 1:
        return L
    n = 1
    while n ** (Q - 1) < L ** (Q - j):
        n += 1
    return n


def step(s, o, hp, d, k):
    z, x, Q = s["z"], s["x"], k["n_neumann_steps"]
    alpha, beta = hp["step_size"], hp["step_size"] / hp["outer_ratio"]
    eta = hp["neumann_step"]

    for j in range(k["n_inner_steps"]):
        z = z - alpha * o.grad_z(z, x, d["z"][j])

    # v = -eta sum_{q=0}^{Q} prod_{j<=q} (I - eta H_j) grad_z F
    term = o.F_z(z, x, d["f"])
    total = term
    for j in range(1, Q + 1):
        batches = np.atleast_1d(d["v"][j - 1])
        if k["batch_growth"] == "theory":
            batches = batches[: blocks_of_factor(j, Q, k["largest_batch"])]
        term = term - eta * np.mean([o.hvp(z, x, term, batch) for batch in batches], axis=0)
        total = total + term
    D_x = o.F_x(z, x, d["f"]) + o.cross(z, x, -eta * total, d["x"])
    return dict(z=z, d_x=D_x, t=s["t"] + 1, **moved(s, o, k, D_x, beta))
