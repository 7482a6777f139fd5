import math
from typing import Any, NamedTuple

from benchmark_utils import hypergradient, linear_system
from benchmark_utils.sampling import inner, outer
from benchmark_utils.schedules import length_at
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

    Differs from the paper in: 1. all batches have the same size (``batch_growth="constant"``), where the batches of
    the series are to shrink as B Q (1 - eta mu)^{j-1} from the factor j = 1 that is applied first to grad_z F. With
    ``batch_growth="theory"`` they do: factor j averages ceil(L^{(Q-j)/(Q-1)}) blocks of ``batch_size`` rows, L =
    ``largest_batch`` for the first and 1 for the last, so L stands for (1 - eta mu)^{-(Q-1)}.
    """

    name = "StocBiO"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "n_inner_steps": [10],
        "n_neumann_steps": [10],
        "batch_growth": ["constant"],
        "largest_batch": [8],
        "neumann_ratio": [1.0],
        "step_size": [0.1],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "neumann", "step_size": 0.3, "outer_ratio": 3.0, "n_neumann_steps": 4}
    references = ["K. Ji, J. Yang, Y. Liang. ICML 2021. arXiv:2010.07962"]

    def why_not(self, problem, partitions):
        if self.batch_growth not in ("constant", "theory"):
            return f"batch_growth is {self.batch_growth!r}; it must be 'constant' or 'theory'."

    @property
    def n_blocks(self):
        """Blocks of rows that each factor of the series averages with ``batch_growth="theory"``, first factor first."""
        L, Q = self.largest_batch, self.n_neumann_steps
        # The subtraction keeps exact powers exact.
        return [L] + [math.ceil(L ** ((Q - j) / (Q - 1)) - 1e-9) for j in range(2, Q + 1)]

    def draws(self):
        T, Q, L = self.n_inner_steps, self.n_neumann_steps, self.largest_batch
        v = inner(Q) if self.batch_growth == "constant" else inner(Q, L)  # of row j the first n_blocks[j] are used
        return {"z": inner(T), "v": v, "x": inner(), "f": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size  # inner step
        eta = hp.step_size * hp.neumann_ratio  # step of the series
        beta = hp.step_size / hp.outer_ratio  # outer step

        # Algorithm 2, lines 4-6: inner SGD from the previous z.
        z = oracles.repeat(self.n_inner_steps, lambda k, z: z - alpha * oracles.grad_inner(z, s.x, draws.z[k]), s.z)

        # Algorithm 3: Neumann series for v ~ -H^{-1} grad_z F, fresh batches for each product.
        def hvp(k, u):
            if self.batch_growth == "constant":
                return oracles.hvp(z, s.x, u, draws.v[k])
            n = length_at(self.bk, self.n_blocks, k)
            return oracles.repeat(n, lambda i, total: total + oracles.hvp(z, s.x, u, draws.v[k][i]), 0 * u) / n

        solve = lambda b: linear_system.shia(oracles, hvp, b, None, eta, self.n_neumann_steps)

        # Algorithm 2, lines 8-9: hypergradient estimate and outer step.
        D_x, _ = hypergradient.implicit(oracles, z, s.x, solve, draws.f, draws.x)
        return State(z=z, x=oracles.project(s.x - beta * D_x), d_x=D_x, t=s.t + 1)
