from typing import NamedTuple

from benchmark_utils.formulas import hypergradient
from benchmark_utils.formulas.krylov import unit
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    v: Inner  # v ~ -H^{-1} grad_z F
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count


class Solver(BilevelSolver):
    """SubBiO: the linear system is solved in the plane of its right-hand side and the last v.

    Y. Yang, B. Gao, Y. Yuan, "LancBiO: dynamic Lanczos-aided bilevel optimization via Krylov
    subspace", ICLR 2025, arXiv:2404.03331, method SubBiO, as the authors' code has it, since of the
    text of the paper only the abstract could be read: with b = grad_z F and W the two columns b and
    (I - eta H) v, the new v is W (W^T H W)^{-1} W^T b. The paper solves for q = -v.

    Parameters
    ----------
    backend : {"jax", "torch", "torch-compiled"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples); "full": all of them.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    n_inner_steps : int
        T, gradient steps on z in one outer iteration.
    linear_ratio : float
        eta / theta, where eta is the step with which the last v enters the plane.
    step_size : float
        theta, step of z.
    outer_ratio : float
        theta / lambda, where lambda is the step of x.

    Differs from the paper
    ----------------------
    - An orthonormal basis takes the place of W (the plane is the same); where its second vector is
      lost to rounding, as at the start, where v is 0, the solution is sought on the line of b.
    - The three products with H of one iteration share a batch; the inner steps, C v and grad F have
      batches of their own.
    - Steps are constant; the authors' code can let them decay, which its settings do not use.
    """

    name = "SubBiO"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "linear_ratio": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    search_space = {
        "n_inner_steps": Int(1, 100, start=1),
        "linear_ratio": Log(1e-2, 1e2, start=1.0),
        "step_size": Log(1e-6, 1e3, start=0.1),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "exact", "n_inner_steps": 1, "linear_ratio": 1.0, "step_size": 0.3,
        "outer_ratio": 3.0,
    }  # fmt: skip
    references = ["Y. Yang, B. Gao, Y. Yuan. ICLR 2025. arXiv:2404.03331"]

    def draws(self):
        return {"z": inner(self.n_inner_steps), "v": inner(), "x": inner(), "f": outer()}

    def step(self, s, oracles, hp, draws):
        theta = hp.step_size  # inner step
        eta = hp.step_size * hp.linear_ratio  # step of the linear system
        lam = hp.step_size / hp.outer_ratio  # outer step

        # T gradient steps on G(., x) from the previous z.
        inner_step = lambda k, z: z - theta * oracles.grad_inner(z, s.x, draws.z[k])
        z = oracles.repeat(self.n_inner_steps, inner_step, s.z)

        # v in the plane of grad_z F and (I - eta H) v; then the hypergradient estimate.
        hvp = lambda u: oracles.hvp(z, s.x, u, draws.v)
        solve = lambda b: self.in_plane(oracles, hvp, -b, s.v - eta * hvp(s.v))
        D_x, v = hypergradient.implicit(oracles, z, s.x, solve, draws.f, draws.x)
        return State(z=z, v=v, x=oracles.project(s.x - lam * D_x), d_x=D_x, t=s.t + 1)

    def in_plane(self, oracles, hvp, b, other):
        """Return the v in the plane of b and ``other`` with H v - b orthogonal to it."""
        xp, dot = oracles.bk.xp, oracles.dot
        norm, e = unit(oracles, b, 0, self.precision)
        size = xp.sqrt(dot(other, other))
        _, f = unit(oracles, other - dot(e, other) * e, size, self.precision)

        # Two equations for the coefficients of e and f; a lost vector gets the equation 1 * 0 = 0.
        He, Hf = hvp(e), hvp(f)
        one = lambda a: 1 - dot(a, a)  # 0 for a unit vector up to rounding, 1 for a lost one
        ee, ff = dot(e, He) + one(e), dot(f, Hf) + one(f)
        ef, fe = dot(e, Hf), dot(f, He)
        determinant = ee * ff - ef * fe
        return norm * (ff * e - fe * f) / determinant
