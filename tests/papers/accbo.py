"""AccBO, Gong et al. 2024: STORM on one random term of the series, normalized; Nesterov and averaging on z."""

import numpy as np


def start(z0, x0, o, k):
    zero = np.zeros_like(x0)
    return dict(z=z0, x=x0, d_x=zero, y=z0, y_old=z0, z_old=z0, x_old=x0, t=0)


def hypergradient(o, hp, d, k, z, x):
    Q, eta = k["n_neumann_steps"], hp["neumann_step"]
    q = o.F_z(z, x, d["f"])
    for n in range(int(d["p"])):
        q = q - eta * o.hvp(z, x, q, d["v"][n])
    return o.F_x(z, x, d["f"]) - Q * eta * o.cross(z, x, q, d["x"])


def step(s, o, hp, d, k):
    z, x, t = s["z"], s["x"], s["t"]
    decay = (1 + t / hp["decay_offset"]) ** (2 / 3) if k["schedule"] == "theory" else 1
    beta = 0 if t == 0 else 1 - hp["momentum"] / decay

    new, old = hypergradient(o, hp, d, k, z, x), hypergradient(o, hp, d, k, s["z_old"], s["x_old"])
    m = (1 - beta) * new + beta * (s["d_x"] + new - old)

    y, y_old = s["y"], s["y_old"]
    for n in range(k["n_inner_steps"]):
        ahead = y + hp["extrapolation"] * (y - y_old)
        y, y_old = ahead - hp["step_size"] * o.grad_z(ahead, x, d["z"][n]), y

    eta = hp["step_size"] / hp["outer_ratio"] / decay
    length = np.linalg.norm(m) if k["outer_step"] == "normalized" else 1
    z_new = (1 - hp["theta"]) * z + hp["theta"] * y
    return dict(z=z_new, x=o.project(x - eta * m / length), d_x=m, y=y, y_old=y_old, z_old=z, x_old=x, t=t + 1)
