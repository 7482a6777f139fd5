"""VRBO, Yang, Ji, Liang 2021, Algorithm 2: SPIDER on both directions; ``period`` in iterations."""

import numpy as np


def start(z0, x0, o, k):
    zero_z, zero_x = np.zeros_like(z0), np.zeros_like(x0)
    return dict(z=z0, x=x0, d_x=zero_x, u_z=zero_z, u_x=zero_x, t=0)


def directions(o, z, x, eta, z_batch, v_batches, f_batch, x_batch):
    """Return grad_z G, and grad_x F + C v with v = -eta sum_q prod_{j<q} (I - eta H_j) grad_z F."""
    term = o.F_z(z, x, f_batch)
    total = term
    for batch in v_batches:
        term = term - eta * o.hvp(z, x, term, batch)
        total = total + term
    D_x = o.F_x(z, x, f_batch) + o.cross(z, x, -eta * total, x_batch)
    return o.grad_z(z, x, z_batch), D_x


def large_directions(o, z, x, eta, d, k):
    """The same, each gradient and product averaged over ``large_batch`` mini-batches."""
    mean = lambda f, batches, *rest: np.mean([f(z, x, *rest, batch) for batch in batches], axis=0)
    term = mean(o.F_z, d["F"])
    total = term
    for batches in d["V"]:
        term = term - eta * mean(o.hvp, batches, term)
        total = total + term
    return mean(o.grad_z, d["Z"]), mean(o.F_x, d["F"]) + mean(o.cross, d["X"], -eta * total)


def step(s, o, hp, d, k):
    z, x, u_z, u_x = s["z"], s["x"], s["u_z"], s["u_x"]
    rho, gamma = hp["step_size"], hp["step_size"] / hp["outer_ratio"]
    eta, m, Q = hp["neumann_step"], k["n_inner_steps"], k["n_neumann_steps"]

    def corrected(u_z, u_x, new, old, j):
        batches = d["z"][j], d["v"][j], d["f"][j], d["x"][j]
        new_z, new_x = directions(o, *new, eta, *batches)
        old_z, old_x = directions(o, *old, eta, *batches)
        return u_z + new_z - old_z, u_x + new_x - old_x

    if s["t"] % k["period"] == 0:
        if k["large_batch"] == "full":
            u_z, u_x = directions(o, z, x, eta, "full", ["full"] * Q, "full", "full")
        else:
            u_z, u_x = large_directions(o, z, x, eta, d, k)
    d_x = u_x
    x_new = o.project(x - gamma * d_x)

    # x moves first; then m steps of z, each followed by a correction.
    u_z, u_x = corrected(u_z, u_x, (z, x_new), (z, x), 0)
    for j in range(1, m + 1):
        z_new = z - rho * u_z
        u_z, u_x = corrected(u_z, u_x, (z_new, x_new), (z, x_new), j)
        z = z_new
    return dict(z=z, x=x_new, d_x=d_x, u_z=u_z, u_x=u_x, t=s["t"] + 1)
