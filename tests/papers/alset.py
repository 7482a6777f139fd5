"""ALSET, Chen, Sun, Yin 2021, Algorithm 1 with (8), lengths 0..Q-1, steps (k + 1)^{-1/2}."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), t=0)


def step(s, o, hp, d, k):
    z, x, t = s["z"], s["x"], s["t"]
    decay = (t + 1) ** 0.5 if k["schedule"] == "theory" else 1
    beta = hp["step_size"] / decay
    alpha = hp["step_size"] / hp["outer_ratio"] / decay
    eta, Q = hp["neumann_step"], k["n_neumann_steps"]

    for j in range(k["n_inner_steps"]):
        z = z - beta * o.grad_z(z, x, d["z"][j])

    r = o.F_z(z, x, d["f"])
    if k["linear_solver"] == "sgd":  # H q = grad_z F
        q = 0 * r
        for j in range(k["n_linear_steps"]):
            q = q + eta * (r - o.hvp(z, x, q, d["v"][j]))
    else:  # q = Q eta prod_{j<p} (I - eta H_j) grad_z F
        for j in range(int(d["p"])):
            r = r - eta * o.hvp(z, x, r, d["v"][j])
        q = Q * eta * r
    D_x = o.F_x(z, x, d["f"]) - o.cross(z, x, q, d["x"])
    return dict(z=z, x=o.project(x - alpha * D_x), d_x=D_x, t=t + 1)
