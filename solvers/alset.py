from typing import Any, NamedTuple

from benchmark_utils import hypergradient, linear_system
from benchmark_utils.oracles import FULL
from benchmark_utils.sampling import inner, integers, outer
from benchmark_utils.schedules import power_law, theory_or_constant
from benchmark_utils.solver_base import BilevelSolver, Log

VARIANTS = ("paper", "warm_v", "warm_v_full_inner")


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    v: Any  # v ~ -H^{-1} grad_z F, shape (p,); warm start of the linear system, unused by the variant "paper"
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction D_x, shape (d,)
    t: Any  # outer iterations done, integer


class Solver(BilevelSolver):
    """ALSET: alternating SGD, T inner steps and one outer step on a single timescale.

    T. Chen, Y. Sun, W. Yin, "Closing the gap: tighter analysis of alternating stochastic gradient methods for bilevel
    optimization", NeurIPS 2021, arXiv:2106.13781, Algorithm 1 with the estimator of equation (8) (``variant="paper"``).
    R. Grazzi, M. Pontil, S. Salzo, "Bilevel optimization with a lower-level contraction: optimal sample complexity
    without warm-start", JMLR 2023, arXiv:2202.03397, compare with two variants that take one inner step, one step of
    the linear system from the previous v and one outer batch: ``"warm_v"`` (their dagger) and ``"warm_v_full_inner"``
    (their dagger-DET: all samples of G in every product). Both papers solve for q = -v.

    Differs from the paper in: 1. the random length is uniform in 0..Q-1, where equation (8) draws it from 1..Q and
    so drops the first term of the series; 2. both steps decay as (k+1)^{-1/2} (``schedule="theory"``), where the
    paper takes constant steps proportional to K^{-1/2} for a known horizon K.
    """

    name = "ALSET"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "variant": ["paper"],
        "n_inner_steps": [1],
        "n_neumann_steps": [40],
        "schedule": ["theory"],
        "neumann_ratio": [1.0],
        "step_size": [0.5],
        "outer_ratio": [0.7],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer", "full_pass")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "hia", "schedule": "constant", "step_size": 0.3, "n_neumann_steps": 4}
    references = ["T. Chen, Y. Sun, W. Yin. NeurIPS 2021. arXiv:2106.13781"]

    @property
    def static_graph(self):
        """The warm variants draw no lengths."""
        return self.variant != "paper"

    def why_not(self, problem, partitions):
        if self.variant not in VARIANTS:
            return f"variant is {self.variant!r}; it must be one of {', '.join(VARIANTS)}."

    def draws(self):
        T, Q = self.n_inner_steps, self.n_neumann_steps
        if self.variant == "paper":  # of the batches of v the first p are used
            return {"z": inner(T), "v": inner(Q), "p": integers(0, Q), "x": inner(), "f": outer()}
        return {"z": inner(), "v": inner(), "x": inner(), "f": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, v=0 * z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        decay = theory_or_constant(self.schedule, 1 / 2)
        beta = power_law(hp.step_size, s.t, decay)  # inner step
        alpha = power_law(hp.step_size / hp.outer_ratio, s.t, decay)  # outer step

        if self.variant == "paper":
            eta = hp.step_size * hp.neumann_ratio  # step of the series, 1 / L in the paper
            # T inner steps from z_k, then the estimate (8) at (z_{k+1}, x_k).
            T, Q = self.n_inner_steps, self.n_neumann_steps
            z = oracles.repeat(T, lambda k, z: z - beta * oracles.grad_inner(z, s.x, draws.z[k]), s.z)
            D_x, v = hypergradient.hia(oracles, z, s.x, eta, Q, draws.p, draws.v, draws.f, draws.x), s.v
        else:
            eta = power_law(hp.step_size * hp.neumann_ratio, s.t, decay)  # step of the linear system
            full = self.variant == "warm_v_full_inner"
            xi_z, xi_v, xi_x = (FULL,) * 3 if full else (draws.z, draws.v, draws.x)
            # T = K = J = 1: one step each of z and v, then the cross product at the new pair.
            z = s.z - beta * oracles.grad_inner(s.z, s.x, xi_z)
            hvp = lambda k, u: oracles.hvp(z, s.x, u, xi_v)
            solve = lambda b: linear_system.sgd(oracles, hvp, b, s.v, eta, 1)
            D_x, v = hypergradient.implicit(oracles, z, s.x, solve, draws.f, xi_x)
        return State(z=z, v=v, x=oracles.project(s.x - alpha * D_x), d_x=D_x, t=s.t + 1)
