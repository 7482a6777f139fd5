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
    """AID-CG: approximate implicit differentiation, the linear system by conjugate gradients from zero.

    R. Grazzi, L. Franceschi, M. Pontil, S. Salzo, "On the iteration complexity of hypergradient computation",
    ICML 2020, arXiv:2006.16218, equation (4) and the conjugate gradient method of Section 2.2, on H q = grad_z F with
    q = -v.

    Differs from the paper in: 1. z starts where the previous outer iteration left it (``warm_start="z"``), the paper
    computes one hypergradient from zero (``"none"``); 2. where ``batch_size`` is a number, which the paper has not,
    all sums of one outer iteration run over one block of G and one of F, drawn afresh.
    """

    name = "AID-CG"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": ["full"],
        "n_inner_steps": [10],
        "n_linear_steps": [10],
        "warm_start": ["z"],
        "step_size": [1.0],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "symmetric_hvp", "cross", "grad_outer", "full_pass")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "exact", "step_size": 0.3, "outer_ratio": 3.0, "n_inner_steps": 3, "n_linear_steps": 6}
    references = ["R. Grazzi, L. Franceschi, M. Pontil, S. Salzo. ICML 2020. arXiv:2006.16218"]

    def why_not(self, problem, partitions):
        if self.warm_start not in ("none", "z"):
            return f"warm_start is {self.warm_start!r}; it must be 'none' or 'z'."

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size  # inner step
        beta = hp.step_size / hp.outer_ratio  # outer step
        xi, zeta = draws.xi, draws.zeta

        # T gradient steps on G(., x).
        z = s.z if self.warm_start == "z" else 0 * s.z
        z = oracles.repeat(self.n_inner_steps, lambda k, z: z - alpha * oracles.grad_inner(z, s.x, xi), z)

        # K steps of conjugate gradients from zero.
        hvp = lambda k, u: oracles.hvp(z, s.x, u, xi)
        solve = lambda b: linear_system.cg(oracles, hvp, b, None, None, self.n_linear_steps)

        # Hypergradient estimate grad_x F - C q, and outer step.
        D_x, _ = hypergradient.implicit(oracles, z, s.x, solve, zeta, xi)
        return State(z=z, x=oracles.project(s.x - beta * D_x), d_x=D_x, t=s.t + 1)
