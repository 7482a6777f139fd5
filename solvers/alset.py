from typing import NamedTuple

from benchmark_utils.formulas import hypergradient, linear_system
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
    estimator of equation (8): z is warm started, v is not kept. With ``linear_solver="sgd"`` the
    plain ALSET of R. Grazzi, M. Pontil, S. Salzo, JMLR 2023, arXiv:2202.03397, who compare with it:
    v by K steps of SGD from zero, all rows of F; their T is 1, the best K of their search 85. Their
    variants that keep v are ALSET-dagger and ALSET-dagger-DET. Both papers solve for q = -v.

    Parameters
    ----------
    backend : {"jax", "torch", "torch-compiled"}
        Framework that runs the method; "torch-compiled" only with ``linear_solver="sgd"``.
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
    linear_solver : {"hia", "sgd"}
        "hia": the random product of (8); "sgd": K steps on H v + grad_z F = 0 from v = 0, each with
        a batch of its own.
    n_linear_steps : int
        K, steps of "sgd" in one outer iteration.
    schedule : {"theory", "constant"}
        "theory": the steps of z and x decay as (k + 1)^{-1/2}; "constant": they do not.
    neumann_step : float
        eta, step of the series in (8), 1 / L in the paper, or of "sgd"; it never decays. The start
        is one over the L measured at the first point.
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
        "linear_solver": ["hia"],
        "n_linear_steps": ["tuned"],
        "schedule": ["theory"],
        "neumann_step": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"linear_solver": ("hia", "sgd"), "schedule": ("theory", "constant")}
    search_space = {
        "n_inner_steps": Int(1, 50, start=1),
        "n_neumann_steps": Int(1, 1000, start=50),
        "n_linear_steps": Int(1, 10_000, start=85),
        "neumann_step": Log(1e-6, 1e4, start="1/L"),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-10, 1e3, start=0.7),
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
    references = [
        "T. Chen, Y. Sun, W. Yin. NeurIPS 2021. arXiv:2106.13781",
        "R. Grazzi, M. Pontil, S. Salzo. JMLR 24(167), 2023. arXiv:2202.03397",
    ]

    @property
    def static_graph(self):
        """The random product has a random length."""
        return self.linear_solver == "sgd"

    def draws(self):
        plan = {"z": inner(self.n_inner_steps), "x": inner(), "f": outer()}
        if self.linear_solver == "sgd":
            return plan | {"v": inner(self.n_linear_steps)}
        Q = self.n_neumann_steps  # of the batches of v the first p are used
        return plan | {"v": inner(Q), "p": integers(0, Q)}

    def step(self, s, oracles, hp, draws):
        decay = theory_or_constant(self.schedule, 1 / 2)
        beta = power_law(hp.step_size, s.t, decay)  # inner step
        alpha = power_law(hp.step_size / hp.outer_ratio, s.t, decay)  # outer step
        eta = hp.neumann_step  # step of the series, 1 / L in the paper

        # T inner steps from z_k.
        T, Q, K = self.n_inner_steps, self.n_neumann_steps, self.n_linear_steps
        z = oracles.repeat(T, lambda k, z: z - beta * oracles.grad_inner(z, s.x, draws.z[k]), s.z)

        # At (z_{k+1}, x_k) the estimate (8), v = -Q eta prod_{i<p} (I - eta H_i) grad_z F, or K steps
        # of SGD on the linear system from zero; outer step.
        if self.linear_solver == "hia":
            D_x = hypergradient.hia(oracles, z, s.x, eta, Q, draws.p, draws.v, draws.f, draws.x)
        else:
            hvp = lambda k, u: oracles.hvp(z, s.x, u, draws.v[k])
            solve = lambda b: linear_system.sgd(oracles, hvp, b, 0 * b, eta, K)
            D_x, _ = hypergradient.implicit(oracles, z, s.x, solve, draws.f, draws.x)
        return State(z=z, x=oracles.project(s.x - alpha * D_x), d_x=D_x, t=s.t + 1)
