from typing import Any, NamedTuple

from benchmark_utils import hypergradient
from benchmark_utils.estimators import ema
from benchmark_utils.sampling import inner, outer
from benchmark_utils.schedules import momentum, power_law, theory_or_constant
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    v: Any  # v ~ -H^{-1} grad_z F, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction used, the h of one iteration before, shape (d,)
    t: Any  # outer iterations done, integer
    h: Any  # moving average of D_x, shape (d,)


class Solver(BilevelSolver):
    """MA-SOBA: SOBA with a moving average of the outer direction.

    X. Chen, T. Xiao, K. Balasubramanian, "Optimal algorithms for stochastic bilevel optimization under relaxed
    smoothness conditions", JMLR 25(151), 2024, arXiv:2306.12067, algorithm MA-SOBA.

    Differs from the paper in: 1. the x-step is the first of the iteration and uses the average of the previous one,
    starting with h = 0, so x moves from the second iteration on (our reading of the order of the steps); 2. D_z, D_v
    and D_x share one inner and one outer batch; 3. the steps and the weight theta decay as t^{-1/2}
    (``schedule="theory"``) where the paper takes constants proportional to K^{-1/2} for a known horizon K; 4. the
    first average is the first D_x alone (theta = 1).
    """

    name = "MA-SOBA"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "schedule": ["theory"],
        "theta": [0.5],
        "step_size": [0.5],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    search_space = {"theta": Log(1e-2, 1), "step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "exact", "schedule": "constant", "step_size": 0.3, "outer_ratio": 3.0}
    references = ["X. Chen, T. Xiao, K. Balasubramanian. JMLR 25(151), 2024. arXiv:2306.12067"]

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, v=0 * z0, x=x0, d_x=0 * x0, t=self.bk.counter(), h=0 * x0)

    def step(self, s, oracles, hp, draws):
        decay = theory_or_constant(self.schedule, 1 / 2)
        rho = power_law(hp.step_size, s.t, decay)
        gamma = rho / hp.outer_ratio
        theta = momentum(self.bk, power_law(hp.theta, s.t, decay), s.t)

        # All directions at (z_k, v_k, x_k); x moves along the average that does not know D_x yet.
        D_z, D_v, D_x = hypergradient.joint(oracles, s.z, s.v, s.x, draws.xi, draws.zeta)
        return State(
            z=s.z - rho * D_z,
            v=s.v - rho * D_v,
            x=oracles.project(s.x - gamma * s.h),
            d_x=s.h,
            t=s.t + 1,
            h=ema(s.h, D_x, theta),
        )
