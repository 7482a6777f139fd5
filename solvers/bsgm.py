from typing import Any, NamedTuple

from benchmark_utils.sampling import inner, outer
from benchmark_utils.schedules import growing_lengths, length_at
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable after the inner loop, shape (p,)
    v: Any  # v ~ -H^{-1} grad_z F after the loop of the linear system, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction D_x, shape (d,)
    t: Any  # outer iterations done, integer


class Solver(BilevelSolver):
    """BSGM: bilevel stochastic gradient with stochastic implicit differentiation, without warm start.

    R. Grazzi, M. Pontil, S. Salzo, "Bilevel optimization with a lower-level contraction: optimal sample complexity
    without warm-start", JMLR 2023, arXiv:2202.03397, Algorithms 1 (outer loop) and 2 (hypergradient), for the map
    z - grad_z G and q = -v. Without warm start both loops begin at zero (w_0 = v_0 = 0 in the paper): the start z0
    that the other solvers use is not used.

    Differs from the paper in: 1. with growing lengths (schedule (i)), t_s = k_s = J_s = ceil((s + 1) / c) are capped
    at ``n_steps``; ``length_schedule="constant"`` is the finite horizon schedule (ii) with all lengths ``n_steps``;
    2. the decaying step is written step_size gamma / (gamma + i), so that step_size is the first one;
    3. ``warm_start`` "z" and "z_and_v" are variants that the paper compares with.
    """

    name = "BSGM"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "length_schedule": ["growing"],
        "n_steps": [50],
        "growth_period": [10],
        "warm_start": ["none"],
        "schedule": ["theory"],
        "decay_offset": [1000.0],
        "linear_ratio": [1.0],
        "step_size": [1.0],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3), "decay_offset": Log(1e1, 1e4)}
    deterministic = {
        "limit": "exact", "length_schedule": "constant", "n_steps": 3, "warm_start": "z_and_v",
        "schedule": "constant", "step_size": 0.3, "outer_ratio": 3.0,
    }  # fmt: skip
    references = ["R. Grazzi, M. Pontil, S. Salzo. JMLR 24(167), 2023. arXiv:2202.03397"]

    def why_not(self, problem, partitions):
        for name, choices in (
            ("length_schedule", ("growing", "constant")),
            ("warm_start", ("none", "z", "z_and_v")),
            ("schedule", ("theory", "constant")),
        ):
            if getattr(self, name) not in choices:
                return f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(choices)}."

    @property
    def static_graph(self):
        """Lengths that follow the counter are known at run time only."""
        return self.length_schedule == "constant"

    @property
    def lengths(self):
        """t_s = k_s = J_s for s = 0, 1, ..., the last entry standing for all later ones."""
        if self.length_schedule == "constant":
            return [self.n_steps]
        return growing_lengths(lambda s: s // self.growth_period + 1, self.n_steps)

    def draws(self):
        # Four mutually independent samples; of each the first t_s = k_s = J_s batches are used.
        n = self.n_steps
        return {"z": inner(n), "v": inner(n), "x": inner(n), "f": outer(n)}

    def init(self, z0, x0, oracles):
        return State(z=z0, v=0 * z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        n = length_at(self.bk, self.lengths, s.t)  # t_s = k_s = J_s
        alpha = hp.step_size / hp.outer_ratio  # constant outer step
        decay = lambda i: hp.decay_offset / (hp.decay_offset + i) if self.schedule == "theory" else 1
        eta = lambda i: hp.step_size * decay(i)  # steps of the inner loop
        eta_v = lambda j: hp.step_size * hp.linear_ratio * decay(j)  # steps of the linear system
        x = s.x

        # t_s inner steps from w_0 = 0, or from the previous z.
        z = 0 * s.z if self.warm_start == "none" else s.z
        z = oracles.repeat(n, lambda i, z: z - eta(i) * oracles.grad_inner(z, x, draws.z[i]), z)

        # The mean of J_s gradients of F, kept fixed while k_s steps solve H v + F_z = 0 from v_0 = 0, or
        # from the previous v.
        def add_grad_outer(j, total):
            F_z, F_x = oracles.grad_outer(z, x, draws.f[j])
            return total[0] + F_z, total[1] + F_x

        F_z, F_x = oracles.repeat(n, add_grad_outer, (0 * z, 0 * x))
        F_z, F_x = F_z / n, F_x / n
        v = s.v if self.warm_start == "z_and_v" else 0 * s.v
        v = oracles.repeat(n, lambda j, v: v - eta_v(j) * (oracles.hvp(z, x, v, draws.v[j]) + F_z), v)

        # The mean of J_s cross products and the projected outer step.
        Cv = oracles.repeat(n, lambda j, total: total + oracles.cross(z, x, v, draws.x[j]), 0 * x) / n
        D_x = F_x + Cv
        return State(z=z, v=v, x=oracles.project(x - alpha * D_x), d_x=D_x, t=s.t + 1)
