from typing import Any, NamedTuple

from benchmark_utils.estimators import storm
from benchmark_utils.sampling import inner, outer
from benchmark_utils.schedules import momentum, power_law, theory_or_constant
from benchmark_utils.solver_base import BilevelSolver, Log

#: Decay exponents of gamma_k, lambda_k and eta_k in the paper.
EXPONENTS = {"F2SA": (4 / 7, -1 / 7, 0), "F3SA": (2 / 5, -1 / 5, 4 / 5)}


class Memory(NamedTuple):
    """What F3SA keeps: the last iterates, and a STORM estimate of each of its six gradients."""

    old_y: Any  # shape (p,)
    old_z: Any  # shape (p,)
    old_x: Any  # shape (d,)
    G_y: Any  # grad_z G at y, shape (p,)
    G_z: Any  # grad_z G at z, shape (p,)
    F_z: Any  # grad_z F at z, shape (p,)
    F_x: Any  # grad_x F at z, shape (d,)
    G_x_at_z: Any  # grad_x G at z, shape (d,)
    G_x_at_y: Any  # grad_x G at y, shape (d,)


class State(NamedTuple):
    z: Any  # minimises F + lambda G in z, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction D_x, shape (d,)
    t: Any  # outer iterations done, integer
    y: Any  # minimises G in z, shape (p,)
    memory: Any  # Memory for F3SA, () for F2SA


class Solver(BilevelSolver):
    """F2SA: fully first-order, descent on F + lambda (G - min G) with growing lambda; F3SA adds STORM momentum.

    J. Kwon, D. Kwon, S. Wright, R. Nowak, "A fully first-order method for stochastic bilevel optimization", ICML 2023,
    arXiv:2301.10945, Algorithms 1 (``variant="F2SA"``) and 2 (``"F3SA"``). The paper's y and z are z and y here.
    Steps: gamma_k (on y) decays from ``step_size``, lambda_k grows from ``penalty``, alpha_k = gamma_k / (2 lambda_k)
    (on z), so that lambda_k alpha_k stays bounded, and xi alpha_k (on x) with xi = 1 / ``outer_ratio``.

    Differs from the paper in: 1. lambda_k follows its power law exactly, where the paper adds increments delta_k of
    that order; 2. the schedules start at k = 1, the paper has an offset k_0; 3. ``schedule="constant"`` fixes lambda
    and all steps. F3SA has one inner step, whatever ``n_inner_steps``.
    """

    name = "F2SA"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "variant": ["F2SA"],
        "n_inner_steps": [10],
        "schedule": ["theory"],
        "penalty": [1.0],
        "momentum": [0.5],
        "step_size": [1.0],
        "outer_ratio": [0.003],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "grad_inner_x", "grad_outer")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3), "penalty": Log(1e-1, 1e2)}
    deterministic = {
        "limit": "at a fixed penalty lambda the limit is the minimiser of F + lambda (G - min G), O(1 / lambda) away; "
        "see tests/test_deterministic_limits.py",
        "step_size": 0.1,
        "outer_ratio": 1.0,
    }
    references = ["J. Kwon, D. Kwon, S. Wright, R. Nowak. ICML 2023. arXiv:2301.10945"]

    def why_not(self, problem, partitions):
        for name, choices in (("variant", tuple(EXPONENTS)), ("schedule", ("theory", "constant"))):
            if getattr(self, name) not in choices:
                return f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(choices)}."

    def draws(self):
        T = self.n_inner_steps if self.variant == "F2SA" else 1
        return {
            "G_y": inner(T), "G_z": inner(T), "F_z": outer(T), "F_x": outer(), "G_x_at_z": inner(), "G_x_at_y": inner(),
        }  # fmt: skip

    def init(self, z0, x0, oracles):
        p, d = 0 * z0, 0 * x0
        memory = () if self.variant == "F2SA" else Memory(z0, z0, x0, p, p, p, d, d, d)
        return State(z=z0, x=x0, d_x=0 * x0, t=self.bk.counter(), y=z0, memory=memory)

    def step(self, s, oracles, hp, draws):
        of_gamma, of_lambda, of_eta = (theory_or_constant(self.schedule, e) for e in EXPONENTS[self.variant])
        gamma = power_law(hp.step_size, s.t, of_gamma)  # step on y
        lam = power_law(hp.penalty, s.t, of_lambda)
        alpha = gamma / (2 * lam)  # step on z
        beta = alpha / hp.outer_ratio  # step on x
        if self.variant == "F2SA":
            y, z, D_x, memory = self.f2sa(s, oracles, draws, gamma, alpha, lam)
        else:
            eta = momentum(self.bk, power_law(hp.momentum, s.t, of_eta), s.t)  # weight of the newest term
            y, z, D_x, memory = self.f3sa(s, oracles, draws, gamma, alpha, lam, eta)
        return State(z=z, x=oracles.project(s.x - beta * D_x), d_x=D_x, t=s.t + 1, y=y, memory=memory)

    def f2sa(self, s, oracles, draws, gamma, alpha, lam):
        """Algorithm 1: T steps on y and z, then the direction in x."""

        def both(k, carry):
            y, z = carry
            G_y = oracles.grad_inner(y, s.x, draws.G_y[k])
            G_z = oracles.grad_inner(z, s.x, draws.G_z[k])
            F_z, _ = oracles.grad_outer(z, s.x, draws.F_z[k])
            return y - gamma * G_y, z - alpha * (F_z + lam * G_z)

        y, z = oracles.repeat(self.n_inner_steps, both, (s.y, s.z))
        _, F_x = oracles.grad_outer(z, s.x, draws.F_x)
        G_x_at_z = oracles.grad_inner_x(z, s.x, draws.G_x_at_z)
        G_x_at_y = oracles.grad_inner_x(y, s.x, draws.G_x_at_y)
        return y, z, F_x + lam * (G_x_at_z - G_x_at_y), ()

    def f3sa(self, s, oracles, draws, gamma, alpha, lam, eta):
        """Algorithm 2: one step on y and z and the direction in x, each gradient with its own batch and momentum."""
        m = s.memory
        G_y, G_z, F_z = (
            storm(old, oracle(now, s.x, batch), oracle(before, m.old_x, batch), eta)
            for old, oracle, now, before, batch in (
                (m.G_y, oracles.grad_inner, s.y, m.old_y, draws.G_y[0]),
                (m.G_z, oracles.grad_inner, s.z, m.old_z, draws.G_z[0]),
                (m.F_z, lambda *a: oracles.grad_outer(*a)[0], s.z, m.old_z, draws.F_z[0]),
            )
        )
        y, z = s.y - gamma * G_y, s.z - alpha * (F_z + lam * G_z)
        # In x at the new y and z; the previous iteration took these gradients at (y_k, x_{k-1}) and (z_k, x_{k-1}).
        F_x, G_x_at_z, G_x_at_y = (
            storm(old, oracle(now, s.x, batch), oracle(before, m.old_x, batch), eta)
            for old, oracle, now, before, batch in (
                (m.F_x, lambda *a: oracles.grad_outer(*a)[1], z, s.z, draws.F_x),
                (m.G_x_at_z, oracles.grad_inner_x, z, s.z, draws.G_x_at_z),
                (m.G_x_at_y, oracles.grad_inner_x, y, s.y, draws.G_x_at_y),
            )
        )
        memory = Memory(s.y, s.z, s.x, G_y, G_z, F_z, F_x, G_x_at_z, G_x_at_y)
        return y, z, F_x + lam * (G_x_at_z - G_x_at_y), memory
