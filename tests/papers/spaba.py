"""SPABA, Chu et al. 2024: PAGE on three directions; the draw "full" is 1 for a full pass."""

import numpy as np


def start(z0, x0, o, k):
    v0, zero_x = np.zeros_like(z0), np.zeros_like(x0)
    return dict(z=z0, v=v0, x=x0, d_z=v0, d_v=v0, d_x=zero_x, z_old=z0, v_old=v0, x_old=x0, t=0)


def directions(o, z, v, x, i, j):
    D_z = o.grad_z(z, x, i)
    D_v = o.hvp(z, x, v, i) + o.F_z(z, x, j)
    D_x = o.cross(z, x, v, i) + o.F_x(z, x, j)
    return D_z, D_v, D_x


def step(s, o, hp, d, k):
    z, v, x = s["z"], s["v"], s["x"]
    rho, gamma = hp["step_size"], hp["step_size"] / hp["outer_ratio"]

    if s["t"] == 0 or (d["full"] == 1 and k["large_batch"] == "full"):
        d_z, d_v, d_x = directions(o, z, v, x, "full", "full")
    elif d["full"] == 1:
        pairs = zip(d["large_xi"], d["large_zeta"], strict=True)
        each = [directions(o, z, v, x, i, j) for i, j in pairs]
        d_z, d_v, d_x = (np.mean(terms, axis=0) for terms in zip(*each, strict=True))
    else:
        new = directions(o, z, v, x, d["xi"], d["zeta"])
        old = directions(o, s["z_old"], s["v_old"], s["x_old"], d["xi"], d["zeta"])
        d_z = s["d_z"] + (new[0] - old[0])
        d_v = s["d_v"] + (new[1] - old[1])
        d_x = s["d_x"] + (new[2] - old[2])

    v_new = v - rho * hp["linear_ratio"] * d_v
    if np.linalg.norm(v_new) > hp["radius"]:
        v_new = hp["radius"] * v_new / np.linalg.norm(v_new)
    return dict(
        z=z - rho * d_z,
        v=v_new,
        x=o.project(x - gamma * d_x),
        d_z=d_z,
        d_v=d_v,
        d_x=d_x,
        z_old=z,
        v_old=v,
        x_old=x,
        t=s["t"] + 1,
    )
