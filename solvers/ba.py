import math
from typing import Any, NamedTuple

from benchmark_utils import hypergradient, linear_system
from benchmark_utils.sampling import inner, outer
from benchmark_utils.schedules import growing_lengths, length_at
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction D_x, shape (d,)
    t: Any  # outer iterations done, integer


class Solver(BilevelSolver):
    """BA: bilevel approximation, deterministic, inner gradient descent of growing length without warm start.

    S. Ghadimi, M. Wang, "Approximation methods for bilevel programming", 2018, arXiv:1802.02246, Algorithm 1.
    The paper solves for q = -v.

    Differs from the paper in: 1. the inverse Hessian, exact in the paper's Algorithm 1, is a truncated Neumann series
    of Q_k products; 2. T_k = ceil(T (k + 1)^{1/4}), the paper's growth, and Q_k = ceil(Q (k + 1)^{1/4}) are capped at
    ``max_steps``; ``schedule="constant"`` keeps T and Q; 3. every inner loop starts from zero (``warm_start="none"``)
    or, as codes do, from the previous z (``"z"``); 4. where ``batch_size`` is a number, which the paper's stochastic
    method BSA treats differently, all sums of one outer iteration run over one block of G and one of F.
    """

    name = "BA"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": ["full"],
        "n_inner_steps": [10],
        "n_neumann_steps": [10],
        "max_steps": [40],
        "warm_start": ["none"],
        "schedule": ["theory"],
        "neumann_ratio": [1.0],
        "step_size": [1.0],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer", "full_pass")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {
        "limit": "neumann", "schedule": "constant", "warm_start": "z", "step_size": 0.3, "outer_ratio": 3.0,
        "n_neumann_steps": 4,
    }  # fmt: skip
    references = ["S. Ghadimi, M. Wang. 2018. arXiv:1802.02246"]

    def why_not(self, problem, partitions):
        for name, choices in (("schedule", ("theory", "constant")), ("warm_start", ("none", "z"))):
            if getattr(self, name) not in choices:
                return f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(choices)}."

    @property
    def static_graph(self):
        """Lengths that follow the counter are known at run time only."""
        return self.schedule == "constant"

    def length(self, n, t):
        """Return n, or ceil(n (t + 1)^{1/4}) up to the cap, computed in integers."""
        grown = lambda k: 1 + math.isqrt(math.isqrt(n**4 * (k + 1) - 1))
        lengths = [n] if self.schedule == "constant" else growing_lengths(grown, self.max_steps)
        return length_at(self.bk, lengths, t)

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        beta = hp.step_size  # inner step, 2 / (L + mu) in the paper
        eta = hp.step_size * hp.neumann_ratio  # step of the series
        alpha = hp.step_size / hp.outer_ratio  # outer step
        T_k, Q_k = self.length(self.n_inner_steps, s.t), self.length(self.n_neumann_steps, s.t)
        xi, zeta = draws.xi, draws.zeta

        # Step 1: T_k gradient steps on G(., x_k).
        z = s.z if self.warm_start == "z" else 0 * s.z
        z = oracles.repeat(T_k, lambda k, z: z - beta * oracles.grad_inner(z, s.x, xi), z)

        # Step 2: hypergradient estimate at (z, x_k), here with Q_k products, and projected outer step.
        hvp = lambda k, u: oracles.hvp(z, s.x, u, xi)
        solve = lambda b: linear_system.shia(oracles, hvp, b, None, eta, Q_k)
        D_x, _ = hypergradient.implicit(oracles, z, s.x, solve, zeta, xi)
        return State(z=z, x=oracles.project(s.x - alpha * D_x), d_x=D_x, t=s.t + 1)
