from typing import Any, NamedTuple

from benchmark_utils.sampling import inner, outer
from benchmark_utils.schedules import linear_ramp
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction grad_x F + gamma grad_x (G(z, x) - min G), shape (d,)
    t: Any  # outer iterations done, integer
    w: Any  # minimises G(., x), shape (p,)


class Solver(BilevelSolver):
    """V-PBGD: gradient descent on F + gamma (G - min G), min G from a second inner variable.

    H. Shen, T. Chen, "On penalty-based bilevel gradient descent method", ICML 2023, arXiv:2302.05185, Algorithm 1.

    Differs from the paper in: 1. the constant step, at most 1 / (L_F + gamma (2 L_G + ...)) in the paper, is
    ``step_size / (1 + penalty)`` on z and that over ``outer_ratio`` on x; 2. gamma is fixed in the theory
    (``schedule="constant"``) and rises linearly from ``penalty_start`` to ``penalty`` over ``ramp`` iterations in the
    experiments (``"theory"``, as the growing penalties of other methods are called here); 3. with a number for
    ``batch_size`` each use of G and F draws a batch of its own, that of G(z, x) - G(w, x) being common.
    """

    name = "V-PBGD"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": ["full"],
        "n_inner_steps": [1],
        "schedule": ["theory"],
        "ramp": [1000],
        "penalty_start": [1.0],
        "penalty": [10.0],
        "step_size": [1.0],
        "outer_ratio": [0.01],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "grad_inner_x", "grad_outer", "full_pass")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3), "penalty": Log(1e0, 1e3)}
    deterministic = {
        "limit": "at a fixed penalty gamma the limit is the minimiser of F + gamma (G - min G), O(1 / gamma) away; "
        "see tests/test_deterministic_limits.py",
        "step_size": 0.1,
        "outer_ratio": 1.0,
    }
    references = ["H. Shen, T. Chen. ICML 2023. arXiv:2302.05185"]

    def why_not(self, problem, partitions):
        if self.schedule not in ("theory", "constant"):
            return f"schedule is {self.schedule!r}; it must be 'theory' (linear) or 'constant'."

    def draws(self):
        return {"w": inner(self.n_inner_steps), "z": inner(), "f": outer()}

    def init(self, z0, x0, oracles):
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter(), w=z0)

    def step(self, s, oracles, hp, draws):
        rising = self.schedule == "theory"
        gamma = linear_ramp(self.bk, hp.penalty_start, hp.penalty, s.t, self.ramp) if rising else hp.penalty
        beta = hp.step_size  # step on w
        alpha_z = hp.step_size / (1 + hp.penalty)
        alpha_x = alpha_z / hp.outer_ratio

        # Inner loop: T gradient steps on G(., x) from the previous w.
        w = oracles.repeat(self.n_inner_steps, lambda k, w: w - beta * oracles.grad_inner(w, s.x, draws.w[k]), s.w)

        # Joint projected step on (z, x) along the gradient of F + gamma (G(z, x) - G(w, x)), w taken as constant.
        F_z, F_x = oracles.grad_outer(s.z, s.x, draws.f)
        G_z = oracles.grad_inner(s.z, s.x, draws.z)
        G_x = oracles.grad_inner_x(s.z, s.x, draws.z) - oracles.grad_inner_x(w, s.x, draws.z)
        D_x = F_x + gamma * G_x
        z = s.z - alpha_z * (F_z + gamma * G_z)
        return State(z=z, x=oracles.project(s.x - alpha_x * D_x), d_x=D_x, t=s.t + 1, w=w)
