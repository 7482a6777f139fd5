from benchmark_utils.host_solver import HostSolver, Iterates
from benchmark_utils.sampling import inner, outer
from benchmark_utils.solver_base import Log


class Solver(HostSolver):
    """Native torch loop: the three directions of a single-loop method, followed by torch's SGD with momentum.

    A loop that you wrote yourself, with your own optimiser, under the clock and the ledger of the project. It calls
    the problem through the oracles, which differentiate by autograd and count. Only the backend "torch".
    """

    name = "Native-torch"
    parameters = {
        "backend": ["torch"],
        "device": ["auto"],
        "precision": ["float32"],
        "batch_size": [64],
        "step_size": [0.01],
        "outer_ratio": [10.0],
        "momentum": [0.9],
    }
    requirements = ["numpy", "scipy", "pip::torch"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    frameworks = ("torch",)  # another backend is refused with a sentence
    loop_kind, warm_starts = "single", ("z", "v")
    search_space = {"step_size": Log(1e-4, 1e1), "outer_ratio": Log(1e-3, 1e3)}
    deterministic = {"limit": "exact", "step_size": 0.1, "outer_ratio": 10.0, "n_iter": 2000}
    references = ["B. T. Polyak. Some methods of speeding up the convergence of iteration methods. 1964"]

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def compile(self):
        # Eager torch compiles nothing; this makes the loop a counted function that waits for no one.
        self.program = self.compile_oracle(self.loop, host=False)

    def start(self, z0, x0):
        import torch  # imported inside methods only, so that the file loads on a machine without torch

        # Called in every repetition: the iterates go back to the start. The draws have been reset already.
        self.z, self.x = self._on_device((z0, x0))
        self.v, self.x_before = torch.zeros_like(self.z), self.x
        lower = {"params": [self.z, self.v], "lr": self.step_size}
        upper = {"params": [self.x], "lr": self.step_size / self.outer_ratio}
        self.optimiser = torch.optim.SGD([lower, upper], momentum=self.momentum)

    def chunk(self, n):
        # n iterations in one call; the base class waits for the device, reads the clock and looks at the budgets.
        self.program(self.take_draws(n))
        return n, Iterates(self.z, self.x, self.x.grad, self.x_before)

    def loop(self, oracles, draws):
        for xi, zeta in draws:
            self.x_before = self.x.clone()  # the optimiser works in place
            D_z, Hv, Cv = oracles.inner_joint(self.z, self.x, self.v, xi)
            F_z, F_x = oracles.grad_outer(self.z, self.x, zeta)
            self.z.grad, self.v.grad, self.x.grad = D_z, Hv + F_z, Cv + F_x
            self.optimiser.step()
            self.x.copy_(oracles.project(self.x))
