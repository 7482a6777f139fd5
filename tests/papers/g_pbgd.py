"""G-PBGD, Shen, Chen 2023, Section 3.3: gradient descent on F + gamma ‖grad_z G‖^2."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), t=0)


def step(s, o, hp, d, k):
    z, x, t = s["z"], s["x"], s["t"]
    gamma = hp["penalty"]
    if k["schedule"] == "ramp" and t < k["ramp"]:
        gamma = hp["penalty_start"] + (hp["penalty"] - hp["penalty_start"]) * t / k["ramp"]
    step_z = hp["step_size"] / (1 + hp["penalty"])
    if k["step_scaling"] == "current":
        step_z = hp["step_size"] * min(1 / gamma, 1)
    step_x = step_z / hp["outer_ratio"]

    g = o.grad_z(z, x, d["z"])
    D_z = o.F_z(z, x, d["f"]) + gamma * 2 * o.hvp(z, x, g, d["v"])
    D_x = o.F_x(z, x, d["f"]) + gamma * 2 * o.cross(z, x, g, d["v"])
    return dict(z=z - step_z * D_z, x=o.project(x - step_x * D_x), d_x=D_x, t=t + 1)
