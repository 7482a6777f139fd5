from typing import NamedTuple

from benchmark_utils.formulas.steps import momentum, noisy_levels, power_law, theory_or_constant
from benchmark_utils.formulas.variance_reduction import storm
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Log
from benchmark_utils.running.solver import BilevelSolver

#: Noisy levels -> exponents of the decay of gamma_k and of the growth of lambda_k.
EXPONENTS = {"both": (2 / 5, 1 / 5), "outer": (1 / 4, 1 / 4), "none": (0, 1 / 3)}


class State(NamedTuple):
    z: Inner  # minimises F + lambda G in z
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count
    y: Inner.start  # minimises G in z
    z_old: Inner.start  # z, x and y of one iteration before
    x_old: Outer.start
    y_old: Inner.start
    G_y: Inner  # STORM estimates: grad_z G at y
    G_z: Inner  # grad_z G at z
    F_z: Inner  # grad_z F at z
    F_x: Outer  # grad_x F at z
    G_x_at_z: Outer  # grad_x G at z
    G_x_at_y: Outer  # grad_x G at y


class Solver(BilevelSolver):
    """F3SA: fully first-order, descent on F + lambda (G - min G), STORM on all six gradients.

    J. Kwon, D. Kwon, S. Wright, R. Nowak, "A fully first-order method for stochastic bilevel
    optimization", ICML 2023, arXiv:2301.10945, Algorithm 2. The paper's y and z are z and y here.
    Algorithm 1, without momentum, is F2SA.

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
        "theory": gamma_k decays and lambda_k grows as powers of 1 + k / k_0, see ``noise``, and eta_k
        decays as gamma_k^2; "constant": they stay what they are at k = 0.
    noise : {"auto", "both", "outer", "none"}
        Levels whose gradients are noisy. "both": gamma_k ~ (1 + k / k_0)^{-2/5},
        lambda_k ~ (1 + k / k_0)^{1/5}; "outer", F alone: exponents -1/4 and 1/4; "none": 0 and 1/3. "auto": what the
        sizes of the batches say.
    decay_offset : float
        k_0 of the schedules (iterations); 1 gives powers of k + 1.
    penalty : float
        lambda_0, weight of G - min G at the first iteration.
    momentum : float
        Constant c of the weight eta_k = c (gamma_k / gamma_0)^2 in STORM, in (0, 1]: 1 corrects
        nothing, and is the weight at the first iteration.
    step_size : float
        gamma_0, step of y at the first iteration; the step of z is alpha_k = gamma_k /
        (2 lambda_k), so that lambda_k alpha_k stays bounded.
    outer_ratio : float
        1 / xi, where xi alpha_k is the step of x; xi is small in the paper's theory.

    Differs from the paper
    ----------------------
    - The abstract states the rates eps^{-5/2}, eps^{-4/2} and eps^{-3/2} for the three cases of
      ``noise``. The exponents are those that belong to them (lambda_k^{-2} and (k alpha_k)^{-1}
      fall at that rate); the paper's own table of them could not be read.
    - lambda_k follows its power law exactly, where the paper adds increments delta_k of that order.
    - ``schedule="constant"`` fixes lambda and all steps.
    """

    name = "F3SA"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "schedule": ["theory"],
        "noise": ["auto"],
        "decay_offset": ["tuned"],
        "penalty": ["tuned"],
        "momentum": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"schedule": ("theory", "constant"), "noise": ("auto", *EXPONENTS)}
    search_space = {
        "decay_offset": Log(1.0, 1e4, start=1.0),
        "penalty": Log(1e-1, 1e3, start=1.0),
        "momentum": Log(1e-2, 1.0, start=0.5),
        "step_size": Log(1e-4, 1e3, start="1/L"),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    deterministic = {
        "limit": "at a fixed penalty lambda the limit is the minimiser of F + lambda (G - min G), "
        "O(1 / lambda) away; see tests/test_deterministic_limits.py",
        "penalty": 1.0,
        "momentum": 0.5,
        "step_size": 0.1,
        "outer_ratio": 1.0,
    }
    references = ["J. Kwon, D. Kwon, S. Wright, R. Nowak. ICML 2023. arXiv:2301.10945"]

    def draws(self):
        in_z = {"G_y": inner(), "G_z": inner(), "F_z": outer()}
        return in_z | {"F_x": outer(), "G_x_at_z": inner(), "G_x_at_y": inner()}

    def step(self, s, oracles, hp, draws):
        decay, growth = EXPONENTS[noisy_levels(self.noise, self.batch_size, self.outer_batch_size)]
        k_0 = hp.decay_offset
        gamma = power_law(hp.step_size, s.t, theory_or_constant(self.schedule, decay), k_0)  # step on y
        lam = power_law(hp.penalty, s.t, theory_or_constant(self.schedule, -growth), k_0)
        alpha = gamma / (2 * lam)  # step on z
        beta = alpha / hp.outer_ratio  # step on x, xi alpha_k
        of_eta = theory_or_constant(self.schedule, 2 * decay)
        eta = momentum(self.bk, power_law(hp.momentum, s.t, of_eta, k_0), s.t)  # weight of the newest

        # One step on y and z; each gradient with its own batch and momentum.
        def gradients_z(y, z, x):
            G_y, G_z = oracles.grad_inner(y, x, draws.G_y), oracles.grad_inner(z, x, draws.G_z)
            F_z, _ = oracles.grad_outer(z, x, draws.F_z)
            return G_y, G_z, F_z

        new, old = oracles.at_points(gradients_z, (s.y, s.z, s.x), (s.y_old, s.z_old, s.x_old))
        follow = lambda d, new, old: storm(d, new, old, eta)
        G_y, G_z, F_z = map(follow, (s.G_y, s.G_z, s.F_z), new, old)
        y, z = s.y - gamma * G_y, s.z - alpha * (F_z + lam * G_z)

        # The direction in x at the new y and z; the previous iteration took these gradients at
        # (y_k, x_{k-1}) and (z_k, x_{k-1}).
        def gradients_x(y, z, x):
            _, F_x = oracles.grad_outer(z, x, draws.F_x)
            G_x_at_z = oracles.grad_inner_x(z, x, draws.G_x_at_z)
            return F_x, G_x_at_z, oracles.grad_inner_x(y, x, draws.G_x_at_y)

        new, old = oracles.at_points(gradients_x, (y, z, s.x), (s.y, s.z, s.x_old))
        F_x, G_x_at_z, G_x_at_y = map(follow, (s.F_x, s.G_x_at_z, s.G_x_at_y), new, old)
        D_x = F_x + lam * (G_x_at_z - G_x_at_y)
        return State(
            z=z, x=oracles.project(s.x - beta * D_x), d_x=D_x, t=s.t + 1, y=y,
            z_old=s.z, x_old=s.x, y_old=s.y,
            G_y=G_y, G_z=G_z, F_z=F_z, F_x=F_x, G_x_at_z=G_x_at_z, G_x_at_y=G_x_at_y,
        )  # fmt: skip
