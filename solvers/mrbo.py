from typing import Any, NamedTuple

from benchmark_utils import hypergradient
from benchmark_utils.estimators import storm
from benchmark_utils.sampling import inner, outer
from benchmark_utils.schedules import momentum, power_law, theory_or_constant
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # STORM estimate of the outer direction, the last one used, shape (d,)
    t: Any  # outer iterations done, integer
    d_z: Any  # STORM estimate of grad_z G, shape (p,)
    z_old: Any  # z of one iteration before, at which the estimates were taken, shape (p,)
    x_old: Any  # x of one iteration before, shape (d,)


class Solver(BilevelSolver):
    """MRBO: single loop, STORM on the inner gradient and on a Neumann-series hypergradient.

    J. Yang, K. Ji, Y. Liang, "Provably faster algorithms for bilevel optimization", NeurIPS 2021, arXiv:2106.04692,
    Algorithm 1. The paper solves for q = -v.

    Differs from the paper in: 1. ``schedule="theory"`` takes steps proportional to (k + 1)^{-1/3} and weights
    proportional to (k + 1)^{-2/3}, the paper's d (m + k)^{-1/3} with m = 1 and constants to tune; 2. one momentum
    weight for both estimates; 3. the first directions are plain stochastic ones; 4. every product of the series, the
    cross product and the inner gradient have batches of their own, all of one size.
    """

    name = "MRBO"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "n_neumann_steps": [10],
        "schedule": ["theory"],
        "momentum": [0.5],
        "neumann_ratio": [2.0],
        "step_size": [0.5],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    search_space = {"momentum": Log(1e-2, 1), "step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {
        "limit": "neumann", "schedule": "constant", "step_size": 0.3, "outer_ratio": 3.0, "n_neumann_steps": 4,
    }  # fmt: skip
    references = ["J. Yang, K. Ji, Y. Liang. NeurIPS 2021. arXiv:2106.04692"]

    def draws(self):
        return {"z": inner(), "v": inner(self.n_neumann_steps), "x": inner(), "f": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter(), d_z=0 * z0, z_old=z0, x_old=x0)

    def step(self, s, oracles, hp, draws):
        rho = power_law(hp.step_size, s.t, theory_or_constant(self.schedule, 1 / 3))  # lambda eta_k
        gamma = rho / hp.outer_ratio  # gamma eta_k
        a = momentum(self.bk, power_law(hp.momentum, s.t, theory_or_constant(self.schedule, 2 / 3)), s.t)
        eta = hp.step_size * hp.neumann_ratio  # step of the series

        # The same draws at (z_k, x_k) and at (z_{k-1}, x_{k-1}).
        def estimate(z, x):
            return hypergradient.shia(oracles, z, x, eta, self.n_neumann_steps, draws.v, draws.f, draws.x)

        d_z = storm(s.d_z, oracles.grad_inner(s.z, s.x, draws.z), oracles.grad_inner(s.z_old, s.x_old, draws.z), a)
        d_x = storm(s.d_x, estimate(s.z, s.x), estimate(s.z_old, s.x_old), a)

        return State(
            z=s.z - rho * d_z, x=oracles.project(s.x - gamma * d_x), d_x=d_x, t=s.t + 1,
            d_z=d_z, z_old=s.z, x_old=s.x,
        )  # fmt: skip
