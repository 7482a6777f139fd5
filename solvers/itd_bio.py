from typing import Any, NamedTuple

from benchmark_utils.sampling import inner, outer
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction D_x, shape (d,)
    t: Any  # outer iterations done, integer


class Solver(BilevelSolver):
    """ITD-BiO: gradient of F(z_T(x), x) by reverse differentiation through T steps of inner gradient descent.

    K. Ji, J. Yang, Y. Liang, "Bilevel optimization: convergence analysis and enhanced design", ICML 2021,
    arXiv:2010.07962, Algorithm 1 with ITD. With ``truncation=K`` the backward pass stops after K steps: K-RMD,
    A. Shaban, C.-A. Cheng, N. Hatch, B. Boots, AISTATS 2019, arXiv:1810.10667, Section 3.

    Differs from the paper in: 1. ``warm_start="none"`` (from zero) is not in the paper; 2. where ``batch_size`` is a
    number, which the paper has not, all sums of one outer iteration run over one block of G and one of F, drawn afresh.
    """

    name = "ITD-BiO"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": ["full"],
        "n_inner_steps": [10],
        "truncation": ["none"],
        "warm_start": ["z"],
        "step_size": [1.0],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer", "full_pass")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "exact", "step_size": 0.9, "outer_ratio": 3.0, "n_inner_steps": 40, "n_iter": 1500}
    references = [
        "K. Ji, J. Yang, Y. Liang. ICML 2021. arXiv:2010.07962",
        "A. Shaban, C.-A. Cheng, N. Hatch, B. Boots. AISTATS 2019. arXiv:1810.10667",
    ]

    def why_not(self, problem, partitions):
        if self.warm_start not in ("none", "z"):
            return f"warm_start is {self.warm_start!r}; it must be 'none' or 'z'."
        if self.truncation != "none" and not 1 <= self.truncation <= self.n_inner_steps:
            return f"truncation is {self.truncation}; it must be 'none' or between 1 and n_inner_steps."

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size  # inner step
        beta = hp.step_size / hp.outer_ratio  # outer step
        T = self.n_inner_steps
        K = T if self.truncation == "none" else self.truncation
        x, xi, zeta = s.x, draws.xi, draws.zeta

        # Lines 3-6: T gradient steps on G(., x); the points at which the last K were taken are kept.
        def forward(k, carry):
            z, kept = carry
            return z - alpha * oracles.grad_inner(z, x, xi), self.bk.row_set(kept, k, z)

        z = s.z if self.warm_start == "z" else 0 * s.z
        z = oracles.repeat(T - K, lambda k, z: z - alpha * oracles.grad_inner(z, x, xi), z)
        z, kept = oracles.repeat(K, forward, (z, 0 * self.bk.xp.stack([z] * K)))

        # Line 8, ITD: backwards through z_{k+1} = z_k - alpha grad_z G(z_k, x), whose transposed Jacobians are
        # I - alpha H(z_k) in z and -alpha C(z_k) in x; the start of the loop does not depend on x.
        def backward(k, carry):
            adjoint, D_x = carry
            H_adjoint, C_adjoint = oracles.hvp_cross(self.bk.row_get(kept, K - 1 - k), x, adjoint, xi)
            return adjoint - alpha * H_adjoint, D_x - alpha * C_adjoint

        F_z, F_x = oracles.grad_outer(z, x, zeta)
        _, D_x = oracles.repeat(K, backward, (F_z, F_x))
        return State(z=z, x=oracles.project(x - beta * D_x), d_x=D_x, t=s.t + 1)
