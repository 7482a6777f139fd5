"""The clock waits for the device, leaves out evaluation and compilation, and feels the synchronisation."""

import dataclasses
import time

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.oracles.draws import inner, outer
from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.running.solver import BilevelSolver

SOBA = helpers.solver_classes()["soba"]


class HeavySolver(BilevelSolver):
    """SOBA's state under a step of very many Hessian products: milliseconds an iteration."""

    name = "Heavy"
    parameters = {"backend": ["jax"], "batch_size": [16]}

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    @classmethod
    def state_class(cls):
        return SOBA.state_class()

    def step(self, s, oracles, hp, draws):
        n = 1000 if self.backend == "jax" else 100
        v = oracles.repeat(n, lambda k, v: v - 0.1 * oracles.hvp(s.z, s.x, v, draws.xi), s.z)
        return s._replace(z=s.z + 1e-9 * v, t=s.t + 1)


def recorded_and_wall(solver, evaluation=0.02):
    """Run with a callback that takes ``evaluation`` seconds; return solver seconds and wall time less evaluation."""
    spent = 0.0

    def callback():
        nonlocal spent
        start = time.perf_counter()
        solver.bk.to_numpy(solver.run_state.carry.z)  # what an evaluation does: it waits for the iterates
        time.sleep(evaluation)
        spent += time.perf_counter() - start
        return True

    start = time.perf_counter()
    solver.run(callback)
    return solver.run_state.seconds, time.perf_counter() - start - spent


def heavy(backend, n_iter=64):
    problem = helpers.small_quadratic(n=1000, m=1000, p=100, d=30)
    return helpers.make_solver(HeavySolver, problem, n_iter, backend=backend, precision="float32", batch_size=500)


def test_recorded_time_is_wall_time_less_evaluation(backend):
    recorded, wall = recorded_and_wall(heavy(backend))
    assert wall > 0.2, "the step is not heavy enough to tell"
    assert_allclose(recorded, wall, rtol=0.1)


def test_recorded_time_is_wrong_without_synchronisation_jax(monkeypatch):
    solver = heavy("jax")
    monkeypatch.setattr(solver.bk, "sync", lambda tree: None)
    # The counts and the test for finite numbers wait too.
    wait = lambda launched: (np.zeros(len(ORACLES), np.int64), "running")
    monkeypatch.setattr(solver.program, "wait", wait)
    recorded, wall = recorded_and_wall(solver)
    # The work is done all the same: the waiting moved into the evaluation, which the wall time leaves out too.
    solver_waits = heavy("jax")
    true, _ = recorded_and_wall(solver_waits)
    assert recorded < 0.5 * true
    assert wall < 0.5 * true


class AsynchronousDevice:
    """A device on which each iteration takes 10 ms after the call has returned, as kernels on a GPU do."""

    def __init__(self):
        self.outstanding = 0.0

    def launch(self, advance):
        def launched(state, hp, data, draws, n):
            self.outstanding += 0.01 * n
            return advance(state, hp, data, draws, n)

        return launched

    def synchronize(self, device=None):
        time.sleep(self.outstanding)
        self.outstanding = 0.0


@pytest.mark.parametrize("synchronised", [True, False])
def test_torch_waits_for_an_asynchronous_device(monkeypatch, synchronised):
    import torch

    solver = helpers.make_solver(
        SOBA, helpers.small_quadratic(), 128, backend="torch", precision="float32", batch_size=16
    )
    device = AsynchronousDevice()
    monkeypatch.setattr(torch.cuda, "synchronize", device.synchronize)
    solver.program._advance = device.launch(solver.program._advance)
    if synchronised:
        monkeypatch.setattr(solver.bk, "device", torch.device("cuda"))
        monkeypatch.setattr(solver.bk, "asarray", lambda a: torch.as_tensor(a, dtype=torch.float32))
    solver.run(lambda: True)
    assert (solver.run_state.seconds >= 0.01 * 128) == synchronised


def test_nothing_is_compiled_while_the_clock_runs():
    solver = heavy("jax", n_iter=16)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiled.append(event) if "backend_compile" in event else None
    )
    solver.run(lambda: True)
    assert compiled == []
    jax.jit(lambda a: a * 3 + len(compiled))(1.0)
    assert compiled, "the listener hears compilations"
    assert solver.program.compile_time > 0


def test_budgets_end_the_run_and_the_last_row_is_recorded():
    problem = helpers.small_quadratic()
    rules = dict(max_seconds=0.3)
    solver = helpers.make_solver(SOBA, problem, 1 << 40, rules=rules, backend="jax", batch_size=16)
    rows = []
    solver.run(lambda: rows.append((solver.run_state.n_iter, solver.run_state.seconds)) or True)
    assert rows[0][0] == 0
    assert 0.3 <= rows[-1][1] < 0.8
    assert rows[-2][1] < 0.3

    rules = dict(max_samples=10_000)
    solver = helpers.make_solver(SOBA, problem, 1 << 40, rules=rules, backend="jax", batch_size=16)
    solver.run(lambda: True)
    per_iteration = 4 * 16
    assert 10_000 <= solver.run_state.ledger.sum() <= 10_000 + 10 * per_iteration


# ---------------------------------------------------------------------- rows
def rows_of(n_iter, **fields):
    """Return the iteration counts of the rows of a run on a problem with these fields."""
    problem = dataclasses.replace(helpers.small_quadratic(), **fields)
    solver, rows = helpers.make_solver(SOBA, problem, n_iter, backend="torch", batch_size=16), []
    solver.run(lambda: rows.append(solver.run_state.n_iter) or True)
    return rows


def test_rows_are_at_most_as_many_as_the_problem_allows_start_and_end_included():
    assert rows_of(100, checkpoints_per_octave=1.0) == [0, 1, 2, 4, 8, 16, 32, 64, 100]
    assert rows_of(100, checkpoints_per_octave=1.0, max_checkpoints=6) == [0, 1, 2, 4, 8, 100]
    assert rows_of(100, checkpoints_per_octave=1.0, max_checkpoints=2) == [0, 100]


def test_rows_are_where_the_rules_say():
    assert rows_of(20) == [0, 1, 2, 3, 4, 6, 8, 11, 16, 20]
    text = (helpers.ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    assert "A row is recorded at 0, 1, 2, 3, 4, 6, 8, 11, 16, … outer iterations (two for each doubling)" in text


def test_seconds_leave_out_a_slow_callback(backend):
    solver = helpers.make_solver(SOBA, helpers.small_quadratic(), 16, backend=backend, batch_size=16)
    rows, pause = [], 0.3

    def callback():
        rows.append(solver.run_state.seconds)
        time.sleep(pause)
        return True

    solver.run(callback)
    assert len(rows) == 9
    assert rows[-1] < pause, "one pause in the seconds would show, nine more so"


def test_seconds_include_a_slow_start(backend, monkeypatch):
    solver = helpers.make_solver(SOBA, helpers.small_quadratic(), 1, backend=backend, batch_size=16)
    begin, rows = solver.program.begin, []
    monkeypatch.setattr(solver.program, "begin", lambda: time.sleep(0.3) or begin())
    solver.run(lambda: rows.append(solver.run_state.seconds) or True)
    assert rows[0] >= 0.3, "the first state is on the clock"
    assert rows[1] < 0.6, "and is timed once"


@pytest.mark.parametrize("part", ["_init", "_advance"])
def test_everything_has_run_once_before_the_clock_starts(part, backend):
    """The first call of a compiled program costs more than the next ones; it belongs to no run."""
    solver = SOBA.get_instance(backend=backend, batch_size=16)
    problem, calls = helpers.small_quadratic(), []
    helpers.at_start(solver, problem, max_iterations=1)
    function = getattr(solver.program, part)
    setattr(solver.program, part, lambda *a: calls.append(part) or function(*a))
    helpers.at_start(solver, problem, max_iterations=1)
    assert calls, f"{part} did not run in the warm-up of a repetition"


def test_run_that_is_stopped_from_outside_says_so(capsys):
    solver = helpers.make_solver(SOBA, helpers.small_quadratic(), 100, backend="torch", batch_size=16)
    solver.run(lambda: solver.run_state.n_iter < 8)
    assert "SOBA was stopped by benchopt's --timeout" in capsys.readouterr().err
    solver.run(lambda: solver.run_state.n_iter < 100)  # the budget was spent at the same time
    solver.run(lambda: True)
    assert not capsys.readouterr().err
