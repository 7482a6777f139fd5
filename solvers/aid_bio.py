import math
from typing import NamedTuple

from benchmark_utils.formulas import hypergradient, linear_system
from benchmark_utils.formulas.outer_step import OPTIMISERS, outer_step
from benchmark_utils.formulas.steps import GrowingLengths, length_at
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    v: Inner  # v ~ -H^{-1} grad_z F
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count
    m_x: Outer.only_with("outer_optimiser", "heavy_ball", "adam")  # average of D_x
    s_x: Outer.only_with("outer_optimiser", "adam")  # average of its squares


class Solver(BilevelSolver):
    """AID-BiO: inner gradient descent and conjugate gradients for v, both warm started.

    K. Ji, J. Yang, Y. Liang, "Bilevel optimization: convergence analysis and enhanced design",
    ICML 2021, arXiv:2010.07962, Algorithm 1 with AID. The paper solves for q = -v.

    Parameters
    ----------
    backend : {"jax", "torch", "torch-compiled"}
        Framework that runs the method; "torch-compiled" only where the inner loop has constant
        length.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples); "full": all of them, as in the paper.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    n_inner_steps : int
        D, inner gradient steps in one outer iteration; the first length where it grows.
    inner_schedule : {"constant", "theory"}
        "constant": D steps in every outer iteration; "theory": D_k = ceil(D (k + 1)^{1/4}), the
        paper's "AID-BiO-increasing", after Ghadimi and Wang.
    max_inner_steps : int
        Cap of the growing D_k (inner steps).
    n_linear_steps : int
        N, steps of conjugate gradients in one outer iteration.
    outer_optimiser : {"sgd", "heavy_ball", "adam"}
        Step of x along D_x, see `benchmark_utils.formulas.outer_step`: plain, with heavy-ball
        momentum, or Adam's.
    outer_momentum : float
        Weight of the old average in heavy ball and in Adam (beta_1), in [0, 1); "sgd" has none. It
        is part of the program: another value compiles again.
    step_size : float
        alpha, step of z.
    outer_ratio : float
        alpha / beta, where beta is the step of x.

    Differs from the paper
    ----------------------
    - The growing D_k is capped at ``max_inner_steps``.
    - ``outer_optimiser`` other than "sgd" is an addition.
    - Where ``batch_size`` is a number, which the paper has not, all sums of one outer iteration run
      over one block of G and one of F, drawn afresh.
    """

    name = "AID-BiO"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": ["full"],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "inner_schedule": ["constant"],
        "max_inner_steps": [50],
        "n_linear_steps": ["tuned"],
        "outer_optimiser": ["sgd"],
        "outer_momentum": [0.9],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"inner_schedule": ("constant", "theory"), "outer_optimiser": OPTIMISERS}
    search_space = {
        "n_inner_steps": Int(1, 500, start=10),
        "n_linear_steps": Int(1, 500, start=10),
        "step_size": Log(1e-4, 1e3, start="1/L"),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "exact",
        "step_size": 0.3,
        "outer_ratio": 3.0,
        "n_inner_steps": 3,
        "n_linear_steps": 3,
    }
    references = ["K. Ji, J. Yang, Y. Liang. ICML 2021. arXiv:2010.07962"]

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
        ceiling = lambda k: 1 + math.isqrt(math.isqrt(D**4 * (k + 1) - 1))
        return GrowingLengths(ceiling, self.max_inner_steps)

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

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
        how = self.outer_optimiser, self.outer_momentum
        x, m_x, s_x = outer_step(oracles, s, D_x, beta, s.t, *how)
        return State(z=z, v=v, x=x, d_x=D_x, t=s.t + 1, m_x=m_x, s_x=s_x)
