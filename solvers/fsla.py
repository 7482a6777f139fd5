from typing import Any, NamedTuple

from benchmark_utils.estimators import storm
from benchmark_utils.sampling import inner, outer
from benchmark_utils.schedules import momentum, power_law, theory_or_constant
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    v: Any  # v ~ -H^{-1} grad_z F, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # STORM estimate of the outer direction, the last one used, shape (d,)
    t: Any  # outer iterations done, integer
    x_old: Any  # x of one iteration before, shape (d,)


class Solver(BilevelSolver):
    """FSLA: fully single loop, one step on z and one on v, STORM on the outer direction.

    J. Li, B. Gu, H. Huang, "A fully single loop algorithm for bilevel optimization without Hessian inverse", AAAI
    2022, arXiv:2112.04660, algorithm FSLA. The paper solves for q = -v.

    Differs from the paper in: 1. the first direction is a plain stochastic one, and the old x starts at the first x;
    2. ``schedule="theory"`` lets the three steps and the momentum weight decay as t^{-1/2}, with constants of their
    own (the weight is not tied to a step); 3. one outer batch gives both gradients of F at the new point of phase 3,
    a second one grad_z F of phase 2.
    """

    name = "FSLA"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "schedule": ["theory"],
        "momentum": [0.5],
        "linear_ratio": [1.0],
        "step_size": [0.5],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    search_space = {"momentum": Log(1e-2, 1), "step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "exact", "schedule": "constant", "step_size": 0.3, "outer_ratio": 3.0}
    references = ["J. Li, B. Gu, H. Huang. AAAI 2022. arXiv:2112.04660"]

    def draws(self):
        return {"z": inner(), "v": inner(), "x": inner(), "f_v": outer(), "f_x": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, v=0 * z0, x=x0, d_x=0 * x0, t=self.bk.counter(), x_old=x0)

    def step(self, s, oracles, hp, draws):
        decay = theory_or_constant(self.schedule, 1 / 2)
        rho = power_law(hp.step_size, s.t, decay)  # inner step
        eta = rho * hp.linear_ratio  # step of the linear system
        gamma = rho / hp.outer_ratio  # outer step
        a = momentum(self.bk, power_law(hp.momentum, s.t, decay), s.t)

        # Phase 1: inner step.
        z = s.z - rho * oracles.grad_inner(s.z, s.x, draws.z)

        # Phase 2: step on H v + grad_z F = 0 at the new z, from other batches.
        F_z, _ = oracles.grad_outer(z, s.x, draws.f_v)
        v = s.v - eta * (oracles.hvp(z, s.x, s.v, draws.v) + F_z)

        # Phase 3: STORM from (z_{k+1}, v_{k+1}, x_k) and (z_k, v_k, x_{k-1}), the same third batches at both.
        D_x = oracles.grad_outer(z, s.x, draws.f_x)[1] + oracles.cross(z, s.x, v, draws.x)
        D_x_old = oracles.grad_outer(s.z, s.x_old, draws.f_x)[1] + oracles.cross(s.z, s.x_old, s.v, draws.x)
        d_x = storm(s.d_x, D_x, D_x_old, a)

        return State(z=z, v=v, x=oracles.project(s.x - gamma * d_x), d_x=d_x, t=s.t + 1, x_old=s.x)
