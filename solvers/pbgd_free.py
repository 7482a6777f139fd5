from typing import NamedTuple

from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner  # near argmin of F / gamma + G in z
    x: Outer
    d_x: Outer  # last outer direction, grad_x F alone
    t: Count


class Solver(BilevelSolver):
    """PBGD-Free: penalty method without the value function, x moves along grad_x F at the penalised z.

    L. Jiang, Q. Xiao, L. Chen, T. Chen, "Beyond value functions: single-loop bilevel optimization under flatness
    conditions", NeurIPS 2025, arXiv:2507.20400. The direction grad_x F + gamma (grad_x G(z, x) - grad_x min G) of the
    penalty method loses its second term and with it the inner loop towards argmin G. What is lost is small where F is
    flat in z around argmin G, the condition of the paper; elsewhere a bias stays, however large gamma is.

    Parameters
    ----------
    backend : {"jax", "torch", "torch-compiled"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G in one mini-batch (samples); "full": all of them.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    n_inner_steps : int
        Gradient steps of z on F / gamma + G in one outer iteration, each with batches of its own; 1 is the method
        without loops.
    penalty : float
        gamma, weight of G over that of F.
    step_size : float
        Step of z, constant.
    outer_ratio : float
        Step of z over step of x.

    Differs from the paper
    ----------------------
    - Of the paper the abstract could be read; the two steps are those of the authors' program, where x moves at the
      new z and gamma and both steps are constant.
    - A problem whose F does not depend on x is declined: x would never move.
    """

    name = "PBGD-Free"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": ["full"],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "penalty": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    search_space = {
        "n_inner_steps": Int(1, 100, start=1),
        "penalty": Log(1e-1, 1e3, start=10.0),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "grad_x F = 0 at the minimiser of F / gamma + G, which is no stationary point of h; see "
        "tests/contract/test_deterministic_limits.py",
        "n_inner_steps": 1,
        "penalty": 10.0,
        "step_size": 0.3,
        "outer_ratio": 1.0,
    }
    references = ["L. Jiang, Q. Xiao, L. Chen, T. Chen. NeurIPS 2025. arXiv:2507.20400"]

    def why_not(self, problem, partitions):
        if not problem.outer.uses_x:
            return (
                f"{self.name} moves x along grad_x F alone, and F of {problem.name} does not depend on x; "
                "V-PBGD keeps the term in G."
            )
        return None

    def draws(self):
        T = self.n_inner_steps
        return {"G_z": inner(T), "F_z": outer(T), "F_x": outer()}

    def step(self, s, oracles, hp, draws):
        def descent(k, z):
            F_z, _ = oracles.grad_outer(z, s.x, draws.F_z[k])
            return z - hp.step_size * (F_z / hp.penalty + oracles.grad_inner(z, s.x, draws.G_z[k]))

        z = oracles.repeat(self.n_inner_steps, descent, s.z)
        _, D_x = oracles.grad_outer(z, s.x, draws.F_x)
        x = oracles.project(s.x - hp.step_size / hp.outer_ratio * D_x)
        return State(z=z, x=x, d_x=D_x, t=s.t + 1)
