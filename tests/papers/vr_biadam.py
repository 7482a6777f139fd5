"""VR-saBiAdam, Huang, Huang 2021 (arXiv:2106.11396), with HIA: STORM, eta_t = (1 + t / m)^{-1/3}."""

import numpy as np


def start(z0, x0, o, k):
    zero_x = np.zeros_like(x0)
    return dict(z=z0, x=x0, t=0, d_x=zero_x, m_z=None, s_z=None, s_x=None, z_old=None, x_old=None)


def gradients(o, z, x, eta, d, Q):
    """grad_z G, and grad_x F - C q with q = Q eta prod_{j<p} (I - eta H_j) grad_z F."""
    r = o.F_z(z, x, d["f"])
    for j in range(int(d["p"])):
        r = r - eta * o.hvp(z, x, r, d["v"][j])
    D_x = o.F_x(z, x, d["f"]) - o.cross(z, x, Q * eta * r, d["x"])
    return o.grad_z(z, x, d["z"]), D_x


def step(s, o, hp, d, k):
    z, x, t = s["z"], s["x"], s["t"]
    m = hp["decay_offset"]
    eta = (m / (m + t)) ** (1 / 3) if k["schedule"] == "theory" else 1
    lam, gamma = hp["step_size"], hp["step_size"] / hp["outer_ratio"]
    c_z, c_x = hp["inner_momentum"] * eta**2, hp["momentum"] * eta**2
    tau, floor = hp["square_memory"], hp["scaling_floor"]
    Q, eta_H = k["n_neumann_steps"], hp["neumann_step"]

    g_z, g_x = gradients(o, z, x, eta_H, d, Q)
    if t == 0:
        m_z, m_x, s_z, s_x = g_z, g_x, g_z**2, g_x**2
    else:
        old_z, old_x = gradients(o, s["z_old"], s["x_old"], eta_H, d, Q)
        m_z = g_z + (1 - c_z) * (s["m_z"] - old_z)
        m_x = g_x + (1 - c_x) * (s["d_x"] - old_x)
        r_z, r_x = (g_z, g_x) if k["squares_of"] == "gradients" else (m_z, m_x)
        s_z = tau * s["s_z"] + (1 - tau) * r_z**2
        s_x = tau * s["s_x"] + (1 - tau) * r_x**2

    z_tilde = z - lam * m_z / (s_z**0.5 + floor)
    x_tilde = o.project(x - gamma * m_x / (s_x**0.5 + floor))
    return dict(
        z=(1 - eta) * z + eta * z_tilde,
        x=(1 - eta) * x + eta * x_tilde,
        t=t + 1,
        d_x=m_x,
        m_z=m_z,
        s_z=s_z,
        s_x=s_x,
        z_old=z,
        x_old=x,
    )
