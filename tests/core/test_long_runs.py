"""Counters of very long runs, and what a solver leaves behind when the next one comes."""

import gc
import weakref

import numpy as np
import psutil
import pytest

import helpers
from benchmark_utils.backends import get_backend, why_unavailable
from benchmark_utils.running.journal import Journal
from benchmark_utils.running.rules import Rules

NEAR = 2**31 - 3


@pytest.mark.parametrize("file", ["soba", "ma_soba"])
def test_iterations_are_counted_beyond_32_bits(file, backend):
    solver = helpers.make_solver(
        helpers.step_solvers()[file], helpers.small_quadratic(), 100, backend=backend, batch_size=16, step_size=0.1
    )
    state = helpers.begin(solver)
    counter = solver.bk.counter() + NEAR
    solver.run_state = state._replace(carry=state.carry._replace(t=counter), n_iter=NEAR)
    state = helpers.advance(solver, 6)
    assert state.n_iter == int(solver.run_state.carry.t) == 2**31 + 3
    result = solver.get_result()
    assert np.isfinite(result["z"]).all()
    assert result["n_iter"] == 2**31 + 3


def test_counters_of_compiled_torch_have_64_bits():
    reason = why_unavailable("torch-compiled", "cpu", "float32")
    if reason is not None:
        pytest.skip(reason)
    bk = get_backend("torch-compiled", "cpu", "float32")
    assert int(bk.counter() + NEAR + 6) == 2**31 + 3


def test_the_ledger_counts_beyond_32_bits(backend):
    solver = helpers.make_solver(
        helpers.step_solvers()["soba"], helpers.small_quadratic(), 100, backend=backend, batch_size=16, step_size=0.1
    )
    state = helpers.begin(solver)
    solver.run_state = state._replace(ledger=state.ledger + 2**33)
    state = helpers.advance(solver, 1)
    assert state.ledger[0] - 2**33 in (6, 16), "one block"
    assert solver.get_result()["counts"]["grad_inner"] == state.ledger[0]


# ---------------------------------------------------------------------- memory
def one_after_the_other(tmp_path, problem, step_sizes, stem, after=lambda solver: None, **parameters):
    """Run solvers as benchopt does, which keeps them all; ``after`` is called with each when it has run."""
    cls, rules = helpers.step_solvers()[stem], Rules(precision="float64", max_iterations=20)
    z0, x0 = problem.init(np.random.default_rng(0))
    kept = []
    for step_size in step_sizes:
        solver = cls.get_instance(step_size=float(step_size), **parameters)
        assert solver.skip(problem=problem.view, rules=rules) == (False, None)
        for repetition in range(2):
            journal = Journal(f"{repetition}", tmp_path)
            solver.set_objective(problem.view, z0, x0, repetition, rules, journal)
            solver.pre_run_hook(None)
            solver.run(lambda: True)
        kept.append(solver)
        after(solver)
    return kept


def test_a_solver_frees_its_program_when_the_next_one_comes_and_not_before(backend, tmp_path):
    programs = []

    def after(solver):
        gc.collect()
        assert [ref() is None for ref in programs] == [True] * len(programs)
        programs.append(weakref.ref(solver.program))

    one_after_the_other(tmp_path, helpers.small_quadratic(), [0.1, 0.05, 0.02], "soba", after, backend=backend,
                        batch_size=16)  # fmt: skip


def test_solvers_that_are_used_in_turn_without_a_runner_keep_theirs(backend):
    cls, problem = helpers.step_solvers()["soba"], helpers.small_quadratic()
    a, b = (helpers.make_solver(cls, problem, 3, backend=backend, batch_size=16, step_size=s) for s in (0.1, 0.05))
    for solver in (a, b):
        solver.run(lambda: True)
    assert a.get_result()["n_iter"] == b.get_result()["n_iter"] == 3


@pytest.mark.slow
def test_memory_is_flat_over_thirty_configurations(backend, tmp_path):
    """Each keeps a table of 13 MB while it runs."""
    problem, seen = helpers.small_quadratic(n=4096, m=4096, p=200, d=10), []
    rss = lambda solver: seen.append(psutil.Process().memory_info().rss / 2**20)
    one_after_the_other(
        tmp_path, problem, np.geomspace(1e-4, 1e-2, 30), "saba", rss, backend=backend, batch_size=2, outer_ratio=1.0
    )
    assert max(seen[5:]) - seen[4] < 30, [round(value) for value in seen]
