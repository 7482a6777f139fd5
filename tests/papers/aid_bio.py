"""AID-BiO, Ji, Yang, Liang 2021, Algorithm 1 with AID: warm-started gradients and CG."""

import numpy as np
from outer_steps import moments, moved


def start(z0, x0, o, k):
    return dict(z=z0, v=np.zeros_like(z0), x=x0, d_x=np.zeros_like(x0), t=0, **moments(x0))


def conjugate_gradients(product, b, v, n):
    """Take n steps on H v = b from v."""
    r = b - product(v)
    p = r
    for _ in range(n):
        Hp = product(p)
        a = (r @ r) / (p @ Hp)
        v = v + a * p
        r_new = r - a * Hp
        p = r_new + (r_new @ r_new) / (r @ r) * p
        r = r_new
    return v


def inner_length(t, k):
    """Return D, or min(cap, ceil(D (t + 1)^{1/4})): the least n with n^4 >= D^4 (t + 1)."""
    n = k["n_inner_steps"]
    if k["inner_schedule"] == "theory":
        while n**4 < k["n_inner_steps"] ** 4 * (t + 1):
            n += 1
        n = min(n, k["max_inner_steps"])
    return n


def step(s, o, hp, d, k):
    z, x, i, j = s["z"], s["x"], d["xi"], d["zeta"]
    alpha, beta = hp["step_size"], hp["step_size"] / hp["outer_ratio"]

    for _ in range(inner_length(s["t"], k)):
        z = z - alpha * o.grad_z(z, x, i)
    N = k["n_linear_steps"]
    v = conjugate_gradients(lambda u: o.hvp(z, x, u, i), -o.F_z(z, x, j), s["v"], N)
    D_x = o.F_x(z, x, j) + o.cross(z, x, v, i)
    return dict(z=z, v=v, d_x=D_x, t=s["t"] + 1, **moved(s, o, k, D_x, beta))
