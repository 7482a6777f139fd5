"""PZOBO, Sow, Ji, Liang 2022, Algorithms 1 and 2: finite differences of the inner loop."""

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
    F_z = o.F_z(z, x, d["f"])
    D_x = o.F_x(z, x, d["f"])
    for u in d["u"]:
        delta = (inner_loop(x + mu * u) - z) / mu
        D_x = D_x + (delta @ F_z) * u / M
    return dict(z=z, x=o.project(x - beta * D_x), d_x=D_x, t=s["t"] + 1)
