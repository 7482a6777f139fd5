"""BSA, Ghadimi, Wang 2018, Algorithms 2 and 3: steps (k + 1)^{-1/2}, T_k = ceil(T sqrt(k + 1))."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), t=0)


def inner_length(t, k):
    """Return T, or min(cap, ceil(T sqrt(t + 1))): the least n with n^2 >= T^2 (t + 1)."""
    n = k["n_inner_steps"]
    if k["inner_schedule"] == "theory":
        while n**2 < k["n_inner_steps"] ** 2 * (t + 1):
            n += 1
        n = min(n, k["max_inner_steps"])
    return n


def step(s, o, hp, d, k):
    x, t = s["x"], s["t"]
    decay = (t + 1) ** 0.5 if k["schedule"] == "theory" else 1
    beta = hp["step_size"] / decay
    alpha = hp["step_size"] / hp["outer_ratio"] / decay
    eta, Q = hp["neumann_step"], k["n_neumann_steps"]

    z = s["z"] if k["warm_start"] == "z" else np.zeros_like(s["z"])
    for j in range(inner_length(t, k)):
        beta_j = beta / (j + 1) if k["inner_decay"] == "theory" else beta
        z = z - beta_j * o.grad_z(z, x, d["z"][j])

    # q = Q eta prod_{j<p} (I - eta H_j) grad_z F
    r = o.F_z(z, x, d["f"])
    for j in range(int(d["p"])):
        r = r - eta * o.hvp(z, x, r, d["v"][j])
    D_x = o.F_x(z, x, d["f"]) - o.cross(z, x, Q * eta * r, d["x"])
    return dict(z=z, x=o.project(x - alpha * D_x), d_x=D_x, t=t + 1)
