"""Random and growing lengths: what they cost and what they average to.

The solvers here draw the length p of their Neumann series (HIA), or let loops and batches grow with a counter. Their
equations are checked in test_random_length_equations.py.
"""

import dataclasses
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import helpers
from benchmark_utils.backends import get_backend
from benchmark_utils.formulas import linear_system
from benchmark_utils.formulas.steps import GrowingLengths, length_at
from benchmark_utils.oracles.draws import DrawStreams
from benchmark_utils.oracles.oracles import Oracles
from helpers import biased_minimiser, series_direction

SOLVERS = helpers.step_solvers()
WITH_HIA = sorted(stem for stem, cls in SOLVERS.items() if cls.deterministic["limit"] == "hia")
N_INNER, N_OUTER = 70, 50  # rows of small_quadratic
Q = 5  # length of the series in these tests


def moving_start(z0=None, x0=None):
    """Return the quadratic with the given start, or a random one whose z is not zero."""
    random = lambda rng: (rng.standard_normal(6), rng.standard_normal(4))
    return dataclasses.replace(helpers.small_quadratic(), init=random if x0 is None else lambda rng: (z0, x0))


class GivenLength:
    """Draws of a run with every random length replaced by ``p``."""

    def __init__(self, streams, p):
        self.streams, self.p = streams, p

    def take(self, n):
        draws = self.streams.take(n)
        lengths = [role for role, draw in self.streams.plan.items() if draw.kind == "integers"]
        assert lengths, "no random length in the plan"
        return draws | {role: np.full_like(draws[role], self.p) for role in lengths}


def make(stem, n_iter, problem=None, **parameters):
    return helpers.make_solver(SOLVERS[stem], problem or moving_start(), n_iter, precision="float64", **parameters)


def iterate(solver, n_iter, p=None):
    """Run ``n_iter`` iterations, with every random length equal to p if one is given, and return the iterates."""
    state = helpers.begin(solver)
    if p is not None:
        solver.run_state = state._replace(draws=GivenLength(state.draws, p))
    for _ in range(n_iter):
        state = helpers.advance(solver)
    return solver.program.iterates(state) | {"counts": state.counts(), "n_iter": n_iter}


# ---------------------------------------------------------------------- what was drawn is what is counted
def first(sizes, ids, lengths):
    """Return the rows in the first ``lengths[k]`` blocks of iteration k, summed over iterations."""
    return sum(int(sizes[row[:length]].sum()) for row, length in zip(ids, lengths, strict=True))


def hia_cost(n_iter, draws, G, F, inner_steps=None, points=1, inner_points=1):
    """Return the cost of a method with HIA: role by role, each at so many points."""
    z = draws["z"].reshape(n_iter, -1)
    inner_steps = [z.shape[1]] * n_iter if inner_steps is None else inner_steps
    return {
        "grad_inner": inner_points * first(G, z, inner_steps),
        "hvp": points * first(G, draws["v"], draws["p"]),
        "cross": points * int(G[draws["x"]].sum()),
        "grad_outer": points * int(F[draws["f"]].sum()),
    }


def bsgm_cost(n_iter, draws, G, F, lengths):
    return {
        "grad_inner": first(G, draws["z"], lengths),
        "hvp": first(G, draws["v"], lengths),
        "cross": first(G, draws["x"], lengths),
        "grad_outer": first(F, draws["f"], lengths),
    }


def stocbio_cost(n_iter, draws, G, F, n_blocks):
    v = draws["v"].reshape(n_iter, len(n_blocks), -1)
    return {
        "grad_inner": int(G[draws["z"]].sum()),
        "hvp": sum(first(G, row, n_blocks) for row in v),
        "cross": int(G[draws["x"]].sum()),
        "grad_outer": int(F[draws["f"]].sum()),
    }


N_ITER = 25
ROOT_LENGTHS = [min(9, math.ceil(2 * math.sqrt(k + 1) - 1e-12)) for k in range(N_ITER)]  # exact at the squares
COSTS = {
    "bsa": ("bsa", dict(n_inner_steps=3), hia_cost, {}),
    "bsa-growing": (
        "bsa", dict(n_inner_steps=2, inner_schedule="theory", max_inner_steps=9), hia_cost,
        dict(inner_steps=ROOT_LENGTHS),
    ),
    "ttsa": ("ttsa", {}, hia_cost, {}),
    "alset": ("alset", dict(n_inner_steps=2), hia_cost, {}),
    "smb": ("smb", {}, hia_cost, {}),
    "biadam": ("biadam", {}, hia_cost, {}),
    "vr_biadam": ("vr_biadam", {}, hia_cost, dict(points=2, inner_points=2)),
    "accbo": ("accbo", dict(n_inner_steps=3), hia_cost, dict(points=2)),
    "sustain": ("sustain", {}, hia_cost, dict(points=2, inner_points=2)),
    "bsgm": (
        "bsgm", dict(growth=0.25, n_steps=5), bsgm_cost,
        dict(lengths=[min(5, math.ceil((s + 1) / 4)) for s in range(N_ITER)]),
    ),
    "bsgm-constant": ("bsgm", dict(length_schedule="constant", n_steps=3), bsgm_cost, dict(lengths=[3] * N_ITER)),
    "stocbio": ("stocbio", {}, stocbio_cost, dict(n_blocks=[1] * Q)),
    "stocbio-growing": (
        "stocbio", dict(batch_growth="theory", largest_batch=16), stocbio_cost, dict(n_blocks=[16, 8, 4, 2, 1]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("c", [0.1, 0.7, 1.0, 2.5, 1e300])
def test_lengths_of_bsgm_are_multiples_of_c_rounded_up(c):
    lengths = helpers.resolved(SOLVERS["bsgm"], n_steps=40, growth=c).lengths
    expected = [min(40, math.ceil(c * (s + 1) - 1e-9)) for s in range(60)]
    assert [lengths[s] for s in range(60)] == expected
    assert "growth is 0" in helpers.why_skipped(SOLVERS["bsgm"], helpers.small_quadratic(), batch_size=16, growth=0)


@pytest.mark.parametrize("case", COSTS)
def test_ledger_is_the_sum_of_what_was_drawn(case, backend):
    stem, parameters, cost, facts = COSTS[case]
    solver = make(stem, N_ITER, seed=3, backend=backend, batch_size=16, n_neumann_steps=Q, **parameters)
    solver.run(lambda: True)
    draws = DrawStreams(solver.plan, solver.partitions, 3).take(N_ITER)
    sizes = solver.partitions["inner"].sizes(), solver.partitions["outer"].sizes()
    assert [set(size) for size in sizes] == [{16, 6}, {16, 2}], "the ragged blocks must be part of the test"
    expected = dict.fromkeys(helpers.ORACLES, 0) | cost(N_ITER, draws, *sizes, **facts)
    assert solver.get_result()["counts"] == expected


def test_lengths_reach_their_cap_and_stay():
    lengths = GrowingLengths(lambda k: k + 1, 3)
    assert [lengths[k] for k in range(5)] == [1, 2, 3, 3, 3]
    assert GrowingLengths(lambda k: 7, 3)[0] == 3
    bsa = helpers.resolved(SOLVERS["bsa"], n_inner_steps=10, inner_schedule="theory", max_inner_steps=100)
    assert (bsa.inner_lengths[97], bsa.inner_lengths[98], bsa.inner_lengths[-1]) == (99, 100, 100)  # 10 sqrt(99) = 99.5
    assert [bsa.inner_lengths[k] for k in (0, 1, 3, 8, 24)] == [10, 15, 20, 30, 50]
    stocbio = helpers.resolved(SOLVERS["stocbio"], batch_growth="theory", largest_batch=8, n_neumann_steps=10)
    assert (len(stocbio.n_blocks), stocbio.n_blocks[0], stocbio.n_blocks[-1]) == (10, 8, 1)
    assert stocbio.n_blocks == sorted(stocbio.n_blocks, reverse=True)


@pytest.mark.parametrize(
    "length",
    [
        lambda k: k // 10 + 1,
        lambda k: 3 * k + 2,  # by more than one at once
        lambda k: 1 + math.isqrt(math.isqrt(3**4 * (k + 1) - 1)),
        lambda k: 7,
        lambda k: 90,
    ],
)
def test_compiled_loops_find_the_length_in_the_table_of_rises(length, backend):
    bk, lengths = get_backend(backend, "cpu", "float64"), GrowingLengths(length, 40)
    rises = lengths.rises()
    assert len(rises) == lengths.longest - lengths[0] or len(rises) < 40
    for t in [*range(60), 1000, 10**6, 2**31 - 1]:
        at = length_at(bk, lengths, bk.asarray(np.int32(t)))
        assert int(at) == length_at(bk, lengths, t) == min(length(t), 40)


def test_lengths_that_take_for_ever_to_reach_their_cap_cost_nothing():
    """A table with one entry an iteration would hold 4e9 of them."""
    fourth_root = GrowingLengths(lambda k: 1 + math.isqrt(math.isqrt(k)), 10_000)
    rises = fourth_root.rises()
    assert rises[:3] == [1, 16, 81]
    assert len(rises) == 215  # 215^4 < 2^31 < 216^4
    assert len(GrowingLengths(lambda k: k // (2**31 - 1) + 1, 50).rises()) == 1


# ---------------------------------------------------------------------- the average over p
def test_hia_averages_to_the_series_of_n_terms(backend):
    solver = make("ttsa", 1, backend=backend, batch_size=16)
    oracles, A = Oracles(solver.bk, solver.program.spec, solver.program.data), helpers.small_quadratic().evaluator.A
    H, b = solver.bk.asarray(A), solver.bk.asarray(np.arange(1.0, 7.0))
    eta, M = 0.4, np.eye(6) - 0.4 * A
    hvp = lambda k, u: H @ u
    terms = [solver.bk.to_numpy(linear_system.hia(oracles, hvp, b, None, eta, Q, p)) for p in range(Q)]
    bias = np.linalg.matrix_power(M, Q) @ np.linalg.solve(A, np.arange(1.0, 7.0))
    assert np.abs(bias).max() > 0.1
    assert_allclose(np.mean(terms, axis=0), -np.linalg.solve(A, np.arange(1.0, 7.0)) + bias, rtol=0, atol=1e-12)


@pytest.mark.parametrize("which", WITH_HIA)
def test_direction_averaged_over_lengths_vanishes_at_the_biased_minimiser(which, backend):
    """The limit "hia": the average direction is that of the truncated series, whose zero is known in closed form."""
    stated = {k: v for k, v in SOLVERS[which].deterministic.items() if k != "limit"}
    reference = helpers.small_quadratic().evaluator
    chosen = {k: v for k, v in stated.items() if k in SOLVERS[which].parameters}
    described = helpers.resolved(SOLVERS[which], **chosen)
    eta, n_terms = described.neumann_step, described.n_neumann_steps
    zero = biased_minimiser(reference, eta, n_terms)
    assert np.abs(zero - reference.minimiser()).max() > 1e-2, "the bias is too small for the test to tell"
    for x in (zero, zero + np.array([1.0, -2.0, 0.5, 0.0])):
        start = moving_start(reference.solve(x).z, x)
        solver = make(which, 1, start, backend=backend, batch_size="full", **stated)
        (lengths,) = [range(*draw.bounds) for draw in solver.plan.values() if draw.kind == "integers"]
        directions = np.stack([iterate(solver, 1, p)["d_x"] for p in lengths])
        assert np.ptp(directions, axis=0).max() > 1e-2, "the direction does not depend on the length"
        expected = series_direction(reference, eta, n_terms, x)
        assert_allclose(directions.mean(axis=0), expected, rtol=0, atol=1e-12)
        if x is zero:
            assert np.abs(expected).max() < 1e-12


@pytest.mark.parametrize("which", WITH_HIA)
def test_length_zero_takes_no_product(which, backend):
    solver = make(which, 3, backend=backend, batch_size=16, n_neumann_steps=Q)
    longer = make(which, 3, backend=backend, batch_size=16, n_neumann_steps=Q)
    none, two = iterate(solver, 3, 0), iterate(longer, 3, 2)
    assert none["counts"]["hvp"] == 0
    assert two["counts"]["hvp"] > 0
    assert np.isfinite(none["x"]).all()
    assert np.abs(none["d_x"] - two["d_x"]).max() > 1e-6


# ---------------------------------------------------------------------- variants
def test_alset_full_inner_visits_all_inner_samples(backend):
    solver = make("alset_dagger_det", 3, backend=backend, batch_size=16)
    assert set(solver.plan) >= {"f"}
    solver.run(lambda: True)
    outer = DrawStreams(solver.plan, solver.partitions, 0).take(3)["f"]
    counts = solver.get_result()["counts"]
    assert {counts[k] for k in ("grad_inner", "hvp", "cross")} == {3 * N_INNER}
    assert counts["grad_outer"] == solver.partitions["outer"].sizes()[outer].sum()


def test_growing_batches_change_the_noise_not_the_series(backend):
    """Averages of one block are that block: with full batches both forms agree, with mini-batches they do not."""
    both = [dict(batch_growth="constant"), dict(batch_growth="theory", largest_batch=4)]
    parameters = dict(backend=backend, n_neumann_steps=Q, step_size=0.2)
    full = [iterate(make("stocbio", 5, batch_size="full", **parameters, **form), 5) for form in both]
    assert_allclose(full[0]["x"], full[1]["x"], rtol=0, atol=1e-13)
    mini = [iterate(make("stocbio", 5, batch_size=16, **parameters, **form), 5) for form in both]
    assert np.abs(mini[0]["x"] - mini[1]["x"]).max() > 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "parameters"),
    [
        ("bsa", dict(inner_schedule="theory", n_inner_steps=2, max_inner_steps=9, warm_start="none")),
        ("alset_dagger", {}),
        ("alset_dagger_det", {}),
        ("smb", dict(averaged="x_and_z")),
        ("sustain", {}),
        ("vr_biadam", {}),
        ("bsgm", dict(warm_start="z_and_v", growth=0.25, n_steps=4)),
        ("stocbio", dict(batch_growth="theory", largest_batch=5)),
    ],
)
def test_variants_agree_between_backends(which, parameters):
    a, b = (iterate(make(which, 40, backend=b, batch_size=16, **parameters), 40) for b in helpers.BACKENDS)
    assert all(np.isfinite(a[name]).all() for name in ("z", "x", "d_x"))
    helpers.assert_agree(a, b, atol=1e-9, scaled=True)


@pytest.mark.parametrize(
    ("which", "name"),
    [("bsa", "inner_schedule"), ("bsa", "warm_start"), ("alset", "schedule"), ("bsgm", "length_schedule"),
     ("bsgm", "warm_start"), ("bsgm", "schedule"), ("smb", "averaged"), ("ttsa", "schedule"),
     ("bsa", "inner_decay"), ("biadam", "squares_of"), ("biadam", "schedule"),
     ("stocbio", "batch_growth")],
)  # fmt: skip
def test_unknown_variants_are_skipped_with_a_sentence(which, name):
    reason = helpers.why_skipped(SOLVERS[which], moving_start(), batch_size=16, **{name: "nonsense"})
    assert f"{name} is 'nonsense'" in reason


def test_fixed_lengths_may_be_unrolled():
    """torch-compiled takes what has no random or growing length, and says why it does not take the rest."""
    why_not = lambda stem, **kw: helpers.resolved(SOLVERS[stem], backend="torch-compiled", **kw).why_not_backend()
    assert why_not("alset_dagger") is None
    assert why_not("bsgm", length_schedule="constant") is None
    for stem in (*WITH_HIA, "bsgm"):
        assert "cannot unroll" in why_not(stem)
    assert_array_equal([SOLVERS[s].get_instance().static_graph for s in ("bsa", "soba")], [False, True])
