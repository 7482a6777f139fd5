from typing import Any, NamedTuple

from benchmark_utils import hypergradient
from benchmark_utils.sampling import inner, outer
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction D_x, shape (d,)
    t: Any  # outer iterations done, integer


class Solver(BilevelSolver):
    """StocBiO: inner SGD with warm start, Neumann series with independent batches, one outer step.

    K. Ji, J. Yang, Y. Liang, "Bilevel optimization: convergence analysis and enhanced design", ICML 2021,
    arXiv:2010.07962, Algorithms 2 and 3. The paper solves for q = -v.

    Differs from the paper in: 1. all batches have the same size, where Theorem 3 lets the batches of the series
    grow as (1 - eta mu)^{-j}.
    """

    name = "StocBiO"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "n_inner_steps": [10],
        "n_neumann_steps": [10],
        "neumann_ratio": [1.0],
        "step_size": [0.1],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "neumann", "step_size": 0.3, "outer_ratio": 3.0, "n_neumann_steps": 4}
    references = ["K. Ji, J. Yang, Y. Liang. ICML 2021. arXiv:2010.07962"]

    def draws(self):
        return {"z": inner(self.n_inner_steps), "v": inner(self.n_neumann_steps), "x": inner(), "f": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size  # inner step
        eta = hp.step_size * hp.neumann_ratio  # step of the series
        beta = hp.step_size / hp.outer_ratio  # outer step

        # Algorithm 2, lines 4-6: inner SGD from the previous z.
        z = oracles.repeat(self.n_inner_steps, lambda k, z: z - alpha * oracles.grad_inner(z, s.x, draws.z[k]), s.z)

        # Algorithm 3: Neumann series for v ~ -H^{-1} grad_z F, a fresh batch for each product;
        # Algorithm 2, lines 8-9: hypergradient estimate and outer step.
        D_x = hypergradient.shia(oracles, z, s.x, eta, self.n_neumann_steps, draws.v, draws.f, draws.x)
        return State(z=z, x=oracles.project(s.x - beta * D_x), d_x=D_x, t=s.t + 1)
