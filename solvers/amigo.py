from typing import Any, NamedTuple

from benchmark_utils import hypergradient, linear_system
from benchmark_utils.sampling import inner, outer
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    v: Any  # v ~ -H^{-1} grad_z F, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction D_x, shape (d,)
    t: Any  # outer iterations done, integer


class Solver(BilevelSolver):
    """AmIGO: amortised implicit gradients, inner and linear-system SGD both warm started, constant lengths.

    M. Arbel, J. Mairal, "Amortized implicit differentiation for stochastic bilevel optimization", ICLR 2022,
    arXiv:2111.14580, Algorithm 1. A_k is stochastic gradient descent (``inner_solver="gd"``) or Nesterov's
    accelerated gradient, started anew at each outer iteration (``"nesterov"``); B_k is stochastic gradient descent
    (``linear_solver="gd"``) or conjugate gradients (``"cg"``).

    Differs from the paper in: 1. the accelerated variants run on mini-batches too: conjugate gradients draw one batch
    for all products of one solve (and need one product more), and the weights of Nesterov's method are k / (k + 3).
    """

    name = "AmIGO"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "n_inner_steps": [10],
        "n_linear_steps": [10],
        "inner_solver": ["gd"],
        "linear_solver": ["gd"],
        "linear_ratio": [1.0],
        "step_size": [0.1],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "exact", "step_size": 0.3, "outer_ratio": 3.0, "n_inner_steps": 3, "n_linear_steps": 3}
    references = ["M. Arbel, J. Mairal. ICLR 2022. arXiv:2111.14580"]

    def why_not(self, problem, partitions):
        if self.inner_solver not in ("gd", "nesterov") or self.linear_solver not in ("gd", "cg"):
            return (
                f"inner_solver is {self.inner_solver!r} and linear_solver {self.linear_solver!r}; choose 'gd' or "
                "'nesterov', and 'gd' or 'cg'."
            )
        if self.linear_solver == "cg" and "symmetric_hvp" not in problem.offers:
            return f"linear_solver 'cg' needs a symmetric H, which {problem.name} does not have; choose 'gd'."

    def draws(self):
        n_products = 1 if self.linear_solver == "cg" else self.n_linear_steps
        return {"z": inner(self.n_inner_steps), "v": inner(n_products), "x": inner(), "f": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, v=0 * z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size  # inner step
        beta = hp.step_size * hp.linear_ratio  # step of the linear system
        gamma = hp.step_size / hp.outer_ratio  # outer step

        # A_k: T gradient steps on G(., x) from the previous z, plain or accelerated.
        def inner_step(k, carry):
            z_old, z = carry
            y = z
            if self.inner_solver == "nesterov":  # 0 * alpha gives the counter the floating type of alpha
                y = z + (k + 0 * alpha) / (k + 3) * (z - z_old)
            return z, y - alpha * oracles.grad_inner(y, s.x, draws.z[k])

        _, z = oracles.repeat(self.n_inner_steps, inner_step, (s.z, s.z))

        # B_k: N steps on the quadratic 1/2 v.Hv + v.grad_z F from the previous v; outer step with a fresh batch for
        # the cross product.
        if self.linear_solver == "cg":
            hvp = lambda k, u: oracles.hvp(z, s.x, u, draws.v[0])
            solve = lambda b: linear_system.cg(oracles, hvp, b, s.v, beta, self.n_linear_steps)
        else:
            hvp = lambda k, u: oracles.hvp(z, s.x, u, draws.v[k])
            solve = lambda b: linear_system.sgd(oracles, hvp, b, s.v, beta, self.n_linear_steps)
        D_x, v = hypergradient.implicit(oracles, z, s.x, solve, draws.f, draws.x)
        return State(z=z, v=v, x=oracles.project(s.x - gamma * D_x), d_x=D_x, t=s.t + 1)
