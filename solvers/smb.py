from typing import Any, NamedTuple

from benchmark_utils import estimators, hypergradient
from benchmark_utils.sampling import inner, integers, outer
from benchmark_utils.schedules import momentum, power_law, theory_or_constant
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # moving average u_x of the hypergradient estimates, last outer direction, shape (d,)
    t: Any  # outer iterations done, integer
    u_z: Any  # direction of the inner step, a moving average with averaged="x_and_z", shape (p,)


class Solver(BilevelSolver):
    """SMB: stochastic momentum, an exponential moving average of the hypergradient estimates.

    Z. Guo, Y. Xu, W. Yin, R. Jin, T. Yang, "On stochastic moving-average estimators for non-convex optimization", 2021,
    arXiv:2104.14840, the bilevel algorithm (SMB) with the estimator of Ghadimi and Wang (HIA).

    Differs from the paper in: 1. steps and averaging weight decay as (k+1)^{-1/2} (``schedule="theory"``), where the
    paper takes constants proportional to powers of the target accuracy; 2. ``averaged="x_and_z"`` averages the inner
    gradients too (double momentum), which is not in the paper.
    """

    name = "SMB"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "n_neumann_steps": [40],
        "averaged": ["x"],
        "schedule": ["theory"],
        "momentum": [0.9],
        "neumann_ratio": [1.0],
        "step_size": [0.5],
        "outer_ratio": [0.7],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3), "momentum": Log(1e-2, 1.0)}
    deterministic = {"limit": "hia", "schedule": "constant", "step_size": 0.3, "n_neumann_steps": 4}
    references = ["Z. Guo, Y. Xu, W. Yin, R. Jin, T. Yang. 2021. arXiv:2104.14840"]
    static_graph = False

    def why_not(self, problem, partitions):
        if self.averaged not in ("x", "x_and_z"):
            return f"averaged is {self.averaged!r}; it must be 'x' or 'x_and_z'."

    def draws(self):
        # Of the batches of v the first p are used.
        Q = self.n_neumann_steps
        return {"z": inner(), "v": inner(Q), "p": integers(0, Q), "x": inner(), "f": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter(), u_z=0 * z0)

    def step(self, s, oracles, hp, draws):
        decay = theory_or_constant(self.schedule, 1 / 2)
        rho = power_law(hp.step_size, s.t, decay)  # inner step
        gamma = power_law(hp.step_size / hp.outer_ratio, s.t, decay)  # outer step
        beta = momentum(self.bk, power_law(hp.momentum, s.t, decay), s.t)  # weight of the new estimate
        eta = hp.step_size * hp.neumann_ratio  # step of the series

        # Estimates at (z_k, x_k).
        Q, p = self.n_neumann_steps, draws.p
        D_z = oracles.grad_inner(s.z, s.x, draws.z)
        D_x = hypergradient.hia(oracles, s.z, s.x, eta, Q, p, draws.v, draws.f, draws.x)

        # u_{k+1} = (1 - beta) u_k + beta D, then both steps.
        u_x = estimators.ema(s.d_x, D_x, beta)
        u_z = estimators.ema(s.u_z, D_z, beta) if self.averaged == "x_and_z" else D_z
        return State(z=s.z - rho * u_z, x=oracles.project(s.x - gamma * u_x), d_x=u_x, t=s.t + 1, u_z=u_z)
