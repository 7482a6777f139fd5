import math
from typing import NamedTuple

from benchmark_utils.formulas import hypergradient, linear_system
from benchmark_utils.formulas.outer_step import OPTIMISERS, outer_step
from benchmark_utils.formulas.steps import length_at
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count
    m_x: Outer.only_with("outer_optimiser", "heavy_ball", "adam")  # average of D_x
    s_x: Outer.only_with("outer_optimiser", "adam")  # average of its squares


class Solver(BilevelSolver):
    """StocBiO: warm-started inner SGD, Neumann series with independent batches, one outer step.

    K. Ji, J. Yang, Y. Liang, "Bilevel optimization: convergence analysis and enhanced design", ICML
    2021, arXiv:2010.07962, Algorithms 2 and 3. The paper solves for q = -v.

    Parameters
    ----------
    backend : {"jax", "torch", "torch-compiled"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples).
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    batch_growth : {"constant", "theory"}
        Batches of the factors of the series: "constant", one of ``batch_size`` rows each; "theory",
        factor j = 1..Q averages ceil(L^{(Q-j)/(Q-1)}) of them.
    n_inner_steps : int
        T, steps of SGD on z in one iteration.
    n_neumann_steps : int
        Q, products of the Neumann series (the series has Q + 1 terms).
    n_cross_batches : int
        J, mini-batches of the mean cross product; 1 in the paper, Q in Grazzi et al. (JMLR 2023).
    largest_batch : int
        L, batches that the first factor averages with ``batch_growth="theory"`` (the last one takes
        1); not used with "constant".
    outer_optimiser : {"sgd", "heavy_ball", "adam"}
        Step of x along D_x, see `benchmark_utils.formulas.outer_step`: plain, with heavy-ball
        momentum, or Adam's.
    outer_momentum : float
        Weight of the old average in heavy ball and in Adam (beta_1), in [0, 1); "sgd" has none. It
        is part of the program: another value compiles again.
    neumann_step : float
        eta, step of the series, near 1 / L; it never decays. The start is one over the L measured
        at the first point.
    step_size : float
        alpha, inner step.
    outer_ratio : float
        alpha / beta, where beta is the outer step.

    Differs from the paper
    ----------------------
    - All batches have the same size (``batch_growth="constant"``), where the batches of the series
      are to shrink as B Q (1 - eta mu)^{j-1} from the factor j = 1 that is applied first to
      grad_z F. With ``batch_growth="theory"`` they do, by the formula above, so L stands for
      (1 - eta mu)^{-(Q-1)}.
    - ``outer_optimiser`` other than "sgd" is an addition.
    """

    name = "StocBiO"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "batch_growth": ["constant"],
        "n_inner_steps": ["tuned"],
        "n_neumann_steps": ["tuned"],
        "n_cross_batches": [1],
        "largest_batch": [8],
        "outer_optimiser": ["sgd"],
        "outer_momentum": [0.9],
        "neumann_step": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"batch_growth": ("constant", "theory"), "outer_optimiser": OPTIMISERS}
    search_space = {
        "n_inner_steps": Int(1, 1000, start=10),
        "n_neumann_steps": Int(1, 3000, start=50),
        "neumann_step": Log(1e-6, 1e4, start="1/L"),
        "step_size": Log(1e-4, 1e3, start=0.1),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "neumann", "n_inner_steps": 10, "n_neumann_steps": 4, "neumann_step": 0.3,
        "step_size": 0.3, "outer_ratio": 3.0,
    }  # fmt: skip
    references = ["K. Ji, J. Yang, Y. Liang. ICML 2021. arXiv:2010.07962"]

    @property
    def n_blocks(self):
        """Blocks of rows that each factor averages with ``batch_growth="theory"``, first first."""
        L, Q = self.largest_batch, self.n_neumann_steps
        # The subtraction keeps exact powers exact.
        return [L] + [math.ceil(L ** ((Q - j) / (Q - 1)) - 1e-9) for j in range(2, Q + 1)]

    def draws(self):
        T, Q, L = self.n_inner_steps, self.n_neumann_steps, self.largest_batch
        # With "theory", of row j of the batches of v the first n_blocks[j] are used.
        v = inner(Q) if self.batch_growth == "constant" else inner(Q, L)
        x = inner() if self.n_cross_batches == 1 else inner(self.n_cross_batches)
        return {"z": inner(T), "v": v, "x": x, "f": outer()}

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size  # inner step
        eta = hp.neumann_step  # step of the series
        beta = hp.step_size / hp.outer_ratio  # outer step

        # Algorithm 2, lines 4-6: inner SGD from the previous z.
        inner_step = lambda k, z: z - alpha * oracles.grad_inner(z, s.x, draws.z[k])
        z = oracles.repeat(self.n_inner_steps, inner_step, s.z)

        # Algorithm 3: Neumann series for v ~ -H^{-1} grad_z F, fresh batches for each product.
        def hvp(k, u):
            if self.batch_growth == "constant":
                return oracles.hvp(z, s.x, u, draws.v[k])
            n = length_at(self.bk, self.n_blocks, k)
            add = lambda i, total: total + oracles.hvp(z, s.x, u, draws.v[k][i])
            return oracles.repeat(n, add, 0 * u) / n

        solve = lambda b: linear_system.shia(oracles, hvp, b, None, eta, self.n_neumann_steps)

        # Algorithm 2, lines 8-9: hypergradient estimate and outer step.
        J = self.n_cross_batches
        D_x, _ = hypergradient.implicit(oracles, z, s.x, solve, draws.f, draws.x, J)
        how = self.outer_optimiser, self.outer_momentum
        x, m_x, s_x = outer_step(oracles, s, D_x, beta, s.t, *how)
        return State(z=z, x=x, d_x=D_x, t=s.t + 1, m_x=m_x, s_x=s_x)
