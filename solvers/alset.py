from typing import NamedTuple

from benchmark_utils.formulas import hypergradient
from benchmark_utils.formulas.steps import power_law, theory_or_constant
from benchmark_utils.oracles.draws import inner, integers, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count


class Solver(BilevelSolver):
    """ALSET: alternating SGD, T inner steps and one outer step on a single timescale.

    T. Chen, Y. Sun, W. Yin, "Closing the gap: tighter analysis of alternating stochastic gradient
    methods for bilevel optimization", NeurIPS 2021, arXiv:2106.13781, Algorithm 1 with the
    estimator of equation (8). The paper solves for q = -v.

    Parameters
    ----------
    backend : {"jax", "torch"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples); "full": all of them.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    n_inner_steps : int
        T, inner steps in one outer iteration, each with a batch of its own.
    n_neumann_steps : int
        Q, number of possible lengths of the random product in (8), at most Q - 1 products with H.
    schedule : {"theory", "constant"}
        "theory": the steps of z and x decay as (k + 1)^{-1/2}; "constant": they do not.
    neumann_step : float
        eta, step of the series, near 1 / L; it never decays. The start is one over the L measured
        at the first point.
    step_size : float
        beta, step of z (at k = 0 where steps decay).
    outer_ratio : float
        beta / alpha, where alpha is the step of x.

    Differs from the paper
    ----------------------
    - The random length is uniform in 0..Q-1, where equation (8) draws it from 1..Q and so drops the
      first term of the series.
    - Both steps decay as (k + 1)^{-1/2} (``schedule="theory"``), where the paper takes constant
      steps proportional to K^{-1/2} for a known horizon K.
    """

    name = "ALSET"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "n_neumann_steps": ["tuned"],
        "schedule": ["theory"],
        "neumann_step": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"schedule": ("theory", "constant")}
    search_space = {
        "n_inner_steps": Int(1, 50, start=1),
        "n_neumann_steps": Int(1, 1000, start=50),
        "neumann_step": Log(1e-6, 1e4, start="1/L"),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=0.7),
    }
    deterministic = {
        "limit": "hia",
        "schedule": "constant",
        "neumann_step": 0.3,
        "step_size": 0.3,
        "outer_ratio": 0.7,
        "n_inner_steps": 1,
        "n_neumann_steps": 4,
    }
    references = ["T. Chen, Y. Sun, W. Yin. NeurIPS 2021. arXiv:2106.13781"]
    static_graph = False

    def draws(self):
        # Of the batches of v the first p are used.
        T, Q = self.n_inner_steps, self.n_neumann_steps
        return {"z": inner(T), "v": inner(Q), "p": integers(0, Q), "x": inner(), "f": outer()}

    def step(self, s, oracles, hp, draws):
        decay = theory_or_constant(self.schedule, 1 / 2)
        beta = power_law(hp.step_size, s.t, decay)  # inner step
        alpha = power_law(hp.step_size / hp.outer_ratio, s.t, decay)  # outer step
        eta = hp.neumann_step  # step of the series, 1 / L in the paper

        # T inner steps from z_k.
        T, Q, p = self.n_inner_steps, self.n_neumann_steps, draws.p
        z = oracles.repeat(T, lambda k, z: z - beta * oracles.grad_inner(z, s.x, draws.z[k]), s.z)

        # The estimate (8) at (z_{k+1}, x_k): Q eta prod_{i<p} (I - eta H_i); outer step.
        D_x = hypergradient.hia(oracles, z, s.x, eta, Q, p, draws.v, draws.f, draws.x)
        return State(z=z, x=oracles.project(s.x - alpha * D_x), d_x=D_x, t=s.t + 1)
