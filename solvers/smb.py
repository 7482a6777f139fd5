from typing import NamedTuple

from benchmark_utils.formulas import hypergradient
from benchmark_utils.formulas.steps import momentum, power_law, theory_or_constant
from benchmark_utils.formulas.variance_reduction import ema
from benchmark_utils.oracles.draws import inner, integers, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    x: Outer
    d_x: Outer  # moving average u_x of the hypergradient estimates, last outer direction
    t: Count
    u_z: Inner  # direction of the inner step, a moving average with averaged="x_and_z"


class Solver(BilevelSolver):
    """SMB: stochastic momentum, an exponential moving average of the hypergradient estimates.

    Z. Guo, Y. Xu, W. Yin, R. Jin, T. Yang, "On stochastic moving-average estimators for non-convex
    optimization", 2021, arXiv:2104.14840, the bilevel algorithm (SMB) with the estimator of Ghadimi
    and Wang (HIA).

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
    averaged : {"x", "x_and_z"}
        What is averaged: the outer direction, or the inner gradients too.
    schedule : {"theory", "constant"}
        "theory": the steps and the weight of the average decay as (k + 1)^{-1/2}; "constant": they
        do not.
    n_neumann_steps : int
        Q of HIA: one random term of a series of Q terms, 0 to Q - 1 products in one estimate.
    momentum : float
        beta, weight of the new estimate in the average, in (0, 1] (at k = 0 of the decay); 1 keeps
        no memory. The first iteration takes 1.
    neumann_step : float
        eta, step of the series, near 1 / L; it never decays. The start is one over the L measured
        at the first point.
    step_size : float
        rho, inner step (at k = 0 where steps decay).
    outer_ratio : float
        rho / gamma, where gamma is the outer step.

    Differs from the paper
    ----------------------
    - The batches of the inner step, of the products with H and of the cross product are independent
      of each other, all of one size.
    - Steps and averaging weight decay as (k + 1)^{-1/2} (``schedule="theory"``), where the paper
      takes constants proportional to powers of the target accuracy.
    - ``averaged="x_and_z"`` averages the inner gradients too (double momentum), which is not in the
      paper.
    """

    name = "SMB"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "averaged": ["x"],
        "schedule": ["theory"],
        "n_neumann_steps": ["tuned"],
        "momentum": ["tuned"],
        "neumann_step": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    static_graph = False
    choices = {"averaged": ("x", "x_and_z"), "schedule": ("theory", "constant")}
    search_space = {
        "n_neumann_steps": Int(1, 1000, start=50),
        "momentum": Log(1e-4, 1.0, start=0.9),
        "neumann_step": Log(1e-6, 1e4, start="1/L"),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=0.7),
    }
    deterministic = {
        "limit": "hia", "schedule": "constant", "n_neumann_steps": 4, "momentum": 0.9,
        "neumann_step": 0.3, "step_size": 0.3, "outer_ratio": 0.7,
    }  # fmt: skip
    references = ["Z. Guo, Y. Xu, W. Yin, R. Jin, T. Yang. 2021. arXiv:2104.14840"]

    def draws(self):
        # Of the batches of v the first p are used.
        Q = self.n_neumann_steps
        return {"z": inner(), "v": inner(Q), "p": integers(0, Q), "x": inner(), "f": outer()}

    def step(self, s, oracles, hp, draws):
        decay = theory_or_constant(self.schedule, 1 / 2)
        rho = power_law(hp.step_size, s.t, decay)  # inner step
        gamma = power_law(hp.step_size / hp.outer_ratio, s.t, decay)  # outer step
        # Weight of the new estimate
        beta = momentum(self.bk, power_law(hp.momentum, s.t, decay), s.t)
        eta = hp.neumann_step  # step of the series

        # Estimates at (z_k, x_k).
        Q, p = self.n_neumann_steps, draws.p
        D_z = oracles.grad_inner(s.z, s.x, draws.z)
        D_x = hypergradient.hia(oracles, s.z, s.x, eta, Q, p, draws.v, draws.f, draws.x)

        # u_{k+1} = (1 - beta) u_k + beta D, then both steps.
        u_x = ema(s.d_x, D_x, beta)
        u_z = ema(s.u_z, D_z, beta) if self.averaged == "x_and_z" else D_z
        z, x = s.z - rho * u_z, oracles.project(s.x - gamma * u_x)
        return State(z=z, x=x, d_x=u_x, t=s.t + 1, u_z=u_z)
