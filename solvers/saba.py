from typing import NamedTuple

from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Memory, Outer
from benchmark_utils.running.search_space import Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    v: Inner  # v ~ -H^{-1} grad_z F
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count
    # Memory: one row a block, and the averages over the rows
    inner_table: Memory("inner", z=2, x=1)  # last (grad_z G, H v, C v) of each block of G
    inner_mean: Memory(None, z=2, x=1)
    outer_table: Memory("outer", z=1, x=1)  # last (grad_z F, grad_x F) of each block of F
    outer_mean: Memory(None, z=1, x=1)


class Solver(BilevelSolver):
    """SABA: SOBA with SAGA variance reduction of the five quantities, constant steps.

    M. Dagréou, P. Ablin, S. Vaiter, T. Moreau, "A framework for bilevel optimization that enables
    stochastic and global variance reduction algorithms", NeurIPS 2022, arXiv:2201.13409,
    Algorithm 1 with directions (SABA).

    Parameters
    ----------
    backend : {"jax", "torch", "torch-compiled"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples); the memory holds one row for each.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    memory : {"full", "zero"}
        How the memory starts: "full", by one counted pass over all rows; "zero", with zeros.
    linear_ratio : float
        eta / rho, where eta is the step of v.
    step_size : float
        rho, step of z.
    outer_ratio : float
        rho / gamma, where gamma is the step of x.

    Differs from the paper
    ----------------------
    - The memory holds one row for each mini-batch block instead of one for each sample.
    - It is filled by one counted full pass (``memory="full"``) or starts at zero (``"zero"``). At
      v = 0 the products with H and C are zero, and not asked for.
    - z and v have one step in the paper (``linear_ratio=1``).
    """

    name = "SABA"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "memory": ["full"],
        "linear_ratio": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"memory": ("full", "zero")}
    search_space = {
        "linear_ratio": Log(1e-3, 1e3, start=1.0),
        "step_size": Log(1e-4, 1e3, start=0.1),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {"limit": "exact", "linear_ratio": 1.0, "step_size": 0.3, "outer_ratio": 3.0}
    references = ["M. Dagréou, P. Ablin, S. Vaiter, T. Moreau. NeurIPS 2022. arXiv:2201.13409"]

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def init(self, z0, x0, oracles):
        first, xp = self.first_state(z0, x0), self.bk.xp
        if self.memory == "zero":
            return first
        products = [0 * first.v, 0 * first.x]  # H v and C v at v = 0
        inner_row = lambda i: xp.concat([oracles.grad_inner(first.z, first.x, i), *products])
        outer_row = lambda j: xp.concat(oracles.grad_outer(first.z, first.x, j))
        inner_table = oracles.map_blocks("inner", inner_row)
        outer_table = oracles.map_blocks("outer", outer_row)
        return first._replace(
            inner_table=inner_table,
            inner_mean=xp.mean(inner_table, axis=0),
            outer_table=outer_table,
            outer_mean=xp.mean(outer_table, axis=0),
        )

    def step(self, s, oracles, hp, draws):
        rho, gamma = hp.step_size, hp.step_size / hp.outer_ratio
        xp, p = self.bk.xp, s.z.shape[0]

        # SAGA: new - old + mean is unbiased; the mean follows the table.
        new = xp.concat(oracles.inner_joint(s.z, s.x, s.v, draws.xi))
        old, inner_table = self.bk.row_swap(s.inner_table, draws.xi, new)
        change = new - old
        D_z, Hv, Cv = split(change + s.inner_mean, p)
        inner_mean = s.inner_mean + change / s.inner_table.shape[0]

        new = xp.concat(oracles.grad_outer(s.z, s.x, draws.zeta))
        old, outer_table = self.bk.row_swap(s.outer_table, draws.zeta, new)
        change = new - old
        F_z, F_x = (change + s.outer_mean)[:p], (change + s.outer_mean)[p:]
        outer_mean = s.outer_mean + change / s.outer_table.shape[0]

        D_v = Hv + F_z
        D_x = Cv + F_x
        return State(
            z=s.z - rho * D_z, v=s.v - rho * hp.linear_ratio * D_v,
            x=oracles.project(s.x - gamma * D_x), d_x=D_x, t=s.t + 1,
            inner_table=inner_table, inner_mean=inner_mean,
            outer_table=outer_table, outer_mean=outer_mean,
        )  # fmt: skip


def split(u, p):
    """Cut a packed inner row into grad_z G, H v and C v."""
    return u[:p], u[p : 2 * p], u[2 * p :]
