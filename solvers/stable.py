from typing import Any, NamedTuple

from benchmark_utils.estimators import storm
from benchmark_utils.projections import ball, eigenvalue_floor
from benchmark_utils.sampling import inner, outer
from benchmark_utils.schedules import momentum, power_law, theory_or_constant
from benchmark_utils.solver_base import BilevelSolver, Choice, Log

#: Most numbers in H, C and the products that build them; more would take minutes an iteration.
MAX_NUMBERS = 2**25


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction, shape (d,)
    t: Any  # outer iterations done, integer
    H: Any  # estimate of H, eigenvalues at least mu, shape (p, p)
    C: Any  # estimate of C, shape (d, p)
    g: Any  # estimate of grad_z G, shape (p,)
    f_z: Any  # estimate of grad_z F, shape (p,)
    f_x: Any  # estimate of grad_x F, shape (d,)
    z_old: Any  # z of one iteration before, at which the estimates were taken, shape (p,)
    x_old: Any  # x of one iteration before, shape (d,)


class Solver(BilevelSolver):
    """STABLE and STABLE-VR: single time scale with dense momentum estimates of H and C, inverted at every iteration.

    ``variant="stable"``: T. Chen, Y. Sun, Q. Xiao, W. Yin, "A single-timescale method for stochastic bilevel
    optimization", AISTATS 2022, arXiv:2102.04671. H and C are recursive, the gradients plain, and the z-step follows
    the change of x. ``variant="vr"``: Z. Guo, Q. Hu, L. Zhang, T. Yang, "Randomized stochastic variance-reduced
    methods for multi-task stochastic bilevel optimization", arXiv:2105.02266, with one task (SVRB). All five
    quantities are recursive and the z-step is plain.

    Differs from the paper in: 1. ``schedule="theory"`` lets steps and weights decay, as t^{-1/2} for "stable", where
    the paper takes constants proportional to K^{-1/2}, and as t^{-1/3} and t^{-2/3} for "vr"; 2. one weight for all
    estimates, and 1 at the first iteration; 3. C is projected on a Frobenius ball in both variants; 4. each dense
    matrix is counted as the min(p, d) or p products with vectors that build it.
    """

    name = "STABLE"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "variant": ["stable"],
        "schedule": ["theory"],
        "momentum": [0.5],
        "mu": [0.1],
        "radius": [1e3],
        "step_size": [0.5],
        "outer_ratio": [0.3],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "grad_inner_x", "symmetric_hvp", "cross", "grad_outer")
    search_space = {
        "variant": Choice(("stable", "vr")),
        "momentum": Log(1e-2, 1),
        "mu": Log(1e-4, 1),
        "step_size": Log(1e-4, 1e1),
        "outer_ratio": Log(1e-3, 1e3),
    }
    deterministic = {"limit": "exact", "schedule": "constant", "step_size": 0.3, "outer_ratio": 3.0}
    references = [
        "T. Chen, Y. Sun, Q. Xiao, W. Yin. AISTATS 2022. arXiv:2102.04671",
        "Z. Guo, Q. Hu, L. Zhang, T. Yang. 2021. arXiv:2105.02266",
    ]

    def why_not(self, problem, partitions):
        if self.variant not in ("stable", "vr"):
            return f"variant is {self.variant!r}; it must be 'stable' or 'vr'."
        p, d, b = problem.inner_size, problem.outer_size, partitions["inner"].batch_size
        if p * (p + d + b) > MAX_NUMBERS:
            return (
                f"STABLE keeps dense {p} x {p} and {d} x {p} matrices, built from {p} products with batches of {b} "
                f"rows: {p * (p + d + b):,} numbers, more than {MAX_NUMBERS:,}; choose a problem with fewer inner "
                "variables or a smaller batch_size, or a method that keeps vectors only, such as FSLA."
            )

    def draws(self):
        return {"z": inner(), "h": inner(), "f": outer()}

    def init(self, z0, x0, oracles):
        H, C = 0 * z0[:, None] * z0[None, :], 0 * x0[:, None] * z0[None, :]
        return State(
            z=z0, x=x0, d_x=0 * x0, t=self.bk.counter(), H=H, C=C,
            g=0 * z0, f_z=0 * z0, f_x=0 * x0, z_old=z0, x_old=x0,
        )  # fmt: skip

    def step(self, s, oracles, hp, draws):
        vr = self.variant == "vr"
        xp, decay, weight_decay = self.bk.xp, *((1 / 3, 2 / 3) if vr else (1 / 2, 1 / 2))
        rho = power_law(hp.step_size, s.t, theory_or_constant(self.schedule, decay))
        gamma = rho / hp.outer_ratio
        tau = power_law(hp.momentum, s.t, theory_or_constant(self.schedule, weight_decay))
        tau = momentum(self.bk, tau, s.t)
        now, before = (s.z, s.x), (s.z_old, s.x_old)

        def recursive(estimate, oracle, batch):
            return storm(estimate, oracle(*now, batch), oracle(*before, batch), tau)

        # Recursive estimates of H and C, from the same batch at both points, and their projections.
        H, H_inverse = eigenvalue_floor(xp, recursive(s.H, oracles.hessian_matrix, draws.h), hp.mu)
        C = ball(xp, recursive(s.C, oracles.cross_matrix, draws.h), hp.radius)

        # Gradients: plain, or recursive too.
        g, (f_z, f_x) = oracles.grad_inner(*now, draws.z), oracles.grad_outer(*now, draws.f)
        if vr:
            F_z_old, F_x_old = oracles.grad_outer(*before, draws.f)
            g = storm(s.g, g, oracles.grad_inner(*before, draws.z), tau)
            f_z, f_x = storm(s.f_z, f_z, F_z_old, tau), storm(s.f_x, f_x, F_x_old, tau)

        # Outer step along grad_x F + C v with v = -H^{-1} grad_z F.
        D_x = f_x - C @ (H_inverse @ f_z)
        x = oracles.project(s.x - gamma * D_x)

        # Inner step; "stable" adds the first-order change of z*(x).
        z = s.z - rho * g
        if not vr:
            z = z - H_inverse @ (C.T @ (x - s.x))
        return State(z=z, x=x, d_x=D_x, t=s.t + 1, H=H, C=C, g=g, f_z=f_z, f_x=f_x, z_old=s.z, x_old=s.x)
