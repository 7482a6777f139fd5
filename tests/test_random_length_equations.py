"""The methods with random or growing lengths, against a few lines of NumPy.

With full batches and a given length p of the Neumann series nothing is random, so that the iterates must be those of
the method's equations on the dense matrices of the quadratic, with the schedules of the paper.
"""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_random_lengths import SOLVERS, Q, iterate, make, moving_start

import helpers


class Dense:
    """Exact directions of the quadratic, with one random term of the series."""

    def __init__(self):
        q = self.q = helpers.small_quadratic().reference
        self.grad_z = lambda z, x: q.A @ z + q.C.T @ x + q.c
        self.outer = lambda z, x: (q.A_F @ z + q.C_F.T @ x + q.c_F, q.B_F @ x + q.C_F @ z + q.e_F)

    def hia(self, z, x, eta, p):
        F_z, F_x = self.outer(z, x)
        return F_x - Q * eta * self.q.C @ np.linalg.matrix_power(np.eye(len(z)) - eta * self.q.A, p) @ F_z


RHO, GAMMA, ETA, P, N = 0.2, 0.05, 0.3, 2, 7  # inner step, outer step, step of the series, length, iterations
HIA_PARAMETERS = dict(step_size=RHO, outer_ratio=RHO / GAMMA, neumann_ratio=ETA / RHO, n_neumann_steps=Q)


def bsa(z, x, T):
    q = Dense()
    for k in range(N):
        for _ in range(T[k]):
            z = z - RHO / (k + 1) ** 0.5 * q.grad_z(z, x)
        x = x - GAMMA / (k + 1) ** 0.5 * q.hia(z, x, ETA, P)
    return z, x


def bsa_cold(z, x, T):
    q = Dense()
    for k in range(N):
        z = 0 * z
        for _ in range(T[k]):
            z = z - RHO / (k + 1) ** 0.5 * q.grad_z(z, x)
        x = x - GAMMA / (k + 1) ** 0.5 * q.hia(z, x, ETA, P)
    return z, x


def ttsa(z, x):
    q = Dense()
    for k in range(N):
        z = z - RHO / (k + 1) ** 0.4 * q.grad_z(z, x)
        x = x - GAMMA / (k + 1) ** 0.6 * q.hia(z, x, ETA, P)
    return z, x


def alset_warm(z, x):
    q, v = Dense(), 0 * z
    for k in range(N):
        z = z - RHO / (k + 1) ** 0.5 * q.grad_z(z, x)
        F_z, F_x = q.outer(z, x)
        v = v - ETA / (k + 1) ** 0.5 * (q.q.A @ v + F_z)
        x = x - GAMMA / (k + 1) ** 0.5 * (F_x + q.q.C @ v)
    return z, x


def smb(z, x, average_z):
    q = Dense()
    for k in range(N):
        beta = 0.6 / (k + 1) ** 0.5 if k else 1
        D_z, D_x = q.grad_z(z, x), q.hia(z, x, ETA, P)
        u_x = D_x if k == 0 else (1 - beta) * u_x + beta * D_x  # noqa: F821
        u_z = D_z if k == 0 or not average_z else (1 - beta) * u_z + beta * D_z  # noqa: F821
        z, x = z - RHO / (k + 1) ** 0.5 * u_z, x - GAMMA / (k + 1) ** 0.5 * u_x
    return z, x


def sustain(z, x):
    # With full batches every STORM estimate equals the exact direction.
    q = Dense()
    for k in range(N):
        step = 1 / (k + 1) ** (1 / 3)
        z, x = z - RHO * step * q.grad_z(z, x), x - GAMMA * step * q.hia(z, x, ETA, P)
    return z, x


def biadam(z, x, vr):
    q, tau, floor = Dense(), 0.9, 0.01
    for k in range(N):
        eta_t = 1 / (k + 1) ** (1 / 3 if vr else 1 / 2)
        a = 1 if k == 0 else 0.6 * (eta_t**2 if vr else eta_t)
        g_z, g_x = q.grad_z(z, x), q.hia(z, x, ETA, P)
        if k == 0:
            m_z, m_x, s_z, s_x = g_z, g_x, g_z**2, g_x**2
        else:
            # Without noise the recursive correction keeps the estimate equal to the gradient.
            m_z, m_x = (g_z, g_x) if vr else ((1 - a) * m_z + a * g_z, (1 - a) * m_x + a * g_x)
            s_z, s_x = tau * s_z + (1 - tau) * g_z**2, tau * s_x + (1 - tau) * g_x**2
        z_new, x_new = z - RHO * m_z / (np.sqrt(s_z) + floor), x - GAMMA * m_x / (np.sqrt(s_x) + floor)
        z, x = z + eta_t * (z_new - z), x + eta_t * (x_new - x)
    return z, x


def bsgm(z, x):
    q = Dense()
    for s in range(N):
        n, z, v = min(3, math.ceil((s + 1) / 2)), 0 * z, 0 * z
        for i in range(n):
            z = z - RHO * 5 / (5 + i) * q.grad_z(z, x)
        F_z, F_x = q.outer(z, x)
        for j in range(n):
            v = v - ETA * 5 / (5 + j) * (q.q.A @ v + F_z)
        x = x - GAMMA * (F_x + q.q.C @ v)
    return z, x


ADAM = dict(
    step_size=RHO, outer_ratio=RHO / GAMMA, neumann_step=ETA, n_neumann_steps=Q, momentum=0.6, square_memory=0.9,
    scaling_floor=0.01,
)  # fmt: skip
EQUATIONS = {
    "bsa": ("bsa", HIA_PARAMETERS | dict(n_inner_steps=3), lambda z, x: bsa(z, x, [3] * N)),
    "bsa-theory": (
        "bsa", HIA_PARAMETERS | dict(n_inner_steps=2, inner_schedule="theory", max_inner_steps=5, warm_start="none"),
        lambda z, x: bsa_cold(z, x, [2, 3, 4, 4, 5, 5, 5]),
    ),
    "ttsa": ("ttsa", HIA_PARAMETERS, ttsa),
    "alset": ("alset", HIA_PARAMETERS | dict(n_inner_steps=2), lambda z, x: bsa(z, x, [2] * N)),
    "alset-warm": ("alset", HIA_PARAMETERS | dict(variant="warm_v"), alset_warm),
    "alset-warm-full": ("alset", HIA_PARAMETERS | dict(variant="warm_v_full_inner"), alset_warm),
    "smb": ("smb", HIA_PARAMETERS | dict(momentum=0.6), lambda z, x: smb(z, x, False)),
    "smb-both": ("smb", HIA_PARAMETERS | dict(momentum=0.6, averaged="x_and_z"), lambda z, x: smb(z, x, True)),
    "sustain": ("sustain", HIA_PARAMETERS, sustain),
    "mstsa": ("sustain", HIA_PARAMETERS | dict(variant="MSTSA"), sustain),
    "biadam": ("biadam", ADAM, lambda z, x: biadam(z, x, False)),
    "biadam-vr": ("biadam", ADAM | dict(variant="VR-saBiAdam"), lambda z, x: biadam(z, x, True)),
    "bsgm": (
        "bsgm", dict(step_size=RHO, outer_ratio=RHO / GAMMA, linear_ratio=ETA / RHO, decay_offset=5.0, n_steps=3,
                     growth_period=2), bsgm,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", EQUATIONS)
def test_iterates_follow_the_equations(case, backend):
    stem, parameters, expected = EQUATIONS[case]
    solver = make(stem, N, backend=backend, batch_size="full", **parameters)
    random_length = any(draw.kind == "integers" for draw in solver.plan.values())
    result = iterate(solver, N, P if random_length else None)
    z, x = expected(*moving_start().init(np.random.default_rng(0)))
    assert_allclose(result["z"], z, rtol=0, atol=1e-12)
    assert_allclose(result["x"], x, rtol=0, atol=1e-12)


# ---------------------------------------------------------------------- what must hold after every step, or at the end
@pytest.mark.parametrize("variant", ["SUSTAIN", "MSTSA"])
def test_sustain_estimates_never_leave_the_exact_directions(variant, backend):
    q, eta = Dense(), 0.3
    solver = make("sustain", 60, backend=backend, batch_size="full", n_neumann_steps=1, variant=variant,
                  step_size=0.3, outer_ratio=3.0, neumann_ratio=1.0, momentum=0.3)  # fmt: skip
    solver.begin()
    for _ in range(60):
        z, x = solver.bk.to_numpy(solver.state.z), solver.bk.to_numpy(solver.state.x)
        solver.advance(1)
        assert_allclose(solver.bk.to_numpy(solver.state.d_z), q.grad_z(z, x), rtol=0, atol=1e-12)
        F_z, F_x = q.outer(z, x)
        assert_allclose(solver.bk.to_numpy(solver.state.d_x), F_x - eta * q.q.C @ F_z, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("which", "parameters"),
    [
        ("alset", dict(variant="warm_v", schedule="constant", outer_ratio=3.0)),
        ("alset", dict(variant="warm_v_full_inner", schedule="constant", outer_ratio=3.0)),
        ("bsgm", dict(schedule="constant", n_steps=100, growth_period=5)),
        ("bsgm", dict(length_schedule="constant", schedule="constant", warm_start="z", n_steps=100)),
    ],
)
def test_variants_without_bias_reach_the_minimiser(which, parameters):
    result = helpers.run(
        SOLVERS[which], moving_start(), 4000, batch_size="full", **dict(step_size=0.5, outer_ratio=1.0) | parameters
    )
    assert_allclose(result["x"], helpers.small_quadratic().reference.minimiser(), rtol=0, atol=1e-8)
