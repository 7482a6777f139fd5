from typing import Any, NamedTuple

from benchmark_utils.estimators import storm
from benchmark_utils.projections import ball
from benchmark_utils.sampling import inner, outer
from benchmark_utils.schedules import momentum, power_law, theory_or_constant
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    v: Any  # v ~ -H^{-1} grad_z F, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # STORM estimate of D_x, the last one used, shape (d,)
    t: Any  # outer iterations done, integer
    d_z: Any  # STORM estimate of D_z, shape (p,)
    d_v: Any  # STORM estimate of D_v, shape (p,)
    z_old: Any  # z, v and x of one iteration before, at which the estimates were taken
    v_old: Any
    x_old: Any


class Solver(BilevelSolver):
    """FdeHBO: fully single loop without Hessians, finite differences of gradients for H v and C v, STORM on all three.

    Y. Yang, P. Xiao, K. Ji, "Achieving O(eps^{-1.5}) complexity in Hessian/Jacobian-free stochastic bilevel
    optimization", NeurIPS 2023, arXiv:2312.03807, algorithm FdeHBO. The paper solves for q = -v.

    Differs from the paper in: 1. central differences; 2. one momentum weight for the three estimates, and one outer
    batch for both gradients of F; 3. ``schedule="theory"`` takes the steps c (t + 1)^{-1/3} and the weight
    a (t + 1)^{-2/3}, with constants to tune; 4. the first directions are plain stochastic ones.
    """

    name = "FdeHBO"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "schedule": ["theory"],
        "momentum": [0.5],
        "delta": [0.01],
        "radius": [100.0],
        "linear_ratio": [1.0],
        "step_size": [0.5],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "grad_inner_x", "grad_outer")
    search_space = {"momentum": Log(1e-2, 1), "step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "exact", "schedule": "constant", "step_size": 0.3, "outer_ratio": 3.0}
    references = ["Y. Yang, P. Xiao, K. Ji. NeurIPS 2023. arXiv:2312.03807"]

    def draws(self):
        return {"z": inner(), "v": inner(), "x": inner(), "f": outer()}

    def init(self, z0, x0, oracles):
        v0 = 0 * z0
        return State(
            z=z0, v=v0, x=x0, d_x=0 * x0, t=self.bk.counter(),
            d_z=0 * z0, d_v=0 * z0, z_old=z0, v_old=v0, x_old=x0,
        )  # fmt: skip

    def directions(self, z, v, x, oracles, hp, draws):
        """Return D_z, D_v and D_x from gradients alone."""
        plus, minus, width = z + hp.delta * v, z - hp.delta * v, 2 * hp.delta
        Hv = (oracles.grad_inner(plus, x, draws.v) - oracles.grad_inner(minus, x, draws.v)) / width
        Cv = (oracles.grad_inner_x(plus, x, draws.x) - oracles.grad_inner_x(minus, x, draws.x)) / width
        F_z, F_x = oracles.grad_outer(z, x, draws.f)
        return oracles.grad_inner(z, x, draws.z), Hv + F_z, Cv + F_x

    def step(self, s, oracles, hp, draws):
        rho = power_law(hp.step_size, s.t, theory_or_constant(self.schedule, 1 / 3))
        lam = rho * hp.linear_ratio  # step of the linear system
        gamma = rho / hp.outer_ratio
        a = momentum(self.bk, power_law(hp.momentum, s.t, theory_or_constant(self.schedule, 2 / 3)), s.t)

        # STORM with the same draws at the current and at the previous point.
        new = self.directions(s.z, s.v, s.x, oracles, hp, draws)
        old = self.directions(s.z_old, s.v_old, s.x_old, oracles, hp, draws)
        d_z, d_v, d_x = (storm(d, n, o, a) for d, n, o in zip((s.d_z, s.d_v, s.d_x), new, old, strict=True))

        # Steps; v stays in a ball, on which the error of the finite differences is bounded.
        return State(
            z=s.z - rho * d_z, v=ball(self.bk.xp, s.v - lam * d_v, hp.radius),
            x=oracles.project(s.x - gamma * d_x), d_x=d_x, t=s.t + 1,
            d_z=d_z, d_v=d_v, z_old=s.z, v_old=s.v, x_old=s.x,
        )  # fmt: skip
