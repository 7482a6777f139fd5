from typing import Any, NamedTuple

from benchmark_utils import hypergradient
from benchmark_utils.estimators import sarah
from benchmark_utils.oracles import FULL
from benchmark_utils.projections import ball
from benchmark_utils.sampling import bernoulli, inner, iterations_of_one_epoch, outer, why_bad_period
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    v: Any  # v ~ -H^{-1} grad_z F, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # PAGE estimate of D_x, the last one used, shape (d,)
    t: Any  # outer iterations done, integer
    d_z: Any  # PAGE estimate of D_z, shape (p,)
    d_v: Any  # PAGE estimate of D_v, shape (p,)
    z_old: Any  # z, v and x of one iteration before, at which the estimates were taken
    v_old: Any
    x_old: Any


class Solver(BilevelSolver):
    """SPABA: SOBA with PAGE estimates of the three directions, a full pass with probability p, constant steps.

    T. Chu, D. Xu, W. Yao, J. Zhang, "SPABA: a single-loop and probabilistic stochastic bilevel algorithm achieving
    optimal sample complexity", ICML 2024, arXiv:2405.18777, algorithm SPABA.

    Differs from the paper in: 1. mini-batches instead of single samples; 2. p = 1 / ``period``, where "epoch" is as
    many iterations as it takes to draw n + m samples, with constants of the steps to tune; 3. the radius of the ball
    of v is a parameter, by default so large that it only stops a divergence.
    """

    name = "SPABA"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "period": ["epoch"],
        "radius": [1e3],
        "step_size": [0.5],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer", "full_pass")
    static_graph = False
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "exact", "step_size": 0.3, "outer_ratio": 3.0, "period": 1000}
    references = ["T. Chu, D. Xu, W. Yao, J. Zhang. ICML 2024. arXiv:2405.18777"]

    def why_not(self, problem, partitions):
        return why_bad_period(self.period)

    def draws(self):
        batches = {"xi": inner(), "zeta": outer()}
        period = iterations_of_one_epoch(batches, self.partitions) if self.period == "epoch" else self.period
        return batches | {"full": bernoulli(1 / period)}

    def init(self, z0, x0, oracles):
        v0 = 0 * z0
        return State(
            z=z0, v=v0, x=x0, d_x=0 * x0, t=self.bk.counter(),
            d_z=0 * z0, d_v=0 * z0, z_old=z0, v_old=v0, x_old=x0,
        )  # fmt: skip

    def step(self, s, oracles, hp, draws):
        rho, gamma = hp.step_size, hp.step_size / hp.outer_ratio

        # PAGE: with probability p, and at the first iteration, the exact directions; else the same draws at two points.
        def exact(*estimates):
            return hypergradient.joint(oracles, s.z, s.v, s.x, FULL, FULL)

        def corrected(*estimates):
            new = hypergradient.joint(oracles, s.z, s.v, s.x, draws.xi, draws.zeta)
            old = hypergradient.joint(oracles, s.z_old, s.v_old, s.x_old, draws.xi, draws.zeta)
            return tuple(map(sarah, estimates, new, old))

        full = (draws.full == 1) | (s.t == 0)
        d_z, d_v, d_x = oracles.cond(full, exact, corrected, s.d_z, s.d_v, s.d_x)

        return State(
            z=s.z - rho * d_z, v=ball(self.bk.xp, s.v - rho * d_v, hp.radius),
            x=oracles.project(s.x - gamma * d_x), d_x=d_x, t=s.t + 1,
            d_z=d_z, d_v=d_v, z_old=s.z, v_old=s.v, x_old=s.x,
        )  # fmt: skip
