from typing import Any, NamedTuple

from benchmark_utils import estimators, hypergradient
from benchmark_utils.sampling import inner, integers, outer
from benchmark_utils.schedules import momentum, power_law, theory_or_constant
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # STORM estimate of the hypergradient, last outer direction, shape (d,)
    t: Any  # outer iterations done, integer
    d_z: Any  # STORM estimate of grad_z G, last inner direction, shape (p,)
    z_old: Any  # z at which d_z and d_x were taken, the first iterate at the start, shape (p,)
    x_old: Any  # x at which they were taken, shape (d,)


class Solver(BilevelSolver):
    """SUSTAIN: STORM momentum on both levels, the same draws at the current and the previous point.

    P. Khanduri, S. Zeng, M. Hong, H.-T. Wai, Z. Wang, Z. Yang, "A near-optimal algorithm for stochastic bilevel
    optimization via double-momentum", NeurIPS 2021, arXiv:2102.07367, Algorithm 1 with the estimator of Ghadimi and
    Wang (HIA). ``variant="MSTSA"`` is the method of the first version of the paper: no momentum on z.

    Differs from the paper in: 1. the momentum weight is an independent factor times (t+1)^{-2/3}, the square of the
    decay of the steps, without the constants of the theorem; 2. the first directions are plain stochastic ones
    (weight 1); 3. the length Q of the series is constant, where the paper lets it grow with the logarithm of T.
    """

    name = "SUSTAIN"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "variant": ["SUSTAIN"],
        "n_neumann_steps": [40],
        "schedule": ["theory"],
        "momentum": [0.9],
        "neumann_ratio": [1.0],
        "step_size": [0.5],
        "outer_ratio": [2.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3), "momentum": Log(1e-2, 1.0)}
    deterministic = {"limit": "hia", "schedule": "constant", "step_size": 0.3, "n_neumann_steps": 4}
    references = ["P. Khanduri, S. Zeng, M. Hong, H.-T. Wai, Z. Wang, Z. Yang. NeurIPS 2021. arXiv:2102.07367"]
    static_graph = False

    def why_not(self, problem, partitions):
        if self.variant not in ("SUSTAIN", "MSTSA"):
            return f"variant is {self.variant!r}; it must be 'SUSTAIN' or 'MSTSA'."

    def draws(self):
        # Of the batches of v the first p are used, at both points.
        Q = self.n_neumann_steps
        return {"z": inner(), "v": inner(Q), "p": integers(0, Q), "x": inner(), "f": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter(), d_z=0 * z0, z_old=1 * z0, x_old=1 * x0)

    def step(self, s, oracles, hp, draws):
        decay = theory_or_constant(self.schedule, 1 / 3)
        beta = power_law(hp.step_size, s.t, decay)  # inner step
        alpha = power_law(hp.step_size / hp.outer_ratio, s.t, decay)  # outer step
        a = momentum(self.bk, power_law(hp.momentum, s.t, 2 * decay), s.t)
        eta = hp.step_size * hp.neumann_ratio  # step of the series

        Q, p = self.n_neumann_steps, draws.p
        grad_z = lambda z, x: oracles.grad_inner(z, x, draws.z)
        grad_x = lambda z, x: hypergradient.hia(oracles, z, x, eta, Q, p, draws.v, draws.f, draws.x)

        # d_t = D(z_t, x_t) + (1 - a) (d_{t-1} - D(z_{t-1}, x_{t-1})), one set of draws for both points
        d_z = grad_z(s.z, s.x)
        if self.variant == "SUSTAIN":
            d_z = estimators.storm(s.d_z, d_z, grad_z(s.z_old, s.x_old), a)
        d_x = estimators.storm(s.d_x, grad_x(s.z, s.x), grad_x(s.z_old, s.x_old), a)

        z, x = s.z - beta * d_z, oracles.project(s.x - alpha * d_x)
        return State(z=z, x=x, d_x=d_x, t=s.t + 1, d_z=d_z, z_old=s.z, x_old=s.x)
