from typing import NamedTuple

from benchmark_utils.formulas import hypergradient
from benchmark_utils.formulas.steps import momentum, power_law, theory_or_constant
from benchmark_utils.formulas.variance_reduction import storm
from benchmark_utils.oracles.draws import inner, integers, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    x: Outer
    d_x: Outer  # STORM estimate of the hypergradient, last outer direction
    t: Count
    d_z: Inner  # STORM estimate of grad_z G, last inner direction
    z_old: Inner.start  # z and x at which d_z and d_x were taken
    x_old: Outer.start


class Solver(BilevelSolver):
    """SUSTAIN: STORM momentum on both levels, the same draws at the current and the previous point.

    P. Khanduri, S. Zeng, M. Hong, H.-T. Wai, Z. Wang, Z. Yang, "A near-optimal algorithm for
    stochastic bilevel optimization via double-momentum", NeurIPS 2021, arXiv:2102.07367,
    Algorithm 1 with the estimator of Ghadimi and Wang (HIA).

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
    schedule : {"theory", "constant"}
        "theory": the steps decay as (1 + t / m)^{-1/3}, the momentum weights as
        (1 + t / m)^{-2/3}; "constant": they do not.
    n_neumann_steps : int
        Q of HIA: one random term of a series of Q terms, 0 to Q - 1 products in one estimate.
    momentum : float
        Weight a in new + (1 - a) (estimate - old) of the outer direction, in (0, 1] (at t = 0 of
        the decay); 1 keeps no memory. The first iteration takes 1.
    inner_momentum : float
        The same weight of the estimate of grad_z G.
    decay_offset : float
        m of the decay (1 + t / m)^{-e} (iterations); 1 gives powers of t + 1.
    neumann_step : float
        eta, step of the series, near 1 / L; it never decays. The start is one over the L measured
        at the first point.
    step_size : float
        beta, step of z (at t = 0 where steps decay).
    outer_ratio : float
        beta / alpha, where alpha is the step of x.

    Differs from the paper
    ----------------------
    - The momentum weights are independent factors times (1 + t / m)^{-2/3}, the square of the decay
      of the steps, without the constants of the theorem.
    - MSTSA, the method of the first version of the paper, is not offered: its text could not be
      read, and released codes that bear the name differ.
    - The first directions are plain stochastic ones (weight 1).
    - The length Q of the series is constant, where the paper lets it grow with the logarithm of T.
    """

    name = "SUSTAIN"
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
    static_graph = False
    choices = {"schedule": ("theory", "constant")}
    search_space = {
        "n_neumann_steps": Int(1, 1000, start=50),
        "momentum": Log(1e-4, 1.0, start=0.9),
        "inner_momentum": Log(1e-4, 1.0, start=0.9),
        "decay_offset": Log(1.0, 1e4, start=1.0),
        "neumann_step": Log(1e-6, 1e4, start="1/L"),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=2.0),
    }
    deterministic = {
        "limit": "hia", "schedule": "constant", "n_neumann_steps": 4, "momentum": 0.9,
        "neumann_step": 0.3, "inner_momentum": 0.9, "decay_offset": 1.0, "step_size": 0.3,
        "outer_ratio": 2.0,
    }  # fmt: skip
    references = ["P. Khanduri, S. Zeng, M. Hong, H.-T. Wai, Z. Wang, Z. Yang. NeurIPS 2021. arXiv:2102.07367"]

    def draws(self):
        # Of the batches of v the first p are used, at both points.
        Q = self.n_neumann_steps
        return {"z": inner(), "v": inner(Q), "p": integers(0, Q), "x": inner(), "f": outer()}

    def step(self, s, oracles, hp, draws):
        decay = theory_or_constant(self.schedule, 1 / 3)
        m = hp.decay_offset
        beta = power_law(hp.step_size, s.t, decay, m)  # inner step
        alpha = power_law(hp.step_size / hp.outer_ratio, s.t, decay, m)  # outer step
        weight = lambda a: momentum(self.bk, power_law(a, s.t, 2 * decay, m), s.t)
        eta = hp.neumann_step  # step of the series

        Q, p = self.n_neumann_steps, draws.p

        def both(z, x):
            D_x = hypergradient.hia(oracles, z, x, eta, Q, p, draws.v, draws.f, draws.x)
            return oracles.grad_inner(z, x, draws.z), D_x

        # d_t = D(z_t, x_t) + (1 - a) (d_{t-1} - D(z_{t-1}, x_{t-1})), the same draws at both points
        (D_z, D_x), (D_z_old, D_x_old) = oracles.at_points(both, (s.z, s.x), (s.z_old, s.x_old))
        d_z = storm(s.d_z, D_z, D_z_old, weight(hp.inner_momentum))
        d_x = storm(s.d_x, D_x, D_x_old, weight(hp.momentum))

        z, x = s.z - beta * d_z, oracles.project(s.x - alpha * d_x)
        return State(z=z, x=x, d_x=d_x, t=s.t + 1, d_z=d_z, z_old=s.z, x_old=s.x)
