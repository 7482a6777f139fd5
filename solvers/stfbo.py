from typing import NamedTuple

from benchmark_utils.formulas import hypergradient
from benchmark_utils.formulas.steps import cumulative
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer, Scalar
from benchmark_utils.running.search_space import Log
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
    """S-TFBO: single loop whose steps are inverses of cumulative norms, so that none needs tuning.

    Y. Yang, H. Ban, M. Huang, S. Ma, K. Ji, "Tuning-free bilevel optimization: new algorithms and
    convergence analysis", ICLR 2025, arXiv:2410.05140, Algorithm 2 (S-TFBO), as the authors' code
    has it, since the text of the paper could not be read: with beta^2, gamma^2 and alpha^2 the
    sums of the squared norms of D_z, D_v and D_x, the newest ones included, and
    phi = max(beta, gamma), the steps of z, v and x are 1 / beta, 1 / phi and 1 / (alpha phi). The
    paper solves for q = -v.

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
    step_size : float
        1 / beta_0 = 1 / gamma_0, the step of z and of v that the first ones stay below.
    outer_ratio : float
        alpha_0. The step of x starts below step_size / outer_ratio.

    Differs from the paper
    ----------------------
    - beta_0 and gamma_0 are one parameter (in the authors' code all three are 5 on one problem).
    - The theory is that of full batches; the default is mini-batches, as in the authors' code, where
      D_z, D_v and D_x share one batch of each level too.
    - In a problem with tasks the norms of D_z and D_v are means over the drawn tasks, which share
      their steps.
    """

    name = "S-TFBO"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    search_space = {
        "step_size": Log(1e-4, 1e3, start=1.0),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {"limit": "exact", "step_size": 0.5, "outer_ratio": 1.0}
    references = ["Y. Yang, H. Ban, M. Huang, S. Ma, K. Ji. ICLR 2025. arXiv:2410.05140"]

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def step(self, s, oracles, hp, draws):
        xp = self.bk.xp

        # All three directions at the same point, from the same two batches.
        D_z, D_v, D_x = hypergradient.joint(oracles, s.z, s.v, s.x, draws.xi, draws.zeta)

        # The newest norms are in the steps that use them.
        sum_z = s.sum_z + oracles.mean_dot(D_z, D_z)
        sum_v = s.sum_v + oracles.mean_dot(D_v, D_v)
        sum_x = s.sum_x + xp.sum(D_x * D_x)
        beta, gamma = (cumulative(xp, 1 / hp.step_size, total) for total in (sum_z, sum_v))
        alpha = cumulative(xp, hp.outer_ratio, sum_x)
        phi = xp.maximum(beta, gamma)

        return State(
            z=s.z - D_z / beta,
            v=s.v - D_v / phi,
            x=oracles.project(s.x - D_x / (alpha * phi)),
            d_x=D_x,
            t=s.t + 1,
            sum_z=sum_z,
            sum_v=sum_v,
            sum_x=sum_x,
        )
