from fractions import Fraction
from math import ceil
from typing import NamedTuple

from benchmark_utils.formulas.steps import GrowingLengths, length_at
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner  # after the inner loop
    v: Inner  # v ~ -H^{-1} grad_z F after the loop of the linear system
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count


class Solver(BilevelSolver):
    """BSGM: bilevel stochastic gradient with implicit differentiation, without warm start.

    R. Grazzi, M. Pontil, S. Salzo, "Bilevel optimization with a lower-level contraction: optimal
    sample complexity without warm-start", JMLR 2023, arXiv:2202.03397, Algorithms 1 (outer loop)
    and 2 (hypergradient), for the map z - grad_z G and q = -v. Both loops start at zero (the inner
    one at some w_0(lambda) there): without warm start the z0 of the other solvers is not used.

    Parameters
    ----------
    backend : {"jax", "torch", "torch-compiled"}
        Framework that runs the method; "torch-compiled" only where the lengths are constant.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples); "full": all of them.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    length_schedule : {"growing", "constant"}
        "growing": t_s = k_s = J_s = ceil(c (s + 1)), schedule (i); "constant": all lengths are
        ``n_steps``, the finite horizon schedule (ii).
    n_steps : int
        t, k and J: inner steps, linear steps and batches of the mean outer gradient (one where
        that is all rows) and cross product (of tasks one, the drawn block); if growing, their cap.
    growth : float
        c > 0, by how much the lengths grow in one outer iteration (steps).
    warm_start : {"none", "z", "z_and_v"}
        What starts at its previous value: nothing (both loops start at zero), z, or z and v.
    schedule : {"theory", "constant"}
        "theory": the steps of the two loops decay within each loop; "constant": they do not.
    decay_offset : float
        gamma in the decaying step, ``step_size`` gamma / (gamma + i) at step i of a loop (steps).
    linear_ratio : float
        Step of the linear system over the step of z.
    step_size : float
        Step of z, the first one of each loop where steps decay.
    outer_ratio : float
        ``step_size`` over the step of x, which is constant.

    Differs from the paper
    ----------------------
    - With growing lengths (schedule (i)), t_s = k_s = J_s are capped at ``n_steps``.
    - The decaying step is written step_size gamma / (gamma + i), so that step_size is the first
      one.
    - ``warm_start`` "z" and "z_and_v" are variants that the paper compares with.
    """

    name = "BSGM"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "length_schedule": ["growing"],
        "n_steps": ["tuned"],
        "growth": [0.1],
        "warm_start": ["none"],
        "schedule": ["theory"],
        "decay_offset": ["tuned"],
        "linear_ratio": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {
        "length_schedule": ("growing", "constant"),
        "warm_start": ("none", "z", "z_and_v"),
        "schedule": ("theory", "constant"),
    }
    search_space = {
        "n_steps": Int(1, 10_000, start=50),
        "decay_offset": Log(1e1, 1e4, start=1000.0),
        "linear_ratio": Log(1e-2, 1e2, start=1.0),
        "step_size": Log(1e-4, 1e3, start=1.0),
        "outer_ratio": Log(1e-10, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "exact", "length_schedule": "constant", "n_steps": 3, "warm_start": "z_and_v",
        "schedule": "constant", "decay_offset": 1000.0, "linear_ratio": 1.0,
        "step_size": 0.3, "outer_ratio": 3.0,
    }  # fmt: skip
    references = ["R. Grazzi, M. Pontil, S. Salzo. JMLR 24(167), 2023. arXiv:2202.03397"]

    @property
    def static_graph(self):
        """Lengths that follow the counter are known at run time only."""
        return self.length_schedule == "constant"

    @property
    def lengths(self):
        """t_s = k_s = J_s for s = 0, 1, ..., the last entry standing for all later ones."""
        if self.length_schedule == "constant":
            return [self.n_steps]
        c = Fraction(str(self.growth))  # 0.1 is a tenth here
        return GrowingLengths(lambda s: ceil(c * (s + 1)), self.n_steps)

    def why_not(self, problem, partitions):
        if self.growth == 0:
            return "growth is 0, so no step would be made; give it a positive number."

    def draws(self):
        # Four mutually independent samples; of each the first t_s = k_s = J_s batches are used.
        return dict.fromkeys("zvx", inner(self.n_steps)) | {"f": outer(self.n_steps)}

    def step(self, s, oracles, hp, draws):
        x, gamma, n = s.x, hp.decay_offset, length_at(self.bk, self.lengths, s.t)  # t_s = k_s = J_s
        alpha = hp.step_size / hp.outer_ratio  # constant outer step
        J = n if self.problem.tasks is None else 1  # of tasks, all batches are the same block
        decay = lambda i: gamma / (gamma + i) if self.schedule == "theory" else 1
        eta = lambda i: hp.step_size * decay(i)  # steps of the inner loop
        eta_v = lambda j: hp.step_size * hp.linear_ratio * decay(j)  # steps of the linear system

        # t_s inner steps from w_0 = 0, or from the previous z.
        z = 0 * s.z if self.warm_start == "none" else s.z
        z = oracles.repeat(n, lambda i, z: z - eta(i) * oracles.grad_inner(z, x, draws.z[i]), z)

        # The mean of J_s gradients of F, or the one of all its rows, kept fixed while k_s steps
        # solve H v + F_z = 0 from v_0 = 0, or from the previous v.
        def add_grad_outer(j, total):
            F_z, F_x = oracles.grad_outer(z, x, draws.f[j])
            return total[0] + F_z, total[1] + F_x

        m = 1 if self.partitions["outer"].n_blocks == 1 else J
        F_z, F_x = (total / m for total in oracles.repeat(m, add_grad_outer, (0 * z, 0 * x)))
        linear_step = lambda j, v: v - eta_v(j) * (oracles.hvp(z, x, v, draws.v[j]) + F_z)
        v = oracles.repeat(n, linear_step, s.v if self.warm_start == "z_and_v" else 0 * s.v)

        # The mean of J_s cross products and the projected outer step.
        D_x = F_x + oracles.cross_mean(z, x, v, draws.x, J)
        return State(z=z, v=v, x=oracles.project(x - alpha * D_x), d_x=D_x, t=s.t + 1)
