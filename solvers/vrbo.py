from typing import NamedTuple

from benchmark_utils.formulas import hypergradient
from benchmark_utils.formulas.large_batch import LargeBatches
from benchmark_utils.formulas.variance_reduction import sarah
from benchmark_utils.oracles.draws import PERIODS, inner, iterations_of, outer
from benchmark_utils.oracles.oracles import FULL
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import ITERATIONS, Choice, Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    x: Outer
    d_x: Outer  # last outer direction used
    t: Count
    u_z: Inner  # SPIDER estimate of grad_z G at (z, x)
    u_x: Outer  # SPIDER estimate of the outer direction at (z, x), the next one to be used


class Solver(BilevelSolver):
    """VRBO: double loop, SPIDER on both directions (Neumann hypergradient), periodic full passes.

    J. Yang, K. Ji, Y. Liang, "Provably faster algorithms for bilevel optimization", NeurIPS 2021,
    arXiv:2106.04692, Algorithm 2. The paper solves for q = -v.

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
    large_batch : int or "full"
        Mini-batches of each kind that are averaged where the estimates are renewed (S_1 in the
        paper); "full": all rows.
    n_inner_steps : int
        m, steps of z in one iteration. The estimates are corrected m + 1 times: once for the move
        of x and once after each step of z.
    n_neumann_steps : int
        Q, products of the Neumann series in one estimate (the series has Q + 1 terms).
    neumann_step : float
        eta, step of the series, near 1 / L; it never decays. The start is one over the L measured
        at the first point.
    step_size : float
        rho, step of z.
    outer_ratio : float
        rho / gamma, where gamma is the step of x.

    Differs from the paper
    ----------------------
    - The estimates are renewed by a full pass (``large_batch="full"``), where the paper takes a big
      batch S_1 (``large_batch``, a number).
    - m = ``n_inner_steps`` counts the inner steps, so the estimates are corrected m + 1 times an
      outer iteration and belong to the point that the next one starts from.
    - All small batches have one size.
    """

    name = "VRBO"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "period": ["tuned"],
        "large_batch": ["full"],
        "n_inner_steps": ["tuned"],
        "n_neumann_steps": ["tuned"],
        "neumann_step": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    static_graph = False
    choices = {"period": (*PERIODS, int), "large_batch": ("full", int)}
    most = {"period": ITERATIONS}
    search_space = {
        "period": Choice.of(*PERIODS, start="epoch"),
        "n_inner_steps": Int(1, 1000, start=3),
        "n_neumann_steps": Int(1, 1000, start=50),
        "neumann_step": Log(1e-6, 1e4, start="1/L"),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "neumann", "period": 1000, "n_inner_steps": 3, "n_neumann_steps": 4,
        "neumann_step": 0.6, "step_size": 0.3, "outer_ratio": 3.0,
    }  # fmt: skip
    references = ["J. Yang, K. Ji, Y. Liang. NeurIPS 2021. arXiv:2106.04692"]

    def batches(self):
        """Return the draws of the corrections."""
        m, Q = self.n_inner_steps + 1, self.n_neumann_steps
        return {"z": inner(m), "v": inner(m, Q), "x": inner(m), "f": outer(m)}

    def draws(self):
        k, Q = self.large_batch, self.n_neumann_steps
        if k == "full":
            return self.batches()
        large = {"Z": inner(k), "V": inner(Q, k), "X": inner(k), "F": outer(k)}
        return self.batches() | large

    def step(self, s, oracles, hp, draws):
        rho, gamma = hp.step_size, hp.step_size / hp.outer_ratio
        eta, Q = hp.neumann_step, self.n_neumann_steps  # step and products of the series
        period = iterations_of(self.period, self.batches(), self.partitions)

        def estimates(oracles, z, x, z_batch, linear_batches, outer_batch, cross_batch):
            D_x = hypergradient.shia(oracles, z, x, eta, Q, linear_batches, outer_batch, cross_batch)
            return oracles.grad_inner(z, x, z_batch), D_x

        large, all_rows = oracles, (FULL, FULL, FULL, FULL)
        if self.large_batch != "full":
            large = LargeBatches(oracles, self.large_batch)
            all_rows = draws.Z, draws.V, draws.F, draws.X

        # Lines 3-7: every ``period`` iterations a full pass at (z_k, x_k), else the estimates of
        # the inner loop.
        u_z, u_x = oracles.cond(
            s.t % period == 0, lambda *_: estimates(large, s.z, s.x, *all_rows), lambda *u: u,
            s.u_z, s.u_x,
        )  # fmt: skip

        # Line 8: outer step.
        x = oracles.project(s.x - gamma * u_x)

        # Lines 9-15: inner loop, from the point (z_k, x_k) of the estimates to (z_k, x_{k+1}) at
        # t = 0, which absorbs the change of x, and along z afterwards.
        def correct_and_step(k, carry):
            z_old, x_old, z, u_z, u_x = carry
            batches = draws.z[k], draws.v[k], draws.f[k], draws.x[k]
            at = lambda z, x: estimates(oracles, z, x, *batches)
            (new_z, new_x), (old_z, old_x) = oracles.at_points(at, (z, x), (z_old, x_old))
            u_z, u_x = sarah(u_z, new_z, old_z), sarah(u_x, new_x, old_x)
            return z, x, z - rho * u_z, u_z, u_x

        # The last step of z is not used: the estimates belong to the point before it.
        carry = s.z, s.x, s.z, u_z, u_x
        z, _, _, v_z, v_x = oracles.repeat(self.n_inner_steps + 1, correct_and_step, carry)
        return State(z=z, x=x, d_x=u_x, t=s.t + 1, u_z=v_z, u_x=v_x)
