"""SUSTAIN, Khanduri et al. 2021, Algorithm 1 with HIA."""

import numpy as np


def start(z0, x0, o, k):
    zero_z, zero_x = np.zeros_like(z0), np.zeros_like(x0)
    return dict(z=z0, x=x0, d_z=zero_z, d_x=zero_x, z_old=z0, x_old=x0, t=0)


def hypergradient(o, z, x, eta, d, Q):
    """grad_x F + C v with v = -Q eta prod_{j<p} (I - eta H_j) grad_z F."""
    r = o.F_z(z, x, d["f"])
    for j in range(int(d["p"])):
        r = r - eta * o.hvp(z, x, r, d["v"][j])
    return o.F_x(z, x, d["f"]) + o.cross(z, x, -Q * eta * r, d["x"])


def step(s, o, hp, d, k):
    z, x, t = s["z"], s["x"], s["t"]
    theory = k["schedule"] == "theory"
    beta, alpha = hp["step_size"], hp["step_size"] / hp["outer_ratio"]
    a_z, a_x, m = hp["inner_momentum"], hp["momentum"], hp["decay_offset"]
    if theory:
        shrink = (m / (m + t)) ** (1 / 3)
        beta, alpha, a_z, a_x = beta * shrink, alpha * shrink, a_z * shrink**2, a_x * shrink**2
    if t == 0:
        a_z = a_x = 1
    eta, Q = hp["neumann_step"], k["n_neumann_steps"]

    d_z = o.grad_z(z, x, d["z"])
    d_z = d_z + (1 - a_z) * (s["d_z"] - o.grad_z(s["z_old"], s["x_old"], d["z"]))
    d_x = hypergradient(o, z, x, eta, d, Q)
    d_x = d_x + (1 - a_x) * (s["d_x"] - hypergradient(o, s["z_old"], s["x_old"], eta, d, Q))
    return dict(
        z=z - beta * d_z,
        x=o.project(x - alpha * d_x),
        d_z=d_z,
        d_x=d_x,
        z_old=z,
        x_old=x,
        t=t + 1,
    )
