import pickle

import numpy as np

from benchmark_utils.formulas.lbfgs import lbfgs
from benchmark_utils.oracles.oracles import FULL
from benchmark_utils.running.host import HostSolver, Iterates
from benchmark_utils.running.search_space import Choice, Log

#: Half width of the box that is searched, in each coordinate of x.
BOX = 5.0
#: Largest number of outer variables, and of cells of a grid.
MAX_SIZE, MAX_CELLS = 1000, 100_000


class Solver(HostSolver):
    """Optuna: black-box search over x, one accurate inner solve (SciPy L-BFGS) for each trial.

    T. Akiba, S. Sano, T. Yanase, T. Ohta, M. Koyama, "Optuna: a next-generation hyperparameter
    optimization framework", KDD 2019, arXiv:1907.10902; its sampler "tpe" is the tree-structured
    Parzen estimator, J. Bergstra, R. Bardenet, Y. Bengio, B. Kégl, NeurIPS 2011.

    One outer iteration is one trial; the first is x0. Each coordinate is searched in [-5, 5],
    widened where x0 lies outside. The row of a trial shows the best trial so far; there is no outer
    direction to compare with grad h.

    Parameters
    ----------
    backend : {"jax", "torch"}
        Framework that computes the oracles; the loop runs on the host.
    sampler : {"tpe", "random", "grid"}
        Sampler of the package that proposes the trials.
    n_grid_points : int
        Values of each coordinate of x with the sampler "grid"; the others do not use it.
    inner_tolerance : float
        Gradient norm of G at which an inner solve stops, as a fraction of that at z0.

    Differs from the paper
    ----------------------
    - Nothing known; the samplers are those of the package, with its defaults.
    """

    name = "Optuna"
    parameters = {
        "backend": ["jax", "torch"],
        "sampler": ["tuned"],
        "n_grid_points": [5],
        "inner_tolerance": ["tuned"],
    }
    requirements = ["numpy", "scipy", "optuna", "pip::jax", "pip::torch"]
    requires = ("value_inner", "grad_inner", "value_outer", "full_pass")
    packages = ("optuna",)
    choices = {"sampler": ("tpe", "random", "grid")}
    search_space = {
        "sampler": Choice.of("tpe", "random", start="tpe"),
        "inner_tolerance": Log(1e-6, 1e-1, start=1e-3),
    }
    deterministic = {"limit": "a search by trials does not converge at a rate that a test could wait for"}
    references = ["T. Akiba, S. Sano, T. Yanase, T. Ohta, M. Koyama. KDD 2019. arXiv:1907.10902"]

    def why_not(self, problem, partitions):
        d = problem.outer_size
        if d > MAX_SIZE:
            return (
                f"Optuna searches coordinate by coordinate, and {problem.name} has {d} outer "
                f"variables (limit {MAX_SIZE}); use a gradient method such as SOBA or HOAG."
            )
        if self.sampler == "grid" and self.n_grid_points**d > MAX_CELLS:
            return (
                f"a grid of {self.n_grid_points} points for each of {d} outer variables has more "
                f"than {MAX_CELLS} cells; choose fewer n_grid_points or the sampler 'tpe'."
            )

    def compile(self):
        z, x = self.start_point
        value_and_grad = lambda o, z, x: (o.value_inner(z, x, FULL), o.grad_inner(z, x, FULL))
        self.inner = self.compile_oracle(value_and_grad, z, x)
        self.outer = self.compile_oracle(lambda o, z, x: o.value_outer(z, x, FULL), z, x)
        self.project = self.compile_oracle(lambda o, x: o.project(x), x)

    def start(self, z0, x0):
        import optuna  # here, so that a machine without it can still load this file and say so

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        names = [f"x_{i:04d}" for i in range(len(x0))]
        bounds = [(min(-BOX, a), max(BOX, a)) for a in map(float, x0)]
        box = dict(zip(names, bounds, strict=True))
        self.space = {n: optuna.distributions.FloatDistribution(*b) for n, b in box.items()}
        grid = lambda: {n: np.linspace(*b, self.n_grid_points).tolist() for n, b in box.items()}
        seed = self.seed % 2**32  # what its samplers take
        sampler = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
            "grid": lambda: optuna.samplers.GridSampler(grid(), seed=seed),
        }[self.sampler]()
        self.study = optuna.create_study(sampler=sampler)
        self.study.enqueue_trial(dict(zip(names, map(float, x0), strict=True)))
        self.z0, self.best = z0, np.inf
        on_grid = self.sampler == "grid"
        self.trials_left = self.n_grid_points ** len(x0) + 1 if on_grid else np.inf

    def snapshot(self):
        # The study holds its trials and the random state of its sampler; bytes do not change later.
        study = pickle.dumps(self.study)
        return {"study": study, "best": self.best, "trials_left": self.trials_left}

    def restore(self, snapshot):
        self.study = pickle.loads(snapshot["study"])
        self.best, self.trials_left = snapshot["best"], snapshot["trials_left"]

    def iterate(self):
        trial = self.study.ask(self.space)
        x = self.project(np.array(list(trial.params.values())))

        # h(x) to the tolerance, from z0 each time: trials are independent of each other.
        G, tolerance = lambda z: self.inner(z, x), self.inner_tolerance
        z = lbfgs(G, self.z0, tolerance, relative=True, precision=self.precision).x
        h = self.outer(z, x)

        self.trials_left -= 1
        self.exhausted = self.trials_left == 0
        if not self.exhausted:  # the grid sampler raises on the result of its last cell
            self.study.tell(trial, h if np.isfinite(h) else np.inf)
        if h < self.best:
            self.best = h
            return Iterates(z, x)
        return self.current
