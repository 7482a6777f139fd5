from typing import NamedTuple

from benchmark_utils.formulas import hypergradient
from benchmark_utils.formulas.steps import momentum, power_law, theory_or_constant
from benchmark_utils.formulas.variance_reduction import ema, storm
from benchmark_utils.oracles.draws import inner, integers, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner
    x: Outer
    d_x: Outer  # STORM estimate m_x of the hypergradient, before the adaptive scaling
    t: Count
    m_z: Inner  # STORM estimate of grad_z G
    s_z: Inner  # moving average of squared inner gradients
    s_x: Outer  # moving average of squared hypergradient estimates
    z_old: Inner.start  # z and x of one iteration before
    x_old: Outer.start


class Solver(BilevelSolver):
    """VR-saBiAdam: variance-reduced estimates (STORM) with adaptive diagonal scaling of both steps.

    F. Huang, H. Huang, "BiAdam: fast adaptive bilevel optimization methods", 2021,
    arXiv:2106.11396v2, VR-saBiAdam with a stochastic approximation of the inverse Hessian (HIA).
    saBiAdam, without variance reduction, is BiAdam here. Later versions of the paper call these two
    VR-BiAdam and BiAdam.

    Parameters
    ----------
    backend : {"jax", "torch"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples); "full": all of them.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    n_neumann_steps : int
        Q, number of possible lengths of the random product (HIA), at most Q - 1 products with H.
    squares_of : {"gradients", "momenta"}
        What s_z and s_x average the squares of: the stochastic gradients, or m_z and m_x.
    schedule : {"theory", "constant"}
        "theory": eta_t = (1 + t / m)^{-1/3}, which averages the iterates; its square scales the
        momentum weight; "constant": eta_t = 1.
    momentum : float
        c, the weight of m_x in STORM is c eta_t^2, in (0, 1]: 1 corrects nothing, and is the weight
        at t = 0.
    inner_momentum : float
        c of m_z in the same way.
    square_memory : float
        tau, weight of the old average in s_z and s_x, in [0, 1); the newest square has 1 - tau.
    scaling_floor : float
        Number added to the square roots of s_z and s_x.
    decay_offset : float
        m of the decay (1 + t / m)^{-e} (iterations); 1 gives powers of t + 1.
    neumann_step : float
        eta, step of the series, near 1 / L (where its range starts); it never decays.
    step_size : float
        lambda, step of z before the scaling and eta_t.
    outer_ratio : float
        lambda / gamma, where gamma is the step of x before the scaling and eta_t.

    Differs from the paper
    ----------------------
    - s_x averages the squares of the stochastic hypergradient estimates, where the paper's example
      squares grad_x F, which is zero wherever F does not depend on x; s_z averages the squares of
      grad_z G coordinate by coordinate; both start at the first squares. The released code of the
      authors' group averages the squares of the momenta (``squares_of="momenta"``).
    - The argmin over X in the norm of A_t is replaced by the Euclidean projection of the scaled
      step, which is the same for boxes and without constraint.
    - eta_t and the momentum weights are powers of 1 + t / m times free factors, without the
      constants of the theorems, and eta_0 = 1.
    """

    name = "VR-saBiAdam"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_neumann_steps": ["tuned"],
        "squares_of": ["gradients"],
        "schedule": ["theory"],
        "momentum": ["tuned"],
        "inner_momentum": ["tuned"],
        "square_memory": ["tuned"],
        "scaling_floor": ["tuned"],
        "decay_offset": ["tuned"],
        "neumann_step": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"squares_of": ("gradients", "momenta"), "schedule": ("theory", "constant")}
    search_space = {
        "n_neumann_steps": Int(1, 1000, start=50),
        "momentum": Log(1e-4, 1.0, start=0.9),
        "inner_momentum": Log(1e-4, 1.0, start=0.9),
        "square_memory": Log(0.5, 0.9999, start=0.99),
        "scaling_floor": Log(1e-8, 1e0, start=0.001),
        "decay_offset": Log(1.0, 1e4, start=1.0),
        "neumann_step": Log(1e-6, 1e4, start="1/L"),
        "step_size": Log(1e-5, 1e3, start=0.03),
        "outer_ratio": Log(1e-6, 1e3, start=0.5),
    }
    deterministic = {
        "limit": "hia", "schedule": "constant", "n_neumann_steps": 4, "neumann_step": 0.3,
        "momentum": 0.9, "square_memory": 0.99, "scaling_floor": 0.001,
        "inner_momentum": 0.9, "decay_offset": 1.0, "step_size": 0.03, "outer_ratio": 0.5,
    }  # fmt: skip
    references = ["F. Huang, H. Huang. 2021. arXiv:2106.11396v2"]
    static_graph = False

    def draws(self):
        # Of the batches of v the first p are used.
        Q = self.n_neumann_steps
        return {"z": inner(), "v": inner(Q), "p": integers(0, Q), "x": inner(), "f": outer()}

    def step(self, s, oracles, hp, draws):
        lam, gamma, m = hp.step_size, hp.step_size / hp.outer_ratio, hp.decay_offset
        decay = theory_or_constant(self.schedule, 1 / 3)
        eta = power_law(1 + 0 * hp.step_size, s.t, decay, m)  # eta_t: averages the iterates
        weight = lambda c: momentum(self.bk, power_law(c, s.t, 2 * decay, m), s.t)  # c eta_t^2
        b = momentum(self.bk, 1 - hp.square_memory, s.t)  # 1 - tau; 1 at t = 0

        # Stochastic gradients with the same draws at the current and at the previous point.
        def gradients(z, x):
            Q, p, eta_H = self.n_neumann_steps, draws.p, hp.neumann_step
            g_x = hypergradient.hia(oracles, z, x, eta_H, Q, p, draws.v, draws.f, draws.x)
            return oracles.grad_inner(z, x, draws.z), g_x

        (g_z, g_x), (g_z_old, g_x_old) = oracles.at_points(gradients, (s.z, s.x), (s.z_old, s.x_old))
        m_z = storm(s.m_z, g_z, g_z_old, weight(hp.inner_momentum))
        m_x = storm(s.d_x, g_x, g_x_old, weight(hp.momentum))

        # Adaptive matrices A_t = diag(sqrt(s_x) + floor), B_t = diag(sqrt(s_z) + floor).
        xp = self.bk.xp
        r_z, r_x = (g_z, g_x) if self.squares_of == "gradients" else (m_z, m_x)
        s_z, s_x = ema(s.s_z, r_z * r_z, b), ema(s.s_x, r_x * r_x, b)
        A, B = xp.sqrt(s_x) + hp.scaling_floor, xp.sqrt(s_z) + hp.scaling_floor

        # Scaled (projected) steps, then w_{t+1} = w_t + eta_t (w~ - w_t).
        z = s.z - eta * lam * m_z / B
        x = s.x + eta * (oracles.project(s.x - gamma * m_x / A) - s.x)
        return State(z=z, x=x, d_x=m_x, t=s.t + 1, m_z=m_z, s_z=s_z, s_x=s_x, z_old=s.z, x_old=s.x)
