"""A run that is written down, and taken up by a fresh solver, ends where the uninterrupted one does, to the bit."""

import pickle

import pytest

import helpers
from benchmark_utils.running import run as run_loop
from benchmark_utils.running import run_state
from helpers import assert_agree, make_solver, small_quadratic, stated_steps


@pytest.mark.parametrize(("run_stem", "framework"), helpers.runs())
def test_a_run_taken_up_again_equals_the_uninterrupted_one(run_stem, framework):
    cls = helpers.solver_classes()[run_stem]
    common = dict(batch_size=16) | (stated_steps(cls) if run_stem in helpers.step_solvers() else {})
    whole, resumed = (
        make_solver(cls, small_quadratic(), 9, precision="float64", backend=framework, **common) for _ in range(2)
    )
    saved, rows = {}, []

    def callback():
        state = whole.run_state
        rows.append((state.n_iter, helpers.counts(whole.get_result())))
        if state.n_iter == 4:
            saved["state"] = pickle.dumps(run_state.save(whole.program, state))
        return True

    whole.run(callback)
    assert [n for n, _ in rows] == [0, 1, 2, 3, 4, 6, 8, 9]

    again = []

    def record(state):
        resumed.run_state = state
        again.append((state.n_iter, helpers.counts(resumed.get_result())))
        return True

    state = run_state.load(resumed.program, pickle.loads(saved["state"]))
    assert state.seconds > 0
    resumed.run_state = run_loop.run(resumed.program, state, resumed.rules, record, recorded=True)
    assert again == rows[5:], "neither a row nor a sample twice"
    assert_agree(whole.get_result(), resumed.get_result())
