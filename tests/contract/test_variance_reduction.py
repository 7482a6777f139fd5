"""Momentum and variance reduction: what the estimates must equal when nothing is random, and what they cost.

With full batches a corrected estimate never leaves the exact direction at the point it belongs to, however long the
period: this is where a correction that forgets a change of x, or a wrong old point, shows.
"""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import helpers
from benchmark_utils.oracles.draws import DrawStreams
from benchmark_utils.oracles.ledger import ORACLES
from helpers import on_host

SOLVERS = helpers.solver_classes()
N_INNER, N_OUTER = 70, 50  # rows of small_quadratic
STEPS = dict(step_size=0.3, outer_ratio=3.0)


def moving_start():
    """Return the quadratic with a start whose z is not zero."""
    init = lambda rng: (rng.standard_normal(6), rng.standard_normal(4))
    return dataclasses.replace(helpers.small_quadratic(), init=init)


def states(stem, n_iter, problem=None, **parameters):
    """Return the first state and those after each of ``n_iter`` iterations, in float64."""
    solver = helpers.make_solver(
        SOLVERS[stem], problem or moving_start(), n_iter, precision="float64", **parameters
    )  # fmt: skip
    helpers.begin(solver)
    out = [on_host(solver)]
    for _ in range(n_iter):
        helpers.advance(solver)
        out.append(on_host(solver))
    return out


# ---------------------------------------------------------------------- exact directions of the quadratic
def exact_joint(z, v, x):
    """Return D_z, D_v, D_x."""
    q = helpers.small_quadratic().evaluator
    F_z, F_x = q.A_F @ z + q.C_F.T @ x + q.c_F, q.B_F @ x + q.C_F @ z + q.e_F
    return q.A @ z + q.C.T @ x + q.c, q.A @ v + F_z, q.C @ v + F_x


def exact_neumann(z, x, eta, n):
    """Return D_z, and D_x with the truncated series of n + 1 terms."""
    A = helpers.small_quadratic().evaluator.A
    D_z, F_z, _ = exact_joint(z, 0 * z, x)
    v = -eta * sum(np.linalg.matrix_power(np.eye(len(z)) - eta * A, i) for i in range(n + 1)) @ F_z
    return D_z, exact_joint(z, v, x)[2]


NEUMANN = dict(n_neumann_steps=4, neumann_step=STEPS["step_size"])


def mrbo(s):
    return (s.d_z, s.d_x), exact_neumann(s.z_old, s.x_old, STEPS["step_size"], 4)


def vrbo(s):
    return (s.u_z, s.u_x), exact_neumann(s.z, s.x, STEPS["step_size"], 4)


def joint(s):
    return (s.d_z, s.d_v, s.d_x), exact_joint(s.z_old, s.v_old, s.x_old)


def fsla(s):
    return (s.d_x,), exact_joint(s.z, s.v, s.x_old)[2:]


def stable(s):
    q = helpers.small_quadratic().evaluator
    F_z, F_x = exact_joint(s.z_old, 0 * s.z_old, s.x_old)[1:]
    return (s.H, s.C, s.d_x), (q.A, q.C, F_x - q.C @ np.linalg.solve(q.A, F_z))


def stable_vr(s):
    q = helpers.small_quadratic().evaluator
    D_z, F_z, F_x = exact_joint(s.z_old, 0 * s.z_old, s.x_old)
    return (s.H, s.C, s.g, s.f_z, s.f_x), (q.A, q.C, D_z, F_z, F_x)


DRIFT = {
    "mrbo": ("mrbo", NEUMANN | dict(momentum=0.3), mrbo),
    "mrbo, constant weight": ("mrbo", NEUMANN | dict(momentum=0.01, schedule="constant"), mrbo),
    "vrbo, always full": ("vrbo", NEUMANN | dict(n_inner_steps=3, period=1), vrbo),
    "vrbo, period 5": ("vrbo", NEUMANN | dict(n_inner_steps=3, period=5), vrbo),
    "vrbo, one full pass": ("vrbo", NEUMANN | dict(n_inner_steps=3, period=1000), vrbo),
    "srba, period 5": ("srba", dict(period=5), joint),
    "srba, one full pass": ("srba", dict(period=1000), joint),
    "spaba, period 5": ("spaba", dict(period=5), joint),
    "spaba, one full pass": ("spaba", dict(period=10**9), joint),
    "fsla": ("fsla", dict(momentum=0.01, schedule="constant"), fsla),
    "stable": ("stable", dict(momentum=0.01, schedule="constant"), stable),
    "stable-vr": ("stable_vr", dict(momentum=0.01, schedule="constant"), stable_vr),
}


@pytest.mark.parametrize("case", DRIFT)
def test_estimates_do_not_drift_on_full_batches(case, backend):
    stem, parameters, compare = DRIFT[case]
    trajectory = states(stem, 30, backend=backend, batch_size="full", **STEPS, **parameters)
    for state in trajectory[1:]:
        for estimate, exact in zip(*compare(state), strict=True):
            assert_allclose(estimate, exact, rtol=0, atol=1e-12 * max(1, np.abs(exact).max()))
    assert np.abs(trajectory[-1].x - trajectory[1].x).max() > 0.1, "x must move for the test to tell"


def test_finite_differences_are_exact_to_rounding_on_a_quadratic(backend):
    for state in states("fdehbo", 30, backend=backend, batch_size="full", **STEPS)[1:]:
        for estimate, exact in zip(*joint(state), strict=True):
            assert_allclose(estimate, exact, rtol=0, atol=1e-11)


# ---------------------------------------------------------------------- starts
HAVE_OLD = ("mrbo", "fsla", "fdehbo", "srba", "spaba", "stable", "stable_vr")


@pytest.mark.parametrize("algorithm", HAVE_OLD)
def test_old_iterates_start_at_the_first_iterate(algorithm):
    state = states(algorithm, 0, backend="torch", batch_size=16)[0]
    old = [name for name in state._fields if name.endswith("_old")]
    assert old
    for name in old:
        assert_array_equal(getattr(state, name), getattr(state, name.removesuffix("_old")), err_msg=name)


@pytest.mark.parametrize("algorithm", ["mrbo", "fsla", "fdehbo", "stable", "stable_vr", "ma_soba"])
def test_first_direction_is_a_plain_stochastic_one(algorithm):
    weight = "theta" if algorithm == "ma_soba" else "momentum"
    a, b = (states(algorithm, 1, backend="torch", batch_size=16, **{weight: w})[1] for w in (0.1, 1.0))
    for name in a._fields:
        assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_weight_of_the_newest_term_matters_later():
    a, b = (states("mrbo", 3, backend="torch", batch_size=16, momentum=w)[3] for w in (0.1, 1.0))
    assert np.abs(a.d_x - b.d_x).max() > 1e-6


def test_full_memory_of_saba_starts_with_the_exact_averages(backend):
    state = states("saba", 0, backend=backend, batch_size=16, memory="full")[0]
    p = len(state.z)
    D_z, F_z, F_x = exact_joint(state.z, 0 * state.z, state.x)
    expected = np.concatenate([D_z, np.zeros(p + len(state.x))])  # v starts at zero, so H v and C v do too
    assert_allclose(state.inner_mean, expected, atol=1e-12)
    assert_allclose(state.outer_mean, np.concatenate([F_z, F_x]), atol=1e-12)
    zero = states("saba", 0, backend=backend, batch_size=16, memory="zero")[0]
    assert not zero.inner_mean.any()
    assert not zero.outer_mean.any()


# ---------------------------------------------------------------------- equal methods
EQUAL_TO_SOBA = {
    "saba": ("saba", {}),
    **{f"srba, period {k}": ("srba", dict(period=k)) for k in (1, 3, 1000)},
    **{f"spaba, period {k}": ("spaba", dict(period=k)) for k in (1, 3, 10**9)},
}


@pytest.mark.parametrize("case", EQUAL_TO_SOBA)
def test_one_block_gives_soba(case, backend):
    stem, parameters = EQUAL_TO_SOBA[case]
    common = dict(problem=moving_start(), backend=backend, batch_size="full", **STEPS)
    soba = states("soba", 50, schedule="constant", **common)[-1]
    other = states(stem, 50, **common, **parameters)[-1]
    for name in ("z", "v", "x", "d_x"):
        assert_allclose(getattr(other, name), getattr(soba, name), rtol=0, atol=1e-11, err_msg=name)


def test_ma_soba_without_memory_is_soba_with_a_delayed_outer_step(backend):
    common = dict(problem=moving_start(), backend=backend, batch_size=16, schedule="constant", **STEPS)
    averaged = states("ma_soba", 12, theta=1.0, **common)
    assert_array_equal(averaged[1].x, averaged[0].x)

    solver = helpers.make_solver(SOLVERS["soba"], common.pop("problem"), 12, precision="float64", **common)
    helpers.begin(solver)
    for k in range(11):  # one step of SOBA from each iterate, on the same draws
        on_device = {name: solver.bk.asarray(getattr(averaged[k], name)) for name in ("z", "v", "x")}
        carry = solver.run_state.carry._replace(**on_device)
        solver.run_state = solver.run_state._replace(carry=carry)
        helpers.advance(solver)
        soba, after = on_host(solver), averaged[k + 1]
        assert_allclose(after.z, soba.z, atol=1e-13)
        assert_allclose(after.v, soba.v, atol=1e-13)
        assert_allclose(after.h, soba.d_x, atol=1e-13)
        assert_allclose(averaged[k + 2].d_x, soba.d_x, atol=1e-13)
        assert_allclose(averaged[k + 2].x - after.x, soba.x - averaged[k].x, atol=1e-13)


@pytest.mark.parametrize("algorithm", ["srba", "spaba", "fdehbo"])
def test_v_stays_in_its_ball(algorithm):
    free, held = (states(algorithm, 20, backend="torch", batch_size=16, **STEPS, radius=r) for r in (1e3, 0.5))
    assert max(np.linalg.norm(s.v) for s in free) > 0.6
    assert max(np.linalg.norm(s.v) for s in held) <= 0.5 + 1e-12


# ---------------------------------------------------------------------- ledgers
def drawn_sizes(solver, n_iter):
    """Return dict of role to the sizes of the blocks drawn, and to the raw draws where they are no blocks."""
    draws = DrawStreams(solver.plan, solver.partitions, seed=0).take(n_iter)
    sizes = {level: part.sizes() for level, part in solver.partitions.items()}
    return {role: sizes.get(solver.plan[role].kind, np.arange(2))[ids] for role, ids in draws.items()}


def single_loop_ledger(drawn, full):
    """Count full passes where ``full`` and two evaluations elsewhere."""
    inner_samples = np.where(full, N_INNER, 2 * drawn["xi"]).sum()
    outer_samples = np.where(full, N_OUTER, 2 * drawn["zeta"]).sum()
    return dict(grad_inner=inner_samples, hvp=inner_samples, cross=inner_samples, grad_outer=outer_samples)


def vrbo_ledger(drawn, full):
    """Count full passes before the inner loop where ``full``, and two evaluations a correction."""
    n_full, Q = np.sum(full), drawn["v"].shape[-1]
    return dict(
        grad_inner=n_full * N_INNER + 2 * drawn["z"].sum(),
        hvp=n_full * Q * N_INNER + 2 * drawn["v"].sum(),
        cross=n_full * N_INNER + 2 * drawn["x"].sum(),
        grad_outer=n_full * N_OUTER + 2 * drawn["f"].sum(),
    )


def run_and_count(stem, n_iter, backend, **parameters):
    """Return (ledger of the run without zeros, block sizes drawn)."""
    solver = helpers.make_solver(
        SOLVERS[stem], helpers.small_quadratic(), n_iter, precision="float64", backend=backend, batch_size=16,
        **parameters,
    )  # fmt: skip
    solver.run(lambda: True)
    counts = solver.get_result()["counts"]
    return {name: counts[name] for name in ORACLES if counts[name]}, drawn_sizes(solver, n_iter)


def without_first_products(ledger):
    """The pass at the start is taken at v = 0, where no product is asked for."""
    return ledger | {name: ledger[name] - 70 for name in ("hvp", "cross")}


@pytest.mark.parametrize("period", [1, 6, 1000, "epoch_half", "epoch", "epochs_8"])
def test_ledger_of_srba(period, backend):
    ledger, drawn = run_and_count("srba", 37, backend, period=period)
    every = {"epoch": 4, "epoch_half": 2, "epochs_8": 32}.get(
        period, period
    )  # (70 + 50) rows, 16 + 16 drawn an iteration
    assert ledger == without_first_products(single_loop_ledger(drawn, np.arange(37) % every == 0))


@pytest.mark.parametrize("period", [1, 6, "epoch"])
def test_ledger_of_spaba(period, backend):
    ledger, drawn = run_and_count("spaba", 37, backend, period=period)
    full = (drawn["full"] == 1) | (np.arange(37) == 0)
    assert ledger == without_first_products(single_loop_ledger(drawn, full))
    assert period == 1 or 1 < full.sum() < 37


def test_probability_of_spaba():
    solver = helpers.make_solver(SOLVERS["spaba"], helpers.small_quadratic(), 1, backend="torch", batch_size=16)
    draws = DrawStreams(solver.plan, solver.partitions, seed=1).take(20000)
    assert_allclose(draws["full"].mean(), 1 / 4, atol=0.015)


@pytest.mark.parametrize("period", [1, 6, "epoch"])
def test_ledger_of_vrbo(period, backend):
    ledger, drawn = run_and_count("vrbo", 13, backend, period=period, n_inner_steps=2, n_neumann_steps=3)
    every = 1 if period == "epoch" else period  # an iteration draws 3 * (16 * 5 + 16) rows, more than there are
    assert drawn["z"].shape == (13, 3)
    assert ledger == vrbo_ledger(drawn, np.arange(13) % every == 0)


#: Role of the draw plan -> times its batch is visited by each oracle in one iteration.
VISITS = {
    "ma_soba": {"xi": dict(grad_inner=1, hvp=1, cross=1), "zeta": dict(grad_outer=1)},
    "fsla": {"z": dict(grad_inner=1), "v": dict(hvp=1), "x": dict(cross=2), "f_v": dict(grad_outer=1),
             "f_x": dict(grad_outer=2)},
    "mrbo": {"z": dict(grad_inner=2), "v": dict(hvp=2), "x": dict(cross=2), "f": dict(grad_outer=2)},
    "fdehbo": {"z": dict(grad_inner=2), "v": dict(grad_inner=4), "x": dict(grad_inner_x=4), "f": dict(grad_outer=2)},
    "stable": {"z": dict(grad_inner=1), "h": dict(hvp=2 * 6, cross=2 * 4), "f": dict(grad_outer=1)},
    "stable_vr": {"z": dict(grad_inner=2), "h": dict(hvp=2 * 6, cross=2 * 4), "f": dict(grad_outer=2)},
}  # fmt: skip


@pytest.mark.parametrize("case", VISITS)
def test_ledger_of_momentum_methods(case, backend):
    ledger, drawn = run_and_count(case, 20, backend)
    expected = dict.fromkeys(ledger, 0)
    assert set(drawn) == set(VISITS[case])
    for role, visits in VISITS[case].items():
        for oracle, times in visits.items():
            expected[oracle] += times * drawn[role].sum()
    assert ledger == expected


def test_period_is_checked():
    for stem in ("srba", "spaba", "vrbo"):
        for period, sentence in ((0, "at least 1"), ("month", "choose one of 'epoch_hundredth'")):
            reason = helpers.why_skipped(SOLVERS[stem], helpers.small_quadratic(), batch_size=16, period=period)
            assert sentence in reason
