import math
from typing import Any, NamedTuple

from benchmark_utils import hypergradient
from benchmark_utils.sampling import inner, integers, outer
from benchmark_utils.schedules import growing_lengths, length_at, power_law, theory_or_constant
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction D_x, shape (d,)
    t: Any  # outer iterations done, integer


class Solver(BilevelSolver):
    """BSA: inner SGD, one random term of the Neumann series (HIA), one projected outer step.

    S. Ghadimi, M. Wang, "Approximation methods for bilevel programming", 2018, arXiv:1802.02246, Algorithm 2 (BSA)
    with Algorithm 3 for the inverse Hessian. The paper solves for q = -v.

    Differs from the paper in: 1. batches of ``batch_size`` rows instead of single samples; 2. z is carried over
    (``warm_start="z"``), the paper restarts from a fixed point (``"none"``: from zero); 3. the inner step is constant
    within an outer iteration and decays as k^{-1/2} across them (``schedule="theory"``), where the paper lets it decay
    within the loop; 4. T_k is constant, or ceil(T sqrt(k+1)) capped at ``max_inner_steps``
    (``inner_schedule="theory"``); 5. the length Q of the series is constant, where the paper lets it grow with log k.
    """

    name = "BSA"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "n_inner_steps": [10],
        "inner_schedule": ["constant"],
        "max_inner_steps": [100],
        "n_neumann_steps": [40],
        "warm_start": ["z"],
        "schedule": ["theory"],
        "neumann_ratio": [1.0],
        "step_size": [0.5],
        "outer_ratio": [0.5],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "hia", "schedule": "constant", "step_size": 0.3, "n_neumann_steps": 4}
    references = ["S. Ghadimi, M. Wang. 2018. arXiv:1802.02246"]
    static_graph = False

    def why_not(self, problem, partitions):
        if self.inner_schedule not in ("constant", "theory"):
            return f"inner_schedule is {self.inner_schedule!r}; it must be 'constant' or 'theory'."
        if self.warm_start not in ("none", "z"):
            return f"warm_start is {self.warm_start!r}; it must be 'none' or 'z'."

    @property
    def inner_lengths(self):
        """T_0, T_1, ..., the last entry standing for all later ones."""
        T = self.n_inner_steps
        if self.inner_schedule == "constant":
            return [T]
        # ceil(T sqrt(k + 1)) in integers
        return growing_lengths(lambda k: 1 + math.isqrt(T * T * (k + 1) - 1), self.max_inner_steps)

    def draws(self):
        # Of the batches of z and v the first T_k and the first p are used.
        Q = self.n_neumann_steps
        return {"z": inner(self.inner_lengths[-1]), "v": inner(Q), "p": integers(0, Q), "x": inner(), "f": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        decay = theory_or_constant(self.schedule, 1 / 2)
        beta = power_law(hp.step_size, s.t, decay)  # inner step
        alpha = power_law(hp.step_size / hp.outer_ratio, s.t, decay)  # outer step
        eta = hp.step_size * hp.neumann_ratio  # step of the series, 1 / L in the paper

        # Algorithm 2: T_k inner steps at x_k.
        T_k = length_at(self.bk, self.inner_lengths, s.t)
        z = s.z if self.warm_start == "z" else 0 * s.z
        z = oracles.repeat(T_k, lambda k, z: z - beta * oracles.grad_inner(z, s.x, draws.z[k]), z)

        # Hypergradient estimate at (z_{k+1}, x_k): Q eta prod_{i<p} (I - eta H_i), p uniform in 0..Q-1.
        Q, p = self.n_neumann_steps, draws.p
        D_x = hypergradient.hia(oracles, z, s.x, eta, Q, p, draws.v, draws.f, draws.x)
        return State(z=z, x=oracles.project(s.x - alpha * D_x), d_x=D_x, t=s.t + 1)
