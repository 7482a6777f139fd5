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
    d_x: Outer  # STORM estimate of D_x, the last one used
    t: Count
    d_z: Inner  # STORM estimate of D_z
    d_v: Inner  # STORM estimate of D_v
    z_old: Inner.start  # z, v and x of one iteration before, at which the estimates were taken
    v_old: Inner
    x_old: Outer.start


class Solver(BilevelSolver):
    """FdeHBO: fully single loop without Hessians, finite differences for H v and C v, STORM.

    Y. Yang, P. Xiao, K. Ji, "Achieving O(eps^{-1.5}) complexity in Hessian/Jacobian-free stochastic
    bilevel optimization", NeurIPS 2023, arXiv:2312.03807, algorithm FdeHBO. The paper solves for
    q = -v. Its abstract could be read, its algorithm could not: the finite differences are central
    here, and STORM estimates follow v and x as they do z.

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
        "theory": the three steps decay as (1 + t / m)^{-1/3} and the momentum weights as
        (1 + t / m)^{-2/3}; "constant": they do not.
    momentum : float
        Weight a of the STORM estimate of D_x, in (0, 1]: 1 corrects nothing, and is the weight at
        t = 0.
    inner_momentum, linear_momentum : float
        The same weights of the estimates of D_z and of D_v.
    decay_offset : float
        m of the decay (1 + t / m)^{-e} (iterations); 1 gives powers of t + 1.
    delta : float
        Half width of the finite differences: gradients are taken at z +- delta v.
    radius : float
        Radius of the ball in which v stays.
    linear_ratio : float
        Step of v over step of z.
    step_size : float
        Step of z (at t = 0 where steps decay).
    outer_ratio : float
        Step of z over step of x.

    Differs from the paper
    ----------------------
    - One outer batch for both gradients of F.
    - ``schedule="theory"`` takes the steps c (1 + t / m)^{-1/3} and the weights
      a (1 + t / m)^{-2/3}, with constants to tune.
    - The first directions are plain stochastic ones.
    """

    name = "FdeHBO"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "schedule": ["theory"],
        "momentum": ["tuned"],
        "inner_momentum": ["tuned"],
        "linear_momentum": ["tuned"],
        "decay_offset": ["tuned"],
        "delta": ["tuned"],
        "radius": ["tuned"],
        "linear_ratio": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"schedule": ("theory", "constant")}
    search_space = {
        "momentum": Log(1e-2, 1.0, start=0.5),
        "inner_momentum": Log(1e-2, 1.0, start=0.5),
        "linear_momentum": Log(1e-2, 1.0, start=0.5),
        "decay_offset": Log(1.0, 1e4, start=1.0),
        "delta": Log(1e-4, 1e0, start=0.01),
        "radius": Log(1e0, 1e4, start=100.0),
        "linear_ratio": Log(1e-2, 1e2, start=1.0),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "exact", "schedule": "constant", "momentum": 0.5, "inner_momentum": 0.5,
        "linear_momentum": 0.5, "delta": 0.01, "radius": 100.0, "linear_ratio": 1.0,
        "step_size": 0.3, "outer_ratio": 3.0,
    }  # fmt: skip
    references = ["Y. Yang, P. Xiao, K. Ji. NeurIPS 2023. arXiv:2312.03807"]

    def draws(self):
        return {"z": inner(), "v": inner(), "x": inner(), "f": outer()}

    def step(self, s, oracles, hp, draws):
        m, decay = hp.decay_offset, theory_or_constant(self.schedule, 1 / 3)
        rho = power_law(hp.step_size, s.t, decay, m)
        lam = rho * hp.linear_ratio  # step of the linear system
        gamma = rho / hp.outer_ratio
        weight = lambda a: momentum(self.bk, power_law(a, s.t, 2 * decay, m), s.t)

        # D_z, D_v and D_x from gradients alone.
        def directions(z, v, x):
            plus, minus, width = z + hp.delta * v, z - hp.delta * v, 2 * hp.delta
            grad_z = lambda z: oracles.grad_inner(z, x, draws.v)
            grad_x = lambda z: oracles.grad_inner_x(z, x, draws.x)
            Hv, Cv = (grad_z(plus) - grad_z(minus)) / width, (grad_x(plus) - grad_x(minus)) / width
            F_z, F_x = oracles.grad_outer(z, x, draws.f)
            return oracles.grad_inner(z, x, draws.z), Hv + F_z, Cv + F_x

        # STORM with the same draws at the current and at the previous point.
        new, old = oracles.at_points(directions, (s.z, s.v, s.x), (s.z_old, s.v_old, s.x_old))
        d_z = storm(s.d_z, new[0], old[0], weight(hp.inner_momentum))
        d_v = storm(s.d_v, new[1], old[1], weight(hp.linear_momentum))
        d_x = storm(s.d_x, new[2], old[2], weight(hp.momentum))

        # Steps; v stays in a ball, on which the error of the finite differences is bounded.
        return State(
            z=s.z - rho * d_z, v=oracles.ball_z(s.v - lam * d_v, hp.radius),
            x=oracles.project(s.x - gamma * d_x), d_x=d_x, t=s.t + 1,
            d_z=d_z, d_v=d_v, z_old=s.z, v_old=s.v, x_old=s.x,
        )  # fmt: skip
