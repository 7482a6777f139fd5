from typing import Any, NamedTuple

from benchmark_utils.sampling import inner, normal, outer
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction D_x, shape (d,)
    t: Any  # outer iterations done, integer


class Solver(BilevelSolver):
    """PZOBO: the Jacobian of the unrolled inner loop by finite differences along Gaussian directions; also HOZOG.

    D. Sow, K. Ji, Y. Liang, "On the convergence theory for Hessian-free bilevel algorithms", NeurIPS 2022,
    arXiv:2110.07004: Algorithm 1 (PZOBO) with ``batch_size="full"``, Algorithm 2 (PZOBO-S) where it is a number.
    ``variant="HOZOG"``: B. Gu et al., "Optimizing large-scale hyperparameters via automated learning algorithm", 2021,
    arXiv:2102.09026, finite differences of F(z_T(x), x) itself; its black box starts afresh (``warm_start="none"``).

    Differs from the paper in: 1. the perturbed x + mu u is not projected onto X, in either variant; 2. HOZOG has
    ``warm_start="z"`` by default like PZOBO, and Gaussian directions, where the paper takes them on the unit sphere
    with a factor d.
    """

    name = "PZOBO"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": ["full"],
        "variant": ["PZOBO"],
        "n_inner_steps": [10],
        "n_directions": [10],
        "warm_start": ["z"],
        "smoothing": [0.01],
        "step_size": [0.3],
        "outer_ratio": [0.02],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "grad_outer", "value_outer", "full_pass")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3), "smoothing": Log(1e-3, 1e0)}
    deterministic = {
        "limit": "the random directions leave noise that does not vanish at argmin h; their average is tested in "
        "tests/test_deterministic_limits.py",
        "step_size": 0.1,
        "outer_ratio": 1.0,
    }
    references = ["D. Sow, K. Ji, Y. Liang. NeurIPS 2022. arXiv:2110.07004", "B. Gu et al. 2021. arXiv:2102.09026"]

    def why_not(self, problem, partitions):
        for name, choices in (("variant", ("PZOBO", "HOZOG")), ("warm_start", ("none", "z"))):
            if getattr(self, name) not in choices:
                return f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(choices)}."
        if not self.smoothing > 0:
            return f"smoothing is {self.smoothing}; differences are divided by it, give it a positive number."

    def draws(self):
        directions = normal(self.n_directions, self.problem.outer_size)
        return {"z": inner(self.n_inner_steps), "f": outer(), "u": directions}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size  # inner step
        beta = hp.step_size / hp.outer_ratio  # outer step
        mu, M, xp = hp.smoothing, self.n_directions, self.bk.xp

        # The inner loop at any x: T steps from the same start with the same batches.
        start = s.z if self.warm_start == "z" else 0 * s.z

        def z_T(x):
            body = lambda k, z: z - alpha * oracles.grad_inner(z, x, draws.z[k])
            return oracles.repeat(self.n_inner_steps, body, start)

        z = z_T(s.x)
        if self.variant == "PZOBO":
            # D_x = grad_x F + 1/M sum_j <delta_j, grad_z F> u_j with delta_j = (z_T(x + mu u_j) - z_T(x)) / mu.
            F_z, F_x = oracles.grad_outer(z, s.x, draws.f)
            slope = lambda u: xp.sum((z_T(s.x + mu * u) - z) / mu * F_z)
        else:
            # D_x = 1/M sum_j (F(z_T(x + mu u_j), x + mu u_j) - F(z_T(x), x)) / mu u_j.
            value, F_x = oracles.value_outer(z, s.x, draws.f), 0 * s.x
            slope = lambda u: (oracles.value_outer(z_T(s.x + mu * u), s.x + mu * u, draws.f) - value) / mu

        D_x = F_x + oracles.repeat(M, lambda j, total: total + slope(draws.u[j]) * draws.u[j], 0 * s.x) / M
        return State(z=z, x=oracles.project(s.x - beta * D_x), d_x=D_x, t=s.t + 1)
