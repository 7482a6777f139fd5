"""MAML, Finn, Abbeel, Levine 2017, Algorithm 1, with all drawn rows as one task.

Forward differentiation here: M is the derivative of the task's (z, x) in the learned start of both.
"""

import numpy as np
from outer_steps import moments, moved


class Anywhere:
    """The start of z is not projected."""

    project = staticmethod(lambda z: z)


def start(z0, x0, o, k):
    of_z = dict(head=z0, m_z=np.zeros_like(z0), s_z=np.zeros_like(z0))
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), t=0, **moments(x0), **of_z)


def gradients(s, o, alpha, T, i, j):
    z, x = s["head"], s["x"]
    p, d = len(z), len(x)
    M = np.eye(p + d)
    for _ in range(T):
        C = o.cross_matrix(z, x, i)
        whole = np.block([[o.hessian(z, x, i), C.T], [C, o.of("inner", "B", z, x, i)]])
        M = M - alpha * whole @ M
        z, x = z - alpha * o.grad_z(z, x, i), x - alpha * o.grad_x(z, x, i)
    D = M.T @ np.concatenate([o.F_z(z, x, j), o.F_x(z, x, j)])
    return D[:p], D[p:]


def step(s, o, hp, d, k, gradients=gradients):
    alpha, beta = hp["step_size"], hp["step_size"] / hp["outer_ratio"]
    D_z, D_x = gradients(s, o, alpha, k["n_inner_steps"], d["xi"], d["zeta"])
    of_z = moved(dict(x=s["head"], m_x=s["m_z"], s_x=s["s_z"], t=s["t"]), Anywhere, k, D_z, beta)
    head = dict(head=of_z["x"], m_z=of_z["m_x"], s_z=of_z["s_x"])
    return dict(z=of_z["x"], d_x=D_x, t=s["t"] + 1, **moved(s, o, k, D_x, beta), **head)
