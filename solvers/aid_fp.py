from typing import NamedTuple

from benchmark_utils.formulas import hypergradient, linear_system
from benchmark_utils.formulas.outer_step import OPTIMISERS, outer_step
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
    """AID-FP: approximate implicit differentiation, v by fixed-point iteration from zero.

    R. Grazzi, L. Franceschi, M. Pontil, S. Salzo, "On the iteration complexity of hypergradient
    computation", ICML 2020, arXiv:2006.16218, equation (4) and the fixed-point method of Section
    2.2; for the map Phi(z, x) = z - alpha grad_z G, whose system has the solution q = -v / alpha.

    Parameters
    ----------
    backend : {"jax", "torch", "torch-compiled"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples); "full": all of them, as in the paper.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    n_inner_steps : int
        T, inner gradient steps in one outer iteration.
    n_linear_steps : int
        K, fixed-point steps on the linear system in one outer iteration.
    warm_start : {"none", "z"}
        "z": the inner loop starts at the previous z; "none": it starts at zero.
    outer_optimiser : {"sgd", "heavy_ball", "adam"}
        Step of x along D_x, see `benchmark_utils.formulas.outer_step`: plain, with heavy-ball
        momentum, or Adam's.
    outer_momentum : float
        Weight of the old average in heavy ball and in Adam (beta_1), in [0, 1); "sgd" has none. It
        is part of the program: another value compiles again.
    linear_ratio : float
        Step of the linear system over alpha; 1 in the paper.
    step_size : float
        alpha, step of z.
    outer_ratio : float
        alpha / beta, where beta is the step of x.

    Differs from the paper
    ----------------------
    - ``outer_optimiser`` other than "sgd" is an addition.
    - z starts where the previous outer iteration left it (``warm_start="z"``); the paper computes
      one hypergradient from zero (``"none"``).
    - The linear system may have a step of its own, ``step_size * linear_ratio``.
    - Where ``batch_size`` is a number, which the paper has not, all sums of one outer iteration run
      over one block of G and one of F, drawn afresh.
    """

    name = "AID-FP"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": ["full"],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "n_linear_steps": ["tuned"],
        "warm_start": ["z"],
        "outer_optimiser": ["sgd"],
        "outer_momentum": [0.9],
        "linear_ratio": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"warm_start": ("none", "z"), "outer_optimiser": OPTIMISERS}
    search_space = {
        "n_inner_steps": Int(1, 500, start=10),
        "n_linear_steps": Int(1, 500, start=50),
        "linear_ratio": Log(1e-2, 1e2, start=1.0),
        "step_size": Log(1e-4, 1e3, start="1/L"),
        "outer_ratio": Log(1e-6, 1e3, start=10.0),
    }
    deterministic = {
        "limit": "exact",
        "linear_ratio": 1.0,
        "step_size": 0.9,
        "outer_ratio": 3.0,
        "n_inner_steps": 3,
        "n_linear_steps": 40,
    }
    references = ["R. Grazzi, L. Franceschi, M. Pontil, S. Salzo. ICML 2020. arXiv:2006.16218"]

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size  # inner step
        eta = hp.step_size * hp.linear_ratio  # step of the linear system
        beta = hp.step_size / hp.outer_ratio  # outer step
        T, xi, zeta = self.n_inner_steps, draws.xi, draws.zeta

        # T steps z <- Phi(z, x).
        z = s.z if self.warm_start == "z" else 0 * s.z
        z = oracles.repeat(T, lambda k, z: z - alpha * oracles.grad_inner(z, s.x, xi), z)

        # K steps q <- (d_1 Phi)^T q + grad_z F from zero, written for v = -alpha q.
        hvp = lambda k, u: oracles.hvp(z, s.x, u, xi)
        solve = lambda b: linear_system.sgd(oracles, hvp, b, 0 * b, eta, self.n_linear_steps)

        # Hypergradient estimate grad_x F + (d_2 Phi)^T q, and outer step.
        D_x, _ = hypergradient.implicit(oracles, z, s.x, solve, zeta, xi)
        how = self.outer_optimiser, self.outer_momentum
        x, m_x, s_x = outer_step(oracles, s, D_x, beta, s.t, *how)
        return State(z=z, x=x, d_x=D_x, t=s.t + 1, m_x=m_x, s_x=s_x)
