"""LancBiO, Yang, Gao, Yuan 2025: Lanczos on the residual, one step an iteration, with restarts."""

import math

import numpy as np


def start(z0, x0, o, k):
    zero = np.zeros_like(z0)
    return dict(z=z0, q=zero, x=x0, d_x=np.zeros_like(x0), t=0, lanczos=None)


def dimension(t, k):
    m = 1 if k["dimension_schedule"] == "growing" else k["dimension"]
    for _ in range((t + 1) // k["growth_period"]):
        m = math.ceil(1.3 * m)
    return min(m, k["dimension"])


def step(s, o, hp, d, k):
    z, x, q, t, lanczos = s["z"], s["x"], s["q"], s["t"], s["lanczos"]
    theta, lam = hp["step_size"], hp["step_size"] / hp["outer_ratio"]

    for batch in d["z"][: k["n_inner_steps"]]:
        z = z - theta * o.grad_z(z, x, batch)

    # H q = b, q = -v
    b, H = o.F_z(z, x, d["f"]), o.hessian(z, x, d["v"])
    if t == 0 or len(lanczos["Q"]) >= dimension(t, k):
        r = b - H @ q
        first = r / np.linalg.norm(r)
        lanczos = dict(q_bar=q, w=H @ q, Q=[], alphas=[], betas=[], u=first, u_old=0, beta=0)
    u, u_old, beta = lanczos["u"], lanczos["u_old"], lanczos["beta"]
    alpha = u @ (H @ u - beta * u_old)
    Q, alphas = [*lanczos["Q"], u], [*lanczos["alphas"], alpha]

    T, Q_T = np.diag(alphas) + np.diag(lanczos["betas"], 1) + np.diag(lanczos["betas"], -1), np.array(Q)
    q = lanczos["q_bar"] + Q_T.T @ np.linalg.solve(T, Q_T @ (b - lanczos["w"]))

    omega = H @ u - beta * u_old - alpha * u
    beta = np.linalg.norm(omega)
    lanczos = lanczos | dict(Q=Q, alphas=alphas, betas=[*lanczos["betas"], beta], u=omega / beta, u_old=u, beta=beta)

    D_x = o.F_x(z, x, d["f"]) - o.cross(z, x, q, d["x"])
    return dict(z=z, q=q, x=o.project(x - lam * D_x), d_x=D_x, t=t + 1, lanczos=lanczos)
