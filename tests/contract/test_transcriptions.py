"""Every solver against a transcription of its method in plain NumPy, iteration by iteration.

A transcription is a file of tests/papers with the name of the solver's file and two functions:

``start(z0, x0, o, k)``
    The first state, a dict with at least z, x and t = 0.
``step(s, o, hp, d, k)``
    The state after one more iteration, with the direction d_x that was used.

``o`` are the oracles below, ``hp`` the dict of hyper-parameters, ``d`` the draws of the iteration
by role, ``k`` the dict of all other parameters; a period is a number of iterations there. The
problems are written out here once more: a transcription shares only rows and draws with the solver.
"""

import dataclasses
import functools

import numpy as np
import pytest

import helpers
from benchmark_utils.builders.classification import hyper_cleaning
from benchmark_utils.builders.quadratic import quadratic_problem
from benchmark_utils.oracles.draws import DrawStreams
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.feasible_set import Box
from benchmark_utils.running import run as run_loop
from benchmark_utils.running.search_space import Int, Log
from benchmark_utils.running.start import put_at_start, start_point

PAPERS = helpers.ROOT / "tests" / "papers"
N_ITERATIONS, SEED, TOLERANCE = 20, 3, 1e-10
N_INNER, N_OUTER, BATCH = 70, 50, 16  # 5 blocks of G, the last of 6 rows; 4 of F, the last of 2
BOX = 0.5

#: Hyper-parameters of all solvers: none is 1 and no two are equal, so that each of them shows.
NUMBERS = {
    "step_size": 0.3, "outer_ratio": 0.8, "linear_ratio": 1.2,
    "neumann_step": 0.18, "inner_ratio": 0.9, "momentum": 0.4, "theta": 0.35,
    "square_memory": 0.85, "inner_momentum": 0.55, "linear_momentum": 0.7,
    "cross_momentum": 0.65, "scaling_floor": 0.02, "penalty": 2.5, "penalty_start": 0.55,
    "barrier_weight": 0.95, "smoothing": 0.3, "delta": 0.04, "decay_offset": 7.0, "radius": 0.8,
    "mu": 0.3, "growth": 0.2,
}  # fmt: skip
#: Lengths that keep the runs short, no two of one solver equal; caps and periods are reached.
INTEGERS = {
    "batch_size": BATCH, "n_inner_steps": 3, "n_linear_steps": 4, "n_neumann_steps": 4,
    "n_directions": 2, "max_inner_steps": 6, "max_steps": 5, "n_steps": 3,
    "ramp": 12, "largest_batch": 5, "large_batch": 3, "period": 6, "truncation": 2,
}  # fmt: skip

#: Half widths of the box for solvers whose x does not reach the usual one within the run.
NARROWER = {"stfbo": 0.3, "meha": 0.3, "f2sa": 0.3}
#: Numbers with which a method takes another way.
OTHER_WAYS = {"dtfbo": {"tolerance": 0.05}, "f2sa_p": {"order": 3}, "itd_bio": {"truncation": 0}}


# ---------------------------------------------------------------------- the problems, for solvers
def first_point(p, d, rng):
    """Return a start whose entries all differ, x within the box."""
    return rng.standard_normal(p), rng.uniform(-0.8 * BOX, 0.8 * BOX, d)


@functools.cache
def quadratic():
    """Return a quadratic with cross terms, on both levels."""
    problem = quadratic_problem(N_INNER, N_OUTER, 6, 4, mu=0.5, L=1.0, L_cross=0.4, seed=0)
    return dataclasses.replace(problem, init=functools.partial(first_point, 6, 4))


@functools.cache
def cleaning(ridge=0.1, n_features=4, n_classes=3):
    """Return hyper-cleaning of three classes, whose H and C depend on z and on x."""
    rng = np.random.default_rng(5)

    def split(n):
        labels = rng.integers(n_classes, size=n)
        return 1.5 * rng.standard_normal((n, n_features)), np.eye(n_classes)[labels]

    splits, p = {"train": split(N_INNER), "validation": split(N_OUTER)}, n_features * n_classes
    return hyper_cleaning(
        "cleaning", splits, clean=np.arange(N_INNER) % 2 == 0, ridge=ridge, n_classes=n_classes,
        init=functools.partial(first_point, p, N_INNER),
        card=Card(title="made up", formula="", source="", licence=""), data_seed=7,
    )  # fmt: skip


# ---------------------------------------------------------------------- the problems, for NumPy
class NumpyOracles:
    """The oracles of a transcription: dense matrices of one batch at a time.

    A subclass gives ``inner`` and ``outer``: dict of the value, the gradients and, for G, H and C,
    from rows and their weights; H, C and B are the second derivatives in z, in x and z, in x.
    """

    def __init__(self, problem, batch_sizes, box=None):
        self.rows, self.box, self.n_clipped = {}, box, 0
        for level, size in batch_sizes.items():
            arrays = problem.rows(level)
            n = len(next(iter(arrays.values())))
            # Rows are shuffled once and cut; the average over the blocks is that over the rows.
            order = np.random.default_rng(problem.data_seed).permutation(n)
            cut = [order[first : first + size] for first in range(0, n, size)]
            for batch, ids in [*enumerate(cut), ("full", order)]:
                weight = 1 / n if batch == "full" else len(cut) / n
                rows = {name: array[ids] for name, array in arrays.items()} | {"ids": ids}
                self.rows[level, batch] = rows, np.full(len(ids), weight)
            setattr(self, f"n_{level}_blocks", len(cut))

    def of(self, level, name, z, x, batch):
        rows, weights = self.rows[level, batch if isinstance(batch, str) else int(batch)]
        return getattr(self, level)(name, z, x, weights, **rows)

    def grad_z(self, z, x, batch):
        return self.of("inner", "z", z, x, batch)

    def grad_x(self, z, x, batch):
        return self.of("inner", "x", z, x, batch)

    def G(self, z, x, batch):
        return self.of("inner", "value", z, x, batch)

    def hessian(self, z, x, batch):
        return self.of("inner", "H", z, x, batch)

    def cross_matrix(self, z, x, batch):
        return self.of("inner", "C", z, x, batch)

    def hvp(self, z, x, v, batch):
        return self.hessian(z, x, batch) @ v

    def cross(self, z, x, v, batch):
        return self.cross_matrix(z, x, batch) @ v

    def F(self, z, x, batch):
        return self.of("outer", "value", z, x, batch)

    def F_z(self, z, x, batch):
        return self.of("outer", "z", z, x, batch)

    def F_x(self, z, x, batch):
        return self.of("outer", "x", z, x, batch)

    def project(self, x):
        if self.box is None:
            return x
        self.n_clipped += np.any(np.abs(x) > self.box)
        return np.minimum(np.maximum(x, -self.box), self.box)


class QuadraticOracles(NumpyOracles):
    """Sums of w_i (1/2 (a_i.z)^2 + 1/2 (b_i.x)^2 + (r_i.x)(s_i.z) + c_i.z + e_i.x)."""

    def inner(self, name, z, x, w, a, b, r, s, c, e, ids):
        H, B, C = (a.T * w) @ a, (b.T * w) @ b, (r.T * w) @ s
        c, e = w @ c, w @ e
        if name == "value":
            return z @ H @ z / 2 + x @ B @ x / 2 + x @ C @ z + c @ z + e @ x
        return {"z": H @ z + C.T @ x + c, "x": B @ x + C @ z + e, "H": H, "C": C, "B": B}[name]

    outer = inner


class CleaningOracles(NumpyOracles):
    """G = sum_i w_i sigmoid(x_i) loss_i(z) + 0.1 ‖z‖^2, F = sum_i w_i loss_i(z); cross-entropy."""

    def inner(self, name, z, x, w, features, targets, ids):
        sigmoid = 1 / (1 + np.exp(-x[ids]))
        slope = sigmoid * (1 - sigmoid)
        loss, residual, share = self.losses(z, features, targets)
        gradients = np.einsum("ij,ic->ijc", features, residual).reshape(len(w), -1)
        if name == "value":
            return (w * sigmoid) @ loss + 0.1 * z @ z
        if name == "z":
            return (w * sigmoid) @ gradients + 0.2 * z
        if name == "x":
            out = np.zeros_like(x)
            out[ids] = w * slope * loss
            return out
        if name == "B":
            out = np.zeros((len(x), len(x)))
            out[ids, ids] = w * slope * (1 - 2 * sigmoid) * loss
            return out
        if name == "C":
            out = np.zeros((len(x), len(z)))
            out[ids] = (w * slope)[:, None] * gradients
            return out
        curvature = np.einsum("ic,cd->icd", share, np.eye(share.shape[1]))
        curvature -= np.einsum("ic,id->icd", share, share)
        H = np.einsum("i,ij,ik,icd->jckd", w * sigmoid, features, features, curvature)
        return H.reshape(len(z), len(z)) + 0.2 * np.eye(len(z))

    def outer(self, name, z, x, w, features, targets, ids):
        loss, residual, _ = self.losses(z, features, targets)
        gradient = features.T @ (w[:, None] * residual)
        return {"value": w @ loss, "z": gradient.ravel(), "x": 0 * x}[name]

    @staticmethod
    def losses(z, features, targets):
        u = features @ z.reshape(features.shape[1], -1)
        share = np.exp(u) / np.exp(u).sum(axis=1, keepdims=True)
        return -np.log((share * targets).sum(axis=1)), share - targets, share


PROBLEMS = {"quadratic": (quadratic, QuadraticOracles), "cleaning": (cleaning, CleaningOracles)}


# ---------------------------------------------------------------------- what is run
def parameters_of(cls, **changes):
    """Return every parameter of a solver but its backend: its words, and the numbers above."""
    out = {}
    for name, (default, *_) in cls.parameters.items():
        space = cls.search_space.get(name)
        if isinstance(space, Log):
            out[name] = NUMBERS.get(name, 0.3 if isinstance(space.start, str) else space.start)
        elif isinstance(space, Int):
            out[name] = INTEGERS.get(name, min(space.start, 3))
        elif space is not None:
            out[name] = space.start
        else:
            plain = {int: INTEGERS, float: NUMBERS}.get(type(default), {})
            out[name] = plain.get(name, default)
    del out["backend"]
    return out | changes


#: What is declined, and followed on the other problem alone: F of the cleaning problem does not depend on x.
DECLINED = {("pbgd_free", "cleaning"), ("itd_bio", "cleaning", ("truncation", 0))}


def cases():
    """Return (file, problem, changes): the defaults, then every other word of every choice."""
    out = []
    for stem, cls in sorted(helpers.step_solvers().items()):
        changes = [{}, {"box": NARROWER.get(stem, BOX)}]
        batch = {"batch_size": BATCH} if cls.parameters.get("batch_size") == ["full"] else {}
        if batch:
            changes.append(batch)
        if stem in OTHER_WAYS:
            changes.append(OTHER_WAYS[stem])
        for name, words in cls.choices.items():
            default = parameters_of(cls)[name]
            others = [word for word in words if word != default]
            if name == "period":  # the other words are the same but for a factor
                others = [word for word in words if word in (int, "epoch_half")]
            changes += [{name: INTEGERS[name] if word is int else word, **batch} for word in others]
        for problem in PROBLEMS:
            for change in changes:
                if "box" not in change or problem == "quadratic":
                    words = (f"{name}={value}" for name, value in change.items())
                    id = "-".join([stem, problem, *words])
                    # Every word on the quadratic; on the problem whose H varies the defaults, the rest among the slow.
                    slow = [pytest.mark.slow] * (problem == "cleaning" and change not in ({}, batch))
                    out.append(pytest.param(stem, problem, change, id=id, marks=slow))
    return out


def iterates_of_solver(solver):
    """Yield z, x and d_x of a solver after each iteration."""
    state = run_loop.begin(solver.program)
    for _ in range(N_ITERATIONS):
        state = run_loop.advance(solver.program, state, 1)
        yield solver.program.iterates(state)


def iterates_of_transcription(paper, oracles, start, hp, draws, k):
    """Yield z, x and d_x of a transcription, after each iteration."""
    state = paper.start(*start, oracles, k)
    for t in range(N_ITERATIONS):
        state = paper.step(state, oracles, hp, {role: d[t] for role, d in draws.items()}, k)
        yield state


def in_iterations(period, plan):
    """Return the iterations in which the small batches hold as many samples as there are, or half of them."""
    small = {role: draw for role, draw in plan.items() if not (role.startswith("large") or role.isupper())}
    drawn = sum(np.prod(draw.shape) for draw in small.values() if draw.kind in ("inner", "outer"))
    epoch = int(np.ceil((N_INNER + N_OUTER) / (BATCH * drawn)))
    return {"epoch": epoch, "epoch_half": int(np.ceil(epoch / 2))}[period]


@pytest.mark.parametrize(("file", "kind", "changes"), cases())
def test_solver_follows_its_transcription(file, kind, changes):
    cls, path = helpers.step_solvers()[file], PAPERS / f"{file}.py"
    assert path.exists(), (
        f"{cls.name} has no transcription; add tests/papers/{path.name} with start and step, "
        "written from the equations of the paper (see the first lines of this file)."
    )
    changes = dict(changes)
    box = changes.pop("box", None)
    k = parameters_of(cls, **changes)
    make_problem, make_oracles = PROBLEMS[kind]
    problem = make_problem()
    if box is not None:
        problem = dataclasses.replace(problem, feasible_set=Box(-box, box))

    solver = cls.get_instance(backend="torch", **k)
    reason = put_at_start(solver, problem, SEED, device="cpu", precision="float64")
    if DECLINED & {(file, kind), *((file, kind, change) for change in changes.items())}:
        assert "does not depend on x" in reason
        pytest.skip(reason)
    assert reason is None, reason
    draws = DrawStreams(solver.plan, solver.partitions, SEED).take(N_ITERATIONS)

    if isinstance(k.get("period"), str):
        k["period"] = in_iterations(k["period"], solver.plan)
    for draw in solver.plan.values():
        assert draw.kind != "bernoulli" or draw.bounds == (1 / k["period"],)
    hp = {name: k.pop(name) for name, space in cls.search_space.items() if isinstance(space, Log)}
    full = k.get("batch_size", "full") == "full"
    sizes = {"inner": N_INNER if full else BATCH, "outer": N_OUTER if full else BATCH}
    if k.get("outer_batch_size") == "full":
        sizes["outer"] = N_OUTER
    oracles = make_oracles(problem, sizes, box)
    start = start_point(problem, SEED)

    paper = helpers.load(path)
    pairs = zip(
        iterates_of_solver(solver),
        iterates_of_transcription(paper, oracles, start, hp, draws, k),
        strict=True,
    )
    for t, (found, expected) in enumerate(pairs):
        for name in ("z", "x", "d_x"):
            scale = np.abs(expected[name]).max()
            error = np.abs(found[name] - expected[name]).max()
            where = f"{name} of {cls.name} after iteration {t + 1}"
            assert error <= TOLERANCE * scale, f"{where} is {error:.1e} off {scale:.1e}."
    assert box is None or oracles.n_clipped > 0, "the box was not reached; widen the steps"


def test_every_transcription_belongs_to_a_solver():
    assert {path.stem for path in PAPERS.glob("*.py")} <= set(helpers.step_solvers())
