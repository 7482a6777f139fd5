from typing import Any, NamedTuple

from benchmark_utils import estimators, hypergradient
from benchmark_utils.sampling import inner, integers, outer
from benchmark_utils.schedules import momentum, power_law, theory_or_constant
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # momentum estimate m_x of the hypergradient, before the adaptive scaling, shape (d,)
    t: Any  # outer iterations done, integer
    m_z: Any  # momentum estimate of grad_z G, shape (p,)
    s_z: Any  # moving average of squared inner gradients, shape (p,)
    s_x: Any  # moving average of squared hypergradient estimates, shape (d,)
    z_old: Any  # previous z (VR variant), the first iterate at the start, shape (p,)
    x_old: Any  # previous x (VR variant), shape (d,)


class Solver(BilevelSolver):
    """BiAdam: momentum or variance-reduced estimates with adaptive diagonal scaling of both steps.

    F. Huang, J. Li, S. Gao, H. Huang, "BiAdam: fast adaptive bilevel optimization methods", 2021, arXiv:2106.11396,
    in the variants with a stochastic approximation of the inverse Hessian (HIA): ``variant="saBiAdam"`` (exponential
    moving averages) and ``"VR-saBiAdam"`` (STORM).

    Differs from the paper in: 1. s_x averages the squares of the stochastic hypergradient estimates, where the paper's
    example squares grad_x F, which is zero wherever F does not depend on x; s_z averages the squares of grad_z G
    coordinate by coordinate; both start at the first squares; 2. the argmin over X in the norm of A_t is replaced by
    the Euclidean projection of the scaled step, which is the same for boxes and without constraint; 3. eta_t and the
    momentum weights are powers of t + 1 times free factors, without the constants of the theorems, and eta_0 = 1.
    """

    name = "BiAdam"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "variant": ["saBiAdam"],
        "n_neumann_steps": [30],
        "schedule": ["theory"],
        "momentum": [0.9],
        "square_memory": [0.99],
        "scaling_floor": [0.001],
        "neumann_step": [1.0],
        "step_size": [0.03],
        "outer_ratio": [0.5],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    search_space = {
        "step_size": Log(1e-5, 1e0), "outer_ratio": Log(1e-3, 1e3),
        "neumann_step": Log(1e-4, 1e1), "momentum": Log(1e-2, 1.0),
    }  # fmt: skip
    deterministic = {"limit": "hia", "schedule": "constant", "neumann_step": 0.3, "n_neumann_steps": 4}
    references = ["F. Huang, J. Li, S. Gao, H. Huang. 2021. arXiv:2106.11396"]
    static_graph = False

    def why_not(self, problem, partitions):
        if self.variant not in ("saBiAdam", "VR-saBiAdam"):
            return f"variant is {self.variant!r}; it must be 'saBiAdam' or 'VR-saBiAdam'."

    def draws(self):
        # Of the batches of v the first p are used.
        Q = self.n_neumann_steps
        return {"z": inner(), "v": inner(Q), "p": integers(0, Q), "x": inner(), "f": outer()}

    def init(self, z0, x0, oracles):
        return State(
            z=z0, x=x0, d_x=0 * x0, t=self.bk.counter(), m_z=0 * z0, s_z=0 * z0, s_x=0 * x0, z_old=1 * z0, x_old=1 * x0
        )

    def step(self, s, oracles, hp, draws):
        vr, xp = self.variant == "VR-saBiAdam", self.bk.xp
        lam, gamma = hp.step_size, hp.step_size / hp.outer_ratio  # inner and outer step
        decay = theory_or_constant(self.schedule, 1 / 3 if vr else 1 / 2)
        eta = power_law(1 + 0 * hp.step_size, s.t, decay)  # eta_t = (t + 1)^{-decay}: averaging of the iterates
        # Momentum weight c eta_t, or c eta_t^2 with variance reduction; first weights 1.
        a = momentum(self.bk, power_law(hp.momentum, s.t, (2 if vr else 1) * decay), s.t)
        b = momentum(self.bk, 1 - hp.square_memory, s.t)  # 1 - tau in the paper

        # Stochastic gradients, and for the VR variant the same draws at the previous point.
        Q, p = self.n_neumann_steps, draws.p
        grad_z = lambda z, x: oracles.grad_inner(z, x, draws.z)
        step = hp.neumann_step
        grad_x = lambda z, x: hypergradient.hia(oracles, z, x, step, Q, p, draws.v, draws.f, draws.x)
        g_z, g_x = grad_z(s.z, s.x), grad_x(s.z, s.x)
        if vr:
            m_z = estimators.storm(s.m_z, g_z, grad_z(s.z_old, s.x_old), a)
            m_x = estimators.storm(s.d_x, g_x, grad_x(s.z_old, s.x_old), a)
        else:
            m_z, m_x = estimators.ema(s.m_z, g_z, a), estimators.ema(s.d_x, g_x, a)

        # Adaptive matrices A_t = diag(sqrt(s_x) + floor), B_t = diag(sqrt(s_z) + floor).
        s_z, s_x = estimators.ema(s.s_z, g_z * g_z, b), estimators.ema(s.s_x, g_x * g_x, b)
        A, B = xp.sqrt(s_x) + hp.scaling_floor, xp.sqrt(s_z) + hp.scaling_floor

        # Scaled (projected) steps, then w_{t+1} = w_t + eta_t (w~ - w_t).
        z = s.z - eta * lam * m_z / B
        x = s.x + eta * (oracles.project(s.x - gamma * m_x / A) - s.x)
        return State(z=z, x=x, d_x=m_x, t=s.t + 1, m_z=m_z, s_z=s_z, s_x=s_x, z_old=s.z, x_old=s.x)
