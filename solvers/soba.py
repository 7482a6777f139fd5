from typing import Any, NamedTuple

from benchmark_utils.sampling import inner, outer
from benchmark_utils.schedules import power_law, theory_or_constant
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    v: Any  # v ~ -H^{-1} grad_z F, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction D_x, shape (d,)
    t: Any  # outer iterations done, integer


class Solver(BilevelSolver):
    """SOBA: stochastic bilevel algorithm, single loop, all three directions from one inner and one outer batch.

    M. Dagréou, P. Ablin, S. Vaiter, T. Moreau, "A framework for bilevel optimization that enables stochastic and
    global variance reduction algorithms", NeurIPS 2022, arXiv:2201.13409, Algorithm 1 with directions (SOBA).

    Differs from the paper in: 1. the steps decay as t^{-1/2} (``schedule="theory"``) where the paper takes
    constant steps proportional to T^{-1/2} for a known horizon T.
    """

    name = "SOBA"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "schedule": ["theory"],
        "step_size": [0.1],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "exact", "schedule": "constant", "step_size": 0.3, "outer_ratio": 3.0}
    references = ["M. Dagréou, P. Ablin, S. Vaiter, T. Moreau. NeurIPS 2022. arXiv:2201.13409"]

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, v=0 * z0, x=x0, d_x=0 * x0, t=self.bk.counter())

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
            v=s.v - rho * D_v,
            x=oracles.project(s.x - gamma * D_x),
            d_x=D_x,
            t=s.t + 1,
        )
