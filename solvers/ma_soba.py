from typing import NamedTuple

from benchmark_utils.formulas import hypergradient
from benchmark_utils.formulas.steps import momentum, power_law, theory_or_constant
from benchmark_utils.formulas.variance_reduction import ema
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    v: Inner  # v ~ -H^{-1} grad_z F
    x: Outer
    d_x: Outer  # last outer direction used, the h of one iteration before
    t: Count
    h: Outer  # moving average of D_x


class Solver(BilevelSolver):
    """MA-SOBA: SOBA with a moving average of the outer direction.

    X. Chen, T. Xiao, K. Balasubramanian, "Optimal algorithms for stochastic bilevel optimization
    under relaxed smoothness conditions", JMLR 25(151), 2024, arXiv:2306.12067, algorithm MA-SOBA.

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
        "theory": the steps and the weight theta decay as (t + 1)^{-1/2}; "constant": they do not.
    theta : float
        Weight of the new D_x in the average h, in (0, 1] (at t = 0 of the decay); the first
        iteration takes 1.
    linear_ratio : float
        eta / rho, where eta is the step of v.
    step_size : float
        rho, step of z (at t = 0 where steps decay).
    outer_ratio : float
        rho / gamma, where gamma is the step of x.

    Differs from the paper
    ----------------------
    - The x-step is the first of the iteration and uses the average of the previous one, starting
      with h = 0, so x moves from the second iteration on (our reading of the order of the steps).
    - D_z, D_v and D_x share one inner and one outer batch.
    - The steps and the weight theta decay as t^{-1/2} (``schedule="theory"``) where the paper takes
      constants proportional to K^{-1/2} for a known horizon K.
    - The first average is the first D_x alone (theta = 1).
    """

    name = "MA-SOBA"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "schedule": ["theory"],
        "theta": ["tuned"],
        "linear_ratio": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"schedule": ("theory", "constant")}
    search_space = {
        "theta": Log(1e-4, 1.0, start=0.5),
        "linear_ratio": Log(1e-3, 1e3, start=1.0),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "exact", "schedule": "constant", "theta": 0.5, "linear_ratio": 1.0,
        "step_size": 0.3, "outer_ratio": 3.0,
    }  # fmt: skip
    references = ["X. Chen, T. Xiao, K. Balasubramanian. JMLR 25(151), 2024. arXiv:2306.12067"]

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def step(self, s, oracles, hp, draws):
        decay = theory_or_constant(self.schedule, 1 / 2)
        rho = power_law(hp.step_size, s.t, decay)
        gamma = rho / hp.outer_ratio
        theta = momentum(self.bk, power_law(hp.theta, s.t, decay), s.t)

        # All directions at (z_k, v_k, x_k); x moves along the average that does not know D_x yet.
        D_z, D_v, D_x = hypergradient.joint(oracles, s.z, s.v, s.x, draws.xi, draws.zeta)
        return State(
            z=s.z - rho * D_z,
            v=s.v - rho * hp.linear_ratio * D_v,
            x=oracles.project(s.x - gamma * s.h),
            d_x=s.h,
            t=s.t + 1,
            h=ema(s.h, D_x, theta),
        )
