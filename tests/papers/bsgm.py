"""BSGM, Grazzi, Pontil, Salzo 2023, Algorithms 1 and 2: t_s = k_s = J_s = ceil(c (s + 1))."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, v=np.zeros_like(z0), x=x0, d_x=np.zeros_like(x0), t=0)


def lengths(t, k):
    n, c = k["n_steps"], k["growth"]
    if k["length_schedule"] == "growing":
        while n > 1 and n - 1 > c * (t + 1) - 1e-9:
            n -= 1
    return n


def step(s, o, hp, d, k):
    x, n, gamma = s["x"], lengths(s["t"], k), hp["decay_offset"]
    decay = [gamma / (gamma + i) if k["schedule"] == "theory" else 1 for i in range(n)]
    alpha = hp["step_size"] / hp["outer_ratio"]
    zero = np.zeros_like(s["z"])

    w = zero if k["warm_start"] == "none" else s["z"]
    for i in range(n):
        w = w - hp["step_size"] * decay[i] * o.grad_z(w, x, d["z"][i])

    F_z = sum(o.F_z(w, x, d["f"][i]) for i in range(n)) / n
    F_x = sum(o.F_x(w, x, d["f"][i]) for i in range(n)) / n
    # The paper's q = -v.
    q = -s["v"] if k["warm_start"] == "z_and_v" else zero
    for i in range(n):
        step_v = hp["step_size"] * hp["linear_ratio"] * decay[i]
        q = q - step_v * (o.hvp(w, x, q, d["v"][i]) - F_z)

    D_x = F_x - sum(o.cross(w, x, q, d["x"][i]) for i in range(n)) / n
    return dict(z=w, v=-q, x=o.project(x - alpha * D_x), d_x=D_x, t=s["t"] + 1)
