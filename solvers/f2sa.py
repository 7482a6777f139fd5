from typing import NamedTuple

from benchmark_utils.formulas.steps import noisy_levels, power_law, theory_or_constant
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver

#: Noisy levels -> exponents of the decay of gamma_k and of the growth of lambda_k.
EXPONENTS = {"both": (4 / 7, 1 / 7), "outer": (2 / 5, 1 / 5), "none": (0, 1 / 3)}


class State(NamedTuple):
    z: Inner  # minimises F + lambda G in z
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count
    y: Inner.start  # minimises G in z


class Solver(BilevelSolver):
    """F2SA: fully first-order, descent on F + lambda (G - min G) with growing lambda.

    J. Kwon, D. Kwon, S. Wright, R. Nowak, "A fully first-order method for stochastic bilevel
    optimization", ICML 2023, arXiv:2301.10945, Algorithm 1. The paper's y and z are z and y here.
    Algorithm 2, with momentum, is F3SA.

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
    n_inner_steps : int
        T, steps of y and of z in one outer iteration, each with batches of its own.
    schedule : {"theory", "constant"}
        "theory": gamma_k decays and lambda_k grows as powers of 1 + k / k_0, see ``noise``; "constant":
        lambda and all steps stay what they are at k = 0.
    noise : {"auto", "both", "outer", "none"}
        Levels whose gradients are noisy. "both": gamma_k ~ (1 + k / k_0)^{-4/7},
        lambda_k ~ (1 + k / k_0)^{1/7}; "outer", F alone: exponents -2/5 and 1/5; "none": 0 and 1/3. "auto": what the
        sizes of the batches say.
    decay_offset : float
        k_0 of the schedules (iterations); 1 gives powers of k + 1.
    penalty : float
        lambda_0, weight of G - min G at the first iteration.
    step_size : float
        gamma_0, step of y at the first iteration; the step of z is alpha_k = gamma_k /
        (2 lambda_k), so that lambda_k alpha_k stays bounded.
    outer_ratio : float
        1 / xi, where xi alpha_k is the step of x; xi is small in the paper's theory.

    Differs from the paper
    ----------------------
    - The abstract states the rates eps^{-7/2}, eps^{-5/2} and eps^{-3/2} for the three cases of
      ``noise``. The exponents are those that belong to them (lambda_k^{-2} and (k alpha_k)^{-1}
      fall at that rate); the paper's own table of them could not be read.
    - lambda_k follows its power law exactly, where the paper adds increments delta_k of that order.
    - ``schedule="constant"`` fixes lambda and all steps.
    """

    name = "F2SA"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "schedule": ["theory"],
        "noise": ["auto"],
        "decay_offset": ["tuned"],
        "penalty": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"schedule": ("theory", "constant"), "noise": ("auto", *EXPONENTS)}
    search_space = {
        "n_inner_steps": Int(1, 50, start=10),
        "decay_offset": Log(1.0, 1e4, start=1.0),
        "penalty": Log(1e-1, 1e3, start=1.0),
        "step_size": Log(1e-4, 1e3, start="1/L"),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "at a fixed penalty lambda the limit is the minimiser of F + lambda (G - min G), "
        "O(1 / lambda) away; see tests/test_deterministic_limits.py",
        "n_inner_steps": 10,
        "penalty": 1.0,
        "step_size": 0.1,
        "outer_ratio": 1.0,
    }
    references = ["J. Kwon, D. Kwon, S. Wright, R. Nowak. ICML 2023. arXiv:2301.10945"]

    def draws(self):
        T = self.n_inner_steps
        inner_loop = {"G_y": inner(T), "G_z": inner(T), "F_z": outer(T)}
        return inner_loop | {"F_x": outer(), "G_x_at_z": inner(), "G_x_at_y": inner()}

    def step(self, s, oracles, hp, draws):
        decay, growth = EXPONENTS[noisy_levels(self.noise, self.batch_size, self.outer_batch_size)]
        k_0 = hp.decay_offset
        gamma = power_law(hp.step_size, s.t, theory_or_constant(self.schedule, decay), k_0)  # step on y
        lam = power_law(hp.penalty, s.t, theory_or_constant(self.schedule, -growth), k_0)
        alpha = gamma / (2 * lam)  # step on z
        beta = alpha / hp.outer_ratio  # step on x, xi alpha_k

        # T steps on y, towards argmin G, and on z, towards argmin F + lambda G.
        def both(k, carry):
            y, z = carry
            G_y = oracles.grad_inner(y, s.x, draws.G_y[k])
            G_z = oracles.grad_inner(z, s.x, draws.G_z[k])
            F_z, _ = oracles.grad_outer(z, s.x, draws.F_z[k])
            return y - gamma * G_y, z - alpha * (F_z + lam * G_z)

        y, z = oracles.repeat(self.n_inner_steps, both, (s.y, s.z))

        # The direction in x at the new y and z.
        _, F_x = oracles.grad_outer(z, s.x, draws.F_x)
        G_x_at_z = oracles.grad_inner_x(z, s.x, draws.G_x_at_z)
        G_x_at_y = oracles.grad_inner_x(y, s.x, draws.G_x_at_y)
        D_x = F_x + lam * (G_x_at_z - G_x_at_y)
        return State(z=z, x=oracles.project(s.x - beta * D_x), d_x=D_x, t=s.t + 1, y=y)
