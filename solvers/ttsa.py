from typing import NamedTuple

from benchmark_utils.formulas import hypergradient
from benchmark_utils.formulas.steps import power_law
from benchmark_utils.oracles.draws import inner, integers, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver

#: Exponents of the decay of the inner and of the outer step.
EXPONENTS = {"theory": (2 / 5, 3 / 5), "strongly_convex": (2 / 3, 1), "constant": (0, 0)}


class State(NamedTuple):
    z: Inner
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count


class Solver(BilevelSolver):
    """TTSA: one inner step and one outer step, whose size decays faster (two time scales).

    M. Hong, H.-T. Wai, Z. Wang, Z. Yang, "A two-timescale stochastic algorithm framework for
    bilevel optimization: complexity analysis and application to actor-critic", SIAM Journal on
    Optimization 2023, arXiv:2007.05170, Algorithm 1 with the estimator of Ghadimi and Wang (HIA).
    The paper solves for q = -v.

    Parameters
    ----------
    backend : {"jax", "torch"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples).
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    schedule : {"theory", "strongly_convex", "constant"}
        "theory": the inner step decays as (k + 1)^{-2/5}, the outer step as (k + 1)^{-3/5};
        "strongly_convex", for a strongly convex h: as (k + 1)^{-2/3} and (k + 1)^{-1}; "constant":
        they do not.
    n_neumann_steps : int
        Q of HIA: one random term of a series of Q terms, 0 to Q - 1 products in one estimate.
    neumann_step : float
        eta, step of the series, near 1 / L; it never decays. The start is one over the L measured
        at the first point.
    step_size : float
        beta, inner step (at k = 0 where steps decay).
    outer_ratio : float
        beta / alpha at k = 0, where alpha is the outer step. With 1 or more the outer step is never
        the larger one; below, it is until the decay has caught up.

    Differs from the paper
    ----------------------
    - The steps decay as (k + 1)^{-2/5} and (k + 1)^{-3/5} (``schedule="theory"``), where the paper
      takes constant steps proportional to these powers of a known horizon. In its strongly convex
      case the steps decrease as here, up to constants and an offset of k.
    - The length Q of the series is constant, where the paper lets it grow with the logarithm of the
      horizon.
    """

    name = "TTSA"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "schedule": ["theory"],
        "n_neumann_steps": ["tuned"],
        "neumann_step": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    static_graph = False
    choices = {"schedule": ("theory", "strongly_convex", "constant")}
    search_space = {
        "n_neumann_steps": Int(1, 1000, start=50),
        "neumann_step": Log(1e-6, 1e4, start="1/L"),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "hia", "schedule": "constant", "n_neumann_steps": 4, "neumann_step": 0.3,
        "step_size": 0.3, "outer_ratio": 0.3,
    }  # fmt: skip
    references = ["M. Hong, H.-T. Wai, Z. Wang, Z. Yang. SIAM J. Optim. 2023. arXiv:2007.05170"]

    def draws(self):
        # Of the batches of v the first p are used.
        Q = self.n_neumann_steps
        return {"z": inner(), "v": inner(Q), "p": integers(0, Q), "x": inner(), "f": outer()}

    def step(self, s, oracles, hp, draws):
        # Two time scales: the outer step over the inner step tends to zero.
        inner_decay, outer_decay = EXPONENTS[self.schedule]
        beta = power_law(hp.step_size, s.t, inner_decay)
        alpha = power_law(hp.step_size / hp.outer_ratio, s.t, outer_decay)
        eta = hp.neumann_step  # step of the series

        # (z) one inner step
        z = s.z - beta * oracles.grad_inner(s.z, s.x, draws.z)

        # (x) estimate at (z_{k+1}, x_k), every batch independent of that of the inner step
        Q, p = self.n_neumann_steps, draws.p
        D_x = hypergradient.hia(oracles, z, s.x, eta, Q, p, draws.v, draws.f, draws.x)
        return State(z=z, x=oracles.project(s.x - alpha * D_x), d_x=D_x, t=s.t + 1)
