"""The methods with random or growing lengths, against a few lines of NumPy.

The quadratic has one small dense matrix for each block of rows, so that the equations of a paper, with the very
batches and lengths that a run draws, take a few lines here. This feels a wrong schedule or momentum weight, a batch
used in two roles, and an old point that is not the previous one.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_random_lengths import SOLVERS, Q, make, moving_start

import helpers
from benchmark_utils.evaluation.quadratic import QuadraticEvaluator
from benchmark_utils.oracles.blocks import make_blocks
from benchmark_utils.oracles.draws import DrawStreams
from benchmark_utils.running.start import start_point

RHO, GAMMA, ETA, N = 0.2, 0.05, 0.3, 12  # inner step, outer step, step of the linear system, iterations


class Sums:
    """One entry for each block of a level of `small_quadratic`: the matrices of its mean, and ``None`` for all rows."""

    def __init__(self, level, partition):
        problem = helpers.small_quadratic()
        arrays, weights, _ = make_blocks(problem.rows(level), partition, problem.data_seed)
        self.parts = {i: self._means(arrays, weights[i], i) for i in range(partition.n_blocks)}
        self.parts[None] = QuadraticEvaluator._means(problem.rows(level))

    @staticmethod
    def _means(arrays, w, i):
        a, b, r, s = (arrays[k][i] for k in "abrs")
        w = w[:, None]
        return (w * a).T @ a, (w * b).T @ b, (w * r).T @ s, (w * arrays["c"][i]).sum(0), (w * arrays["e"][i]).sum(0)

    def __getitem__(self, block):
        return self.parts[None if block is None else int(block)]


class Quadratic:
    """The oracles of a run on dense matrices, and what the run draws."""

    def __init__(self, solver):
        self.G, self.F = (Sums(level, solver.partitions[level]) for level in ("inner", "outer"))
        draws = DrawStreams(solver.plan, solver.partitions, solver.program.seed).take(N)
        self.draws = [{role: a[k] for role, a in draws.items()} for k in range(N)]

    def grad_z(self, z, x, block):
        A, _, C, c, _ = self.G[block]
        return A @ z + C.T @ x + c

    def hvp(self, v, block):
        return self.G[block][0] @ v

    def cross(self, v, block):
        return self.G[block][2] @ v

    def outer(self, z, x, block):
        A, B, C, c, e = self.F[block]
        return A @ z + C.T @ x + c, B @ x + C @ z + e

    def hia(self, z, x, d):
        """Q eta times p random factors applied to grad_z F, with the sign of v = -H^{-1} grad_z F."""
        r, F_x = self.outer(z, x, d["f"])
        for k in range(d["p"]):
            r = r - ETA * self.hvp(r, d["v"][k])
        return F_x + self.cross(-Q * ETA * r, d["x"])


# ---------------------------------------------------------------------- the papers
def bsa(q, z, x, T, cold=False):
    for k, d in enumerate(q.draws):
        z = 0 * z if cold else z
        for i in range(T[min(k, len(T) - 1)]):
            z = z - RHO / (k + 1) ** 0.5 * q.grad_z(z, x, d["z"][i])
        x = x - GAMMA / (k + 1) ** 0.5 * q.hia(z, x, d)
    return z, x


def ttsa(q, z, x):
    for k, d in enumerate(q.draws):
        z = z - RHO / (k + 1) ** 0.4 * q.grad_z(z, x, d["z"])
        x = x - GAMMA / (k + 1) ** 0.6 * q.hia(z, x, d)
    return z, x


def alset_warm(q, z, x, full):
    v = 0 * z
    for k, d in enumerate(q.draws):
        b_z, b_v, b_x = (None,) * 3 if full else (d["z"], d["v"], d["x"])
        z = z - RHO / (k + 1) ** 0.5 * q.grad_z(z, x, b_z)
        F_z, F_x = q.outer(z, x, d["f"])
        v = v - ETA / (k + 1) ** 0.5 * (q.hvp(v, b_v) + F_z)
        x = x - GAMMA / (k + 1) ** 0.5 * (F_x + q.cross(v, b_x))
    return z, x


def smb(q, z, x, average_z):
    u_z, u_x = 0 * z, 0 * x
    for k, d in enumerate(q.draws):
        beta = 0.6 / (k + 1) ** 0.5 if k else 1
        beta_z = beta if average_z else 1
        u_z = (1 - beta_z) * u_z + beta_z * q.grad_z(z, x, d["z"])
        u_x = (1 - beta) * u_x + beta * q.hia(z, x, d)
        z, x = z - RHO / (k + 1) ** 0.5 * u_z, x - GAMMA / (k + 1) ** 0.5 * u_x
    return z, x


def sustain(q, z, x):
    z_old, x_old, d_z, d_x = z, x, 0 * z, 0 * x
    for k, d in enumerate(q.draws):
        a = 0.6 / (k + 1) ** (2 / 3) if k else 1
        d_z = q.grad_z(z, x, d["z"]) + (1 - a) * (d_z - q.grad_z(z_old, x_old, d["z"]))
        d_x = q.hia(z, x, d) + (1 - a) * (d_x - q.hia(z_old, x_old, d))
        z_old, x_old = z, x
        z, x = z - RHO / (k + 1) ** (1 / 3) * d_z, x - GAMMA / (k + 1) ** (1 / 3) * d_x
    return z, x


def biadam(q, z, x, vr):
    z_old, x_old, m_z, m_x, s_z, s_x = z, x, 0 * z, 0 * x, 0 * z, 0 * x
    for k, d in enumerate(q.draws):
        eta_t = 1 / (k + 1) ** (1 / 3 if vr else 1 / 2)
        a = (0.6 * eta_t**2 if vr else 0.6 * eta_t) if k else 1
        g_z, g_x = q.grad_z(z, x, d["z"]), q.hia(z, x, d)
        old_z, old_x = (q.grad_z(z_old, x_old, d["z"]), q.hia(z_old, x_old, d)) if vr else (0, 0)
        m_z, m_x = (
            (1 - a) * (m_z - old_z) + (g_z if vr else a * g_z),
            (1 - a) * (m_x - old_x) + (g_x if vr else a * g_x),
        )
        tau = 0.9 if k else 0
        s_z, s_x = tau * s_z + (1 - tau) * g_z**2, tau * s_x + (1 - tau) * g_x**2
        z_new, x_new = z - RHO * m_z / (np.sqrt(s_z) + 0.01), x - GAMMA * m_x / (np.sqrt(s_x) + 0.01)
        z_old, x_old = z, x
        z, x = z + eta_t * (z_new - z), x + eta_t * (x_new - x)
    return z, x


def bsgm(q, z, x, lengths, warm):
    v = 0 * z
    for s, d in enumerate(q.draws):
        n = lengths[min(s, len(lengths) - 1)]
        z, v = (z, v) if warm else (0 * z, 0 * v)
        for i in range(n):
            z = z - RHO * 5 / (5 + i) * q.grad_z(z, x, d["z"][i])
        F_z, F_x = (sum(part) / n for part in zip(*(q.outer(z, x, d["f"][j]) for j in range(n)), strict=True))
        for j in range(n):
            v = v - ETA * 5 / (5 + j) * (q.hvp(v, d["v"][j]) + F_z)
        x = x - GAMMA * (F_x + sum(q.cross(v, d["x"][j]) for j in range(n)) / n)
    return z, x


def stocbio(q, z, x, n_blocks):
    for d in q.draws:
        for i in range(3):
            z = z - RHO * q.grad_z(z, x, d["z"][i])
        r, F_x = q.outer(z, x, d["f"])
        total = r
        for row, n in zip(d["v"].reshape(Q, -1), n_blocks, strict=True):
            r = r - ETA * sum(q.hvp(r, block) for block in row[:n]) / n
            total = total + r
        x = x - GAMMA * (F_x + q.cross(-ETA * total, d["x"]))
    return z, x


STEPS = dict(step_size=RHO, outer_ratio=RHO / GAMMA, neumann_step=ETA, n_neumann_steps=Q)
ADAM = dict(
    step_size=RHO, outer_ratio=RHO / GAMMA, neumann_step=ETA, n_neumann_steps=Q, momentum=0.6, inner_momentum=0.6,
    square_memory=0.9, scaling_floor=0.01,
)  # fmt: skip
BSGM = dict(step_size=RHO, outer_ratio=RHO / GAMMA, linear_ratio=ETA / RHO, decay_offset=5.0)
ALSET = dict(step_size=RHO, outer_ratio=RHO / GAMMA, linear_ratio=ETA / RHO)
GROWING = dict(inner_schedule="theory", max_inner_steps=6)
EQUATIONS = {
    "bsa": ("bsa", STEPS | dict(n_inner_steps=3), lambda *a: bsa(*a, [3])),
    "bsa-growing": ("bsa", STEPS | GROWING | dict(n_inner_steps=2), lambda *a: bsa(*a, [2, 3, 4, 4, 5, 5, 6])),
    "bsa-cold": ("bsa", STEPS | dict(n_inner_steps=3, warm_start="none"), lambda *a: bsa(*a, [3], cold=True)),
    "ttsa": ("ttsa", STEPS, ttsa),
    "alset": ("alset", STEPS | dict(n_inner_steps=2), lambda *a: bsa(*a, [2])),
    "alset-warm": ("alset_dagger", ALSET, lambda *a: alset_warm(*a, False)),
    "alset-warm-full": ("alset_dagger_det", ALSET, lambda *a: alset_warm(*a, True)),
    "smb": ("smb", STEPS | dict(momentum=0.6), lambda *a: smb(*a, False)),
    "smb-both": ("smb", STEPS | dict(momentum=0.6, averaged="x_and_z"), lambda *a: smb(*a, True)),
    "sustain": ("sustain", STEPS | dict(momentum=0.6, inner_momentum=0.6), sustain),
    "biadam": ("biadam", ADAM, lambda *a: biadam(*a, False)),
    "biadam-vr": ("vr_biadam", ADAM, lambda *a: biadam(*a, True)),
    "bsgm": ("bsgm", BSGM | dict(n_steps=3, growth=0.5), lambda *a: bsgm(*a, [1, 1, 2, 2, 3], False)),
    "bsgm-warm": (
        "bsgm", BSGM | dict(n_steps=3, length_schedule="constant", warm_start="z_and_v"),
        lambda *a: bsgm(*a, [3], True),
    ),
    "stocbio": ("stocbio", STEPS | dict(n_inner_steps=3), lambda *a: stocbio(*a, [1] * Q)),
    "stocbio-growing": (
        "stocbio", STEPS | dict(n_inner_steps=3, batch_growth="theory", largest_batch=16),
        lambda *a: stocbio(*a, [16, 8, 4, 2, 1]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", EQUATIONS)
def test_iterates_follow_the_equations(case, backend):
    which, parameters, expected = EQUATIONS[case]
    solver = make(which, N, backend=backend, batch_size=16, **parameters)
    solver.run(lambda: True)
    z, x = expected(Quadratic(solver), *start_point(moving_start(), 0))
    assert_allclose(solver.get_result()["z"], z, rtol=0, atol=1e-11)
    assert_allclose(solver.get_result()["x"], x, rtol=0, atol=1e-11)


# ---------------------------------------------------------------------- what must hold after every step, or at the end
def test_sustain_estimates_never_leave_the_exact_directions(backend):
    reference = helpers.small_quadratic().evaluator
    solver = make("sustain", 60, backend=backend, batch_size="full", n_neumann_steps=1,
                  step_size=0.3, outer_ratio=3.0, neumann_step=0.3, momentum=0.3)  # fmt: skip
    helpers.begin(solver)
    for _ in range(60):
        z, x = helpers.on_host(solver).z, helpers.on_host(solver).x
        helpers.advance(solver)
        state = helpers.on_host(solver)
        D_z = reference.A @ z + reference.C.T @ x + reference.c
        F_z = reference.A_F @ z + reference.C_F.T @ x + reference.c_F
        D_x = reference.B_F @ x + reference.C_F @ z + reference.e_F - 0.3 * reference.C @ F_z
        assert_allclose(state.d_z, D_z, rtol=0, atol=1e-12)
        assert_allclose(state.d_x, D_x, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "parameters"),
    [
        ("alset_dagger", dict(schedule="constant", outer_ratio=3.0)),
        ("alset_dagger_det", dict(schedule="constant", outer_ratio=3.0)),
        ("bsgm", dict(schedule="constant", n_steps=100, growth=0.2)),
        ("bsgm", dict(length_schedule="constant", schedule="constant", warm_start="z", n_steps=100)),
    ],
)
def test_variants_without_bias_reach_the_minimiser(which, parameters):
    parameters = dict(step_size=0.5, outer_ratio=1.0, batch_size="full") | parameters
    result = helpers.run(SOLVERS[which], moving_start(), 4000, **parameters)
    assert_allclose(result["x"], helpers.small_quadratic().evaluator.minimiser(), rtol=0, atol=1e-8)
