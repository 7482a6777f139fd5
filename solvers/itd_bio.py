from typing import NamedTuple

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
    """ITD-BiO: gradient of F(z_T(x), x) by reverse differentiation through T inner steps.

    K. Ji, J. Yang, Y. Liang, "Bilevel optimization: convergence analysis and enhanced design",
    ICML 2021, arXiv:2010.07962, Algorithm 1 with ITD. Truncated: K-RMD, A. Shaban, C.-A. Cheng,
    N. Hatch, B. Boots, AISTATS 2019, arXiv:1810.10667, Section 3.

    Parameters
    ----------
    backend : {"jax", "torch", "torch-compiled"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples); "full": all of them, as in the paper.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    n_inner_steps : int
        T, inner gradient steps in one outer iteration.
    truncation : int or "none"
        K, steps after which the backward pass stops, at most T (K-RMD); "none": it takes all T. 0 drops
        the derivative of z_T (FO-ITD-BiO of the authors' code): D_x is grad_x F alone.
    warm_start : {"none", "z"}
        "z": the inner loop starts at the previous z; "none": it starts at zero.
    outer_optimiser : {"sgd", "heavy_ball", "adam"}
        Step of x along D_x, see `benchmark_utils.formulas.outer_step`: plain, with heavy-ball
        momentum, or Adam's.
    outer_momentum : float
        Weight of the old average in heavy ball and in Adam (beta_1), in [0, 1); "sgd" has none. It
        is part of the program: another value compiles again.
    step_size : float
        alpha, step of z.
    outer_ratio : float
        alpha / beta, where beta is the step of x.

    Differs from the paper
    ----------------------
    - ``warm_start="none"`` (from zero) is not in the paper.
    - ``outer_optimiser`` other than "sgd" is an addition.
    - Where ``batch_size`` is a number, which the paper has not, all sums of one outer iteration run
      over one block of G and one of F, drawn afresh.
    """

    name = "ITD-BiO"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": ["full"],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "truncation": ["none"],
        "warm_start": ["z"],
        "outer_optimiser": ["sgd"],
        "outer_momentum": [0.9],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {
        "truncation": ("none", int),
        "warm_start": ("none", "z"),
        "outer_optimiser": OPTIMISERS,
    }
    least = {"truncation": 0}
    search_space = {
        "n_inner_steps": Int(1, 500, start=10),
        "step_size": Log(1e-4, 1e3, start="1/L"),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    direction_at = ("z",)  # the cross products are those of the steps
    deterministic = {
        "limit": "exact",
        "step_size": 0.9,
        "outer_ratio": 3.0,
        "n_inner_steps": 40,
        "n_iter": 1500,
    }
    references = [
        "K. Ji, J. Yang, Y. Liang. ICML 2021. arXiv:2010.07962",
        "A. Shaban, C.-A. Cheng, N. Hatch, B. Boots. AISTATS 2019. arXiv:1810.10667",
    ]

    def why_not(self, problem, partitions):
        if self.truncation != "none" and self.truncation > self.n_inner_steps:
            return (
                f"truncation is {self.truncation}; it must be 'none' or at most n_inner_steps, "
                f"which is {self.n_inner_steps}."
            )
        if self.truncation == 0 and not problem.outer.uses_x:
            return f"with truncation 0, x moves along grad_x F alone, and F of {problem.name} does not depend on x."

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size  # inner step
        beta = hp.step_size / hp.outer_ratio  # outer step
        T = self.n_inner_steps
        K = T if self.truncation == "none" else self.truncation
        x, xi, zeta = s.x, draws.xi, draws.zeta

        # Lines 3-6: T gradient steps on G(., x); the points of the last K are kept.
        def forward(k, carry):
            z, kept = carry
            return z - alpha * oracles.grad_inner(z, x, xi), self.bk.row_set(kept, k, z)

        z = s.z if self.warm_start == "z" else 0 * s.z
        z = oracles.repeat(T - K, lambda k, z: z - alpha * oracles.grad_inner(z, x, xi), z)
        if K:
            z, kept = oracles.repeat(K, forward, (z, 0 * self.bk.xp.stack([z] * K)))

        # Line 8, ITD: backwards through z_{k+1} = z_k - alpha grad_z G(z_k, x), whose transposed
        # Jacobians are I - alpha H(z_k) in z and -alpha C(z_k) in x; the start of the loop does not
        # depend on x, so that the last of the K steps needs no product with H.
        def backward(k, carry):
            adjoint, D_x = carry
            z_k = self.bk.row_get(kept, K - 1 - k)
            H_adjoint, C_adjoint = oracles.hvp_cross(z_k, x, adjoint, xi)
            return adjoint - alpha * H_adjoint, D_x - alpha * C_adjoint

        adjoint, D_x = oracles.grad_outer(z, x, zeta)
        if K:
            adjoint, D_x = oracles.repeat(K - 1, backward, (adjoint, D_x))
            D_x = D_x - alpha * oracles.cross(self.bk.row_get(kept, 0), x, adjoint, xi)
        how = self.outer_optimiser, self.outer_momentum
        x, m_x, s_x = outer_step(oracles, s, D_x, beta, s.t, *how)
        return State(z=z, x=x, d_x=D_x, t=s.t + 1, m_x=m_x, s_x=s_x)
