"""SMB, Guo et al. 2021 (arXiv:2104.14840), with HIA: moving averages of the directions."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), u_z=np.zeros_like(z0), t=0)


def hypergradient(o, z, x, eta, d, Q):
    """grad_x F + C v with v = -Q eta prod_{j<p} (I - eta H_j) grad_z F."""
    r = o.F_z(z, x, d["f"])
    for j in range(int(d["p"])):
        r = r - eta * o.hvp(z, x, r, d["v"][j])
    return o.F_x(z, x, d["f"]) + o.cross(z, x, -Q * eta * r, d["x"])


def step(s, o, hp, d, k):
    z, x, t = s["z"], s["x"], s["t"]
    decay = (t + 1) ** (1 / 2) if k["schedule"] == "theory" else 1
    rho = hp["step_size"] / decay
    gamma = hp["step_size"] / hp["outer_ratio"] / decay
    beta = 1 if t == 0 else hp["momentum"] / decay
    eta = hp["neumann_step"]

    D_z = o.grad_z(z, x, d["z"])
    D_x = hypergradient(o, z, x, eta, d, k["n_neumann_steps"])
    u_z = (1 - beta) * s["u_z"] + beta * D_z if k["averaged"] == "x_and_z" else D_z
    u_x = (1 - beta) * s["d_x"] + beta * D_x
    return dict(z=z - rho * u_z, x=o.project(x - gamma * u_x), d_x=u_x, u_z=u_z, t=t + 1)
