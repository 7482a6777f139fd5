from typing import Any, NamedTuple

from benchmark_utils.sampling import inner, outer
from benchmark_utils.schedules import power_law, theory_or_constant
from benchmark_utils.solver_base import BilevelSolver, Log


# What your algorithm carries from one outer iteration to the next. The fields z, x, d_x and t are read by the
# benchmark; add your own, with their shapes. z, x and v are flat vectors, whatever the problem.
class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    v: Any  # v ~ -H^{-1} grad_z F, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction used, shape (d,)
    t: Any  # outer iterations done, integer


class Solver(BilevelSolver):
    """Template: one plain SGD step on z, on v and on x, one after the other. Copy this file and change `step`.

    Say here what the method is, where it was published (arXiv id) and with which algorithm or equation number. The
    sign of v is the project's, v ~ -H^{-1} grad_z F; say so if the paper has the other one.

    Differs from the paper in: 1. there is no paper; number yours here, honestly.
    """

    name = "Template"

    # Literals: benchopt reads them without running the file. A parameter whose value is a float is a step size or
    # the like: it reaches `step` in hp as a traced number, so changing it compiles nothing. Integers and strings are
    # structure: they stay attributes of self and are fixed when the program is compiled.
    parameters = {
        "backend": ["jax", "torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "schedule": ["theory"],
        "step_size": [0.1],
        "outer_ratio": [1.0],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]

    # Oracles you call; where a problem does not offer them the solver is skipped with a sentence.
    requires = ("grad_inner", "hvp", "cross", "grad_outer")

    # Where tuning may look.
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}

    # With full batches and constant steps on a quadratic: does x tend to argmin h ("exact"), to the zero of a
    # truncated Neumann direction ("neumann"), or, in a sentence, to something else? Then the parameters of that run.
    deterministic = {"limit": "exact", "schedule": "constant", "step_size": 0.3, "outer_ratio": 3.0}
    references = ["Your names, your paper, arXiv:0000.00000"]

    def draws(self):
        # The draw plan of one iteration, by role. Roles are independent of each other: to use the same batch twice,
        # use the same role twice. `inner(10)` draws ten batches at once, for `oracles.repeat`.
        return {"z": inner(), "v": inner(), "x": inner(), "f": outer()}

    def init(self, z0, x0, oracles):
        # Oracles called here (a full pass that fills a memory, say) are timed and counted.
        return State(z=z0, v=0 * z0, x=x0, d_x=0 * x0, t=self.bk.counter())

    def step(self, s, oracles, hp, draws):
        # One text for both backends: arithmetic, oracles.*, self.bk.xp.*; no Python `if` on numbers drawn or computed
        # (oracles.cond), no loop over drawn lengths (oracles.repeat).
        rho = power_law(hp.step_size, s.t, theory_or_constant(self.schedule, 1 / 2))
        gamma = rho / hp.outer_ratio

        # Inner variable: D_z = grad_z G.
        z = s.z - rho * oracles.grad_inner(s.z, s.x, draws.z)

        # Linear system H v + grad_z F = 0: D_v = H v + grad_z F, at the new z.
        F_z, F_x = oracles.grad_outer(z, s.x, draws.f)
        D_v = oracles.hvp(z, s.x, s.v, draws.v) + F_z
        v = s.v - rho * D_v

        # Outer variable: D_x = C v + grad_x F, which is grad h where z and v are exact.
        D_x = oracles.cross(z, s.x, v, draws.x) + F_x

        # The costs are in the ledger already: each oracle added the samples that it visited.
        return State(z=z, v=v, x=oracles.project(s.x - gamma * D_x), d_x=D_x, t=s.t + 1)
