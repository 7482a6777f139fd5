from typing import NamedTuple

from benchmark_utils.formulas.krylov import bordered, solve_leading, unit
from benchmark_utils.formulas.steps import length_at
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Matrix, Outer, Scalar
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver

#: Vectors that the basis has room for.
ROOM = 20
#: Sizes of a growing basis: 1.3 times the one before, rounded up.
GROWING = (1, 2, 3, 4, 6, 8, 11, 15, 20)


class State(NamedTuple):
    z: Inner
    v: Inner  # v ~ -H^{-1} grad_z F
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count
    v_bar: Inner  # v at the last restart
    w: Inner  # H v_bar, computed there
    q: Inner  # next Lanczos vector, not yet in the basis
    q_old: Inner  # the one before
    beta: Scalar  # coupling of the two
    basis: Matrix(ROOM, "z")  # Lanczos vectors since the last restart, one a row
    T: Matrix(ROOM, ROOM)  # tridiagonal, of as many rows as the basis has vectors
    size: Count  # of the basis


class Solver(BilevelSolver):
    """LancBiO: one Lanczos step in each iteration, on the residual of the linear system.

    Y. Yang, B. Gao, Y. Yuan, "LancBiO: dynamic Lanczos-aided bilevel optimization via Krylov
    subspace", ICLR 2025, arXiv:2404.03331, method LancBiO, as the authors' code of the synthetic
    problem has it, since of the paper only the abstract could be read. The basis Q and the
    tridiagonal T grow by one row an iteration, with the H of that iteration; v is v_bar +
    Q^T T^{-1} Q (b - H v_bar) with the newest b = -grad_z F. A full basis starts anew from the
    residual of v. The paper solves for q = -v.

    Parameters
    ----------
    backend : {"jax", "torch"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples); "full": all of them.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    n_inner_steps : int
        Gradient steps on z in one outer iteration.
    dimension : int
        m, vectors of a full basis; at most 20, and the number of inner variables.
    dimension_schedule : {"growing", "constant"}
        "growing": from 1 vector to m, 1.3 times as many (rounded up) in each period; "constant": m.
    growth_period : int
        Outer iterations in a period; not used with "constant".
    step_size : float
        theta, step of z.
    outer_ratio : float
        theta / lambda, where lambda is the step of x.

    Differs from the paper
    ----------------------
    - The basis starts anew when it is full, where the code asks for an iteration that is divisible
      by m: the same where m is constant, and no basis outgrows m while m grows.
    - A Lanczos vector that is lost to rounding is left out until the next restart.
    - The code for hyper-cleaning holds up to 300 vectors, without restarts, for 250 iterations.
    - The default is full batches: from mini-batches T need not be positive definite. With 64 rows
      and 10 vectors runs on two small problems diverged, those with 3 vectors did not.
    """

    name = "LancBiO"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": ["full"],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "dimension": ["tuned"],
        "dimension_schedule": ["growing"],
        "growth_period": [50],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"dimension_schedule": ("growing", "constant")}
    search_space = {
        "n_inner_steps": Int(1, 100, start=1),
        "dimension": Int(1, ROOM, start=10),
        "step_size": Log(1e-6, 1e3, start=0.1),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {"limit": "exact", "dimension": 3, "step_size": 0.3, "outer_ratio": 3.0}
    references = ["Y. Yang, B. Gao, Y. Yuan. ICLR 2025. arXiv:2404.03331"]
    static_graph = False

    def why_not(self, problem, partitions):
        if self.dimension > ROOM:
            return f"dimension is {self.dimension}; the basis has room for {ROOM} vectors."
        if problem.tasks is not None:
            return f"{self.name} keeps no basis for each task; choose SubBiO, which needs none."

    def draws(self):
        return {"z": inner(self.n_inner_steps), "v": inner(), "x": inner(), "f": outer()}

    def dimension_at(self, t):
        """Return the number of vectors that fill the basis in iteration t."""
        last = min(self.dimension, self.problem.inner_size)
        sizes = [min(n, last) for n in (GROWING if self.dimension_schedule == "growing" else [last])]
        return length_at(self.bk, sizes, (t + 1) // self.growth_period)

    def step(self, s, oracles, hp, draws):
        oracles.need_symmetry()
        xp, dot, theta, lam = self.bk.xp, oracles.dot, hp.step_size, hp.step_size / hp.outer_ratio

        # Gradient steps on G(., x) from the previous z; right-hand side of H v = b.
        inner_step = lambda k, z: z - theta * oracles.grad_inner(z, s.x, draws.z[k])
        z = oracles.repeat(self.n_inner_steps, inner_step, s.z)
        F_z, F_x = oracles.grad_outer(z, s.x, draws.f)
        b, hvp = -F_z, lambda u: oracles.hvp(z, s.x, u, draws.v)

        def restart(v):
            w = hvp(v)
            return v, w, unit(oracles, b - w, 0, self.precision)[1], 0 * s.q_old, 0 * s.beta

        full = (s.t == 0) | (s.size >= self.dimension_at(s.t))
        go_on = lambda v: (s.v_bar, s.w, s.q, s.q_old, s.beta)
        v_bar, w, q, q_old, beta = oracles.cond(full, restart, go_on, s.v)
        last = self.bk.select(full, 0 * s.size, s.size)  # index of the vector that comes in

        # Lanczos step: q comes into the basis, and T gets its row and column.
        Hq = hvp(q)
        u = Hq - beta * q_old
        alpha = dot(q, u) + (1 - dot(q, q))  # 1 for a lost vector, whose equation is 1 * s = 0
        basis, T = self.bk.row_set(s.basis, last, q), bordered(xp, s.T, last, alpha, beta)
        beta_next, q_next = unit(oracles, u - alpha * q, xp.sqrt(dot(Hq, Hq)), self.precision)

        # v = v_bar + Q^T T^{-1} Q (b - w).
        v = v_bar + xp.vecmat(solve_leading(xp, T, xp.matvec(basis, b - w), last), basis)

        # Hypergradient estimate and outer step.
        D_x = F_x + oracles.cross(z, s.x, v, draws.x)
        return State(
            z=z, v=v, x=oracles.project(s.x - lam * D_x), d_x=D_x, t=s.t + 1, v_bar=v_bar, w=w,
            q=q_next, q_old=q, beta=beta_next, basis=basis, T=T, size=last + 1,
        )  # fmt: skip
