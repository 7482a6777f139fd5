from typing import NamedTuple

from benchmark_utils.formulas import hypergradient, linear_system
from benchmark_utils.formulas.outer_step import OPTIMISERS, outer_step
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
    m_x: Outer.only_with("outer_optimiser", "heavy_ball", "adam")  # average of D_x
    s_x: Outer.only_with("outer_optimiser", "adam")  # average of its squares


class Solver(BilevelSolver):
    """AmIGO: amortised implicit gradients, both inner loops warm started and of constant length.

    M. Arbel, J. Mairal, "Amortized implicit differentiation for stochastic bilevel optimization",
    ICLR 2022, arXiv:2111.14580, Algorithm 1.

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
        T, steps of A_k in one outer iteration.
    n_linear_steps : int
        N, steps of B_k in one outer iteration.
    n_cross_batches : int
        J, mini-batches of the mean cross product; 1 in the paper, N in Grazzi et al. (JMLR 2023).
    inner_solver : {"gd", "nesterov"}
        A_k: stochastic gradient descent, or Nesterov's accelerated gradient started anew at each
        outer iteration.
    linear_solver : {"gd", "cg", "normal"}
        B_k: stochastic gradient descent on 1/2 v.Hv + v.grad_z F, conjugate gradients (which need a
        symmetric H), or stochastic gradient descent on the normal equations, 1/2 ‖Hv + grad_z F‖^2,
        with two products from independent batches a step (which need a symmetric H).
    outer_optimiser : {"sgd", "heavy_ball", "adam"}
        Step of x along D_x, see `benchmark_utils.formulas.outer_step`: plain, with heavy-ball
        momentum, or Adam's.
    outer_momentum : float
        Weight of the old average in heavy ball and in Adam (beta_1), in [0, 1); "sgd" has none. It
        is part of the program: another value compiles again.
    linear_ratio : float
        beta / alpha, where beta is the step of B_k, near 1 / L for "gd" and 1 / L^2 for "normal";
        conjugate gradients have none.
    step_size : float
        alpha, step of A_k.
    outer_ratio : float
        alpha / gamma, where gamma is the step of x.

    Differs from the paper
    ----------------------
    - ``linear_solver="normal"`` is the default of the authors' released code, whose script for
      20 Newsgroups also moves x by Adam; both are options here.
    - The accelerated variants run on mini-batches too: conjugate gradients draw one batch for all
      products of one solve (and need one product more), and the weights of Nesterov's method are
      k / (k + 3).
    """

    name = "AmIGO"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "n_linear_steps": ["tuned"],
        "n_cross_batches": [1],
        "inner_solver": ["gd"],
        "linear_solver": ["gd"],
        "outer_optimiser": ["sgd"],
        "outer_momentum": [0.9],
        "linear_ratio": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {
        "inner_solver": ("gd", "nesterov"),
        "linear_solver": ("gd", "cg", "normal"),
        "outer_optimiser": OPTIMISERS,
    }
    search_space = {
        "n_inner_steps": Int(1, 1000, start=10),
        "n_linear_steps": Int(1, 1000, start=10),
        "linear_ratio": Log(1e-3, 1e3, start=1.0),
        "step_size": Log(1e-4, 1e3, start=0.1),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "exact",
        "linear_ratio": 1.0,
        "step_size": 0.3,
        "outer_ratio": 3.0,
        "n_inner_steps": 3,
        "n_linear_steps": 3,
    }
    references = ["M. Arbel, J. Mairal. ICLR 2022. arXiv:2111.14580"]

    def draws(self):
        N = self.n_linear_steps
        v = {"gd": inner(N), "cg": inner(1), "normal": inner(N, 2)}[self.linear_solver]
        x = inner() if self.n_cross_batches == 1 else inner(self.n_cross_batches)
        return {"z": inner(self.n_inner_steps), "v": v, "x": x, "f": outer()}

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size  # inner step
        beta = hp.step_size * hp.linear_ratio  # step of the linear system
        gamma = hp.step_size / hp.outer_ratio  # outer step

        # A_k: T gradient steps on G(., x) from the previous z, plain or accelerated.
        def inner_step(k, carry):
            z_old, z = carry
            y = z
            if self.inner_solver == "nesterov":
                # 0 * alpha gives the counter the floating type of alpha
                y = z + (k + 0 * alpha) / (k + 3) * (z - z_old)
            return z, y - alpha * oracles.grad_inner(y, s.x, draws.z[k])

        _, z = oracles.repeat(self.n_inner_steps, inner_step, (s.z, s.z))

        # B_k: N steps on the quadratic 1/2 v.Hv + v.grad_z F from the previous v; outer step with a
        # fresh batch for the cross product.
        if self.linear_solver == "cg":
            hvp = lambda k, u: oracles.hvp(z, s.x, u, draws.v[0])
            solve = lambda b: linear_system.cg(oracles, hvp, b, s.v, beta, self.n_linear_steps)
        elif self.linear_solver == "normal":
            hvp = lambda k, j, u: oracles.hvp(z, s.x, u, draws.v[k][j])
            solve = lambda b: linear_system.normal(oracles, hvp, b, s.v, beta, self.n_linear_steps)
        else:
            hvp = lambda k, u: oracles.hvp(z, s.x, u, draws.v[k])
            solve = lambda b: linear_system.sgd(oracles, hvp, b, s.v, beta, self.n_linear_steps)
        D_x, v = hypergradient.implicit(oracles, z, s.x, solve, draws.f, draws.x, self.n_cross_batches)
        how = self.outer_optimiser, self.outer_momentum
        x, m_x, s_x = outer_step(oracles, s, D_x, gamma, s.t, *how)
        return State(z=z, v=v, x=x, d_x=D_x, t=s.t + 1, m_x=m_x, s_x=s_x)
