"""TTSA, Hong et al. 2023, Algorithm 1 with HIA: steps (k + 1)^{-2/5} and (k + 1)^{-3/5}."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), t=0)


def step(s, o, hp, d, k):
    z, x, t = s["z"], s["x"], s["t"]
    beta, alpha = hp["step_size"], hp["step_size"] / hp["outer_ratio"]
    if k["schedule"] == "theory":
        beta, alpha = beta / (t + 1) ** 0.4, alpha / (t + 1) ** 0.6
    if k["schedule"] == "strongly_convex":
        beta, alpha = beta / (t + 1) ** (2 / 3), alpha / (t + 1)
    eta, Q = hp["neumann_step"], k["n_neumann_steps"]

    z = z - beta * o.grad_z(z, x, d["z"])

    # At the new z: v = -Q eta prod_{j<p} (I - eta H_j) grad_z F.
    r = o.F_z(z, x, d["f"])
    for j in range(int(d["p"])):
        r = r - eta * o.hvp(z, x, r, d["v"][j])
    D_x = o.F_x(z, x, d["f"]) + o.cross(z, x, -Q * eta * r, d["x"])
    return dict(z=z, x=o.project(x - alpha * D_x), d_x=D_x, t=t + 1)
