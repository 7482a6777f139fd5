from typing import NamedTuple

from benchmark_utils.formulas import hypergradient
from benchmark_utils.formulas.steps import momentum, power_law, theory_or_constant
from benchmark_utils.formulas.variance_reduction import storm
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    x: Outer
    d_x: Outer  # STORM estimate of the outer direction, the last one used
    t: Count
    d_z: Inner  # STORM estimate of grad_z G
    z_old: Inner.start  # z and x of one iteration before, at which the estimates were taken
    x_old: Outer.start


class Solver(BilevelSolver):
    """MRBO: single loop, STORM on the inner gradient and on a Neumann-series hypergradient.

    J. Yang, K. Ji, Y. Liang, "Provably faster algorithms for bilevel optimization", NeurIPS 2021,
    arXiv:2106.04692, Algorithm 1. The paper solves for q = -v. Every product of the series, the
    cross product and the inner gradient have batches of their own, all of one size.

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
    schedule : {"theory", "constant"}
        "theory": the steps of z and x decay as (1 + t / m)^{-1/3}, the momentum weights as
        (1 + t / m)^{-2/3}; "constant": they do not.
    n_neumann_steps : int
        Q, products of the Neumann series in one estimate (the series has Q + 1 terms).
    momentum : float
        Weight a in new + (1 - a) (estimate - old) of the outer direction, in (0, 1] (at t = 0 of
        the decay); 1 keeps no memory. The first iteration takes 1: plain stochastic directions.
    inner_momentum : float
        The same weight of the estimate of grad_z G.
    decay_offset : float
        m of the decay (1 + t / m)^{-e} (iterations); 1 gives powers of t + 1.
    neumann_step : float
        eta, step of the series, near 1 / L; it never decays. The start is one over the L measured
        at the first point.
    step_size : float
        rho, step of z: the paper's lambda eta_k (at t = 0 where steps decay).
    outer_ratio : float
        rho / gamma, where gamma is the step of x: the paper's gamma eta_k.

    Differs from the paper
    ----------------------
    - ``schedule="theory"`` takes steps proportional to (m + k)^{-1/3}, as the paper, and weights
      proportional to (m + k)^{-2/3}, with constants to tune. Steps and weights are stated by their
      value at k = 0, not by the paper's d.
    """

    name = "MRBO"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "schedule": ["theory"],
        "n_neumann_steps": ["tuned"],
        "momentum": ["tuned"],
        "inner_momentum": ["tuned"],
        "decay_offset": ["tuned"],
        "neumann_step": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"schedule": ("theory", "constant")}
    search_space = {
        "n_neumann_steps": Int(1, 1000, start=50),
        "momentum": Log(1e-4, 1.0, start=0.5),
        "inner_momentum": Log(1e-4, 1.0, start=0.5),
        "decay_offset": Log(1.0, 1e4, start=1.0),
        "neumann_step": Log(1e-6, 1e4, start="1/L"),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "neumann", "schedule": "constant", "n_neumann_steps": 4, "momentum": 0.5,
        "neumann_step": 0.6, "inner_momentum": 0.5, "decay_offset": 1.0, "step_size": 0.3,
        "outer_ratio": 3.0,
    }  # fmt: skip
    references = ["J. Yang, K. Ji, Y. Liang. NeurIPS 2021. arXiv:2106.04692"]

    def draws(self):
        return {"z": inner(), "v": inner(self.n_neumann_steps), "x": inner(), "f": outer()}

    def step(self, s, oracles, hp, draws):
        m = hp.decay_offset
        rho = power_law(hp.step_size, s.t, theory_or_constant(self.schedule, 1 / 3), m)
        gamma = rho / hp.outer_ratio
        decay = theory_or_constant(self.schedule, 2 / 3)
        weight = lambda a: momentum(self.bk, power_law(a, s.t, decay, m), s.t)
        eta = hp.neumann_step  # step of the series
        Q = self.n_neumann_steps

        # The same draws at (z_k, x_k) and at (z_{k-1}, x_{k-1}).
        def estimates(z, x):
            D_x = hypergradient.shia(oracles, z, x, eta, Q, draws.v, draws.f, draws.x)
            return oracles.grad_inner(z, x, draws.z), D_x

        (D_z, D_x), (D_z_old, D_x_old) = oracles.at_points(estimates, (s.z, s.x), (s.z_old, s.x_old))
        d_z = storm(s.d_z, D_z, D_z_old, weight(hp.inner_momentum))
        d_x = storm(s.d_x, D_x, D_x_old, weight(hp.momentum))

        return State(
            z=s.z - rho * d_z, x=oracles.project(s.x - gamma * d_x), d_x=d_x, t=s.t + 1,
            d_z=d_z, z_old=s.z, x_old=s.x,
        )  # fmt: skip
