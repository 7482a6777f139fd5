from benchmark_utils.oracles.oracles import FULL
from benchmark_utils.running.host import HostSolver, Iterates
from benchmark_utils.running.search_space import Choice, Log

MAX_BFGS_SIZE = 5000  # largest p for which a p x p matrix is kept


class Solver(HostSolver):
    """ImplicitDiff: today's JAX libraries: optimistix for z*(x), lineax CG for v, optax for x.

    J. Rader, T. Lyons, P. Kidger, "Optimistix: modular optimisation in JAX and Equinox", 2024,
    arXiv:2402.09983; the same, "Lineax: unified linear solves and linear least-squares in JAX and
    Equinox", 2023, arXiv:2311.17283; Optax (DeepMind). Full batches, warm starts of z and v.
    Costs are exact: an optimistix step calls its function once (one value and one gradient), k
    steps of lineax's CG take k + 1 products, and both report their ``num_steps``.

    Parameters
    ----------
    backend : {"jax"}
        Framework that runs the method.
    inner_solver : {"bfgs", "lbfgs"}
        Minimiser of optimistix for G(., x); "lbfgs" needs the precision float64.
    outer_optimiser : {"adam", "sgd"}
        Optimiser of optax for x.
    max_steps : int
        Most steps of one inner solve, and of one linear solve.
    inner_tolerance : float
        Relative and absolute tolerance of the inner solve, as optimistix defines them.
    linear_tolerance : float
        Relative and absolute tolerance of the linear solve, as lineax defines them.
    step_size : float
        Learning rate of the outer optimiser.

    Differs from the paper
    ----------------------
    - The libraries' papers state no bilevel algorithm; this is what their documentation leads to,
      with the derivative of z*(x) spelled out where a user could leave it to autodiff.
    """

    name = "ImplicitDiff"
    parameters = {
        "backend": ["jax"],
        "inner_solver": ["bfgs"],
        "outer_optimiser": ["tuned"],
        "max_steps": [256],
        "inner_tolerance": ["tuned"],
        "linear_tolerance": ["tuned"],
        "step_size": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::optimistix", "pip::lineax", "pip::optax"]
    requires = (
        "value_inner", "grad_inner", "hvp", "symmetric_hvp", "cross", "grad_outer", "full_pass",
    )  # fmt: skip
    frameworks, packages = ("jax",), ("optimistix", "lineax", "optax")
    warm_starts, on_device = ("z", "v"), True
    choices = {"inner_solver": ("bfgs", "lbfgs"), "outer_optimiser": ("adam", "sgd")}
    search_space = {
        "outer_optimiser": Choice.of("adam", "sgd", start="adam"),
        "inner_tolerance": Log(1e-9, 1e-1, start=1e-4),
        "linear_tolerance": Log(1e-9, 1e-1, start=1e-4),
        "step_size": Log(1e-4, 1e3, start=0.3),
    }
    deterministic = {
        "limit": "exact", "outer_optimiser": "sgd", "step_size": 0.3,
        "inner_tolerance": 1e-9, "linear_tolerance": 1e-9, "n_iter": 500,
    }  # fmt: skip
    references = ["J. Rader, T. Lyons, P. Kidger. 2023, 2024. arXiv:2311.17283, arXiv:2402.09983"]

    def why_not(self, problem, partitions):
        p = problem.inner_size
        if self.inner_solver == "bfgs" and p > MAX_BFGS_SIZE:
            return f"BFGS keeps a {p} x {p} matrix; choose 'lbfgs' with the precision float64."
        if self.inner_solver == "lbfgs" and self.precision == "float32":
            return "optimistix keeps L-BFGS in double precision; choose float64 or 'bfgs'."

    def compile(self):
        import lineax
        import optax
        import optimistix

        method = {"bfgs": optimistix.BFGS, "lbfgs": optimistix.LBFGS}[self.inner_solver]
        self.minimiser = method(rtol=self.inner_tolerance, atol=self.inner_tolerance)
        steps = dict(stabilise_every=None, max_steps=self.max_steps)
        self.cg = lineax.CG(self.linear_tolerance, self.linear_tolerance, **steps)
        self.optimiser = lambda hp: getattr(optax, self.outer_optimiser)(hp.step_size)
        self.begin()
        self.outer_step = self.compile_oracle(self.iteration, self.state, self.hp, host=False)

    def start(self, z0, x0):
        z, x = self.on_the_device((z0, x0))
        self.state = z, 0 * z, x, self.optimiser(self.hp).init(x)

    def snapshot(self):
        return {"state": self.bk.tree_map(self.bk.to_host, self.state)}

    def restore(self, snapshot):
        self.state = self.bk.tree_map(self.bk.from_host, snapshot["state"])

    def iterate(self):
        x_before = self.state[2]
        self.state, d_x = self.outer_step(self.state, self.hp)
        return Iterates(self.state[0], self.state[2], d_x, x_before)

    def iteration(self, oracles, state, hp):
        """Return (z, v, x, state of the optimiser) after one outer iteration, and its direction."""
        import jax
        import lineax
        import optimistix

        # z ~ z*(x) from the previous z, by values and gradients of G.
        z, v, x, memory = state
        value_and_grad = lambda z: (oracles.value_inner(z, x, FULL), oracles.grad_inner(z, x, FULL))
        G = jax.custom_jvp(lambda z: value_and_grad(z)[0])

        @G.defjvp
        def _(point, tangent):
            value, gradient = value_and_grad(*point)
            return value, gradient @ tangent[0]

        options = dict(max_steps=self.max_steps, throw=False)
        solve = lambda: optimistix.minimise(lambda z, _: G(z), self.minimiser, z, **options)
        z = counted(oracles, solve, value_and_grad, z, 0)

        # v ~ -H^{-1} grad_z F from the previous v. Where the curvature is below 100 p eps lineax
        # takes H for singular and returns NaN; then v stays.
        F_z, F_x = oracles.grad_outer(z, x, FULL)
        hvp = lambda u: oracles.hvp(z, x, u, FULL)

        def solve_system():
            shape, tag = jax.ShapeDtypeStruct(z.shape, z.dtype), lineax.positive_semidefinite_tag
            H = lineax.FunctionLinearOperator(hvp, shape, tag)
            return lineax.linear_solve(H, -F_z, self.cg, options={"y0": v}, throw=False)

        xp, v_new = self.bk.xp, counted(oracles, solve_system, hvp, v, 1)
        v = xp.where(xp.isfinite(v_new).all(), v_new, v)
        d_x = F_x + oracles.cross(z, x, v, FULL)
        update, memory = self.optimiser(hp).update(d_x, memory, x)
        return (z, v, oracles.project(x + update), memory), d_x


def counted(oracles, solve, function, arg, more_calls):
    """Return the solution of a library, counting ``function`` for each step, and ``more_calls``."""
    import jax

    solution, _ = oracles.ledger.spent_in(solve)  # tracing calls it a few times: not counted
    _, each = oracles.ledger.spent_in(lambda: jax.eval_shape(function, arg))
    oracles.ledger.add(each, solution.stats["num_steps"] + more_calls)
    return solution.value
