import functools
from typing import NamedTuple

from benchmark_utils.formulas.finite_differences import first_derivative
from benchmark_utils.formulas.steps import power_law, theory_or_constant, unit_vector
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.variables import Count, Inner, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


@functools.cache
def state_with(n_points):
    """Return the State: z near argmin G, d_x the last direction Phi, y_i near argmin of j nu F + G at the i-th j."""
    fields = [("z", Inner), ("x", Outer), ("d_x", Outer), ("t", Count)]
    return NamedTuple("State", fields + [(f"y_{i}", Inner.start) for i in range(n_points)])


class Solver(BilevelSolver):
    """F2SA-p: fully first-order, a finite difference of order p in the weight of F instead of a penalty.

    L. Chen, J. Li, E. M. Chayti, J. Zhang, "Faster gradient methods for highly-smooth stochastic bilevel
    optimization", ICLR 2026, arXiv:2509.02937, Algorithm 1. With l_nu(x) the least value of nu F + G in z, grad h is
    the derivative of grad l_nu(x) at nu = 0 (equation 8), which a finite difference of order p estimates (Lemma 3.1).
    p = 1 is F2SA with the penalty lambda = 1 / nu.

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
    order : int
        p, order of the finite difference. p lower problems are solved where it is even, p + 1 where it is odd.
    n_inner_steps : int
        K, gradient steps on each lower problem in one outer iteration, each with batches of its own.
    outer_step : {"normalized", "plain"}
        "normalized": x moves by eta_x along Phi / ‖Phi‖, as in Algorithm 1; "plain": along eta_x Phi, which Remark 3.1
        also allows.
    schedule : {"theory", "constant"}
        "theory": eta_x decays as (t + 1)^{-1/2}; "constant": it does not. The step of the lower problems never does.
    nu : float
        nu, width of the finite difference: the j-th lower problem is j nu F + G.
    step_size : float
        eta_y, step of the lower problems.
    outer_ratio : float
        eta_y / eta_x at the first iteration; eta_x is a length where the outer step is normalized.

    Differs from the paper
    ----------------------
    - Theorem 3.1 has constant steps for a known accuracy eps, eta_x ~ eps after T ~ eps^{-2} iterations;
      ``schedule="theory"`` takes the decay T^{-1/2} that this makes, with K, eta_y and nu constant.
    - The lower problem j = 0, whose weight is zero where p is even, is not solved then, as the comparison of odd and
      even p in the paper supposes.
    - z, of which the algorithm says nothing, is y^0 where p is odd and (y^{-1} + y^1) / 2, O(nu^2) off, where p is
      even.
    - Algorithm 2 (odd p) and the explicit weights are in an appendix that could not be read: the weights are the only
      ones of order p on the points of Lemma 3.1, and the loop is that of Algorithm 1.
    """

    name = "F2SA-p"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [64],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "order": ["tuned"],
        "n_inner_steps": ["tuned"],
        "outer_step": ["normalized"],
        "schedule": ["theory"],
        "nu": ["tuned"],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    most = {"order": 20}
    choices = {"outer_step": ("normalized", "plain"), "schedule": ("theory", "constant")}
    search_space = {
        "order": Int(1, 10, start=2),
        "n_inner_steps": Int(1, 50, start=10),
        "nu": Log(1e-4, 1.0, start=0.1),
        "step_size": Log(1e-4, 1e3, start=0.5),
        "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }
    direction_at = ()  # it belongs to the points y^j
    deterministic = {
        "limit": "the zero of the finite difference of grad l_nu, O(nu^order) away from argmin h; see "
        "tests/contract/test_deterministic_limits.py",
        "order": 2, "n_inner_steps": 10, "outer_step": "plain", "schedule": "constant", "nu": 0.1,
        "step_size": 0.3, "outer_ratio": 1.0,
    }  # fmt: skip
    references = ["L. Chen, J. Li, E. M. Chayti, J. Zhang. ICLR 2026. arXiv:2509.02937"]

    def state_class(self):
        return state_with(len(first_derivative(self.order)))

    def draws(self):
        n, K = len(first_derivative(self.order)), self.n_inner_steps
        return {"G_y": inner(n, K), "F_y": outer(n, K), "G_x": inner(), "F_x": outer()}

    def step(self, s, oracles, hp, draws):
        nu, eta_y = hp.nu, hp.step_size
        eta_x = power_law(eta_y / hp.outer_ratio, s.t, theory_or_constant(self.schedule, 1 / 2))
        weights = first_derivative(self.order)

        # Lines 3 to 10: K steps on j nu F + G from the previous y^j, for each point j.
        y = {}
        for i, j in enumerate(weights):

            def descent(k, y_j, i=i, j=j):
                d_y = oracles.grad_inner(y_j, s.x, draws.G_y[i][k])
                if j:
                    d_y = d_y + j * nu * oracles.grad_outer(y_j, s.x, draws.F_y[i][k])[0]
                return y_j - eta_y * d_y

            y[j] = oracles.repeat(self.n_inner_steps, descent, getattr(s, f"y_{i}"))

        # Line 13: the finite difference of grad_x (j nu F + G) at y^j, the same batches at every point.
        def of_x(y_j):
            return oracles.grad_outer(y_j, s.x, draws.F_x)[1], oracles.grad_inner_x(y_j, s.x, draws.G_x)

        pairs = oracles.at_points(of_x, *((y_j,) for y_j in y.values()))
        D_x = sum(a * (j * F_x + G_x / nu) for (j, a), (F_x, G_x) in zip(weights.items(), pairs, strict=True))

        direction = unit_vector(self.bk, D_x) if self.outer_step == "normalized" else D_x
        copies = {f"y_{i}": y_j for i, y_j in enumerate(y.values())}
        z = y[0] if self.order % 2 else (y[-1] + y[1]) / 2
        return s._replace(z=z, x=oracles.project(s.x - eta_x * direction), d_x=D_x, t=s.t + 1, **copies)
