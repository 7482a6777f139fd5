"""BOME, Ye et al. 2022, Algorithm 1: descent on F under a barrier on q = G - min G."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), t=0)


def step(s, o, hp, d, k):
    z, x, i, j = s["z"], s["x"], d["xi"], d["zeta"]
    alpha, eta = hp["step_size"] * hp["inner_ratio"], hp["barrier_weight"]
    step_z, step_x = hp["step_size"], hp["step_size"] / hp["outer_ratio"]

    z_T = z
    for _ in range(k["n_inner_steps"]):
        z_T = z_T - alpha * o.grad_z(z_T, x, i)

    # One vector (z, x), as in the paper.
    grad_q = np.append(o.grad_z(z, x, i), o.grad_x(z, x, i) - o.grad_x(z_T, x, i))
    grad_F = np.append(o.F_z(z, x, j), o.F_x(z, x, j))
    norm2 = grad_q @ grad_q
    if k["barrier"] == "value":
        phi = eta * (o.G(z, x, i) - o.G(z_T, x, i))
    else:
        phi = eta * norm2
    lam = max((phi - grad_F @ grad_q) / max(norm2, 1e-12), 0)

    direction = grad_F + lam * grad_q
    D_z, D_x = direction[: len(z)], direction[len(z) :]
    return dict(z=z - step_z * D_z, x=o.project(x - step_x * D_x), d_x=D_x, t=s["t"] + 1)
