from typing import Any, NamedTuple

import psutil

from benchmark_utils.sampling import inner, outer
from benchmark_utils.solver_base import BilevelSolver, Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    v: Any  # v ~ -H^{-1} grad_z F, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction D_x, shape (d,)
    t: Any  # outer iterations done, integer
    # Memory: one row a block, and the averages over the rows
    inner_table: Any  # last (grad_z G, H v, C v) of each inner block, shape (n_inner_blocks, 2 p + d)
    inner_mean: Any  # shape (2 p + d,)
    outer_table: Any  # last (grad_z F, grad_x F) of each outer block, shape (n_outer_blocks, p + d)
    outer_mean: Any  # shape (p + d,)


class Solver(BilevelSolver):
    """SABA: SOBA with SAGA variance reduction of the five quantities, constant steps.

    M. Dagréou, P. Ablin, S. Vaiter, T. Moreau, "A framework for bilevel optimization that enables stochastic and
    global variance reduction algorithms", NeurIPS 2022, arXiv:2201.13409, Algorithm 1 with directions (SABA).

    Differs from the paper in: 1. the memory holds one row for each mini-batch block instead of one for each
    sample; 2. it is filled by one counted full pass (``memory="full"``) or starts at zero (``"zero"``).
    """

    name = "SABA"
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "memory": ["full"],
        "step_size": [0.1],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "psutil", "pip::jax", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer", "full_pass")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "exact", "step_size": 0.3, "outer_ratio": 3.0}
    references = ["M. Dagréou, P. Ablin, S. Vaiter, T. Moreau. NeurIPS 2022. arXiv:2201.13409"]

    def why_not(self, problem, partitions):
        if self.memory not in ("full", "zero"):
            return f"memory is {self.memory!r}; it must be 'full' (one counted pass) or 'zero'."
        p, d = problem.inner_size, problem.outer_size
        n_in, n_out = partitions["inner"].n_blocks, partitions["outer"].n_blocks
        floats = n_in * (2 * p + d) + n_out * (p + d)
        need, have = floats * (8 if self.precision == "float64" else 4) / 2**30, psutil.virtual_memory().total / 2**31
        if need > have:
            return (
                f"SABA stores {n_in} x {2 * p + d} + {n_out} x {p + d} numbers = {need:.1f} GiB, more than half of the "
                f"memory ({have:.1f} GiB); raise batch_size or use SOBA."
            )

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def init(self, z0, x0, oracles):
        xp, v0 = self.bk.xp, 0 * z0
        if self.memory == "full":
            inner_table = oracles.map_blocks("inner", lambda i: xp.concat(oracles.inner_joint(z0, x0, v0, i)))
            outer_table = oracles.map_blocks("outer", lambda j: xp.concat(oracles.grad_outer(z0, x0, j)))
        else:
            n_in, n_out = self.partitions["inner"].n_blocks, self.partitions["outer"].n_blocks
            inner_table = 0 * xp.stack([xp.concat([z0, z0, x0])] * n_in)
            outer_table = 0 * xp.stack([xp.concat([z0, x0])] * n_out)
        return State(
            z=z0, v=v0, x=x0, d_x=0 * x0, t=self.bk.counter(),
            inner_table=inner_table, inner_mean=xp.mean(inner_table, axis=0),
            outer_table=outer_table, outer_mean=xp.mean(outer_table, axis=0),
        )  # fmt: skip

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
            z=s.z - rho * D_z, v=s.v - rho * D_v, x=oracles.project(s.x - gamma * D_x), d_x=D_x, t=s.t + 1,
            inner_table=inner_table, inner_mean=inner_mean, outer_table=outer_table, outer_mean=outer_mean,
        )  # fmt: skip


def split(u, p):
    """Cut a packed inner row into grad_z G, H v and C v."""
    return u[:p], u[p : 2 * p], u[2 * p :]
