import math
from typing import NamedTuple

from benchmark_utils.formulas import hypergradient, linear_system
from benchmark_utils.formulas.steps import GrowingLengths, length_at
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count


class Solver(BilevelSolver):
    """BA: bilevel approximation, deterministic, inner gradient descent of growing length.

    S. Ghadimi, M. Wang, "Approximation methods for bilevel programming", 2018, arXiv:1802.02246,
    Algorithm 1. The paper solves for q = -v.

    Parameters
    ----------
    backend : {"jax", "torch", "torch-compiled"}
        Framework that runs the method; "torch-compiled" only where the lengths are constant.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples); "full": all of them, as in the paper.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    n_inner_steps : int
        T, inner gradient steps in one outer iteration; T_0 where they grow.
    n_neumann_steps : int
        Q, products with H in one outer iteration; Q_0 where they grow.
    max_steps : int
        Cap of the growing T_k and Q_k (steps).
    warm_start : {"none", "z"}
        "none": every inner loop starts at zero; "z": at the previous z, as codes do.
    schedule : {"theory", "constant"}
        "theory": T_k = ceil(T (k + 1)^{1/4}) and Q_k = ceil(Q (k + 1)^{1/4}); "constant": T and Q.
    neumann_step : float
        eta, step of the series, near 1 / L; it never decays. The start is one over the L measured
        at the first point.
    step_size : float
        beta, step of z, 2 / (L + mu) in the paper.
    outer_ratio : float
        beta / alpha, where alpha is the step of x.

    Differs from the paper
    ----------------------
    - The inverse Hessian, exact in the paper's Algorithm 1, is a truncated Neumann series of Q_k
      products.
    - T_k = ceil(T (k + 1)^{1/4}), the paper's growth, and Q_k are capped at ``max_steps``;
      ``schedule="constant"`` keeps T and Q.
    - Every inner loop starts from zero (``warm_start="none"``) or from the previous z (``"z"``).
    - Where ``batch_size`` is a number, which the paper's stochastic method BSA treats differently,
      all sums of one outer iteration run over one block of G and one of F.
    """

    name = "BA"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": ["full"],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "n_neumann_steps": ["tuned"],
        "max_steps": [200],
        "warm_start": ["none"],
        "schedule": ["theory"],
        "neumann_step": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"warm_start": ("none", "z"), "schedule": ("theory", "constant")}
    search_space = {
        "n_inner_steps": Int(1, 40, start=10),
        "n_neumann_steps": Int(1, 1000, start=50),
        "neumann_step": Log(1e-6, 1e4, start="1/L"),
        "step_size": Log(1e-4, 1e3, start=1.0),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "neumann",
        "schedule": "constant",
        "warm_start": "z",
        "neumann_step": 0.3,
        "step_size": 0.3,
        "outer_ratio": 3.0,
        "n_inner_steps": 10,
        "n_neumann_steps": 4,
    }
    references = ["S. Ghadimi, M. Wang. 2018. arXiv:1802.02246"]

    @property
    def static_graph(self):
        """Lengths that follow the counter are known at run time only."""
        return self.schedule == "constant"

    def length(self, n, t):
        """Return n, or ceil(n (t + 1)^{1/4}) up to the cap, computed in integers."""
        grown = lambda k: 1 + math.isqrt(math.isqrt(n**4 * (k + 1) - 1))
        constant = self.schedule == "constant"
        return length_at(self.bk, [n] if constant else GrowingLengths(grown, self.max_steps), t)

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def step(self, s, oracles, hp, draws):
        beta = hp.step_size  # inner step, 2 / (L + mu) in the paper
        eta = hp.neumann_step  # step of the series
        alpha = hp.step_size / hp.outer_ratio  # outer step
        T_k, Q_k = self.length(self.n_inner_steps, s.t), self.length(self.n_neumann_steps, s.t)
        xi, zeta = draws.xi, draws.zeta

        # Step 1: T_k gradient steps on G(., x_k).
        z = s.z if self.warm_start == "z" else 0 * s.z
        z = oracles.repeat(T_k, lambda k, z: z - beta * oracles.grad_inner(z, s.x, xi), z)

        # Step 2: hypergradient estimate at (z, x_k), here with Q_k products; projected outer step.
        hvp = lambda k, u: oracles.hvp(z, s.x, u, xi)
        solve = lambda b: linear_system.shia(oracles, hvp, b, None, eta, Q_k)
        D_x, _ = hypergradient.implicit(oracles, z, s.x, solve, zeta, xi)
        return State(z=z, x=oracles.project(s.x - alpha * D_x), d_x=D_x, t=s.t + 1)
