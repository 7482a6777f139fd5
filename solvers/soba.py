from typing import NamedTuple

from benchmark_utils.formulas.steps import power_law, theory_or_constant
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    v: Inner  # v ~ -H^{-1} grad_z F
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count


class Solver(BilevelSolver):
    """SOBA: single loop, all three directions from one inner and one outer batch.

    M. Dagréou, P. Ablin, S. Vaiter, T. Moreau, "A framework for bilevel optimization that enables
    stochastic and global variance reduction algorithms", NeurIPS 2022, arXiv:2201.13409,
    Algorithm 1 with directions (SOBA).

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
        "theory": all steps decay as (t + 1)^{-1/2}; "constant": they do not.
    linear_ratio : float
        eta / rho, where eta is the step of v.
    step_size : float
        rho, step of z (at t = 0 where steps decay).
    outer_ratio : float
        rho / gamma, where gamma is the step of x.

    Differs from the paper
    ----------------------
    - The steps decay as t^{-1/2} (``schedule="theory"``), as in the authors' code, where the paper
      takes constant steps proportional to T^{-1/2} for a known horizon T.
    - z and v have one step in the paper (``linear_ratio=1``).
    """

    name = "SOBA"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "schedule": ["theory"],
        "linear_ratio": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"schedule": ("theory", "constant")}
    search_space = {
        "linear_ratio": Log(1e-3, 1e3, start=1.0),
        "step_size": Log(1e-4, 1e3, start=0.1),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "exact",
        "schedule": "constant",
        "linear_ratio": 1.0,
        "step_size": 0.3,
        "outer_ratio": 3.0,
    }
    references = ["M. Dagréou, P. Ablin, S. Vaiter, T. Moreau. NeurIPS 2022. arXiv:2201.13409"]

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def step(self, s, oracles, hp, draws):
        decay = theory_or_constant(self.schedule, 1 / 2)
        rho = power_law(hp.step_size, s.t, decay)
        gamma = rho / hp.outer_ratio

        # D_z, D_v and D_x at the same point, from the same two batches.
        D_z, Hv, Cv = oracles.inner_joint(s.z, s.x, s.v, draws.xi)
        F_z, F_x = oracles.grad_outer(s.z, s.x, draws.zeta)
        D_v = Hv + F_z
        D_x = Cv + F_x

        return State(
            z=s.z - rho * D_z,
            v=s.v - rho * hp.linear_ratio * D_v,
            x=oracles.project(s.x - gamma * D_x),
            d_x=D_x,
            t=s.t + 1,
        )
