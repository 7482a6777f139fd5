"""HOZOG, Gu et al. 2021 (arXiv:2102.09026): finite differences of F after the inner loop."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), t=0)


def step(s, o, hp, d, k):
    x, mu, M = s["x"], hp["smoothing"], k["n_directions"]
    alpha, beta = hp["step_size"], hp["step_size"] / hp["outer_ratio"]

    def inner_loop(x):
        z = s["z"] if k["warm_start"] == "z" else np.zeros_like(s["z"])
        for j in range(k["n_inner_steps"]):
            z = z - alpha * o.grad_z(z, x, d["z"][j])
        return z

    z = inner_loop(x)
    value = o.F(z, x, d["f"])
    D_x = np.zeros_like(x)
    for u in d["u"]:
        moved = x + mu * u
        D_x = D_x + (o.F(inner_loop(moved), moved, d["f"]) - value) / mu * u / M
    return dict(z=z, x=o.project(x - beta * D_x), d_x=D_x, t=s["t"] + 1)
