from typing import Any, NamedTuple

from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.running.host import HostSolver, Iterates
from benchmark_utils.running.search_space import Log


class State(NamedTuple):
    z: Any  # inner variable, shape (p,)
    v: Any  # v ~ -H^{-1} grad_z F, shape (p,)
    x: Any  # outer variable, shape (d,)
    d_x: Any  # last outer direction D_x, shape (d,)
    x_before: Any  # the x at which it was taken, shape (d,)
    memory: Any  # state of the optax optimisers


class Solver(HostSolver):
    """Native JAX loop: the directions of a single-loop method, followed by optax's SGD.

    A loop that you wrote yourself, with your own optimiser, under the clock and the ledger of the
    project. It calls the problem through the oracles and returns what they counted from its own
    `lax.fori_loop`. Only the backend "jax".

    Parameters
    ----------
    backend : {"jax"}
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

    name = "Native-JAX"
    parameters = {
        "backend": ["jax"],
        "batch_size": [64],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
        "momentum": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::optax"]
    requires = ("grad_inner", "hvp", "cross", "grad_outer")
    frameworks = ("jax",)  # another backend is refused with a sentence
    packages = ("optax",)  # so is a machine without it; import it inside methods only
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
        # Everything is compiled here, outside the clock: one program for any number of iterations.
        self.begin()
        draws, n = self.take_draws(1), self.count(1)
        self.iterations = self.compile_oracle(self.loop, self.state, draws, n, host=False)

    def count(self, n):
        return self.bk.asarray(n)

    def optimiser(self):
        import optax

        lower = optax.sgd(self.step_size, self.momentum)
        upper = optax.sgd(self.step_size / self.outer_ratio, self.momentum)
        label = {"z": "lower", "v": "lower", "x": "upper"}
        return optax.multi_transform({"lower": lower, "upper": upper}, label)

    def start(self, z0, x0):
        # Called in every repetition: back to the start. The draws have been reset already.
        z, x = self.on_the_device((z0, x0))
        v, d_x = 0 * z, 0 * x
        self.state = State(z, v, x, d_x, x, self.optimiser().init({"z": z, "v": v, "x": x}))

    def snapshot(self):
        # What a killed run needs to go on: NumPy arrays. A tuple, since files know no State.
        return {"state": self.bk.tree_map(self.bk.to_host, tuple(self.state))}

    def restore(self, snapshot):
        self.state = State(*self.bk.tree_map(self.bk.from_host, snapshot["state"]))

    def chunk(self, n):
        # n iterations in one call; the base class waits for the device, reads the clock and looks
        # at the budgets.
        s = self.state = self.iterations(self.state, self.take_draws(n), self.count(n))
        return n, Iterates(s.z, s.x, s.d_x, s.x_before)

    def loop(self, oracles, state, draws, n):
        import jax

        # A loop body is traced once and runs n times, so its counts are carried along.
        def body(k, carry):
            state, totals = carry
            update = lambda: self.update(oracles, state, draws.xi[k], draws.zeta[k])
            state, spent = oracles.ledger.spent_in(update)
            return state, {name: totals[name] + spent[name] for name in totals}

        zeros = {name: jax.numpy.int64(0) for name in oracles.ledger.counts}
        state, totals = jax.lax.fori_loop(0, n, body, (state, zeros))
        oracles.ledger.add(totals)
        return state

    def update(self, oracles, s, xi, zeta):
        import optax

        # The directions: plain JAX from here on, apart from the oracles.
        D_z, Hv, Cv = oracles.inner_joint(s.z, s.x, s.v, xi)
        F_z, F_x = oracles.grad_outer(s.z, s.x, zeta)
        directions = {"z": D_z, "v": Hv + F_z, "x": Cv + F_x}

        updates, memory = self.optimiser().update(directions, s.memory)
        new = optax.apply_updates({"z": s.z, "v": s.v, "x": s.x}, updates)
        x = oracles.project(new["x"])
        return State(new["z"], new["v"], x, directions["x"], s.x, memory)
