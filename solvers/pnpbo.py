import functools
from typing import NamedTuple

from benchmark_utils.formulas.hypergradient import directions, parts
from benchmark_utils.formulas.steps import momentum
from benchmark_utils.formulas.variance_reduction import control_variate, ema, sarah, storm
from benchmark_utils.oracles.draws import PERIODS, bernoulli, inner, iterations_of, outer
from benchmark_utils.oracles.oracles import FULL
from benchmark_utils.problem.variables import Count, Inner, Memory, Outer
from benchmark_utils.running.search_space import ITERATIONS, Choice, Log
from benchmark_utils.running.solver import BilevelSolver

#: Fields of every State; d_z, d_v and d_x hold the estimates of D_z, D_v and D_x.
FIELDS = {
    "z": Inner, "v": Inner, "x": Outer, "d_x": Outer, "t": Count, "d_z": Inner, "d_v": Inner,
    "z_old": Inner.start, "v_old": Inner, "x_old": Outer.start,
}  # fmt: skip
WORDS = ("sgd", "saga", "page", "zerosarah")


@functools.cache
def state_with(remembered):
    """Return the State with a memory for each direction in ``remembered`` (letters) and each of its levels."""
    memory = {}
    for k in remembered:
        for level in ("inner",) if k == "z" else ("inner", "outer"):
            size = {"x" if k == "x" else "z": 1}
            memory |= {f"{level}_{k}": Memory(level, **size), f"{level}_{k}_mean": Memory(None, **size)}
    return NamedTuple("State", [*FIELDS.items(), *memory.items()])


class Solver(BilevelSolver):
    """PnPBO: SOBA with an estimator of its own for each of the directions of z, v and x.

    T. Chu, D. Xu, W. Yao, C. Yu, J. Zhang, "A provably convergent plug-and-play framework for stochastic bilevel
    optimization", 2025, arXiv:2505.01258: one loop, x with a moving average where its estimator is unbiased. PAGE: Li,
    Bao, Zhang, Richtárik 2021, arXiv:2008.10898. ZeroSARAH: Li, Hanzely, Richtárik 2021, arXiv:2103.01447. The default
    mixture is the one called MSEBA in a published program; PAGE for all three is SPABA.

    Parameters
    ----------
    backend : {"jax", "torch"}
        Framework that runs the method.
    batch_size : int or "full"
        Rows of G in one mini-batch (samples); "full": all of them.
    outer_batch_size : int, "full" or "same"
        Rows of F in one mini-batch (samples); "same": ``batch_size``.
    sampling : {"with_replacement", "reshuffled", "shuffled_once"}
        How batches are drawn: see `benchmark_utils.oracles.draws.DrawStreams`.
    inner_estimator, linear_estimator, outer_estimator : {"sgd", "saga", "page", "zerosarah"}
        Estimator of D_z, of D_v, of D_x. "saga" and "zerosarah" keep a row for each block; "page" takes full passes.
    period : int or {"epoch_hundredth", "epoch_half", "epoch", "epochs_8", "epochs_512"}
        1 / p, average number of iterations from one full pass of "page" to the next, the first iteration being one, or
        that time in epochs; an epoch is as many as it takes to draw n + m samples.
    memory_weight : float
        lambda of "zerosarah", in (0, 1]: weight of the memory in the estimate; 1 at the first iteration.
    theta : float
        Weight of the newest direction in the moving average of x, in (0, 1], where ``outer_estimator`` is unbiased.
    radius : float
        Radius of the ball around zero that v is projected onto.
    linear_ratio : float
        Step of v over step of z.
    step_size : float
        Step of z, constant.
    outer_ratio : float
        Step of z over step of x.

    Differs from the paper
    ----------------------
    - Of the paper only the abstract could be read: steps as in SPABA, estimators as in the papers above.
    - The moving average takes the new direction in before x moves. Blocks, common to all directions, instead of single
      samples; the memory starts at zero and has one row a block. ZeroSARAH itself has lambda = b / (2 n).
    """

    name = "PnPBO"
    parameters = {
        "backend": ["jax", "torch"], "batch_size": [64], "outer_batch_size": ["same"], "sampling": ["with_replacement"],
        "inner_estimator": ["zerosarah"], "linear_estimator": ["page"], "outer_estimator": ["page"],
        "period": ["tuned"], "memory_weight": ["tuned"], "theta": ["tuned"], "radius": ["tuned"],
        "linear_ratio": ["tuned"], "step_size": ["tuned"], "outer_ratio": ["tuned"],
    }  # fmt: skip
    requirements = ["numpy", "scipy", "pip::jax", "pip::torch"]
    static_graph = False
    most = {"period": ITERATIONS}
    choices = {"inner_estimator": WORDS, "linear_estimator": WORDS, "outer_estimator": WORDS, "period": (*PERIODS, int)}
    search_space = {
        "period": Choice.of(*PERIODS, start="epoch"),
        "memory_weight": Log(1e-4, 1.0, start=0.1), "theta": Log(1e-2, 1.0, start=0.5),
        "radius": Log(1.0, 1e6, start=1e3), "linear_ratio": Log(1e-2, 1e2, start=1.0),
        "step_size": Log(1e-4, 1e3, start=0.5), "outer_ratio": Log(1e-6, 1e3, start=1.0),
    }  # fmt: skip
    deterministic = {
        "limit": "exact", "period": 1000, "memory_weight": 0.1, "linear_ratio": 1, "step_size": 0.3, "outer_ratio": 3.0,
    }  # fmt: skip
    references = ["T. Chu, D. Xu, W. Yao, C. Yu, J. Zhang. 2025. arXiv:2505.01258"]

    def using(self, *words):
        chosen = {"z": self.inner_estimator, "v": self.linear_estimator, "x": self.outer_estimator}
        return "".join(k for k, word in chosen.items() if word in words)

    def state_class(self):
        return state_with(self.using("saga", "zerosarah"))

    def why_not(self, problem, partitions):
        if problem.tasks is not None and self.using("saga", "zerosarah"):
            return f"{self.name} keeps a row for each block with saga and zerosarah, which tasks cannot have; take sgd."

    def draws(self):
        batches = {"xi": inner(), "zeta": outer()}
        return batches | {"full": bernoulli(1 / iterations_of(self.period, batches, self.partitions))}

    def step(self, s, oracles, hp, draws):
        xi, zeta, now, before = draws.xi, draws.zeta, (s.z, s.v, s.x), (s.z_old, s.v_old, s.x_old)
        d, memory = {"z": s.d_z, "v": s.d_v, "x": s.d_x}, {}

        # PAGE: with probability p, and at the first iteration, the exact directions; else SARAH.
        if page := self.using("page"):
            at = lambda i, j: lambda *point: directions(page, *parts(oracles, page, *point, i, j))
            exact = lambda *_: at(FULL, FULL)(*now)
            corrected = lambda *old: tuple(map(sarah, old, *oracles.at_points(at(xi, zeta), now, before)))
            full = (draws.full == 1) | (s.t == 0)
            d |= zip(page, oracles.cond(full, exact, corrected, *(d[k] for k in page), rare=True), strict=True)

        # ZeroSARAH: STORM, whose newest term has the memory as a control variate. SAGA: that term alone.
        weight = momentum(self.bk, hp.memory_weight, s.t)
        for words, points in ((("zerosarah",), (now, before)), (("sgd", "saga"), (now,))):
            if group := self.using(*words):
                at = lambda *point, group=group: parts(oracles, group, *point, xi, zeta)
                of_points = oracles.at_points(at, *points)
                for n, k in enumerate(group):
                    new, *old = (directions(group, *terms)[n] for terms in of_points)
                    d[k] = storm(d[k], new, *old, weight) if old else new
                    of_G, of_F = of_points[0]
                    rows = [("inner", xi, of_G[n])] + ([("outer", zeta, of_F["vx".index(k)])] if k != "z" else [])
                    for level, i, row in rows if k in self.using("saga", "zerosarah") else []:
                        names = f"{level}_{k}", f"{level}_{k}_mean"
                        control, *kept = control_variate(self.bk, *(getattr(s, name) for name in names), i, row)
                        d[k] = d[k] + (weight if old else 1) * control
                        memory |= zip(names, kept, strict=True)
        if "x" in self.using("sgd", "saga"):
            d["x"] = ema(s.d_x, d["x"], momentum(self.bk, hp.theta, s.t))

        return s._replace(
            z=s.z - hp.step_size * d["z"],
            v=oracles.ball_z(s.v - hp.step_size * hp.linear_ratio * d["v"], hp.radius),
            x=oracles.project(s.x - hp.step_size / hp.outer_ratio * d["x"]),
            d_z=d["z"], d_v=d["v"], d_x=d["x"], t=s.t + 1, z_old=s.z, v_old=s.v, x_old=s.x, **memory,
        )  # fmt: skip
