"""MRBO, Yang, Ji, Liang 2021, Algorithm 1: STORM on both directions, one Neumann series a point."""

import numpy as np


def start(z0, x0, o, k):
    zero_z, zero_x = np.zeros_like(z0), np.zeros_like(x0)
    return dict(z=z0, x=x0, d_z=zero_z, d_x=zero_x, z_old=z0, x_old=x0, t=0)


def hypergradient(o, z, x, eta, d, Q):
    """grad_x F + C v with v = -eta sum_{q=0}^{Q} prod_{j<q} (I - eta H_j) grad_z F."""
    term = o.F_z(z, x, d["f"])
    total = term
    for j in range(Q):
        term = term - eta * o.hvp(z, x, term, d["v"][j])
        total = total + term
    return o.F_x(z, x, d["f"]) + o.cross(z, x, -eta * total, d["x"])


def step(s, o, hp, d, k):
    z, x, t = s["z"], s["x"], s["t"]
    theory = k["schedule"] == "theory"
    m = hp["decay_offset"]
    shrink = (m / (m + t)) ** (1 / 3) if theory else 1
    rho = hp["step_size"] * shrink
    gamma = rho / hp["outer_ratio"]
    a_z, a_x = hp["inner_momentum"] * shrink**2, hp["momentum"] * shrink**2
    if t == 0:
        a_z = a_x = 1
    eta, Q = hp["neumann_step"], k["n_neumann_steps"]

    new_z = o.grad_z(z, x, d["z"])
    old_z = o.grad_z(s["z_old"], s["x_old"], d["z"])
    new_x = hypergradient(o, z, x, eta, d, Q)
    old_x = hypergradient(o, s["z_old"], s["x_old"], eta, d, Q)
    d_z = new_z + (1 - a_z) * (s["d_z"] - old_z)
    d_x = new_x + (1 - a_x) * (s["d_x"] - old_x)
    return dict(
        z=z - rho * d_z,
        x=o.project(x - gamma * d_x),
        d_z=d_z,
        d_x=d_x,
        z_old=z,
        x_old=x,
        t=t + 1,
    )
