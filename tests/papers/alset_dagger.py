"""ALSET-dagger, Grazzi, Pontil, Salzo 2023: T = K = J = 1, v warm started, steps (k + 1)^{-1/2}."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, v=np.zeros_like(z0), x=x0, d_x=np.zeros_like(x0), t=0)


def step(s, o, hp, d, k):
    x, t = s["x"], s["t"]
    decay = (t + 1) ** 0.5 if k["schedule"] == "theory" else 1
    beta = hp["step_size"] / decay
    eta = hp["step_size"] * hp["linear_ratio"] / decay
    alpha = hp["step_size"] / hp["outer_ratio"] / decay

    z = s["z"] - beta * o.grad_z(s["z"], x, d["z"])
    v = s["v"] - eta * (o.hvp(z, x, s["v"], d["v"]) + o.F_z(z, x, d["f"]))
    D_x = o.F_x(z, x, d["f"]) + o.cross(z, x, v, d["x"])
    return dict(z=z, v=v, x=o.project(x - alpha * D_x), d_x=D_x, t=t + 1)
