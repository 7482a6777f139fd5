from typing import NamedTuple

from benchmark_utils.formulas.steps import momentum, power_law, theory_or_constant
from benchmark_utils.formulas.variance_reduction import storm
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.projections import ball, eigenvalue_floor
from benchmark_utils.problem.variables import Count, Inner, Matrix, Outer
from benchmark_utils.running.search_space import Log
from benchmark_utils.running.solver import BilevelSolver

#: Most numbers in H, C and the products that build them; more would take minutes an iteration.
MAX_NUMBERS = 2**25


class State(NamedTuple):
    z: Inner
    x: Outer
    d_x: Outer  # last outer direction
    t: Count
    H: Matrix("z", "z")  # estimate of H, eigenvalues at least mu
    C: Matrix("x", "z")  # estimate of C
    g: Inner  # estimate of grad_z G
    f_z: Inner  # estimate of grad_z F
    f_x: Outer  # estimate of grad_x F
    z_old: Inner.start  # z and x of one iteration before, at which the estimates were taken
    x_old: Outer.start


class Solver(BilevelSolver):
    """STABLE-VR: momentum estimates of H, C and all gradients; H is inverted every iteration.

    Z. Guo, Q. Hu, L. Zhang, T. Yang, "Randomized stochastic variance-reduced methods for
    multi-task stochastic bilevel optimization", arXiv:2105.02266, with one task (SVRB). All five
    quantities are recursive and the z-step is plain.

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
    schedule : {"theory", "constant"}
        "theory": the steps decay as (1 + t / m)^{-1/3}, the momentum weight as
        (1 + t / m)^{-2/3}; "constant": they do not.
    momentum : float
        tau, weight in new + (1 - tau) (estimate - old) of all estimates, in (0, 1] (at t = 0 of the
        decay); 1 keeps no memory. The first iteration takes 1.
    decay_offset : float
        m of the decay (1 + t / m)^{-e} (iterations); 1 gives powers of t + 1.
    mu : float
        Least eigenvalue of the estimate of H. Above the true constant of strong convexity of G it
        biases the direction, however small the noise; far below it noise in small eigenvalues of
        the estimate is blown up when it is inverted. The start is just below the constant measured
        at the first point, 1e-3 where it was not measured.
    radius : float
        Largest Frobenius norm of the estimate of C.
    step_size : float
        rho, step of z (at t = 0 where steps decay).
    outer_ratio : float
        rho / gamma, where gamma is the step of x.

    Differs from the paper
    ----------------------
    - ``schedule="theory"`` lets the steps decay as t^{-1/3} and the weights as t^{-2/3}.
    - One weight for all estimates, and 1 at the first iteration.
    - C is projected on a Frobenius ball.
    - Each dense matrix is counted as the min(p, d) or p products with vectors that build it.
    """

    name = "STABLE-VR"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "schedule": ["theory"],
        "momentum": ["tuned"],
        "decay_offset": ["tuned"],
        "mu": ["tuned"],
        "radius": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"schedule": ("theory", "constant")}
    search_space = {
        "momentum": Log(1e-2, 1.0, start=0.5),
        "decay_offset": Log(1.0, 1e4, start=1.0),
        "mu": Log(1e-6, 1.0, start="mu"),
        "radius": Log(1.0, 1e6, start=1e3),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=0.3),
    }
    deterministic = {
        "limit": "exact", "schedule": "constant", "momentum": 0.1, "mu": 0.1, "radius": 1e3,
        "step_size": 0.3, "outer_ratio": 3.0,
    }  # fmt: skip
    references = ["Z. Guo, Q. Hu, L. Zhang, T. Yang. 2021. arXiv:2105.02266"]

    def why_not(self, problem, partitions):
        p, d, b = problem.inner_size, problem.outer_size, partitions["inner"].batch_size
        if p * (p + d + b) > MAX_NUMBERS:
            return (
                f"{self.name} keeps dense {p} x {p} and {d} x {p} matrices, built from {p} "
                f"products with batches of {b} rows: {p * (p + d + b):,} numbers, more than "
                f"{MAX_NUMBERS:,}; choose a problem with fewer inner variables or a smaller "
                "batch_size, or a method that keeps vectors only, such as FSLA."
            )

    def draws(self):
        return {"z": inner(), "h": inner(), "f": outer()}

    def step(self, s, oracles, hp, draws):
        oracles.need_symmetry()  # the projection of H makes it symmetric
        m, decay = hp.decay_offset, theory_or_constant(self.schedule, 1 / 3)
        rho = power_law(hp.step_size, s.t, decay, m)
        gamma = rho / hp.outer_ratio
        tau = momentum(self.bk, power_law(hp.momentum, s.t, 2 * decay, m), s.t)

        # All five quantities from the same batches at (z_k, x_k) and at (z_{k-1}, x_{k-1}).
        def quantities(z, x):
            H, C = oracles.hessian_matrix(z, x, draws.h), oracles.cross_matrix(z, x, draws.h)
            return H, C, oracles.grad_inner(z, x, draws.z), *oracles.grad_outer(z, x, draws.f)

        new, old = oracles.at_points(quantities, (s.z, s.x), (s.z_old, s.x_old))
        estimates = s.H, s.C, s.g, s.f_z, s.f_x
        H, C, g, f_z, f_x = (storm(*each, tau) for each in zip(estimates, new, old, strict=True))
        H, H_inverse = eigenvalue_floor(self.bk.xp, H, hp.mu)
        C = ball(self.bk.xp, C, hp.radius)

        # Outer step along f_x + C v with v = -H^{-1} f_z, plain inner step.
        D_x = f_x - C @ (H_inverse @ f_z)
        x = oracles.project(s.x - gamma * D_x)
        z = s.z - rho * g
        return State(z=z, x=x, d_x=D_x, t=s.t + 1, H=H, C=C, g=g, f_z=f_z, f_x=f_x, z_old=s.z, x_old=s.x)
