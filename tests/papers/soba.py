"""SOBA, Dagréou et al. 2022, Algorithm 1, with steps that decay as (t + 1)^{-1/2}."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, v=np.zeros_like(z0), x=x0, d_x=np.zeros_like(x0), t=0)


def step(s, o, hp, d, k):
    z, v, x, t = s["z"], s["v"], s["x"], s["t"]
    rho = hp["step_size"]
    if k["schedule"] == "theory":
        rho = rho / (t + 1) ** (1 / 2)
    gamma = rho / hp["outer_ratio"]

    D_z = o.grad_z(z, x, d["xi"])
    D_v = o.hvp(z, x, v, d["xi"]) + o.F_z(z, x, d["zeta"])
    D_x = o.cross(z, x, v, d["xi"]) + o.F_x(z, x, d["zeta"])
    return dict(z=z - rho * D_z, v=v - rho * hp["linear_ratio"] * D_v, x=o.project(x - gamma * D_x), d_x=D_x, t=t + 1)
