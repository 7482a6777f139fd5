from typing import Any, NamedTuple

from benchmark_utils.sampling import inner, outer
from benchmark_utils.solver_base import BilevelSolver, Log

#: Smallest denominator of the multiplier: q(z, x) = 0 means that z is optimal and nothing has to be corrected.
FLOOR = 1e-12


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction grad_x F + lambda grad_x q, shape (d,)
    t: Any  # outer iterations done, integer


class Solver(BilevelSolver):
    """BOME: first-order descent on F under the dynamic barrier <grad q, direction> >= phi, q = G - min G.

    M. Ye, B. Liu, S. Wright, P. Stone, Q. Liu, "BOME! Bilevel optimization made easy: a simple first-order approach",
    NeurIPS 2022, arXiv:2209.08709, Algorithm 1. phi = eta ‖grad q‖^2 (``barrier="grad_norm"``) or eta q
    (``"value"``), with eta called ``barrier_weight``.

    Differs from the paper in: 1. the outer step is ``step_size / outer_ratio``, the paper has one step for (z, x);
    2. the denominator ‖grad q‖^2 is floored at 1e-12; 3. where ``batch_size`` is a number, which the paper has not,
    all sums of one outer iteration run over one block of G and one of F, drawn afresh.
    """

    name = "BOME"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": ["full"],
        "n_inner_steps": [5],
        "barrier": ["grad_norm"],
        "barrier_weight": [0.5],
        "inner_ratio": [1.0],
        "step_size": [1.0],
        "outer_ratio": [0.005],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "grad_inner_x", "value_inner", "grad_outer", "full_pass")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3), "barrier_weight": Log(1e-2, 1e0)}
    deterministic = {
        "limit": "with a constant step the multiplier grows until step * lambda is of order 1, which leaves a distance "
        "to argmin h of the order of the step, plus that of T inner steps; see tests/test_deterministic_limits.py",
        "step_size": 0.1,
        "outer_ratio": 1.0,
    }
    references = ["M. Ye, B. Liu, S. Wright, P. Stone, Q. Liu. NeurIPS 2022. arXiv:2209.08709"]

    def why_not(self, problem, partitions):
        if self.barrier not in ("grad_norm", "value"):
            return f"barrier is {self.barrier!r}; it must be 'grad_norm' or 'value'."

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size * hp.inner_ratio  # step of the inner loop
        xi_z, xi_x = hp.step_size, hp.step_size / hp.outer_ratio  # steps on z and x
        xp, z, x, xi = self.bk.xp, s.z, s.x, draws.xi

        # Inner loop: z^T, T gradient steps on G(., x) from z.
        T = self.n_inner_steps
        z_T = oracles.repeat(T, lambda k, z: z - alpha * oracles.grad_inner(z, x, xi), z)

        # grad q of q(z, x) = G(z, x) - G(z^T, x), z^T taken as constant.
        q_z = oracles.grad_inner(z, x, xi)
        q_x = oracles.grad_inner_x(z, x, xi) - oracles.grad_inner_x(z_T, x, xi)
        F_z, F_x = oracles.grad_outer(z, x, draws.zeta)

        # Multiplier lambda = max((phi - <grad F, grad q>) / ‖grad q‖^2, 0).
        norm2 = xp.sum(q_z * q_z) + xp.sum(q_x * q_x)
        if self.barrier == "grad_norm":
            phi = hp.barrier_weight * norm2
        else:
            phi = hp.barrier_weight * (oracles.value_inner(z, x, xi) - oracles.value_inner(z_T, x, xi))
        excess = phi - xp.sum(F_z * q_z) - xp.sum(F_x * q_x)
        lam = xp.where(excess > 0, excess, 0 * excess) / xp.where(norm2 > FLOOR, norm2, FLOOR + 0 * norm2)

        # Joint step on (z, x).
        D_x = F_x + lam * q_x
        return State(z=z - xi_z * (F_z + lam * q_z), x=oracles.project(x - xi_x * D_x), d_x=D_x, t=s.t + 1)
