"""S-TFBO, Yang, Ban, Huang, Ma, Ji 2025, Algorithm 2: one loop, steps from cumulative norms."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, v=np.zeros_like(z0), x=x0, d_x=np.zeros_like(x0), t=0, norms=None)


def step(s, o, hp, d, k):
    z, x, v = s["z"], s["x"], s["v"]
    beta, gamma, alpha = s["norms"] or (1 / hp["step_size"], 1 / hp["step_size"], hp["outer_ratio"])

    D_z = o.grad_z(z, x, d["xi"])
    D_v = o.hvp(z, x, v, d["xi"]) + o.F_z(z, x, d["zeta"])
    D_x = o.cross(z, x, v, d["xi"]) + o.F_x(z, x, d["zeta"])

    beta, gamma, alpha = (np.hypot(old, np.linalg.norm(D)) for old, D in ((beta, D_z), (gamma, D_v), (alpha, D_x)))
    phi = max(beta, gamma)
    return dict(
        z=z - D_z / beta,
        v=v - D_v / phi,
        x=o.project(x - D_x / (alpha * phi)),
        d_x=D_x,
        t=s["t"] + 1,
        norms=(beta, gamma, alpha),
    )
