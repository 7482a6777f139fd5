"""F3SA, Kwon et al. 2023, Algorithm 2: STORM on six gradients.

Where both levels are noisy gamma_k = c (k + 1)^{-2/5}, lambda_k = c (k + 1)^{1/5}, eta_k = c (k + 1)^{-4/5}.
"""

import numpy as np


def start(z0, x0, o, k):
    return dict(z=z0, y=z0, x=x0, d_x=np.zeros_like(x0), t=0, z_old=z0, y_old=z0, x_old=x0, h={})


def noise(k):
    full = "none" if k["batch_size"] == "full" else "both"
    return full if k["noise"] == "auto" else k["noise"]


def step(s, o, hp, d, k):
    z, y, x, t, x_old = s["z"], s["y"], s["x"], s["t"], s["x_old"]
    gamma, lam, eta = hp["step_size"], hp["penalty"], hp["momentum"]
    # alpha_k ~ k^{-3/5}, k^{-1/2}, k^{-1/3}
    a, b, c = {"both": (0.4, 0.2, 0.8), "outer": (0.25, 0.25, 0.5), "none": (0, 1 / 3, 0)}[noise(k)]
    if k["schedule"] == "theory":
        age = 1 + t / hp["decay_offset"]
        gamma, lam, eta = gamma / age**a, lam * age**b, eta / age**c
    alpha = gamma / (2 * lam)
    xi = 1 / hp["outer_ratio"]
    h = {}

    def estimate(name, oracle, new, old):
        """Keep h_k = g(new) + (1 - eta) (h_{k-1} - g(old)), and g(new) at k = 0."""
        h[name] = oracle(*new, d[name])
        if t > 0:
            h[name] = h[name] + (1 - eta) * (s["h"][name] - oracle(*old, d[name]))
        return h[name]

    G_y = estimate("G_y", o.grad_z, (y, x), (s["y_old"], x_old))
    G_z = estimate("G_z", o.grad_z, (z, x), (s["z_old"], x_old))
    F_z = estimate("F_z", o.F_z, (z, x), (s["z_old"], x_old))
    y_new, z_new = y - gamma * G_y, z - alpha * (F_z + lam * G_z)

    F_x = estimate("F_x", o.F_x, (z_new, x), (z, x_old))
    at_z = estimate("G_x_at_z", o.grad_x, (z_new, x), (z, x_old))
    at_y = estimate("G_x_at_y", o.grad_x, (y_new, x), (y, x_old))
    D_x = F_x + lam * (at_z - at_y)
    return dict(
        z=z_new,
        y=y_new,
        x=o.project(x - xi * alpha * D_x),
        d_x=D_x,
        t=t + 1,
        z_old=z,
        y_old=y,
        x_old=x,
        h=h,
    )
