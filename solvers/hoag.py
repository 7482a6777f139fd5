import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from benchmark_utils.formulas.lbfgs import lbfgs
from benchmark_utils.oracles.oracles import FULL
from benchmark_utils.running.host import HostSolver, Iterates
from benchmark_utils.running.search_space import Choice, Log

#: Decrease of the tolerance: name -> factor of the first tolerance at outer iteration k = 1, 2, ...
DECREASE = {
    "exponential": lambda k: 0.9 ** (k - 1),
    "quadratic": lambda k: k**-2.0,
    "cubic": lambda k: k**-3.0,
    "exact": lambda k: 0.0,
}


class Solver(HostSolver):
    """HOAG: inner problems solved to a decreasing tolerance by SciPy, adaptive outer step.

    F. Pedregosa, "Hyperparameter optimization with approximate gradient", ICML 2016,
    arXiv:1602.02355, Algorithm 1 with the step-size adaptation of the author's code. The paper
    solves for q = -v. All samples in every sum.

    Parameters
    ----------
    backend : {"jax", "torch"}
        Framework that computes the oracles; the loop runs on the host.
    decrease : {"exponential", "quadratic", "cubic", "exact"}
        Factor of the tolerance at outer iteration k = 1, 2, ...: 0.9^(k - 1), k^-2 or k^-3;
        "exact": what the precision resolves, throughout.
    tolerance : float
        Tolerance at k = 1, relative: of the gradient of G to its norm at the start, and of the
        residual of the linear system to the norm of grad_z F; 1e-3 in the author's code.
    max_increase : float
        Increase of F, as a fraction of its last absolute value, above which a step is rejected;
        0.2 in the author's code. With 0 every increase is rejected.

    Differs from the paper
    ----------------------
    - The adaptation follows the author's code; that of the paper's text could not be compared.
    - A rejected step is undone: the next iteration computes everything again at the point before,
      where the code stays at the point that it rejected. F grows relative to its absolute value, so
      that negative values of F make sense.
    - The decrease that is wanted before the step grows is that of the step taken; the code takes
      the length of the next step there, and makes each accepted step twice.
    - Tolerances are relative, to the norm of grad_z G at the start (inner problem) and to that of
      grad_z F (linear system), and do not fall below what the precision resolves. The code's factor
      exp(min x - min x_0) of the inner one, which belongs to its penalty, is left out.
    - The first step moves x by 1 in each coordinate (root mean square), however small the gradient.
      v starts at zero, where the code starts at z.
    - Losses are means, where the code has sums; x is projected on the feasible set, where it clips.
    """

    name = "HOAG"
    parameters = {
        "backend": ["jax", "torch"],
        "decrease": ["tuned"],
        "tolerance": ["tuned"],
        "max_increase": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    requires = (
        "value_inner", "grad_inner", "hvp", "symmetric_hvp", "cross", "value_outer", "grad_outer",
        "full_pass",
    )  # fmt: skip
    warm_starts = ("z", "v")
    choices = {"decrease": tuple(DECREASE)}
    search_space = {
        "decrease": Choice.of(*DECREASE, start="exponential"),
        "tolerance": Log(1e-6, 1e0, start=1e-3),
        "max_increase": Log(1e-3, 1e1, start=0.2),
    }
    deterministic = {"limit": "the outer step answers changes of F only, which do not settle x to a fixed accuracy"}
    references = ["F. Pedregosa. ICML 2016. arXiv:1602.02355"]

    def compile(self):
        z, x = self.start_point
        value_and_grad = lambda o, z, x: (o.value_inner(z, x, FULL), o.grad_inner(z, x, FULL))
        self.inner = self.compile_oracle(value_and_grad, z, x)
        outer = lambda o, z, x: (o.value_outer(z, x, FULL), *o.grad_outer(z, x, FULL))
        self.outer = self.compile_oracle(outer, z, x)
        self.hvp = self.compile_oracle(lambda o, z, x, v: o.hvp(z, x, v, FULL), z, x, z)
        self.cross = self.compile_oracle(lambda o, z, x, v: o.cross(z, x, v, FULL), z, x, z)
        self.project = self.compile_oracle(lambda o, x: o.project(x), x)

    def start(self, z0, x0):
        self.k, self.shrink = 1, 1.0
        self.L = None  # inverse of the outer step
        self.v = np.zeros_like(z0)  # v ~ -H^{-1} grad_z F, warm start of the next solve
        self.last = None  # (F, tolerance) at the last accepted point
        self.scale = np.linalg.norm(self.inner(z0, x0)[1])

    def snapshot(self):
        return {n: getattr(self, n) for n in ("k", "shrink", "L", "v", "last", "scale")}

    def iterate(self):
        z, x, d_x, x_before = self.current
        wanted = self.tolerance * self.shrink * DECREASE[self.decrease](self.k)
        epsilon = max(wanted, 10 * float(np.finfo(self.precision).eps))  # what gradients resolve
        self.k += 1

        # (i) Inner problem to tolerance, from the last solution.
        G, tolerance = lambda z: self.inner(z, x), epsilon * self.scale
        z_new = lbfgs(G, z, tolerance, precision=self.precision).x
        F, F_z, F_x = self.outer(z_new, x)

        # Step adaptation: longer after a sufficient decrease; half as long after an increase, from
        # the point before, where everything is computed again to half the tolerance.
        if self.last is not None:
            F_last, epsilon_last = self.last
            length = np.linalg.norm(x - x_before)
            if not F <= F_last + self.max_increase * abs(F_last):
                self.L, self.shrink, self.last = 2 * self.L, self.shrink / 2, None
                return Iterates(z, x_before, d_x, x_before)
            slack = 0.25 * epsilon + 1.25 * epsilon_last * length  # what tolerances may explain
            if F <= F_last + slack - self.L * length**2:
                self.L *= 0.95
        self.last = F, epsilon

        # (ii) Linear system H v = -grad_z F to tolerance, from the last v.
        hvp = lambda u: self.hvp(z_new, x, u)
        H = LinearOperator((len(z), len(z)), matvec=hvp, dtype=np.float64)
        self.v, _ = cg(H, -F_z, x0=self.v, rtol=epsilon)

        # (iii) Hypergradient, (iv) one outer step.
        d_x = F_x + self.cross(z_new, x, self.v)
        if self.L is None:
            self.L = np.linalg.norm(d_x) / np.sqrt(len(x)) or 1.0
        return Iterates(z_new, self.project(x - d_x / self.L), d_x, x)
