"""STABLE, Chen, Sun, Xiao, Yin 2022: recursive dense H and C, z follows the change of x."""

import numpy as np


def start(z0, x0, o, k):
    H, C = np.zeros((len(z0), len(z0))), np.zeros((len(x0), len(z0)))
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), H=H, C=C, z_old=z0, x_old=x0, t=0)


def with_floor(A, mu):
    """Return the nearest symmetric matrix whose eigenvalues are at least mu."""
    values, vectors = np.linalg.eigh((A + A.T) / 2)
    return vectors @ np.diag(np.maximum(values, mu)) @ vectors.T


def in_ball(C, radius):
    norm = np.sqrt((C**2).sum())
    return C * (radius / norm) if norm > radius else C


def step(s, o, hp, d, k):
    z, x, t = s["z"], s["x"], s["t"]
    z_old, x_old, h = s["z_old"], s["x_old"], d["h"]
    decay = (1 + t / hp["decay_offset"]) ** (1 / 2) if k["schedule"] == "theory" else 1
    rho = hp["step_size"] / decay
    gamma = hp["step_size"] / hp["outer_ratio"] / decay
    of_H, of_C = (1, 1) if t == 0 else (hp["momentum"] / decay, hp["cross_momentum"] / decay)

    H = (1 - of_H) * (s["H"] - o.hessian(z_old, x_old, h)) + o.hessian(z, x, h)
    C = (1 - of_C) * (s["C"] - o.cross_matrix(z_old, x_old, h)) + o.cross_matrix(z, x, h)
    H, C = with_floor(H, hp["mu"]), in_ball(C, hp["radius"])

    v = -np.linalg.solve(H, o.F_z(z, x, d["f"]))
    D_x = o.F_x(z, x, d["f"]) + C @ v
    x_new = o.project(x - gamma * D_x)
    z_new = z - rho * o.grad_z(z, x, d["z"]) - np.linalg.solve(H, C.T @ (x_new - x))
    return dict(z=z_new, x=x_new, d_x=D_x, H=H, C=C, z_old=z, x_old=x, t=t + 1)
