from typing import Any, NamedTuple

from benchmark_utils import hypergradient
from benchmark_utils.sampling import inner, integers, outer
from benchmark_utils.schedules import power_law, theory_or_constant
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction D_x, shape (d,)
    t: Any  # outer iterations done, integer


class Solver(BilevelSolver):
    """TTSA: two-timescale stochastic approximation, one inner step and one outer step with a smaller step size.

    M. Hong, H.-T. Wai, Z. Wang, Z. Yang, "A two-timescale stochastic algorithm framework for bilevel optimization:
    complexity analysis and application to actor-critic", SIAM Journal on Optimization 2023, arXiv:2007.05170,
    Algorithm 1 with the estimator of Ghadimi and Wang (HIA). The paper solves for q = -v.

    Differs from the paper in: 1. the steps decay as (k+1)^{-2/5} and (k+1)^{-3/5} (``schedule="theory"``), where the
    paper takes constant steps proportional to these powers of a known horizon; 2. the length Q of the series is
    constant, where the paper lets it grow with the logarithm of the horizon.
    """

    name = "TTSA"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "n_neumann_steps": [40],
        "schedule": ["theory"],
        "neumann_ratio": [1.0],
        "step_size": [0.5],
        "outer_ratio": [0.3],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "hia", "schedule": "constant", "step_size": 0.3, "n_neumann_steps": 4}
    references = ["M. Hong, H.-T. Wai, Z. Wang, Z. Yang. SIAM J. Optim. 2023. arXiv:2007.05170"]
    static_graph = False

    def draws(self):
        # Of the batches of v the first p are used.
        Q = self.n_neumann_steps
        return {"z": inner(), "v": inner(Q), "p": integers(0, Q), "x": inner(), "f": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        # Two timescales: the outer step over the inner step tends to zero.
        beta = power_law(hp.step_size, s.t, theory_or_constant(self.schedule, 2 / 5))
        alpha = power_law(hp.step_size / hp.outer_ratio, s.t, theory_or_constant(self.schedule, 3 / 5))
        eta = hp.step_size * hp.neumann_ratio  # step of the series

        # (z) one inner step
        z = s.z - beta * oracles.grad_inner(s.z, s.x, draws.z)

        # (x) hypergradient estimate at (z_{k+1}, x_k), every batch independent of that of the inner step
        Q, p = self.n_neumann_steps, draws.p
        D_x = hypergradient.hia(oracles, z, s.x, eta, Q, p, draws.v, draws.f, draws.x)
        return State(z=z, x=oracles.project(s.x - alpha * D_x), d_x=D_x, t=s.t + 1)
