"""AID-CG, Grazzi et al. 2020: inner gradient descent, then conjugate gradients from zero."""

import numpy as np
from outer_steps import moments, moved


def start(z0, x0, o, k):
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), t=0, **moments(x0))


def step(s, o, hp, d, k):
    x, i, j = s["x"], d["xi"], d["zeta"]
    alpha, beta = hp["step_size"], hp["step_size"] / hp["outer_ratio"]

    z = s["z"] if k["warm_start"] == "z" else np.zeros_like(s["z"])
    for _ in range(k["n_inner_steps"]):
        z = z - alpha * o.grad_z(z, x, i)

    # H q = grad_z F from q = 0
    q = np.zeros_like(z)
    r = p = o.F_z(z, x, j)
    for _ in range(k["n_linear_steps"]):
        Hp = o.hvp(z, x, p, i)
        a = (r @ r) / (p @ Hp)
        q = q + a * p
        r_new = r - a * Hp
        p = r_new + (r_new @ r_new) / (r @ r) * p
        r = r_new

    D_x = o.F_x(z, x, j) - o.cross(z, x, q, i)
    return dict(z=z, d_x=D_x, t=s["t"] + 1, **moved(s, o, k, D_x, beta))
