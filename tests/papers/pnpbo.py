"""PnPBO, Chu et al. 2025: a loop on z, v and x in which each direction has an estimator of its own.

Estimators: SGD; SAGA; PAGE, Li et al. 2021 (the draw "full" is 1 for a full pass); ZeroSARAH, Li et al. 2021,
v_t = g(x_t) - g(x_{t-1}) + (1 - lambda) v_{t-1} + lambda (g(x_{t-1}) - y_i + mean y). An unbiased estimate of the
outer direction is averaged over the iterations.
"""

import numpy as np

WORDS = {"z": "inner_estimator", "v": "linear_estimator", "x": "outer_estimator"}


def of_inner(o, key, z, v, x, i):
    return {"z": lambda: o.grad_z(z, x, i), "v": lambda: o.hvp(z, x, v, i), "x": lambda: o.cross(z, x, v, i)}[key]()


def of_outer(o, key, z, v, x, j):
    return {"z": lambda: 0 * z, "v": lambda: o.F_z(z, x, j), "x": lambda: o.F_x(z, x, j)}[key]()


def direction(o, key, point, i, j):
    return of_inner(o, key, *point, i) + of_outer(o, key, *point, j)


def start(z0, x0, o, k):
    zero = {"z": np.zeros_like(z0), "v": np.zeros_like(z0), "x": np.zeros_like(x0)}
    tables = {key: ([zero[key]] * o.n_inner_blocks, [zero[key]] * o.n_outer_blocks) for key in zero}
    point = (z0, zero["v"], x0)
    return dict(z=z0, v=zero["v"], x=x0, d_x=zero["x"], estimates=zero, tables=tables, old=point, t=0)


def step(s, o, hp, d, k):
    point, t = (s["z"], s["v"], s["x"]), s["t"]
    i, j = int(d["xi"]), int(d["zeta"])
    lam = 1 if t == 0 else hp["memory_weight"]
    theta = 1 if t == 0 else hp["theta"]

    estimates, tables = {}, dict(s["tables"])
    for key, parameter in WORDS.items():
        word, before = k[parameter], s["estimates"][key]
        new, old = direction(o, key, point, i, j), direction(o, key, s["old"], i, j)
        inner, outer = s["tables"][key]
        of_memory = inner[i] + outer[j]
        mean = sum(inner) / len(inner) + sum(outer) / len(outer)
        if word == "sgd":
            estimates[key] = new
        elif word == "saga":
            estimates[key] = new - of_memory + mean
        elif word == "page":
            full = t == 0 or d["full"] == 1
            estimates[key] = direction(o, key, point, "full", "full") if full else before + new - old
        else:
            estimates[key] = new - old + (1 - lam) * before + lam * (old - of_memory + mean)
        rows = of_inner(o, key, *point, i), of_outer(o, key, *point, j)
        tables[key] = tuple(
            [row if n == block else kept for n, kept in enumerate(table)]
            for table, block, row in zip((inner, outer), (i, j), rows, strict=True)
        )
        if key == "x" and word in ("sgd", "saga"):
            estimates[key] = (1 - theta) * before + theta * estimates[key]

    rho = hp["step_size"]
    v = s["v"] - rho * hp["linear_ratio"] * estimates["v"]
    if np.linalg.norm(v) > hp["radius"]:
        v = hp["radius"] * v / np.linalg.norm(v)
    return dict(
        z=s["z"] - rho * estimates["z"],
        v=v,
        x=o.project(s["x"] - rho / hp["outer_ratio"] * estimates["x"]),
        d_x=estimates["x"],
        estimates=estimates,
        tables=tables,
        old=point,
        t=t + 1,
    )
