"""STABLE-VR, Guo et al. 2021 (arXiv:2105.02266), one task: STORM on H, C and all gradients."""

import numpy as np


def start(z0, x0, o, k):
    zero_z, zero_x = np.zeros_like(z0), np.zeros_like(x0)
    H, C = np.zeros((len(z0), len(z0))), np.zeros((len(x0), len(z0)))
    return dict(
        z=z0, x=x0, d_x=zero_x, H=H, C=C, g=zero_z, f_z=zero_z, f_x=zero_x,
        z_old=z0, x_old=x0, t=0,
    )  # fmt: skip


def with_floor(A, mu):
    """Return the nearest symmetric matrix whose eigenvalues are at least mu."""
    values, vectors = np.linalg.eigh((A + A.T) / 2)
    return vectors @ np.diag(np.maximum(values, mu)) @ vectors.T


def in_ball(C, radius):
    norm = np.sqrt((C**2).sum())
    return C * (radius / norm) if norm > radius else C


def step(s, o, hp, d, k):
    z, x, t = s["z"], s["x"], s["t"]
    theory = k["schedule"] == "theory"
    age = 1 + t / hp["decay_offset"] if theory else 1
    rho = hp["step_size"] / age ** (1 / 3)
    gamma = rho / hp["outer_ratio"]
    tau = 1 if t == 0 else hp["momentum"] / age ** (2 / 3)

    def recursive(name, oracle, batch):
        new, old = oracle(z, x, batch), oracle(s["z_old"], s["x_old"], batch)
        return new + (1 - tau) * (s[name] - old)

    H = with_floor(recursive("H", o.hessian, d["h"]), hp["mu"])
    C = in_ball(recursive("C", o.cross_matrix, d["h"]), hp["radius"])
    g = recursive("g", o.grad_z, d["z"])
    f_z, f_x = recursive("f_z", o.F_z, d["f"]), recursive("f_x", o.F_x, d["f"])

    D_x = f_x - C @ np.linalg.solve(H, f_z)
    return dict(
        z=z - rho * g, x=o.project(x - gamma * D_x), d_x=D_x, H=H, C=C, g=g, f_z=f_z, f_x=f_x,
        z_old=z, x_old=x, t=t + 1,
    )  # fmt: skip
