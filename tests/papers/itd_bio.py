"""ITD-BiO, Ji, Yang, Liang 2021, Algorithm 1 with ITD; K-RMD, Shaban et al. 2019.

Forward differentiation here: J = d z / d x, which starts at zero K steps before the end.
"""

import numpy as np
from outer_steps import moments, moved


def start(z0, x0, o, k):
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), t=0, **moments(x0))


def step(s, o, hp, d, k):
    x, i, j, T = s["x"], d["xi"], d["zeta"], k["n_inner_steps"]
    alpha, beta = hp["step_size"], hp["step_size"] / hp["outer_ratio"]
    K = T if k["truncation"] == "none" else k["truncation"]

    z = s["z"] if k["warm_start"] == "z" else np.zeros_like(s["z"])
    J = np.zeros((len(z), len(x)))
    for n in range(T):
        if n >= T - K:
            J = J - alpha * (o.hessian(z, x, i) @ J + o.cross_matrix(z, x, i).T)
        z = z - alpha * o.grad_z(z, x, i)

    D_x = o.F_x(z, x, j) + J.T @ o.F_z(z, x, j)
    return dict(z=z, d_x=D_x, t=s["t"] + 1, **moved(s, o, k, D_x, beta))
