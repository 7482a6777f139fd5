from typing import Any, NamedTuple

from benchmark_utils.sampling import inner, outer
from benchmark_utils.schedules import linear_ramp
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction grad_x (F + gamma ‖grad_z G‖^2), shape (d,)
    t: Any  # outer iterations done, integer


class Solver(BilevelSolver):
    """G-PBGD: gradient descent on F + gamma ‖grad_z G‖^2, single loop.

    H. Shen, T. Chen, "On penalty-based bilevel gradient descent method", ICML 2023, arXiv:2302.05185, Section 3.3,
    the gradient norm penalty p(x, y) = ‖grad_y g(x, y)‖^2.

    Differs from the paper in: 1. the constant step, at most 1 / (L_F + gamma L_p) in the paper, is
    ``step_size / (1 + penalty)`` on z and that over ``outer_ratio`` on x; 2. gamma is fixed in the theory
    (``schedule="constant"``) and rises linearly from ``penalty_start`` to ``penalty`` over ``ramp`` iterations in the
    experiments (``"theory"``, as the growing penalties of other methods are called here); 3. with a number for
    ``batch_size``, which the paper has not, grad_z G and its products with H and C have batches of their own, which
    keeps the direction unbiased.
    """

    name = "G-PBGD"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": ["full"],
        "schedule": ["theory"],
        "ramp": [1000],
        "penalty_start": [1.0],
        "penalty": [100.0],
        "step_size": [5.0],
        "outer_ratio": [0.0003],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer", "full_pass")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-4, 1e3), "penalty": Log(1e0, 1e3)}
    deterministic = {
        "limit": "at a fixed penalty gamma the limit is the minimiser of F + gamma ‖grad_z G‖^2, O(1 / gamma) away; "
        "see tests/test_deterministic_limits.py",
        "step_size": 0.1,
        "outer_ratio": 1.0,
        "penalty": 10.0,
    }
    references = ["H. Shen, T. Chen. ICML 2023. arXiv:2302.05185"]

    def why_not(self, problem, partitions):
        if self.schedule not in ("theory", "constant"):
            return f"schedule is {self.schedule!r}; it must be 'theory' (linear) or 'constant'."

    def draws(self):
        return {"z": inner(), "v": inner(), "f": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        rising = self.schedule == "theory"
        gamma = linear_ramp(self.bk, hp.penalty_start, hp.penalty, s.t, self.ramp) if rising else hp.penalty
        alpha_z = hp.step_size / (1 + hp.penalty)
        alpha_x = alpha_z / hp.outer_ratio

        # Gradient of ‖g‖^2, g = grad_z G(z, x): 2 H g in z and 2 C g in x.
        g = oracles.grad_inner(s.z, s.x, draws.z)
        Hg, Cg = oracles.hvp_cross(s.z, s.x, g, draws.v)
        F_z, F_x = oracles.grad_outer(s.z, s.x, draws.f)

        # Joint projected step on (z, x).
        D_x = F_x + 2 * gamma * Cg
        z = s.z - alpha_z * (F_z + 2 * gamma * Hg)
        return State(z=z, x=oracles.project(s.x - alpha_x * D_x), d_x=D_x, t=s.t + 1)
