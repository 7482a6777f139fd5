"""Every solver follows a NumPy transcription of its paper, step by step, where H and C vary and nothing is 1.

A file ``tests/papers/<stem>.py`` has ``start(z0, x0, o, k)`` and ``step(s, o, hp, d, k)``: the state is a dict, ``o``
gives the sums over a block or ``"full"`` (`ByHand`), ``hp`` and ``k`` are the hyper-parameters and the structure, and
``d`` holds the draws of the iteration.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.oracles.blocks import Partition
from benchmark_utils.oracles.draws import DrawStreams
from benchmark_utils.problem.feasible_set import Box
from benchmark_utils.problem.problem import Problem
from benchmark_utils.running.search_space import hyper_parameter_names
from benchmark_utils.terms.glm import GLM
from benchmark_utils.terms.penalties import ExpRidge
from benchmark_utils.terms.term import Term
from helpers import CARD, make_oracles

PAPERS = {path.stem: path for path in sorted((helpers.ROOT / "tests" / "papers").glob("*.py"))}
N_ITER, BATCH, P = 9, 16, 5

#: Numbers of the runs: no ratio is 1, loops are short, and the penalty of a variant would show.
NUMBERS = dict(
    step_size=0.15, outer_ratio=2.5, neumann_ratio=0.7, linear_ratio=0.6, neumann_step=0.2, momentum=0.4, theta=0.3,
    n_inner_steps=3, n_neumann_steps=4, n_linear_steps=3, n_directions=3, max_inner_steps=5, largest_batch=4,
    smoothing=0.1, period=4, mu=0.05, radius=0.4, ramp=5, n_steps=4, growth_period=3, penalty=2.0,
)  # fmt: skip


class LogisticAndSquares(Term):
    """log(1 + exp(-t b.z)) + (c.x)^2 / 2 + (c.x)(b.z): its gradients in z and in x depend on both."""

    def sample_values(self, xp, z, x, rows):
        """Return the loss of each row."""
        margin = -rows["targets"] * (rows["features"] @ z)
        c_x = rows["directions"] @ x
        return xp.logaddexp(xp.zeros_like(margin), margin) + 0.5 * c_x * c_x + c_x * (rows["features"] @ z)


def logistic_problem(feasible_set=None):
    """Return a logistic regression with one log-penalty a feature; blocks of 16 rows end ragged."""
    rng = np.random.default_rng(11)
    splits = {}
    for split, n in (("train", 70), ("validation", 50)):
        rows = rng.standard_normal((n, P))
        targets = np.where(rows @ np.arange(P) + rng.standard_normal(n) > 1, 1.0, -1.0)
        splits[split] = {"features": rows, "targets": targets}
    splits["validation"]["directions"] = 0.5 * rng.standard_normal((50, P))
    return Problem(
        "logistic", GLM("logistic", ExpRidge(0.5)), LogisticAndSquares(), splits, (P,), (P,),
        init=lambda rng: (rng.standard_normal(P), 0.3 * rng.standard_normal(P)), evaluator=None, card=CARD,
        feasible_set=feasible_set,
    )  # fmt: skip


class ByHand:
    """Sums over the rows of a block, or over all rows, differentiated by hand."""

    def __init__(self, problem, partitions):
        self.box = problem.feasible_set
        self.rows = {}
        for level, part in partitions.items():
            order = np.random.default_rng(problem.data_seed).permutation(part.n_samples)
            arrays = {name: array[order] for name, array in problem.rows(level).items()}
            for i in range(part.n_blocks):
                piece = slice(i * BATCH, min((i + 1) * BATCH, part.n_samples))
                # Every row weighs n_blocks / n, so that the mean over the blocks is the mean over the rows.
                self.rows[level, i] = {k: a[piece] for k, a in arrays.items()}, part.n_blocks / part.n_samples
            self.rows[level, "full"] = arrays, 1 / part.n_samples
        self.n_inner_blocks, self.n_outer_blocks = (partitions[k].n_blocks for k in ("inner", "outer"))

    def of(self, level, batch):
        """Return (features, targets, directions, weight of a row)."""
        rows, weight = self.rows[level, batch if isinstance(batch, str) else int(batch)]
        return rows["features"], rows["targets"], rows.get("directions"), weight

    def G(self, z, x, batch):
        A, y, _, w = self.of("inner", batch)
        return w * np.sum(np.log1p(np.exp(-y * (A @ z)))) + 0.25 * np.sum(np.exp(x) * z**2)

    def grad_z(self, z, x, batch):
        A, y, _, w = self.of("inner", batch)
        return A.T @ (-w * y / (1 + np.exp(y * (A @ z)))) + 0.5 * np.exp(x) * z

    def grad_x(self, z, x, batch):
        return 0.25 * np.exp(x) * z**2

    def hessian(self, z, x, batch):
        A, _, _, w = self.of("inner", batch)
        share = 1 / (1 + np.exp(-(A @ z)))
        return A.T @ (w * (share * (1 - share))[:, None] * A) + np.diag(0.5 * np.exp(x))

    def hvp(self, z, x, v, batch):
        return self.hessian(z, x, batch) @ v

    def cross_matrix(self, z, x, batch):
        return np.diag(0.5 * np.exp(x) * z)

    def cross(self, z, x, v, batch):
        return self.cross_matrix(z, x, batch) @ v

    def F(self, z, x, batch):
        B, t, C, w = self.of("outer", batch)
        return w * np.sum(np.log1p(np.exp(-t * (B @ z))) + 0.5 * (C @ x) ** 2 + (C @ x) * (B @ z))

    def F_z(self, z, x, batch):
        B, t, C, w = self.of("outer", batch)
        return B.T @ (w * (-t / (1 + np.exp(t * (B @ z))) + C @ x))

    def F_x(self, z, x, batch):
        B, _, C, w = self.of("outer", batch)
        return C.T @ (w * (C @ x + B @ z))

    def project(self, x):
        return x if self.box is None else np.clip(x, self.box.lower, self.box.upper)


def variants(stem):
    """Return the structures of a solver to follow: the file's own, and each other word by itself."""
    cls = helpers.solver_classes()[stem]
    words = [{}]
    for name, options in cls.choices.items():
        default = cls.search_space[name].start if name in cls.search_space else cls.parameters[name][0]
        words += [{name: option} for option in options if option is not int and option not in (default, "epoch")]
    return words


CASES = [(stem, words) for stem in PAPERS for words in variants(stem)]
case_id = lambda case: "-".join([case[0], *map(str, case[1].values())])


@pytest.mark.parametrize("feasible_set", [None, Box(-0.1, 0.05)], ids=["free", "box"])
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_every_iterate_is_that_of_the_paper(case, feasible_set):
    stem, words = case
    cls, problem = helpers.solver_classes()[stem], logistic_problem(feasible_set)
    paper = helpers.load(PAPERS[stem])
    numbers = {k: v for k, v in NUMBERS.items() if k not in words}
    solver = helpers.make_solver(
        cls, problem, N_ITER, seed=5, precision="float64", backend="torch", batch_size=BATCH, **numbers, **words
    )
    o = ByHand(problem, solver.partitions)
    hp = {name: float(getattr(solver, name)) for name in hyper_parameter_names(cls)}
    k = {name: getattr(solver, name) for name in cls.parameters if name not in hp}
    draws = DrawStreams(solver.plan, solver.partitions, 5).take(N_ITER)
    s = paper.start(*problem.init(np.random.default_rng(5)), o, k)
    helpers.begin(solver)
    moved, felt = 0.0, False
    for i in range(N_ITER):
        compare(helpers.on_host(solver), s, f"before iteration {i}")
        x = s["x"]
        s = paper.step(s, o, hp, {role: a[i] for role, a in draws.items()}, k)
        moved = max(moved, np.abs(s["x"] - x).max())
        felt |= feasible_set is not None and bool(np.isin(s["x"], [feasible_set.lower, feasible_set.upper]).any())
        helpers.advance(solver)
    compare(helpers.on_host(solver), s, "at the end")
    assert moved > 1e-4, "x must move for the test to tell"
    assert felt == (feasible_set is not None), "the box must be felt"


def compare(state, s, when):
    """Assert that the fields of a State are those of the transcription."""
    shared = [name for name in state._fields if name in s and name != "t"]
    assert {"z", "x", "d_x"} <= set(shared)
    for name in shared:
        expected = np.asarray(s[name])
        scale = max(1.0, np.abs(expected).max())
        assert_allclose(getattr(state, name), expected, rtol=0, atol=1e-11 * scale, err_msg=f"{name} {when}")


def test_oracles_by_hand_are_those_of_the_problem():
    problem = logistic_problem()
    oracles = make_oracles(problem, "torch", BATCH)
    partitions = {level: Partition.of(n, BATCH) for level, n in (("inner", 70), ("outer", 50))}
    o, rng = ByHand(problem, partitions), np.random.default_rng(0)
    z, x, v = rng.standard_normal((3, P))
    on_device = [oracles.bk.asarray(a) for a in (z, x, v)]
    for batch in (0, 4, "full"):
        D_z, Hv, Cv = oracles.inner_joint(*on_device, batch)
        for a, b in ((D_z, o.grad_z(z, x, batch)), (Hv, o.hvp(z, x, v, batch)), (Cv, o.cross(z, x, v, batch))):
            assert_allclose(oracles.bk.to_numpy(a), b, atol=1e-13)
        assert_allclose(oracles.bk.to_numpy(oracles.grad_inner_x(*on_device[:2], batch)), o.grad_x(z, x, batch))
        assert_allclose(float(oracles.value_inner(*on_device[:2], batch)), o.G(z, x, batch), rtol=1e-13)
    for batch in (0, 3, "full"):
        F_z, F_x = oracles.grad_outer(*on_device[:2], batch)
        assert_allclose(oracles.bk.to_numpy(F_z), o.F_z(z, x, batch), atol=1e-13)
        assert_allclose(oracles.bk.to_numpy(F_x), o.F_x(z, x, batch), atol=1e-13)
        assert_allclose(float(oracles.value_outer(*on_device[:2], batch)), o.F(z, x, batch), rtol=1e-13)
