"""V-PBGD, Shen, Chen 2023, Algorithm 1: descent on F + gamma (G(z, x) - G(w, x))."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, w=z0, x=x0, d_x=np.zeros_like(x0), t=0)


def step(s, o, hp, d, k):
    z, w, x, t = s["z"], s["w"], s["x"], s["t"]
    gamma = hp["penalty"]
    if k["schedule"] == "ramp" and t < k["ramp"]:
        gamma = hp["penalty_start"] + (hp["penalty"] - hp["penalty_start"]) * t / k["ramp"]
    step_z = hp["step_size"] / (1 + hp["penalty"])
    if k["step_scaling"] == "current":
        step_z = hp["step_size"] * min(1 / gamma, 1)
    step_x = step_z / hp["outer_ratio"]

    w = z if k["inner_start"] == "z" else w
    for j in range(k["n_inner_steps"]):
        w = w - hp["step_size"] * hp["inner_ratio"] * o.grad_z(w, x, d["w"][j])

    D_z = o.F_z(z, x, d["f"]) + gamma * o.grad_z(z, x, d["z"])
    D_x = o.F_x(z, x, d["f"]) + gamma * (o.grad_x(z, x, d["z"]) - o.grad_x(w, x, d["z"]))
    return dict(z=z - step_z * D_z, w=w, x=o.project(x - step_x * D_x), d_x=D_x, t=t + 1)
