"""FSLA, Li, Gu, Huang 2022: STORM on D_x alone; steps and weight (1 + t / m)^{-1/2}."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, v=np.zeros_like(z0), x=x0, d_x=np.zeros_like(x0), t=0, x_old=x0)


def step(s, o, hp, d, k):
    x, t = s["x"], s["t"]
    decay = (1 + t / hp["decay_offset"]) ** 0.5 if k["schedule"] == "theory" else 1
    rho, a = hp["step_size"] / decay, hp["momentum"] / decay

    z = s["z"] - rho * o.grad_z(s["z"], x, d["z"])
    D_v = o.hvp(z, x, s["v"], d["v"]) + o.F_z(z, x, d["f_v"])
    v = s["v"] - rho * hp["linear_ratio"] * D_v

    d_x = o.F_x(z, x, d["f_x"]) + o.cross(z, x, v, d["x"])
    if t > 0:
        # The direction of one iteration before was taken at (z_k, v_k, x_{k-1}).
        z_k, v_k, x_old = s["z"], s["v"], s["x_old"]
        old = o.F_x(z_k, x_old, d["f_x"]) + o.cross(z_k, x_old, v_k, d["x"])
        d_x = d_x + (1 - a) * (s["d_x"] - old)
    return dict(z=z, v=v, x=o.project(x - rho / hp["outer_ratio"] * d_x), d_x=d_x, t=t + 1, x_old=x)
