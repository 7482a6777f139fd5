"""D-TFBO, Yang, Ban, Huang, Ma, Ji 2025, Algorithm 1: two loops, steps from cumulative norms."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, v=np.zeros_like(z0), x=x0, d_x=np.zeros_like(x0), t=0, norms=None)


def step(s, o, hp, d, k):
    z, x, v = s["z"], s["x"], s["v"]
    first = 1 / hp["step_size"]
    beta, gamma, alpha = s["norms"] or (first, first, hp["outer_ratio"] * first)

    for j in range(k["n_inner_steps"]):
        D_z = o.grad_z(z, x, d["z"][j])
        if D_z @ D_z <= k["tolerance"]:
            break
        beta = np.hypot(beta, np.linalg.norm(D_z))
        z = z - D_z / beta

    for j in range(k["n_linear_steps"]):
        D_v = o.hvp(z, x, v, d["v"][j]) + o.F_z(z, x, d["f"])
        if D_v @ D_v <= k["tolerance"]:
            break
        gamma = np.hypot(gamma, np.linalg.norm(D_v))
        v = v - D_v / gamma

    D_x = o.F_x(z, x, d["f"]) + o.cross(z, x, v, d["x"])
    alpha = np.hypot(alpha, np.linalg.norm(D_x))
    norms = beta, gamma, alpha
    return dict(z=z, v=v, x=o.project(x - D_x / alpha), d_x=D_x, t=s["t"] + 1, norms=norms)
