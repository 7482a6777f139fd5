import math
from typing import Any, NamedTuple

from benchmark_utils import hypergradient, linear_system
from benchmark_utils.sampling import inner, outer
from benchmark_utils.schedules import growing_lengths, length_at
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    v: Any  # v ~ -H^{-1} grad_z F, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction D_x, shape (d,)
    t: Any  # outer iterations done, integer


class Solver(BilevelSolver):
    """AID-BiO: inner gradient descent and conjugate gradients for the linear system, both warm started.

    K. Ji, J. Yang, Y. Liang, "Bilevel optimization: convergence analysis and enhanced design", ICML 2021,
    arXiv:2010.07962, Algorithm 1 with AID. The paper solves for q = -v. ``inner_schedule="theory"`` is the paper's
    "AID-BiO-increasing": D_k = ceil(D (k + 1)^{1/4}) inner steps, after Ghadimi and Wang.

    Differs from the paper in: 1. the growing D_k is capped at ``max_inner_steps``; 2. where ``batch_size`` is a number,
    which the paper has not, all sums of one outer iteration run over one block of G and one of F, drawn afresh.
    """

    name = "AID-BiO"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": ["full"],
        "n_inner_steps": [10],
        "inner_schedule": ["constant"],
        "max_inner_steps": [50],
        "n_linear_steps": [10],
        "step_size": [1.0],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "symmetric_hvp", "cross", "grad_outer", "full_pass")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "exact", "step_size": 0.3, "outer_ratio": 3.0, "n_inner_steps": 3, "n_linear_steps": 3}
    references = ["K. Ji, J. Yang, Y. Liang. ICML 2021. arXiv:2010.07962"]

    def why_not(self, problem, partitions):
        if self.inner_schedule not in ("constant", "theory"):
            return f"inner_schedule is {self.inner_schedule!r}; it must be 'constant' or 'theory' (growing)."

    @property
    def static_graph(self):
        """Lengths that follow the counter are known at run time only."""
        return self.inner_schedule == "constant"

    @property
    def inner_lengths(self):
        """D_0, D_1, ..., the last entry standing for all later ones."""
        D = self.n_inner_steps
        if self.inner_schedule == "constant":
            return [D]
        # ceil(D (k + 1)^{1/4}) in integers
        return growing_lengths(lambda k: 1 + math.isqrt(math.isqrt(D**4 * (k + 1) - 1)), self.max_inner_steps)

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, v=0 * z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size  # inner step
        beta = hp.step_size / hp.outer_ratio  # outer step
        xi, zeta = draws.xi, draws.zeta

        # Lines 3-6: D_k gradient steps on G(., x) from the previous z.
        D_k = length_at(self.bk, self.inner_lengths, s.t)
        z = oracles.repeat(D_k, lambda k, z: z - alpha * oracles.grad_inner(z, s.x, xi), s.z)

        # Line 8, AID: N steps of conjugate gradients on H v = -grad_z F from the previous v.
        hvp = lambda k, u: oracles.hvp(z, s.x, u, xi)
        solve = lambda b: linear_system.cg(oracles, hvp, b, s.v, None, self.n_linear_steps)

        # Lines 9-10: hypergradient estimate and outer step.
        D_x, v = hypergradient.implicit(oracles, z, s.x, solve, zeta, xi)
        return State(z=z, v=v, x=oracles.project(s.x - beta * D_x), d_x=D_x, t=s.t + 1)
