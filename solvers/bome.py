from typing import NamedTuple

from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver

#: Smallest denominator of the multiplier: q(z, x) = 0 means that z is optimal and nothing has to be
#: corrected.
FLOOR = 1e-12


class State(NamedTuple):
    z: Inner
    x: Outer
    d_x: Outer  # last outer direction grad_x F + lambda grad_x q
    t: Count


class Solver(BilevelSolver):
    """BOME: first-order descent on F under the dynamic barrier <grad q, direction> >= phi.

    M. Ye, B. Liu, S. Wright, P. Stone, Q. Liu, "BOME! Bilevel optimization made easy: a simple
    first-order approach", NeurIPS 2022, arXiv:2209.08709, Algorithm 1, with q = G - min G.

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
        T, gradient steps from z to z^T, whose G stands for min G.
    barrier : {"grad_norm", "value"}
        phi: "grad_norm" is eta ‖grad q‖^2, "value" is eta q.
    barrier_weight : float
        eta, weight of the barrier phi.
    inner_ratio : float
        Step of the T inner steps over the step of z.
    step_size : float
        Step of z.
    outer_ratio : float
        Step of z over the step of x; 1 in the paper.

    Differs from the paper
    ----------------------
    - The outer step is ``step_size / outer_ratio``; the paper has one step for (z, x).
    - The denominator ‖grad q‖^2 is floored at 1e-12.
    - Where ``batch_size`` is a number, which the paper has not, all sums of one outer iteration run
      over one block of G and one of F, drawn afresh.
    """

    name = "BOME"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": ["full"],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "barrier": ["grad_norm"],
        "barrier_weight": ["tuned"],
        "inner_ratio": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"barrier": ("grad_norm", "value")}
    search_space = {
        "n_inner_steps": Int(1, 20, start=5),
        "barrier_weight": Log(1e-4, 1e0, start=0.5),
        "inner_ratio": Log(1e-2, 1e2, start=1.0),
        "step_size": Log(1e-4, 1e3, start="1/L"),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "with a constant step the multiplier grows until step * lambda is of order 1, "
        "which leaves a distance to argmin h of the order of the step, plus that of T inner steps; "
        "see tests/test_deterministic_limits.py",
        "n_inner_steps": 5,
        "barrier_weight": 0.5,
        "inner_ratio": 1.0,
        "step_size": 0.1,
        "outer_ratio": 1.0,
    }
    references = ["M. Ye, B. Liu, S. Wright, P. Stone, Q. Liu. NeurIPS 2022. arXiv:2209.08709"]

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size * hp.inner_ratio  # step of the inner loop
        xi_z, xi_x = hp.step_size, hp.step_size / hp.outer_ratio  # steps on z and x
        xp, z, x, xi = self.bk.xp, s.z, s.x, draws.xi

        # Inner loop: z^T, T gradient steps on G(., x) from z.
        T = self.n_inner_steps
        z_T = oracles.repeat(T, lambda k, z: z - alpha * oracles.grad_inner(z, x, xi), z)

        # grad q of q(z, x) = G(z, x) - G(z^T, x), z^T taken as constant.
        q_z, G_x = oracles.grad_inner_both(z, x, xi)
        q_x = G_x - oracles.grad_inner_x(z_T, x, xi)
        F_z, F_x = oracles.grad_outer(z, x, draws.zeta)

        # Multiplier lambda = max((phi - <grad F, grad q>) / ‖grad q‖^2, 0).
        norm2 = oracles.mean_dot(q_z, q_z) + xp.sum(q_x * q_x)
        if self.barrier == "grad_norm":
            phi = hp.barrier_weight * norm2
        else:
            q = oracles.value_inner(z, x, xi) - oracles.value_inner(z_T, x, xi)
            phi = hp.barrier_weight * q
        excess = phi - oracles.mean_dot(F_z, q_z) - xp.sum(F_x * q_x)
        positive = xp.where(excess > 0, excess, 0 * excess)
        lam = positive / xp.where(norm2 > FLOOR, norm2, FLOOR + 0 * norm2)

        # Joint step on (z, x).
        z, D_x = z - xi_z * (F_z + lam * q_z), F_x + lam * q_x
        return State(z=z, x=oracles.project(x - xi_x * D_x), d_x=D_x, t=s.t + 1)
