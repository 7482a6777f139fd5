"""FdeHBO, Yang, Xiao, Ji 2023: central differences for H v and C v, STORM on three directions.

Steps (1 + t / m)^{-1/3}, momentum weights (1 + t / m)^{-2/3}.
"""

import numpy as np


def start(z0, x0, o, k):
    v0, zero_x = np.zeros_like(z0), np.zeros_like(x0)
    return dict(z=z0, v=v0, x=x0, d_x=zero_x, t=0, d_z=v0, d_v=v0, z_old=z0, v_old=v0, x_old=x0)


def directions(o, z, v, x, delta, d):
    up, down = z + delta * v, z - delta * v
    Hv = (o.grad_z(up, x, d["v"]) - o.grad_z(down, x, d["v"])) / (2 * delta)
    Cv = (o.grad_x(up, x, d["x"]) - o.grad_x(down, x, d["x"])) / (2 * delta)
    return o.grad_z(z, x, d["z"]), Hv + o.F_z(z, x, d["f"]), Cv + o.F_x(z, x, d["f"])


def step(s, o, hp, d, k):
    z, v, x, t = s["z"], s["v"], s["x"], s["t"]
    rho, a_z, a_v, a_x = hp["step_size"], hp["inner_momentum"], hp["linear_momentum"], hp["momentum"]
    if k["schedule"] == "theory":
        m = hp["decay_offset"]
        rho, fall = rho * (m / (t + m)) ** (1 / 3), (m / (t + m)) ** (2 / 3)
        a_z, a_v, a_x = a_z * fall, a_v * fall, a_x * fall
    step_v, step_x = rho * hp["linear_ratio"], rho / hp["outer_ratio"]

    d_z, d_v, d_x = directions(o, z, v, x, hp["delta"], d)
    if t > 0:
        old = directions(o, s["z_old"], s["v_old"], s["x_old"], hp["delta"], d)
        d_z = d_z + (1 - a_z) * (s["d_z"] - old[0])
        d_v = d_v + (1 - a_v) * (s["d_v"] - old[1])
        d_x = d_x + (1 - a_x) * (s["d_x"] - old[2])

    v_new = v - step_v * d_v
    if np.linalg.norm(v_new) > hp["radius"]:
        v_new = hp["radius"] * v_new / np.linalg.norm(v_new)
    return dict(
        z=z - rho * d_z,
        v=v_new,
        x=o.project(x - step_x * d_x),
        d_x=d_x,
        t=t + 1,
        d_z=d_z,
        d_v=d_v,
        z_old=z,
        v_old=v,
        x_old=x,
    )
