from typing import Any, NamedTuple

from benchmark_utils import hypergradient
from benchmark_utils.estimators import sarah
from benchmark_utils.oracles import FULL
from benchmark_utils.sampling import inner, iterations_of_one_epoch, outer, why_bad_period
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction used, shape (d,)
    t: Any  # outer iterations done, integer
    u_z: Any  # SPIDER estimate of grad_z G at (z, x), shape (p,)
    u_x: Any  # SPIDER estimate of the outer direction at (z, x), the next one to be used, shape (d,)


class Solver(BilevelSolver):
    """VRBO: double loop, SPIDER on the inner gradient and on a Neumann-series hypergradient, periodic full batches.

    J. Yang, K. Ji, Y. Liang, "Provably faster algorithms for bilevel optimization", NeurIPS 2021, arXiv:2106.04692,
    Algorithm 2. The paper solves for q = -v.

    Differs from the paper in: 1. the estimates are renewed by a full pass, where the paper takes a big batch S_1;
    2. m = ``n_inner_steps`` counts the inner steps, so the estimates are corrected m + 1 times an outer iteration
    and belong to the point that the next one starts from; 3. all small batches have one size.
    """

    name = "VRBO"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "period": ["epoch"],
        "n_inner_steps": [10],
        "n_neumann_steps": [10],
        "neumann_ratio": [2.0],
        "step_size": [0.5],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer", "full_pass")
    static_graph = False
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {
        "limit": "neumann", "step_size": 0.3, "outer_ratio": 3.0, "period": 1000, "n_inner_steps": 3,
        "n_neumann_steps": 4,
    }  # fmt: skip
    references = ["J. Yang, K. Ji, Y. Liang. NeurIPS 2021. arXiv:2106.04692"]

    def why_not(self, problem, partitions):
        return why_bad_period(self.period)

    def draws(self):
        m, Q = self.n_inner_steps + 1, self.n_neumann_steps
        return {"z": inner(m), "v": inner(m, Q), "x": inner(m), "f": outer(m)}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter(), u_z=0 * z0, u_x=0 * x0)

    def step(self, s, oracles, hp, draws):
        rho, gamma = hp.step_size, hp.step_size / hp.outer_ratio
        eta = hp.step_size * hp.neumann_ratio  # step of the series
        period = iterations_of_one_epoch(self.plan, self.partitions) if self.period == "epoch" else self.period

        def estimates(z, x, z_batch, linear_batches, outer_batch, cross_batch):
            D_x = hypergradient.shia(oracles, z, x, eta, self.n_neumann_steps, linear_batches, outer_batch, cross_batch)
            return oracles.grad_inner(z, x, z_batch), D_x

        # Lines 3-7: every ``period`` iterations a full pass at (z_k, x_k), else the estimates of the inner loop.
        u_z, u_x = oracles.cond(
            s.t % period == 0,
            lambda u_z, u_x: estimates(s.z, s.x, FULL, FULL, FULL, FULL),
            lambda u_z, u_x: (u_z, u_x),
            s.u_z, s.u_x,
        )  # fmt: skip

        # Line 8: outer step.
        x = oracles.project(s.x - gamma * u_x)

        # Lines 9-15: inner loop, from the point (z_k, x_k) of the estimates to (z_k, x_{k+1}) at t = 0, which absorbs
        # the change of x, and along z afterwards.
        def correct_and_step(k, carry):
            z_old, x_old, z, u_z, u_x = carry
            batches = draws.z[k], draws.v[k], draws.f[k], draws.x[k]
            old_z, old_x = estimates(z_old, x_old, *batches)
            new_z, new_x = estimates(z, x, *batches)
            u_z, u_x = sarah(u_z, new_z, old_z), sarah(u_x, new_x, old_x)
            return z, x, z - rho * u_z, u_z, u_x

        z, _, _, v_z, v_x = oracles.repeat(self.n_inner_steps + 1, correct_and_step, (s.z, s.x, s.z, u_z, u_x))
        return State(z=z, x=x, d_x=u_x, t=s.t + 1, u_z=v_z, u_x=v_x)
