"""ANIL, Raghu, Raghu, Bengio, Vinyals 2020, with all drawn rows as one task: MAML whose tasks move z alone.

Forward differentiation here: J and K are the derivatives of the task's z in its start and in x.
"""

from pathlib import Path

import numpy as np

import helpers

maml = helpers.load(Path(__file__).with_name("maml.py"))
start = maml.start


def gradients(s, o, alpha, T, i, j):
    z, x = s["head"], s["x"]
    J, K = np.eye(len(z)), np.zeros((len(z), len(x)))
    for _ in range(T):
        contraction = np.eye(len(z)) - alpha * o.hessian(z, x, i)
        J, K = contraction @ J, contraction @ K - alpha * o.cross_matrix(z, x, i).T
        z = z - alpha * o.grad_z(z, x, i)
    F_z = o.F_z(z, x, j)
    return J.T @ F_z, o.F_x(z, x, j) + K.T @ F_z


def step(s, o, hp, d, k):
    return maml.step(s, o, hp, d, k, gradients)
