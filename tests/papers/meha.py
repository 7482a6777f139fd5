"""MEHA, Liu et al. 2024: theta, then x, then z, with c_k = c (k + 1)^p and p = 0.49."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, theta=z0, x=x0, d_x=np.zeros_like(x0), t=0)


def step(s, o, hp, d, k):
    z, x, t, gamma = s["z"], s["x"], s["t"], hp["envelope"]
    c = hp["penalty"]
    if k["schedule"] == "theory":
        c = c * (t + 1) ** 0.49
    beta, alpha, eta = hp["step_size"], hp["step_size"] / hp["outer_ratio"], hp["step_size"] * hp["inner_ratio"]

    theta = s["theta"] - eta * (o.grad_z(s["theta"], x, d["theta"]) + (s["theta"] - z) / gamma)
    d_x = o.F_x(z, x, d["F_x"]) / c + o.grad_x(z, x, d["G_x"]) - o.grad_x(theta, x, d["G_x"])
    x_new = o.project(x - alpha * d_x)
    d_z = o.F_z(z, x_new, d["F_z"]) / c + o.grad_z(z, x_new, d["G_z"]) + (theta - z) / gamma
    return dict(z=z - beta * d_z, theta=theta, x=x_new, d_x=c * d_x, t=t + 1)
