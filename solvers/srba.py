from typing import NamedTuple

from benchmark_utils.formulas import hypergradient
from benchmark_utils.formulas.variance_reduction import sarah
from benchmark_utils.oracles.draws import PERIODS, inner, iterations_of, outer
from benchmark_utils.oracles.oracles import FULL
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import ITERATIONS, Choice, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    v: Inner  # v ~ -H^{-1} grad_z F
    x: Outer
    d_x: Outer  # SARAH estimate of D_x, the last one used
    t: Count
    d_z: Inner  # SARAH estimate of D_z
    d_v: Inner  # SARAH estimate of D_v
    z_old: Inner.start  # z, v and x of one iteration before, at which the estimates were taken
    v_old: Inner
    x_old: Outer.start


class Solver(BilevelSolver):
    """SRBA: SOBA with SARAH estimates of the directions, periodic full passes, constant steps.

    M. Dagréou, T. Moreau, S. Vaiter, P. Ablin, "A lower bound and a near-optimal algorithm for
    bilevel empirical risk minimization", AISTATS 2024, arXiv:2302.08766, Algorithm 1.

    Parameters
    ----------
    backend : {"jax", "torch"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples).
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    period : int or {"epoch_hundredth", "epoch_half", "epoch", "epochs_8", "epochs_512"}
        Iterations from one full pass to the next, or that time in epochs; an epoch is as many
        iterations as it takes to draw n + m samples, the rows of both levels.
    radius : float
        Radius of the ball around zero that v is projected onto.
    linear_ratio : float
        eta / rho, where eta is the step of v.
    step_size : float
        rho, step of z.
    outer_ratio : float
        rho / gamma, where gamma is the step of x.

    Differs from the paper
    ----------------------
    - Mini-batches instead of single samples.
    - The period is a number of iterations or of epochs, with constants of the steps to tune.
    - z and v have one step in the paper (``linear_ratio=1``).
    - The radius of the ball of v is a parameter, by default so large that it only stops a
      divergence.
    """

    name = "SRBA"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "period": ["tuned"],
        "radius": ["tuned"],
        "linear_ratio": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    static_graph = False
    choices = {"period": (*PERIODS, int)}
    most = {"period": ITERATIONS}
    search_space = {
        "period": Choice.of(*PERIODS, start="epoch"),
        "radius": Log(1.0, 1e6, start=1e3),
        "linear_ratio": Log(1e-3, 1e3, start=1.0),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "exact", "period": 1000, "radius": 1e3, "linear_ratio": 1.0,
        "step_size": 0.3, "outer_ratio": 3.0,
    }  # fmt: skip
    references = ["M. Dagréou, T. Moreau, S. Vaiter, P. Ablin. AISTATS 2024. arXiv:2302.08766"]

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def init(self, z0, x0, oracles):
        # The exact directions of the first iteration. At v = 0 the products with H and C are zero.
        first = self.first_state(z0, x0)
        F_z, F_x = oracles.grad_outer(z0, x0, FULL)
        return first._replace(d_z=oracles.grad_inner(z0, x0, FULL), d_v=F_z, d_x=F_x)

    def step(self, s, oracles, hp, draws):
        rho, gamma = hp.step_size, hp.step_size / hp.outer_ratio
        period = iterations_of(self.period, self.plan, self.partitions)

        # Every ``period`` iterations the exact directions, else SARAH with the same draws at two
        # points.
        def exact(*estimates):
            return hypergradient.joint(oracles, s.z, s.v, s.x, FULL, FULL)

        def corrected(*estimates):
            at = lambda z, v, x: hypergradient.joint(oracles, z, v, x, draws.xi, draws.zeta)
            new, old = oracles.at_points(at, (s.z, s.v, s.x), (s.z_old, s.v_old, s.x_old))
            return tuple(map(sarah, estimates, new, old))

        def renewed(*estimates):  # the first iteration uses the directions of `init`
            return oracles.cond(s.t == 0, lambda *estimates: estimates, exact, *estimates)

        d_z, d_v, d_x = oracles.cond(s.t % period == 0, renewed, corrected, s.d_z, s.d_v, s.d_x, rare=True)

        return State(
            z=s.z - rho * d_z, v=oracles.ball_z(s.v - rho * hp.linear_ratio * d_v, hp.radius),
            x=oracles.project(s.x - gamma * d_x), d_x=d_x, t=s.t + 1,
            d_z=d_z, d_v=d_v, z_old=s.z, v_old=s.v, x_old=s.x,
        )  # fmt: skip
