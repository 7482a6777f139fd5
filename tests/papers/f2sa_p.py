"""F2SA-p, Chen et al. 2026, Algorithm 1, with the weights of the paper's Lemma 3.1 solved for."""

import numpy as np


def finite_difference(p):
    """Return points j and weights with sum_j alpha_j j^q = 1 for q = 1 and 0 for the other q up to p."""
    j = np.arange(-p // 2, p // 2 + 1) if p % 2 == 0 else np.arange(-(p - 1) // 2, (p + 1) // 2 + 1)
    powers = np.array([j**q for q in range(p + 1)], float)
    return j, np.linalg.solve(powers, np.eye(p + 1)[1])


def start(z0, x0, o, k):
    j, _ = finite_difference(k["order"])
    return dict(z=z0, x=x0, d_x=np.zeros_like(x0), y={int(point): z0 for point in j}, t=0)


def step(s, o, hp, d, k):
    x, t, nu, p = s["x"], s["t"], hp["nu"], k["order"]
    j, alpha = finite_difference(p)
    solved = [int(point) for point in j if point != 0 or p % 2 == 1]

    y = dict(s["y"])
    for i, point in enumerate(solved):
        for n in range(k["n_inner_steps"]):
            F_y, G_y = o.F_z(y[point], x, d["F_y"][i][n]), o.grad_z(y[point], x, d["G_y"][i][n])
            y[point] = y[point] - hp["step_size"] * (point * nu * F_y + G_y)

    phi = 0
    for point, weight in zip(j, alpha, strict=True):
        at = y[int(point)]
        phi = phi + weight * (point * o.F_x(at, x, d["F_x"]) + o.grad_x(at, x, d["G_x"]) / nu)

    eta_x = hp["step_size"] / hp["outer_ratio"]
    if k["schedule"] == "theory":
        eta_x = eta_x / np.sqrt(t + 1)
    length = np.linalg.norm(phi) if k["outer_step"] == "normalized" else 1
    z = y[0] if p % 2 == 1 else (y[-1] + y[1]) / 2
    return dict(z=z, x=o.project(x - eta_x * phi / length), d_x=phi, y=y, t=t + 1)
