from typing import NamedTuple

from benchmark_utils.formulas.outer_step import OPTIMISERS, moved
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.problem.tasks import Adaptation
from benchmark_utils.problem.variables import Count, Inner, Memory, Outer
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.solver import BilevelSolver


class State(NamedTuple):
    z: Inner  # the learned start of the last layer, for every task
    x: Outer
    d_x: Outer  # last outer direction D_x
    t: Count
    head: Memory(z=1)  # the learned start of z
    m_z: Memory(z=1).only_with("outer_optimiser", "heavy_ball", "adam")  # of its optimiser: average of D_z
    s_z: Memory(z=1).only_with("outer_optimiser", "adam")  # average of its squares
    m_x: Outer.only_with("outer_optimiser", "heavy_ball", "adam")  # average of D_x
    s_x: Outer.only_with("outer_optimiser", "adam")  # average of its squares


class Solver(BilevelSolver):
    """ANIL: the start of z is learned together with x, through gradient steps of z alone.

    A. Raghu, M. Raghu, S. Bengio, O. Vinyals, "Rapid learning or feature reuse? Towards
    understanding the effectiveness of MAML", ICLR 2020, arXiv:1909.09157, Section 4, with the
    conventions of learn2learn: T differentiated steps on each task, mean over the tasks, Adam.

    Parameters
    ----------
    backend : {"jax", "torch", "torch-compiled"}
        Framework that runs the method.
    batch_size : int or "full"
        Tasks in one meta-batch, or rows of G and of F in one mini-batch (samples); "full": all.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    n_inner_steps : int
        T, gradient steps on G of each task in one outer iteration.
    outer_optimiser : {"sgd", "heavy_ball", "adam"}
        Step of x and of the start of z, see `benchmark_utils.formulas.outer_step`.
    outer_momentum : float
        Weight of the old average in heavy ball and in Adam (beta_1), in [0, 1); "sgd" has none. It
        is part of the program: another value compiles again.
    step_size : float
        alpha, step of the tasks.
    outer_ratio : float
        alpha / beta, where beta is the step of x and of the start of z.

    Differs from the paper
    ----------------------
    - Steps are those of the whole G, its penalty included, with the mean loss of the rows.
    - On a problem without tasks, all drawn rows are one task.
    - x is projected on X where there is one.
    """

    name = "ANIL"
    parameters = {
        "backend": ["jax", "torch"],
        "batch_size": [16],
        "outer_batch_size": ["same"],
        "sampling": ["with_replacement"],
        "n_inner_steps": ["tuned"],
        "outer_optimiser": ["adam"],
        "outer_momentum": [0.9],
        "step_size": ["tuned"],
        "outer_ratio": ["tuned"],
    }
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    choices = {"outer_optimiser": OPTIMISERS}
    search_space = {
        "n_inner_steps": Int(1, 100, start=5),
        "step_size": Log(1e-4, 1e2, start=0.1),
        "outer_ratio": Log(1e-6, 1e5, start=100.0),
    }
    direction_at = ()  # the direction belongs to the steps of the tasks
    deterministic = {"limit": "none", "step_size": 0.1, "outer_ratio": 10.0, "n_inner_steps": 2}
    references = ["A. Raghu, M. Raghu, S. Bengio, O. Vinyals. ICLR 2020. arXiv:1909.09157"]

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def init(self, z0, x0, oracles):
        s = self.first_state(z0, x0)
        return s._replace(head=1 * z0.reshape((-1, z0.shape[-1]))[0])

    def adaptation(self, state):
        """Return T steps of size alpha from the learned start."""
        head = self.bk.to_numpy(state.carry.head)
        return Adaptation(head, self.step_size, self.n_inner_steps, of_x=False)

    def step(self, s, oracles, hp, draws):
        alpha = hp.step_size  # step of the tasks
        beta = hp.step_size / hp.outer_ratio  # outer step
        T, xi, zeta = self.n_inner_steps, draws.xi, draws.zeta

        # T steps of z on one task; x stays.
        def adapt(task, z, x):
            inner_step = lambda k, z: z - alpha * task.grad_inner(z, x, xi)
            return task.repeat(T, inner_step, z), x

        # The outer step of both, along the mean gradient through the steps of all tasks.
        D_z, D_x = oracles.through(adapt, s.head, s.x, zeta)
        how = beta, s.t, self.outer_optimiser, self.outer_momentum
        head, m_z, s_z = moved(self.bk.xp, s.head, s.m_z, s.s_z, D_z, *how)
        x, m_x, s_x = moved(self.bk.xp, s.x, s.m_x, s.s_x, D_x, *how)
        x, z = oracles.project(x), 0 * s.z + head
        return State(z=z, x=x, d_x=D_x, t=s.t + 1, head=head, m_z=m_z, s_z=s_z, m_x=m_x, s_x=s_x)
