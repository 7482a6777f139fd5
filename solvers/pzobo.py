from typing import NamedTuple

from benchmark_utils.oracles.draws import inner, normal, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver

#: Most normal numbers drawn in one iteration; more would take seconds.
MAX_NORMALS = 2**25


class State(NamedTuple):
    z: Inner
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count


class Solver(BilevelSolver):
    """PZOBO: Jacobian of the unrolled inner loop by finite differences along Gaussian directions.

    D. Sow, K. Ji, Y. Liang, "On the convergence theory for Hessian-free bilevel algorithms",
    NeurIPS 2022, arXiv:2110.07004: Algorithm 1 (PZOBO) with ``batch_size="full"``, Algorithm 2
    (PZOBO-S) where it is a number.

    Parameters
    ----------
    backend : {"jax", "torch", "torch-compiled"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples).
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    warm_start : {"z", "none"}
        Start of the inner loop: "z", at the z of the iteration before; "none", at zero.
    n_inner_steps : int
        T, gradient steps on z in one inner loop.
    n_directions : int
        M, Gaussian directions u_j in one iteration; each takes an inner loop of its own.
    smoothing : float
        mu > 0, length of the differences: the inner loop is run at x and at x + mu u_j.
    step_size : float
        alpha, inner step.
    outer_ratio : float
        alpha / beta, where beta is the outer step.

    Differs from the paper
    ----------------------
    - The perturbed x + mu u is not projected onto X.
    """

    name = "PZOBO"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": ["full"],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "warm_start": ["z"],
        "n_inner_steps": ["tuned"],
        "n_directions": ["tuned"],
        "smoothing": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"warm_start": ("z", "none")}
    search_space = {
        "n_inner_steps": Int(1, 100, start=10),
        "n_directions": Int(1, 100, start=10),
        "smoothing": Log(1e-3, 1.0, start=0.01),
        "step_size": Log(1e-4, 1e3, start="1/L"),
        "outer_ratio": Log(1e-6, 1e3, start=20.0),
    }
    deterministic = {
        "limit": "the random directions leave noise that does not vanish at argmin h; their "
        "average is tested in tests/test_deterministic_limits.py",
        "n_inner_steps": 10,
        "n_directions": 10,
        "smoothing": 0.01,
        "step_size": 0.1,
        "outer_ratio": 1.0,
    }
    references = ["D. Sow, K. Ji, Y. Liang. NeurIPS 2022. arXiv:2110.07004"]

    def why_not(self, problem, partitions):
        if self.smoothing == 0:
            return "smoothing is 0; differences are divided by it, give it a positive number."
        d, M = problem.outer_size, self.n_directions
        if M * d > MAX_NORMALS:
            fits = MAX_NORMALS // d
            return (
                f"{self.name} draws n_directions = {M} directions of {d:,} numbers each in every "
                f"iteration: {M * d:,} normals ({8 * M * d / 2**30:.2g} GiB), more than "
                f"{MAX_NORMALS:,}; " + (f"take at most {fits} directions." if fits else "use a method with gradients.")
            )

    def draws(self):
        directions = normal(self.n_directions, self.problem.outer_size)
        return {"z": inner(self.n_inner_steps), "f": outer(), "u": directions}

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size  # inner step
        beta = hp.step_size / hp.outer_ratio  # outer step
        mu, M = hp.smoothing, self.n_directions

        # The inner loop at any x: T steps from the same start with the same batches.
        start = s.z if self.warm_start == "z" else 0 * s.z

        def z_T(x):
            inner_step = lambda k, z: z - alpha * oracles.grad_inner(z, x, draws.z[k])
            return oracles.repeat(self.n_inner_steps, inner_step, start)

        z = z_T(s.x)
        F_z, F_x = oracles.grad_outer(z, s.x, draws.f)

        # D_x = grad_x F + 1/M sum_j <delta_j, grad_z F> u_j with
        # delta_j = (z_T(x + mu u_j) - z_T(x)) / mu.
        def slope(u):
            return oracles.mean_dot((z_T(s.x + mu * u) - z) / mu, F_z)

        D_x = F_x + oracles.vmap(slope, draws.u) @ draws.u / M
        return State(z=z, x=oracles.project(s.x - beta * D_x), d_x=D_x, t=s.t + 1)
