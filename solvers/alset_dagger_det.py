from typing import NamedTuple

from benchmark_utils.formulas.steps import power_law, theory_or_constant
from benchmark_utils.oracles.draws import outer
from benchmark_utils.oracles.oracles import FULL
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    v: Inner  # v ~ -H^{-1} grad_z F, warm start of the linear system
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count


class Solver(BilevelSolver):
    """ALSET-dagger-DET: one step each of z, v and x, with all samples of G in every product.

    R. Grazzi, M. Pontil, S. Salzo, "Bilevel optimization with a lower-level contraction: optimal
    sample complexity without warm-start", JMLR 2023, arXiv:2202.03397, who compare with this
    variant (their dagger-DET, T = K = J = 1) of ALSET (T. Chen, Y. Sun, W. Yin, NeurIPS 2021,
    arXiv:2106.13781). Both papers solve for q = -v.

    Parameters
    ----------
    backend : {"jax", "torch", "torch-compiled"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of F in one mini-batch (samples); "full": all of them. G is never sampled.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "full": all of them, as Grazzi et al. take; "same":
        ``batch_size``, and needed on problems with tasks.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    schedule : {"theory", "constant"}
        "theory": the three steps decay as (k + 1)^{-1/2}; "constant": they do not.
    linear_ratio : float
        eta / beta, where eta is the step of v.
    step_size : float
        beta, step of z (at k = 0 where steps decay).
    outer_ratio : float
        beta / alpha, where alpha is the step of x.

    Differs from the paper
    ----------------------
    - The steps decay as (k + 1)^{-1/2} (``schedule="theory"``), where Chen et al. take constant
      steps proportional to K^{-1/2} for a known horizon K.
    """

    name = "ALSET-dagger-DET"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["full"],
        "sampling": ["with_replacement"],
        "schedule": ["theory"],
        "linear_ratio": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"schedule": ("theory", "constant")}
    search_space = {
        "linear_ratio": Log(1e-2, 1e2, start=1.0),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-10, 1e3, start=0.7),
    }
    deterministic = {
        "limit": "exact",
        "schedule": "constant",
        "linear_ratio": 1.0,
        "step_size": 0.3,
        "outer_ratio": 3.0,
    }
    references = [
        "R. Grazzi, M. Pontil, S. Salzo. JMLR 24(167), 2023. arXiv:2202.03397",
        "T. Chen, Y. Sun, W. Yin. NeurIPS 2021. arXiv:2106.13781",
    ]

    def draws(self):
        return {"f": outer()}

    def step(self, s, oracles, hp, draws):
        decay = theory_or_constant(self.schedule, 1 / 2)
        beta = power_law(hp.step_size, s.t, decay)  # inner step
        alpha = power_law(hp.step_size / hp.outer_ratio, s.t, decay)  # outer step
        eta = power_law(hp.step_size * hp.linear_ratio, s.t, decay)  # step of the linear system

        # T = 1: one step of z, from all samples of G.
        z = s.z - beta * oracles.grad_inner(s.z, s.x, FULL)

        # K = 1: one step on H v + grad_z F = 0 at the new z, from the previous v.
        F_z, F_x = oracles.grad_outer(z, s.x, draws.f)
        v = s.v - eta * (oracles.hvp(z, s.x, s.v, FULL) + F_z)

        # J = 1: the cross product at the new pair, and the outer step.
        D_x = F_x + oracles.cross(z, s.x, v, FULL)
        return State(z=z, v=v, x=oracles.project(s.x - alpha * D_x), d_x=D_x, t=s.t + 1)
