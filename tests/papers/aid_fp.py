"""AID-FP, Grazzi et al. 2020: fixed-point iteration q <- (d_1 Phi)^T q + grad_z F from zero.

Phi(z, x) = z - eta grad_z G, so that (d_1 Phi)^T = I - eta H and (d_2 Phi)^T = -eta C.
"""

import numpy as np
from outer_steps import moments, moved


def start(z0, x0, o, k):
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), t=0, **moments(x0))


def step(s, o, hp, d, k):
    x, i, j = s["x"], d["xi"], d["zeta"]
    alpha, beta = hp["step_size"], hp["step_size"] / hp["outer_ratio"]
    eta = hp["step_size"] * hp["linear_ratio"]

    z = s["z"] if k["warm_start"] == "z" else np.zeros_like(s["z"])
    for _ in range(k["n_inner_steps"]):
        z = z - alpha * o.grad_z(z, x, i)

    q, F_z = np.zeros_like(z), o.F_z(z, x, j)
    for _ in range(k["n_linear_steps"]):
        q = q - eta * o.hvp(z, x, q, i) + F_z

    D_x = o.F_x(z, x, j) - eta * o.cross(z, x, q, i)
    return dict(z=z, d_x=D_x, t=s["t"] + 1, **moved(s, o, k, D_x, beta))
