"""A member of a sweep ends where its single run does, with the same ledger."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from benchmark_utils.running.rules import Rules
from benchmark_utils.running.start import start_point
from benchmark_utils.running.sweep import Member, Sweep
from helpers import make_solver, small_quadratic, stated_steps

N_ITER = 12


def moving_start():
    """Return the quadratic with a start that depends on the seed."""
    return dataclasses.replace(small_quadratic(), init=lambda rng: (rng.standard_normal(6), rng.standard_normal(4)))


@pytest.mark.slow
def test_members_equal_single_runs(solver_class, backend):
    problem, steps = moving_start(), {"step_size": 0.1, "outer_ratio": 2.0} | stated_steps(solver_class)
    steps = {name: value for name, value in steps.items() if name in solver_class.search_space}
    smaller = steps | {name: 0.5 * steps[name] for name in steps if name == "step_size"}
    members = [Member(steps, 0), Member(smaller, 0), Member(steps, 3)]
    solver = solver_class.get_instance(backend=backend, batch_size=16)
    rules = Rules(precision="float64", max_iterations=N_ITER)
    assert solver.skip(problem=problem.view, rules=rules) == (False, None)
    start = lambda seed: start_point(problem, seed)
    rows = []
    last = Sweep(solver, problem.view, rules, start).run(members, lambda i, state: rows.append((i, state.n_iter)))
    assert [n for i, n in rows if i == 1] == [0, 1, 2, 3, 4, 6, 8, 11, 12]
    for member, state in zip(members, last, strict=True):
        single = make_solver(
            solver_class, problem, N_ITER, seed=member.seed, precision="float64", backend=backend, batch_size=16,
            **member.values,
        )  # fmt: skip
        single.run(lambda: True)
        result = single.get_result()
        assert state.counts() == result["counts"]
        assert state.n_iter == result["n_iter"] == N_ITER
        for name, array in (("z", state.carry.z), ("x", state.carry.x), ("x_before", state.x_before)):
            scale = max(1.0, np.abs(result[name]).max())
            assert_allclose(array, result[name], rtol=0, atol=1e-11 * scale, err_msg=name)
    assert np.abs(last[0].carry.x - last[1].carry.x).max() > 0 or "step_size" not in steps
    assert np.abs(last[0].carry.x - last[2].carry.x).max() > 1e-6
