from typing import NamedTuple

from benchmark_utils.formulas import hypergradient, linear_system
from benchmark_utils.formulas.outer_step import OPTIMISERS, outer_step
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count
    m_x: Outer.only_with("outer_optimiser", "heavy_ball", "adam")  # average of D_x
    s_x: Outer.only_with("outer_optimiser", "adam")  # average of its squares


class Solver(BilevelSolver):
    """AID-Neumann: approximate implicit differentiation with a truncated Neumann series.

    J. Lorraine, P. Vicol, D. Duvenaud, "Optimizing millions of hyperparameters by implicit
    differentiation", AISTATS 2020, arXiv:1911.02590, Algorithms 1 to 3: i products give the i + 1
    terms sum_{j<=i} (I - alpha H)^j. The paper solves for q = -v.

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
        T, inner gradient steps in one outer iteration.
    n_neumann_steps : int
        i of Algorithm 3, products with H in one outer iteration; 0 leaves the first term.
    warm_start : {"none", "z"}
        "z": the inner loop starts at the previous z; "none": it starts at zero.
    outer_optimiser : {"sgd", "heavy_ball", "adam"}
        Step of x along D_x, see `benchmark_utils.formulas.outer_step`: plain, with heavy-ball
        momentum, or Adam's.
    outer_momentum : float
        Weight of the old average in heavy ball and in Adam (beta_1), in [0, 1); "sgd" has none. It
        is part of the program: another value compiles again.
    neumann_step : float
        alpha in Algorithm 3, step of the series, near 1 / L; it never decays. The start
        is one over the L measured at the first point.
    step_size : float
        Step of z.
    outer_ratio : float
        Step of z over the step of x.

    Differs from the paper
    ----------------------
    - ``outer_optimiser`` other than "sgd" is an addition.
    - Where ``batch_size`` is a number, all sums of one outer iteration run over one block of G and
      one of F, drawn afresh.
    """

    name = "AID-Neumann"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": ["full"],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "n_neumann_steps": ["tuned"],
        "warm_start": ["z"],
        "outer_optimiser": ["sgd"],
        "outer_momentum": [0.9],
        "neumann_step": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"warm_start": ("none", "z"), "outer_optimiser": OPTIMISERS}
    least = {"n_neumann_steps": 0}
    search_space = {
        "n_inner_steps": Int(1, 500, start=10),
        "n_neumann_steps": Int(1, 1000, start=50),
        "neumann_step": Log(1e-6, 1e4, start="1/L"),
        "step_size": Log(1e-4, 1e3, start="1/L"),
        "outer_ratio": Log(1e-6, 1e3, start=10.0),
    }
    deterministic = {
        "limit": "neumann",
        "neumann_step": 0.3,
        "step_size": 0.3,
        "outer_ratio": 3.0,
        "n_inner_steps": 10,
        "n_neumann_steps": 4,
    }
    references = ["J. Lorraine, P. Vicol, D. Duvenaud. AISTATS 2020. arXiv:1911.02590"]

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size  # inner step
        eta = hp.neumann_step  # step of the series
        beta = hp.step_size / hp.outer_ratio  # outer step
        T, xi, zeta = self.n_inner_steps, draws.xi, draws.zeta

        # Algorithm 1, lines 2-3: T gradient steps on G(., x) from the previous z, or from zero.
        z = s.z if self.warm_start == "z" else 0 * s.z
        z = oracles.repeat(T, lambda k, z: z - alpha * oracles.grad_inner(z, s.x, xi), z)

        # Algorithm 3: v = -eta sum_{j<=i} (I - eta H)^j grad_z F.
        hvp = lambda k, u: oracles.hvp(z, s.x, u, xi)
        solve = lambda b: linear_system.shia(oracles, hvp, b, None, eta, self.n_neumann_steps)

        # Algorithm 2: hypergradient estimate; Algorithm 1, line 4: outer step.
        D_x, _ = hypergradient.implicit(oracles, z, s.x, solve, zeta, xi)
        how = self.outer_optimiser, self.outer_momentum
        x, m_x, s_x = outer_step(oracles, s, D_x, beta, s.t, *how)
        return State(z=z, x=x, d_x=D_x, t=s.t + 1, m_x=m_x, s_x=s_x)
