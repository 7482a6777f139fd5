from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.running.host import HostSolver, Iterates
from benchmark_utils.running.search_space import Log


class Solver(HostSolver):
    """Native torch loop: the directions of a single-loop method, followed by torch's SGD.

    A loop that you wrote yourself, with your own optimiser, under the clock and the ledger of the
    project. It calls the problem through the oracles, which differentiate by autograd and count.
    Only the backend "torch".

    Parameters
    ----------
    backend : {"torch"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G and of F in one mini-batch (samples); "full": all of them.
    step_size : float
        Learning rate of z and v.
    outer_ratio : float
        Learning rate of z and v over that of x.
    momentum : float
        Momentum of SGD, for z, v and x, in [0, 1).

    Differs from the paper
    ----------------------
    - There is no paper of this method; the momentum is Polyak's.
    """

    name = "Native-torch"
    parameters = {
        "backend": ["torch"],
        "batch_size": [64],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
        "momentum": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    frameworks = ("torch",)  # another backend is refused with a sentence
    loop_kind, warm_starts = "single", ("z", "v")
    on_device = True  # the iterates stay arrays of the backend
    search_space = {
        "step_size": Log(1e-4, 1e3, start=0.01),
        "outer_ratio": Log(1e-6, 1e3, start=10.0),
        "momentum": Log(1e-2, 0.99, start=0.9),
    }
    deterministic = {
        "limit": "exact", "step_size": 0.1, "outer_ratio": 10.0, "momentum": 0.9, "n_iter": 2000,
    }  # fmt: skip
    references = ["B. T. Polyak. Some methods of speeding up the convergence of iteration methods. 1964"]

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def compile(self):
        # Eager torch compiles nothing; this makes the loop a counted function that waits for no
        # one.
        self.iterations = self.compile_oracle(self.loop, host=False)

    def start(self, z0, x0):
        import torch  # inside methods only, so that the file loads on a machine without torch

        # Called in every repetition: back to the start. The draws have been reset already.
        self.z, self.x = self.on_the_device((z0, x0))
        self.v, self.x_before = torch.zeros_like(self.z), self.x
        lower = {"params": [self.z, self.v], "lr": self.step_size}
        upper = {"params": [self.x], "lr": self.step_size / self.outer_ratio}
        self.optimiser = torch.optim.SGD([lower, upper], momentum=self.momentum)

    def snapshot(self):
        # What a killed run needs to go on, as NumPy arrays and plain objects.
        saved = dict(z=self.z, v=self.v, x=self.x, d_x=self.x.grad, x_before=self.x_before)
        saved["optimiser"] = self.optimiser.state_dict()
        return self.bk.tree_map(self.bk.to_host, saved)

    def restore(self, snapshot):
        saved = self.bk.tree_map(self.bk.from_host, snapshot)
        for name in ("z", "v", "x"):  # in place: the optimiser holds these tensors
            getattr(self, name).copy_(saved[name])
        self.x.grad, self.x_before = saved["d_x"], saved["x_before"]
        self.optimiser.load_state_dict(saved["optimiser"])

    def chunk(self, n):
        # n iterations in one call; the base class waits for the device, reads the clock and looks
        # at the budgets.
        self.iterations(self.take_draws(n))
        return n, Iterates(self.z, self.x, self.x.grad, self.x_before)

    def loop(self, oracles, draws):
        for xi, zeta in draws:
            self.x_before = self.x.clone()  # the optimiser works in place
            D_z, Hv, Cv = oracles.inner_joint(self.z, self.x, self.v, xi)
            F_z, F_x = oracles.grad_outer(self.z, self.x, zeta)
            self.z.grad, self.v.grad, self.x.grad = D_z, Hv + F_z, Cv + F_x
            self.optimiser.step()
            self.x.copy_(oracles.project(self.x))
