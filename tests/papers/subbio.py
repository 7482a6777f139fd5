"""SubBiO, Yang, Gao, Yuan 2025: v from a 2 x 2 system in the span of grad_z F and (I - eta H) v."""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, q=np.zeros_like(z0), x=x0, d_x=np.zeros_like(x0), t=0)


def step(s, o, hp, d, k):
    z, x, q = s["z"], s["x"], s["q"]
    theta, lam = hp["step_size"], hp["step_size"] / hp["outer_ratio"]
    eta = hp["step_size"] * hp["linear_ratio"]

    for batch in d["z"][: k["n_inner_steps"]]:
        z = z - theta * o.grad_z(z, x, batch)

    # H q = b, q = -v
    b, H = o.F_z(z, x, d["f"]), o.hessian(z, x, d["v"])
    columns = [b] if s["t"] == 0 else [b, q - eta * H @ q]
    W, _ = np.linalg.qr(np.stack(columns, axis=1))
    q = W @ np.linalg.solve(W.T @ H @ W, W.T @ b)

    D_x = o.F_x(z, x, d["f"]) - o.cross(z, x, q, d["x"])
    return dict(z=z, q=q, x=o.project(x - lam * D_x), d_x=D_x, t=s["t"] + 1)
