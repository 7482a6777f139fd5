"""PBGD-Free, Jiang et al. 2025: steps on F / gamma + G in z, then one along grad_x F."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), t=0)


def step(s, o, hp, d, k):
    z, x = s["z"], s["x"]
    for j in range(k["n_inner_steps"]):
        z = z - hp["step_size"] * (o.F_z(z, x, d["F_z"][j]) / hp["penalty"] + o.grad_z(z, x, d["G_z"][j]))
    D_x = o.F_x(z, x, d["F_x"])
    alpha = hp["step_size"] / hp["outer_ratio"]
    return dict(z=z, x=o.project(x - alpha * D_x), d_x=D_x, t=s["t"] + 1)
