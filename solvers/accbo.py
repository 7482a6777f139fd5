from typing import NamedTuple

from benchmark_utils.formulas import hypergradient
from benchmark_utils.formulas.steps import momentum, power_law, theory_or_constant, unit_vector
from benchmark_utils.formulas.variance_reduction import ema, storm
from benchmark_utils.oracles.draws import inner, integers, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner.start  # average of the iterates y, at which the hypergradient is taken
    x: Outer
    d_x: Outer  # STORM estimate of the hypergradient, the last one used
    t: Count
    y: Inner.start  # iterate of the accelerated method on G
    y_old: Inner.start  # y of one step before
    z_old: Inner.start  # z and x of one iteration before, at which the estimate is corrected
    x_old: Outer.start


class Solver(BilevelSolver):
    """AccBO: Nesterov's method with averaging on z, normalized steps with STORM on x.

    X. Gong, J. Hao, M. Liu, "An accelerated algorithm for stochastic bilevel optimization under unbounded smoothness",
    NeurIPS 2024, arXiv:2409.19212.

    Parameters
    ----------
    backend : {"jax", "torch"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G in one mini-batch (samples); "full": all of them.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    n_inner_steps : int
        Accelerated steps of y in one outer iteration, each with a batch of its own.
    n_neumann_steps : int
        Q of HIA: one random term of a series of Q terms, 0 to Q - 1 products in one estimate.
    outer_step : {"normalized", "plain"}
        "normalized": x moves by eta along m / ‖m‖, as in the paper; "plain": along eta m.
    schedule : {"theory", "constant"}
        "theory": eta and the weight ``momentum`` decay as (1 + t / m)^{-2/3}; "constant": they do
        not.
    decay_offset : float
        m of the decay (iterations); 1 gives powers of t + 1.
    extrapolation : float
        gamma in y_t + gamma (y_t - y_{t-1}), the point of the gradient; below 1.
    theta : float
        tau, weight of the newest y in the average z, in (0, 1].
    momentum : float
        1 - beta, weight in new + (1 - a) (estimate - old), in (0, 1] (at t = 0 of the decay); 1 keeps no memory. The
        first iteration takes 1.
    neumann_step : float
        eta, step of the series, near 1 / L; it never decays. The start is one over the L measured at the first point.
    step_size : float
        alpha, step of y.
    outer_ratio : float
        alpha / eta at the first iteration; eta is a length where the outer step is normalized.

    Differs from the paper
    ----------------------
    - Of the paper the abstract could be read, which names the parts, and of its algorithm the authors' program: the
      average, the extrapolation, the weights and one random term of the series are as there. The program takes the
      correction of its estimate from another batch at the old point; here it is STORM, the same draws at both points.
    - The program also skips the steps of y in most iterations and starts their momentum anew in each ("option 2");
      here they are taken in every iteration and the momentum goes on.
    - The abstract's O(eps^{-3}) iterations of length eta need eta ~ eps^2 = T^{-2/3}, and so decay eta and the weight
      here; the paper's own constants are unknown to us. There is no warm start of y.
    """

    name = "AccBO"
    parameters = {
        "backend": ["jax", "torch"], "batch_size": [64], "outer_batch_size": ["same"], "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"], "n_neumann_steps": ["tuned"],
        "outer_step": ["normalized"], "schedule": ["theory"], "decay_offset": ["tuned"], "extrapolation": ["tuned"],
        "theta": ["tuned"], "momentum": ["tuned"], "neumann_step": ["tuned"], "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }  # fmt: skip
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    static_graph = False
    choices = {"outer_step": ("normalized", "plain"), "schedule": ("theory", "constant")}
    search_space = {
        "n_inner_steps": Int(1, 50, start=1),
        "n_neumann_steps": Int(1, 1000, start=50),
        "decay_offset": Log(1.0, 1e4, start=1.0),
        "extrapolation": Log(1e-3, 0.999, start=0.5),
        "theta": Log(1e-2, 1.0, start=0.5),
        "momentum": Log(1e-2, 1.0, start=0.9),
        "neumann_step": Log(1e-6, 1e4, start="1/L"),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "hia", "n_inner_steps": 1, "n_neumann_steps": 4, "outer_step": "plain", "schedule": "constant",
        "extrapolation": 0.2, "theta": 0.5, "momentum": 0.9, "neumann_step": 0.3, "step_size": 0.3, "outer_ratio": 2.0,
    }  # fmt: skip
    references = ["X. Gong, J. Hao, M. Liu. NeurIPS 2024. arXiv:2409.19212"]

    def draws(self):
        Q = self.n_neumann_steps
        inner_loop = {"z": inner(self.n_inner_steps)}
        return inner_loop | {"v": inner(Q), "p": integers(0, Q), "x": inner(), "f": outer()}

    def step(self, s, oracles, hp, draws):
        alpha, m, decay = hp.step_size, hp.decay_offset, theory_or_constant(self.schedule, 2 / 3)
        eta = power_law(alpha / hp.outer_ratio, s.t, decay, m)
        a = momentum(self.bk, power_law(hp.momentum, s.t, decay, m), s.t)

        # The hypergradient at (z_t, x_t), corrected by the same draws at (z_{t-1}, x_{t-1}).
        Q = self.n_neumann_steps
        at = lambda z, x: hypergradient.hia(oracles, z, x, hp.neumann_step, Q, draws.p, draws.v, draws.f, draws.x)
        D_x, D_x_old = oracles.at_points(at, (s.z, s.x), (s.z_old, s.x_old))
        d_x = storm(s.d_x, D_x, D_x_old, a)

        # Nesterov's steps on G(., x_t), then the average.
        def accelerated(k, carry):
            y, y_old = carry
            ahead = y + hp.extrapolation * (y - y_old)
            return ahead - alpha * oracles.grad_inner(ahead, s.x, draws.z[k]), y

        y, y_old = oracles.repeat(self.n_inner_steps, accelerated, (s.y, s.y_old))

        direction = unit_vector(self.bk, d_x) if self.outer_step == "normalized" else d_x
        return State(
            z=ema(s.z, y, hp.theta), x=oracles.project(s.x - eta * direction), d_x=d_x, t=s.t + 1, y=y, y_old=y_old,
            z_old=s.z, x_old=s.x,
        )  # fmt: skip
