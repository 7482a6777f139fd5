from typing import NamedTuple

from benchmark_utils.formulas.steps import power_law, theory_or_constant
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Log
from benchmark_utils.running.solver import BilevelSolver


# What one outer iteration hands to the next. The type of a field is its role: Inner has the shape
# of z, Outer that of x, Count is the counter. z and x start where the run starts, every other field
# at zero; `w: Inner.start` would start at z0. The benchmark reads z, x, d_x and t.
class State(NamedTuple):
    z: Inner
    v: Inner  # v ~ -H^{-1} grad_z F
    x: Outer
    d_x: Outer  # last outer direction used
    t: Count


class Solver(BilevelSolver):
    """Template: one plain SGD step on z, on v and on x, one after the other.

    Say here what the method is, where it was published (arXiv id) and with which algorithm or
    equation number. The sign of v is the project's, v ~ -H^{-1} grad_z F; say so if the paper has
    the other one. Then every parameter, in the order of ``parameters``.

    Parameters
    ----------
    backend : {"jax", "torch", "torch-compiled"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples); "full": all of them.
    schedule : {"theory", "constant"}
        "theory": all steps decay as (t + 1)^{-1/2}; "constant": they do not.
    step_size : float
        rho, step of z and v (at t = 0 where steps decay).
    outer_ratio : float
        rho / gamma, where gamma is the step of x.

    Differs from the paper
    ----------------------
    - There is no paper; list yours here, one deviation a bullet, honestly.
    """

    name = "Template"

    # Literals: benchopt reads them without running the file. The default of every parameter that is
    # searched is the word "tuned": the tuned value of the problem, or the start of its range.
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "schedule": ["theory"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]

    # The allowed words of a parameter; integers are 1 to 10,000, unless `least` or `most` say
    # otherwise.
    choices = {"schedule": ("theory", "constant")}

    # Where tuning looks. Log: a step size or the like, which reaches `step` in hp as a traced
    # number, so that changing it compiles nothing. Int and Choice: structure, attributes of self.
    search_space = {
        "step_size": Log(1e-4, 1e3, start=0.1),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }

    # With full batches and constant steps on a quadratic: does x tend to argmin h ("exact"), to the
    # zero of a truncated Neumann direction ("neumann"), or, in a sentence, to something else? Then
    # the parameters of that run.
    deterministic = {
        "limit": "exact",
        "schedule": "constant",
        "step_size": 0.3,
        "outer_ratio": 3.0,
    }
    references = ["Your names, your paper, arXiv:0000.00000"]

    def draws(self):
        # The draw plan of one iteration, by role. Roles are independent of each other: to use the
        # same batch twice, use the same role twice. `inner(10)` draws ten batches at once, for
        # `oracles.repeat`.
        return {"z": inner(), "v": inner(), "x": inner(), "f": outer()}

    def step(self, s, oracles, hp, draws):
        # One text for both backends: arithmetic, oracles.*, self.bk.xp.*; no Python `if` on numbers
        # drawn or computed (oracles.cond), no loop over drawn lengths (oracles.repeat).
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
