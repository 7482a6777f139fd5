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
    z_old: Inner.start  # z and x of one iteration before, at which H and C were taken
    x_old: Outer.start


class Solver(BilevelSolver):
    """STABLE: single time scale, dense momentum estimates of H and C, inverted every iteration.

    T. Chen, Y. Sun, Q. Xiao, W. Yin, "A single-timescale method for stochastic bilevel
    optimization", AISTATS 2022, arXiv:2102.04671. H and C are recursive, the gradients plain, and
    the z-step follows the change of x.

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
        "theory": the steps and the momentum weights decay as (1 + t / m)^{-1/2}; "constant": they
        do not.
    momentum : float
        tau, weight in new + (1 - tau) (estimate - old) of H, in (0, 1] (at t = 0 of the decay); 1
        keeps no memory. The first iteration takes 1.
    cross_momentum : float
        The same weight of C.
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
    - ``schedule="theory"`` lets steps and weights decay as t^{-1/2}, where the paper takes
      constants proportional to K^{-1/2}.
    - The weights are 1 at the first iteration.
    - C is projected on a Frobenius ball.
    - Each dense matrix is counted as the min(p, d) or p products with vectors that build it.
    """

    name = "STABLE"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "schedule": ["theory"],
        "momentum": ["tuned"],
        "cross_momentum": ["tuned"],
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
        "cross_momentum": Log(1e-2, 1.0, start=0.5),
        "decay_offset": Log(1.0, 1e4, start=1.0),
        "mu": Log(1e-6, 1.0, start="mu"),
        "radius": Log(1.0, 1e6, start=1e3),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=0.3),
    }
    deterministic = {
        "limit": "exact", "schedule": "constant", "momentum": 0.5, "cross_momentum": 0.5, "mu": 0.1,
        "radius": 1e3, "step_size": 0.3, "outer_ratio": 3.0,
    }  # fmt: skip
    references = ["T. Chen, Y. Sun, Q. Xiao, W. Yin. AISTATS 2022. arXiv:2102.04671"]

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
        m, decay = hp.decay_offset, theory_or_constant(self.schedule, 1 / 2)
        rho = power_law(hp.step_size, s.t, decay, m)
        gamma = rho / hp.outer_ratio
        weight = lambda tau: momentum(self.bk, power_law(tau, s.t, decay, m), s.t)

        # Recursive estimates of H and C, from the same batch at both points, and their projections.
        def dense(z, x):
            return oracles.hessian_matrix(z, x, draws.h), oracles.cross_matrix(z, x, draws.h)

        new, old = oracles.at_points(dense, (s.z, s.x), (s.z_old, s.x_old))
        H, H_inverse = eigenvalue_floor(self.bk.xp, storm(s.H, new[0], old[0], weight(hp.momentum)), hp.mu)
        C = ball(self.bk.xp, storm(s.C, new[1], old[1], weight(hp.cross_momentum)), hp.radius)

        # Plain gradients.
        D_z = oracles.grad_inner(s.z, s.x, draws.z)
        F_z, F_x = oracles.grad_outer(s.z, s.x, draws.f)

        # Outer step along grad_x F + C v with v = -H^{-1} grad_z F.
        D_x = F_x - C @ (H_inverse @ F_z)
        x = oracles.project(s.x - gamma * D_x)

        # Inner step, with the first-order change of z*(x).
        z = s.z - rho * D_z - H_inverse @ (C.T @ (x - s.x))
        return State(z=z, x=x, d_x=D_x, t=s.t + 1, H=H, C=C, z_old=s.z, x_old=s.x)
