from typing import NamedTuple

from benchmark_utils.formulas.steps import linear_ramp, penalised_step
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import ITERATIONS, Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    x: Outer
    d_x: Outer  # last outer direction grad_x F + gamma grad_x (G(z, x) - min G)
    t: Count
    w: Inner.start  # minimises G(., x)


class Solver(BilevelSolver):
    """V-PBGD: gradient descent on F + gamma (G - min G), min G from a second inner variable.

    H. Shen, T. Chen, "On penalty-based bilevel gradient descent method", ICML 2023,
    arXiv:2302.05185, Algorithm 1.

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
        T, gradient steps of w on G(., x) in one outer iteration.
    inner_start : {"w", "z"}
        Start of the inner loop: "w", at the previous w, as in the authors' code; "z", at the z of
        the iteration before.
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
        gamma, weight of G - min G, from the end of the rise on.
    inner_ratio : float
        beta / ``step_size``, where beta is the constant step of w.
    step_size : float
        Step of z before scaling.
    outer_ratio : float
        Step of z over step of x.

    Differs from the paper
    ----------------------
    - The authors' released code was read; of the paper's text only the abstract. Where the inner
      loop starts in Algorithm 1 was therefore not checked.
    - z and x have steps of their own.
    - With a number for ``batch_size`` each use of G and F draws a batch of its own, that of
      G(z, x) - G(w, x) being common.
    """

    name = "V-PBGD"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": ["full"],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "inner_start": ["w"],
        "schedule": ["ramp"],
        "step_scaling": ["fixed"],
        "ramp": [1000],
        "penalty_start": ["tuned"],
        "penalty": ["tuned"],
        "inner_ratio": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"schedule": ("ramp", "constant"), "step_scaling": ("fixed", "current"), "inner_start": ("w", "z")}
    most = {"ramp": ITERATIONS}
    search_space = {
        "n_inner_steps": Int(1, 50, start=1),
        "penalty_start": Log(1e-2, 1e2, start=1.0),
        "penalty": Log(1e-2, 1e3, start=10.0),
        "inner_ratio": Log(1e-2, 1e2, start=1.0),
        "step_size": Log(1e-4, 1e3, start="1/L"),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "at a fixed penalty gamma the limit is the minimiser of F + gamma (G - min G), "
        "O(1 / gamma) away; see tests/test_deterministic_limits.py",
        "n_inner_steps": 1,
        "penalty_start": 1.0,
        "penalty": 10.0,
        "step_size": 0.1,
        "outer_ratio": 1.0,
    }
    references = ["H. Shen, T. Chen. ICML 2023. arXiv:2302.05185"]

    def draws(self):
        return {"w": inner(self.n_inner_steps), "z": inner(), "f": outer()}

    def step(self, s, oracles, hp, draws):
        gamma = hp.penalty
        if self.schedule == "ramp":
            gamma = linear_ramp(self.bk, hp.penalty_start, hp.penalty, s.t, self.ramp)
        beta = hp.step_size * hp.inner_ratio  # step on w
        alpha_z = penalised_step(self.bk, hp.step_size, gamma, hp.penalty, self.step_scaling)
        alpha_x = alpha_z / hp.outer_ratio

        # Inner loop: T gradient steps on G(., x) from the previous w, or from z.
        inner_step = lambda k, w: w - beta * oracles.grad_inner(w, s.x, draws.w[k])
        w = oracles.repeat(self.n_inner_steps, inner_step, s.w if self.inner_start == "w" else s.z)

        # Joint projected step on (z, x) along the gradient of F + gamma (G(z, x) - G(w, x)), w
        # taken as constant.
        F_z, F_x = oracles.grad_outer(s.z, s.x, draws.f)
        G_z, G_x = oracles.grad_inner_both(s.z, s.x, draws.z)
        D_x = F_x + gamma * (G_x - oracles.grad_inner_x(w, s.x, draws.z))
        z = s.z - alpha_z * (F_z + gamma * G_z)
        return State(z=z, x=oracles.project(s.x - alpha_x * D_x), d_x=D_x, t=s.t + 1, w=w)
