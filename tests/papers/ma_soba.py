"""MA-SOBA, Chen, Xiao, Balasubramanian 2024: x moves along the average of the iteration before."""

import numpy as np


def start(z0, x0, o, k):
    zero_z, zero_x = np.zeros_like(z0), np.zeros_like(x0)
    return dict(z=z0, v=zero_z, x=x0, d_x=zero_x, h=zero_x, t=0)


def step(s, o, hp, d, k):
    z, v, x, h, t = s["z"], s["v"], s["x"], s["h"], s["t"]
    decay = (t + 1) ** (1 / 2) if k["schedule"] == "theory" else 1
    rho = hp["step_size"] / decay
    gamma = hp["step_size"] / hp["outer_ratio"] / decay
    theta = 1 if t == 0 else hp["theta"] / decay

    D_z = o.grad_z(z, x, d["xi"])
    D_v = o.hvp(z, x, v, d["xi"]) + o.F_z(z, x, d["zeta"])
    D_x = o.cross(z, x, v, d["xi"]) + o.F_x(z, x, d["zeta"])
    return dict(
        x=o.project(x - gamma * h),
        z=z - rho * D_z,
        v=v - rho * hp["linear_ratio"] * D_v,
        h=(1 - theta) * h + theta * D_x,
        d_x=h,
        t=t + 1,
    )
