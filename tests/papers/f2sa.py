"""F2SA, Kwon et al. 2023, Algorithm 1; gamma_k = c (k + 1)^{-4/7}, lambda_k = c (k + 1)^{1/7} with noise in both."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, y=z0, x=x0, d_x=np.zeros_like(x0), t=0)


def noise(k):
    full = "none" if k["batch_size"] == "full" else "both"
    return full if k["noise"] == "auto" else k["noise"]


def step(s, o, hp, d, k):
    z, y, x, t = s["z"], s["y"], s["x"], s["t"]
    gamma, lam = hp["step_size"], hp["penalty"]
    # alpha_k ~ k^{-5/7}, k^{-3/5}, k^{-1/3}
    a, b = {"both": (4 / 7, 1 / 7), "outer": (2 / 5, 1 / 5), "none": (0, 1 / 3)}[noise(k)]
    if k["schedule"] == "theory":
        age = 1 + t / hp["decay_offset"]
        gamma, lam = gamma / age**a, lam * age**b
    alpha = gamma / (2 * lam)
    xi = 1 / hp["outer_ratio"]

    # y tends to argmin G, z to argmin F + lambda G.
    for j in range(k["n_inner_steps"]):
        y = y - gamma * o.grad_z(y, x, d["G_y"][j])
        z = z - alpha * (o.F_z(z, x, d["F_z"][j]) + lam * o.grad_z(z, x, d["G_z"][j]))

    difference = o.grad_x(z, x, d["G_x_at_z"]) - o.grad_x(y, x, d["G_x_at_y"])
    D_x = o.F_x(z, x, d["F_x"]) + lam * difference
    return dict(z=z, y=y, x=o.project(x - xi * alpha * D_x), d_x=D_x, t=t + 1)
