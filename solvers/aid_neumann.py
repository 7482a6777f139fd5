from typing import Any, NamedTuple

from benchmark_utils import hypergradient, linear_system
from benchmark_utils.sampling import inner, outer
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction D_x, shape (d,)
    t: Any  # outer iterations done, integer


class Solver(BilevelSolver):
    """AID-Neumann: approximate implicit differentiation, the inverse Hessian by a truncated Neumann series.

    J. Lorraine, P. Vicol, D. Duvenaud, "Optimizing millions of hyperparameters by implicit differentiation",
    AISTATS 2020, arXiv:1911.02590, Algorithms 1 to 3: i products give the i + 1 terms sum_{j<=i} (I - alpha H)^j.
    The paper solves for q = -v.

    Differs from the paper in: 1. where ``batch_size`` is a number, all sums of one outer iteration run over one
    block of G and one of F, drawn afresh.
    """

    name = "AID-Neumann"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": ["full"],
        "n_inner_steps": [10],
        "n_neumann_steps": [10],
        "warm_start": ["z"],
        "neumann_ratio": [1.0],
        "step_size": [1.0],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer", "full_pass")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "neumann", "step_size": 0.3, "outer_ratio": 3.0, "n_neumann_steps": 4}
    references = ["J. Lorraine, P. Vicol, D. Duvenaud. AISTATS 2020. arXiv:1911.02590"]

    def why_not(self, problem, partitions):
        if self.warm_start not in ("none", "z"):
            return f"warm_start is {self.warm_start!r}; it must be 'none' or 'z'."

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size  # inner step
        eta = hp.step_size * hp.neumann_ratio  # step of the series
        beta = hp.step_size / hp.outer_ratio  # outer step
        xi, zeta = draws.xi, draws.zeta

        # Algorithm 1, lines 2-3: T gradient steps on G(., x) from the previous z, or from zero.
        z = s.z if self.warm_start == "z" else 0 * s.z
        z = oracles.repeat(self.n_inner_steps, lambda k, z: z - alpha * oracles.grad_inner(z, s.x, xi), z)

        # Algorithm 3: v = -eta sum_{j<=K} (I - eta H)^j grad_z F.
        hvp = lambda k, u: oracles.hvp(z, s.x, u, xi)
        solve = lambda b: linear_system.shia(oracles, hvp, b, None, eta, self.n_neumann_steps)

        # Algorithm 2: hypergradient estimate; Algorithm 1, line 4: outer step.
        D_x, _ = hypergradient.implicit(oracles, z, s.x, solve, zeta, xi)
        return State(z=z, x=oracles.project(s.x - beta * D_x), d_x=D_x, t=s.t + 1)
