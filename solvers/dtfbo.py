from typing import NamedTuple

from benchmark_utils.formulas.steps import cumulative
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer, Scalar
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    v: Inner  # v ~ -H^{-1} grad_z F
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count
    sum_z: Scalar  # of ‖D_z‖^2 so far: beta^2 - beta_0^2
    sum_v: Scalar  # of ‖D_v‖^2: gamma^2 - gamma_0^2
    sum_x: Scalar  # of ‖D_x‖^2: alpha^2 - alpha_0^2


class Solver(BilevelSolver):
    """D-TFBO: two inner loops and an outer step, all steps inverses of cumulative gradient norms.

    Y. Yang, H. Ban, M. Huang, S. Ma, K. Ji, "Tuning-free bilevel optimization: new algorithms and
    convergence analysis", ICLR 2025, arXiv:2410.05140, Algorithm 1 (D-TFBO), as the authors' code
    has it, since the text of the paper could not be read: each step on z adds ‖D_z‖^2 to beta^2 and
    has length 1 / beta; so does each step on v with D_v and gamma, and the step on x with D_x and
    alpha. None of the three sums is ever set back. The paper solves for q = -v.

    Parameters
    ----------
    backend : {"jax", "torch", "torch-compiled"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples); "full": all of them, as in the theory.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    n_inner_steps : int
        Steps on z in one outer iteration, at most.
    n_linear_steps : int
        Steps on v in one outer iteration, at most.
    tolerance : float
        epsilon: an inner loop ends before the first step whose squared gradient norm is at most
        this; 0: all steps are taken.
    step_size : float
        1 / beta_0 = 1 / gamma_0, the step of z and of v that the first ones stay below.
    outer_ratio : float
        alpha_0 / beta_0. The step of x starts below 1 / alpha_0 = step_size / outer_ratio.

    Differs from the paper
    ----------------------
    - The inner loops have a fixed length by default, as in the authors' code; a later paper on
      manifolds (AdaRHD) restates the algorithm with loops that run until the squared norm is at
      most 1 / T, with T the number of outer iterations: that is ``tolerance``, with a cap.
    - beta_0 and gamma_0 are one parameter (in the authors' code all three are 5 on one problem).
    - The theory is that of full batches; the default is mini-batches, as in the authors' code: a new
      batch of G for each step, one of F for the whole iteration, where the code draws one of F for
      each step on v.
    - In a problem with tasks the norms of D_z and D_v are means over the drawn tasks, which share
      their steps.
    """

    name = "D-TFBO"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "n_linear_steps": ["tuned"],
        "tolerance": [0.0],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    search_space = {
        "n_inner_steps": Int(1, 100, start=10),
        "n_linear_steps": Int(1, 100, start=10),
        "step_size": Log(1e-4, 1e3, start=1.0),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "exact", "step_size": 0.5, "outer_ratio": 1.0, "n_inner_steps": 3,
        "n_linear_steps": 3,
    }  # fmt: skip
    references = ["Y. Yang, H. Ban, M. Huang, S. Ma, K. Ji. ICLR 2025. arXiv:2410.05140"]

    @property
    def static_graph(self):
        """A loop that ends early has a random length."""
        return self.tolerance == 0

    def draws(self):
        T, N = self.n_inner_steps, self.n_linear_steps
        return {"z": inner(T), "v": inner(N), "x": inner(), "f": outer()}

    def descend(self, oracles, direction, n, first_inverse, start, total):
        """Return (the last iterate, the sum of squared norms) of at most n steps along a direction."""
        xp = self.bk.xp

        def move(k, w, total):
            D = direction(k, w)
            square = oracles.mean_dot(D, D)
            more = xp.logical_not(square <= self.tolerance)  # NaN goes on, and is seen as divergence
            total = xp.where(more, total + square, total)
            return xp.where(more, w - D / cumulative(xp, first_inverse, total), w), total, more

        def step(k, carry):
            w, total, more = carry
            if self.tolerance == 0:
                return move(k, w, total)
            stay = lambda w, total: (w, total, more)
            return oracles.cond(more, lambda w, total: move(k, w, total), stay, w, total)

        return oracles.repeat(n, step, (start, total, total >= 0))[:2]

    def step(self, s, oracles, hp, draws):
        beta_0, alpha_0 = 1 / hp.step_size, hp.outer_ratio / hp.step_size

        # Steps on G(., x) from the previous z.
        D_z = lambda k, z: oracles.grad_inner(z, s.x, draws.z[k])
        z, sum_z = self.descend(oracles, D_z, self.n_inner_steps, beta_0, s.z, s.sum_z)

        # Steps on the quadratic 1/2 v.Hv + v.grad_z F from the previous v.
        F_z, F_x = oracles.grad_outer(z, s.x, draws.f)
        D_v = lambda k, v: oracles.hvp(z, s.x, v, draws.v[k]) + F_z
        v, sum_v = self.descend(oracles, D_v, self.n_linear_steps, beta_0, s.v, s.sum_v)

        # Hypergradient estimate and outer step.
        D_x = F_x + oracles.cross(z, s.x, v, draws.x)
        sum_x = s.sum_x + self.bk.xp.sum(D_x * D_x)
        x = oracles.project(s.x - D_x / cumulative(self.bk.xp, alpha_0, sum_x))
        return State(z=z, v=v, x=x, d_x=D_x, t=s.t + 1, sum_z=sum_z, sum_v=sum_v, sum_x=sum_x)
