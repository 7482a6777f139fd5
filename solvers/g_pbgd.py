from typing import NamedTuple

from benchmark_utils.formulas.steps import linear_ramp, penalised_step
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import ITERATIONS, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    x: Outer
    d_x: Outer  # last outer direction grad_x (F + gamma ‖grad_z G‖^2)
    t: Count


class Solver(BilevelSolver):
    """G-PBGD: gradient descent on F + gamma ‖grad_z G‖^2, single loop.

    H. Shen, T. Chen, "On penalty-based bilevel gradient descent method", ICML 2023,
    arXiv:2302.05185, Section 3.3, the gradient norm penalty p(x, y) = ‖grad_y g(x, y)‖^2.

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
    schedule : {"ramp", "constant"}
        "ramp": gamma rises linearly, as in the authors' code; "constant": it is ``penalty``
        throughout.
    step_scaling : {"fixed", "current"}
        The steps of z and x are ``step_size`` and ``step_size / outer_ratio`` times
        1 / (1 + ``penalty``) ("fixed") or min(1 / gamma, 1) at the current gamma ("current", as in
        the authors' code).
    ramp : int
        Outer iterations of the linear rise of gamma.
    penalty_start : float
        gamma at the start of the rise.
    penalty : float
        gamma, weight of ‖grad_z G‖^2, from the end of the rise on; half the gamma of the authors'
        code, which takes F + gamma / 2 ‖grad_z G‖^2.
    step_size : float
        Step of z before scaling.
    outer_ratio : float
        Step of z over step of x.

    Differs from the paper
    ----------------------
    - The authors' released code was read; of the paper's text only the abstract.
    - z and x have steps of their own.
    - With a number for ``batch_size``, which the paper has not, grad_z G and its products with H
      and C have batches of their own, which keeps the direction unbiased.
    """

    name = "G-PBGD"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": ["full"],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "schedule": ["ramp"],
        "step_scaling": ["current"],
        "ramp": [1000],
        "penalty_start": ["tuned"],
        "penalty": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"schedule": ("ramp", "constant"), "step_scaling": ("fixed", "current")}
    most = {"ramp": ITERATIONS}
    search_space = {
        "penalty_start": Log(1e-2, 1e2, start=1.0),
        "penalty": Log(1e-1, 1e4, start=10.0),
        "step_size": Log(1e-4, 1e3, start=0.05),
        "outer_ratio": Log(1e-6, 1e3, start=0.1),
    }
    direction_at = ("z",)  # the cross product takes grad_z G
    deterministic = {
        "limit": "at a fixed penalty gamma the limit is the minimiser of F + gamma ‖grad_z G‖^2, "
        "O(1 / gamma) away; see tests/test_deterministic_limits.py",
        "step_size": 0.1,
        "outer_ratio": 1.0,
        "penalty_start": 1.0,
        "penalty": 10.0,
    }
    references = ["H. Shen, T. Chen. ICML 2023. arXiv:2302.05185"]

    def draws(self):
        return {"z": inner(), "v": inner(), "f": outer()}

    def step(self, s, oracles, hp, draws):
        gamma = hp.penalty
        if self.schedule == "ramp":
            gamma = linear_ramp(self.bk, hp.penalty_start, hp.penalty, s.t, self.ramp)
        alpha_z = penalised_step(self.bk, hp.step_size, gamma, hp.penalty, self.step_scaling)
        alpha_x = alpha_z / hp.outer_ratio

        # Gradient of ‖g‖^2, g = grad_z G(z, x): 2 H g in z and 2 C g in x.
        g = oracles.grad_inner(s.z, s.x, draws.z)
        Hg, Cg = oracles.hvp_cross(s.z, s.x, g, draws.v)
        F_z, F_x = oracles.grad_outer(s.z, s.x, draws.f)

        # Joint projected step on (z, x).
        D_x = F_x + 2 * gamma * Cg
        z = s.z - alpha_z * (F_z + 2 * gamma * Hg)
        return State(z=z, x=oracles.project(s.x - alpha_x * D_x), d_x=D_x, t=s.t + 1)
