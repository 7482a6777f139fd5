"""The template: one step of SGD on z, on v at the new z, and on x; steps (t + 1)^{-1/2}."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, v=np.zeros_like(z0), x=x0, d_x=np.zeros_like(x0), t=0)


def step(s, o, hp, d, k):
    x, t = s["x"], s["t"]
    rho = hp["step_size"]
    if k["schedule"] == "theory":
        rho = rho / (t + 1) ** 0.5

    z = s["z"] - rho * o.grad_z(s["z"], x, d["z"])
    v = s["v"] - rho * (o.hvp(z, x, s["v"], d["v"]) + o.F_z(z, x, d["f"]))
    D_x = o.cross(z, x, v, d["x"]) + o.F_x(z, x, d["f"])
    x_new = o.project(x - rho / hp["outer_ratio"] * D_x)
    return dict(z=z, v=v, x=x_new, d_x=D_x, t=t + 1)
