"""AID-Neumann, Lorraine, Vicol, Duvenaud 2020, Algorithms 1 to 3."""

import numpy as np
from outer_steps import moments, moved


def start(z0, x0, o, k):
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), t=0, **moments(x0))


def step(s, o, hp, d, k):
    x, i, j = s["x"], d["xi"], d["zeta"]
    alpha, beta = hp["step_size"], hp["step_size"] / hp["outer_ratio"]
    eta = hp["neumann_step"]

    z = s["z"] if k["warm_start"] == "z" else np.zeros_like(s["z"])
    for _ in range(k["n_inner_steps"]):
        z = z - alpha * o.grad_z(z, x, i)

    # q = eta sum_{j=0}^{i} (I - eta H)^j grad_z F
    u = p = o.F_z(z, x, j)
    for _ in range(k["n_neumann_steps"]):
        u = u - eta * o.hvp(z, x, u, i)
        p = p + u

    D_x = o.F_x(z, x, j) - o.cross(z, x, eta * p, i)
    return dict(z=z, d_x=D_x, t=s["t"] + 1, **moved(s, o, k, D_x, beta))
