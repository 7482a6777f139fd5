import math
from typing import NamedTuple

from benchmark_utils.formulas import hypergradient
from benchmark_utils.formulas.steps import (
    GrowingLengths,
    length_at,
    power_law,
    theory_or_constant,
)
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
    """BSA: inner SGD, one random term of the Neumann series (HIA), one projected outer step.

    S. Ghadimi, M. Wang, "Approximation methods for bilevel programming", 2018, arXiv:1802.02246,
    Algorithm 2 (BSA) with Algorithm 3 for the inverse Hessian. The paper solves for q = -v.

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
        T, inner steps in one outer iteration, each with a batch of its own; T_0 where they grow.
    inner_schedule : {"constant", "theory"}
        "constant": T steps in every outer iteration; "theory": T_k = ceil(T sqrt(k + 1)).
    max_inner_steps : int
        Cap of the growing T_k (inner steps).
    n_neumann_steps : int
        Q, number of possible lengths of the random product, at most Q - 1 products with H.
    warm_start : {"none", "z"}
        "z": the inner loop starts at the previous z; "none": it starts at zero.
    inner_decay : {"none", "theory"}
        Decay within one loop over z: "none", all its steps have one size; "theory", that of step
        j = 0, 1, ... is divided by j + 1.
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
    - Batches of ``batch_size`` rows instead of single samples.
    - z is carried over (``warm_start="z"``); the paper restarts from a fixed point (``"none"``:
      from zero).
    - The inner step is constant within an outer iteration and decays as k^{-1/2} across them
      (``schedule="theory"``), where the paper lets it decay within the loop
      (``inner_decay="theory"``: as 1 / (j + 1), with a constant to tune; the paper's could not be
      read). The outer step decays as k^{-1/2} too.
    - The batches of the products with H, of the cross product and of F are drawn afresh.
    - T_k is constant, or ceil(T sqrt(k + 1)) capped at ``max_inner_steps``
      (``inner_schedule="theory"``).
    - The length Q of the series is constant, where the paper lets it grow with log k.
    """

    name = "BSA"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "inner_schedule": ["constant"],
        "max_inner_steps": [100],
        "n_neumann_steps": ["tuned"],
        "warm_start": ["z"],
        "inner_decay": ["none"],
        "schedule": ["theory"],
        "neumann_step": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {
        "inner_schedule": ("constant", "theory"),
        "warm_start": ("none", "z"),
        "inner_decay": ("none", "theory"),
        "schedule": ("theory", "constant"),
    }
    search_space = {
        "n_inner_steps": Int(1, 1000, start=10),
        "n_neumann_steps": Int(1, 1000, start=50),
        "neumann_step": Log(1e-6, 1e4, start="1/L"),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=0.5),
    }
    deterministic = {
        "limit": "hia", "schedule": "constant", "neumann_step": 0.3, "step_size": 0.3,
        "outer_ratio": 0.5, "n_inner_steps": 10, "n_neumann_steps": 4,
    }  # fmt: skip
    references = ["S. Ghadimi, M. Wang. 2018. arXiv:1802.02246"]
    static_graph = False

    @property
    def inner_lengths(self):
        """T_0, T_1, ..., the last entry standing for all later ones."""
        T = self.n_inner_steps
        if self.inner_schedule == "constant":
            return [T]
        # ceil(T sqrt(k + 1)) in integers
        return GrowingLengths(lambda k: 1 + math.isqrt(T * T * (k + 1) - 1), self.max_inner_steps)

    def draws(self):
        # Of the batches of z and v the first T_k and the first p are used.
        T, Q = self.inner_lengths[-1], self.n_neumann_steps
        return {"z": inner(T), "v": inner(Q), "p": integers(0, Q), "x": inner(), "f": outer()}

    def step(self, s, oracles, hp, draws):
        decay = theory_or_constant(self.schedule, 1 / 2)
        beta = power_law(hp.step_size, s.t, decay)  # inner step
        alpha = power_law(hp.step_size / hp.outer_ratio, s.t, decay)  # outer step
        eta = hp.neumann_step  # step of the series, 1 / L in the paper

        # Algorithm 2: T_k inner steps at x_k.
        T_k = length_at(self.bk, self.inner_lengths, s.t)
        z = s.z if self.warm_start == "z" else 0 * s.z
        beta_j = lambda j: power_law(beta, j, theory_or_constant(self.inner_decay, 1))
        inner_step = lambda j, z: z - beta_j(j) * oracles.grad_inner(z, s.x, draws.z[j])
        z = oracles.repeat(T_k, inner_step, z)

        # Hypergradient estimate at (z_{k+1}, x_k): Q eta prod_{i<p} (I - eta H_i), p in 0..Q-1.
        Q, p = self.n_neumann_steps, draws.p
        D_x = hypergradient.hia(oracles, z, s.x, eta, Q, p, draws.v, draws.f, draws.x)
        return State(z=z, x=oracles.project(s.x - alpha * D_x), d_x=D_x, t=s.t + 1)
