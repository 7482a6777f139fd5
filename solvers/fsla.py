from typing import NamedTuple

from benchmark_utils.formulas.steps import momentum, power_law, theory_or_constant
from benchmark_utils.formulas.variance_reduction import storm
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    v: Inner  # v ~ -H^{-1} grad_z F
    x: Outer
    d_x: Outer  # STORM estimate of the outer direction, the last one used
    t: Count
    x_old: Outer.start  # x of one iteration before


class Solver(BilevelSolver):
    """FSLA: fully single loop, one step on z and one on v, STORM on the outer direction.

    J. Li, B. Gu, H. Huang, "A fully single loop algorithm for bilevel optimization without Hessian
    inverse", AAAI 2022, arXiv:2112.04660, algorithm FSLA. The paper solves for q = -v.

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
    schedule : {"theory", "constant"}
        "theory": the three steps and the momentum weight decay as (1 + t / m)^{-1/2}; "constant":
        they do not.
    momentum : float
        Weight of the STORM estimate, in (0, 1]: 1 corrects nothing, and is the weight at t = 0.
    decay_offset : float
        m of the decay (1 + t / m)^{-e} (iterations); 1 gives powers of t + 1.
    linear_ratio : float
        Step of v over step of z.
    step_size : float
        Step of z (at t = 0 where steps decay).
    outer_ratio : float
        Step of z over step of x.

    Differs from the paper
    ----------------------
    - The first direction is a plain stochastic one, and the old x starts at the first x.
    - ``schedule="theory"`` lets the three steps, that of x included, and the momentum weight decay
      as t^{-1/2}, with constants of their own (the weight is not tied to a step).
    - Phases 2 and 3 draw batches of their own, independent of those of phase 1.
    - One outer batch gives both gradients of F at the new point of phase 3, a second one grad_z F
      of phase 2.
    """

    name = "FSLA"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "schedule": ["theory"],
        "momentum": ["tuned"],
        "decay_offset": ["tuned"],
        "linear_ratio": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"schedule": ("theory", "constant")}
    search_space = {
        "momentum": Log(1e-4, 1.0, start=0.5),
        "decay_offset": Log(1.0, 1e4, start=1.0),
        "linear_ratio": Log(1e-3, 1e3, start=1.0),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "exact",
        "schedule": "constant",
        "momentum": 0.5,
        "linear_ratio": 1.0,
        "decay_offset": 1.0,
        "step_size": 0.3,
        "outer_ratio": 3.0,
    }
    references = ["J. Li, B. Gu, H. Huang. AAAI 2022. arXiv:2112.04660"]

    def draws(self):
        return {"z": inner(), "v": inner(), "x": inner(), "f_v": outer(), "f_x": outer()}

    def step(self, s, oracles, hp, draws):
        decay = theory_or_constant(self.schedule, 1 / 2)
        m = hp.decay_offset
        rho = power_law(hp.step_size, s.t, decay, m)  # inner step
        eta = rho * hp.linear_ratio  # step of the linear system
        gamma = rho / hp.outer_ratio  # outer step
        a = momentum(self.bk, power_law(hp.momentum, s.t, decay, m), s.t)

        # Phase 1: inner step.
        z = s.z - rho * oracles.grad_inner(s.z, s.x, draws.z)

        # Phase 2: step on H v + grad_z F = 0 at the new z, from other batches.
        F_z, _ = oracles.grad_outer(z, s.x, draws.f_v)
        v = s.v - eta * (oracles.hvp(z, s.x, s.v, draws.v) + F_z)

        # Phase 3: STORM from (z_{k+1}, v_{k+1}, x_k) and (z_k, v_k, x_{k-1}), the same third
        # batches at both.
        def direction(z, v, x):
            _, F_x = oracles.grad_outer(z, x, draws.f_x)
            return F_x + oracles.cross(z, x, v, draws.x)

        D_x, D_x_old = oracles.at_points(direction, (z, v, s.x), (s.z, s.v, s.x_old))
        d_x = storm(s.d_x, D_x, D_x_old, a)
        x = oracles.project(s.x - gamma * d_x)
        return State(z=z, v=v, x=x, d_x=d_x, t=s.t + 1, x_old=s.x)
