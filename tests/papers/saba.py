"""SABA, Dagréou et al. 2022, Algorithm 1: SAGA on five quantities, one memory for each block."""

import numpy as np


def inner_terms(o, z, v, x, i):
    return [o.grad_z(z, x, i), o.hvp(z, x, v, i), o.cross(z, x, v, i)]


def outer_terms(o, z, x, j):
    return [o.F_z(z, x, j), o.F_x(z, x, j)]


def start(z0, x0, o, k):
    v0 = np.zeros_like(z0)
    inner = [inner_terms(o, z0, v0, x0, i) for i in range(o.n_inner_blocks)]
    outer = [outer_terms(o, z0, x0, j) for j in range(o.n_outer_blocks)]
    if k["memory"] == "zero":
        inner = [[0 * term for term in terms] for terms in inner]
        outer = [[0 * term for term in terms] for terms in outer]
    return dict(z=z0, v=v0, x=x0, d_x=np.zeros_like(x0), inner=inner, outer=outer, t=0)


def saga(memory, block, new):
    """Return (new - old + mean of the memory for each term, the memory with ``new``)."""
    means = [sum(terms) / len(memory) for terms in zip(*memory, strict=True)]
    estimates = [n - o + m for n, o, m in zip(new, memory[block], means, strict=True)]
    return estimates, [new if i == block else terms for i, terms in enumerate(memory)]


def step(s, o, hp, d, k):
    z, v, x = s["z"], s["v"], s["x"]
    rho = hp["step_size"]
    gamma = hp["step_size"] / hp["outer_ratio"]

    i, j = int(d["xi"]), int(d["zeta"])
    (D_z, Hv, Cv), inner = saga(s["inner"], i, inner_terms(o, z, v, x, i))
    (F_z, F_x), outer = saga(s["outer"], j, outer_terms(o, z, x, j))
    return dict(
        z=z - rho * D_z,
        v=v - rho * hp["linear_ratio"] * (Hv + F_z),
        x=o.project(x - gamma * (Cv + F_x)),
        d_x=Cv + F_x,
        inner=inner,
        outer=outer,
        t=s["t"] + 1,
    )
