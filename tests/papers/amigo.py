"""AmIGO, Arbel, Mairal 2022, Algorithm 1: A_k plain or accelerated, B_k gradients or CG."""

import numpy as np
from outer_steps import moments, moved


def start(z0, x0, o, k):
    return dict(z=z0, v=np.zeros_like(z0), x=x0, d_x=np.zeros_like(x0), t=0, **moments(x0))


def inner_loop(z, x, o, alpha, batches, nesterov):
    z_old = z
    for j, batch in enumerate(batches):
        y = z + j / (j + 3) * (z - z_old) if nesterov else z
        z, z_old = y - alpha * o.grad_z(y, x, batch), z
    return z


def conjugate_gradients(H, b, v, n):
    """Take n steps on H v = b from v."""
    r = b - H(v)
    p = r
    for _ in range(n):
        Hp = H(p)
        a = (r @ r) / (p @ Hp)
        v, r_new = v + a * p, r - a * Hp
        p, r = r_new + (r_new @ r_new) / (r @ r) * p, r_new
    return v


def step(s, o, hp, d, k):
    x, v, N = s["x"], s["v"], k["n_linear_steps"]
    alpha, gamma = hp["step_size"], hp["step_size"] / hp["outer_ratio"]
    beta = hp["step_size"] * hp["linear_ratio"]

    batches = d["z"][: k["n_inner_steps"]]
    z = inner_loop(s["z"], x, o, alpha, batches, k["inner_solver"] == "nesterov")
    F_z = o.F_z(z, x, d["f"])
    if k["linear_solver"] == "cg":
        v = conjugate_gradients(lambda u: o.hvp(z, x, u, d["v"][0]), -F_z, v, N)
    elif k["linear_solver"] == "normal":
        for j in range(N):
            first, second = (o.hessian(z, x, batch) for batch in d["v"][j])
            v = v - beta * second @ (first @ v + F_z)
    else:
        for j in range(N):
            v = v - beta * (o.hvp(z, x, v, d["v"][j]) + F_z)
    D_x = o.F_x(z, x, d["f"]) + o.cross(z, x, v, d["x"])
    return dict(z=z, v=v, d_x=D_x, t=s["t"] + 1, **moved(s, o, k, D_x, gamma))
