"""The clock waits for the device, leaves out evaluation and compilation, and feels the synchronisation."""

import dataclasses
import time

import jax
import pytest
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.sampling import inner, outer
from benchmark_utils.running.solver import BilevelSolver

SOBA = helpers.solver_classes()["soba"]


class HeavySolver(BilevelSolver):
    """SOBA's state under a step of very many Hessian products: milliseconds an iteration."""

    name = "Heavy"
    parameters = {"backend": ["jax"], "device": ["auto"], "precision": ["float32"], "batch_size": [16]}
    requires = ("hvp",)

    def draws(self):
        return {"xi": inner(), "zeta": outer()}

    def init(self, z0, x0, oracles):
        return helpers.load(helpers.ROOT / "solvers" / "soba.py").State(z0, 0 * z0, x0, 0 * x0, self.bk.counter())

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
        if hasattr(solver, "state"):
            solver.bk.to_numpy(solver.state.z)  # what an evaluation does: it waits for the iterates
        time.sleep(evaluation)
        spent += time.perf_counter() - start
        return True

    start = time.perf_counter()
    solver.run(callback)
    return solver.seconds, time.perf_counter() - start - spent


def heavy(backend, n_iter=64):
    problem = helpers.small_quadratic(n=1000, m=1000, p=100, d=30)
    return helpers.make_solver(HeavySolver, problem, n_iter, backend=backend, precision="float32", batch_size=500)


def test_recorded_time_is_wall_time_less_evaluation(backend):
    recorded, wall = recorded_and_wall(heavy(backend))
    assert wall > 0.2, "the step is not heavy enough to tell"
    assert_allclose(recorded, wall, rtol=0.1)


def test_recorded_time_is_wrong_without_synchronisation_jax(monkeypatch):
    solver = heavy("jax")
    monkeypatch.setattr(solver, "sync", lambda: None)
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
    solver._advance = device.launch(solver._advance)
    if synchronised:
        monkeypatch.setattr(solver.bk, "device", torch.device("cuda"))
        monkeypatch.setattr(solver.bk, "asarray", lambda a: torch.as_tensor(a, dtype=torch.float32))
    solver.run(lambda: True)
    assert (solver.seconds >= 0.01 * 128) == synchronised


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
    assert solver.compile_time > 0


def test_budgets_end_the_run_and_the_last_row_is_recorded():
    problem = helpers.small_quadratic()
    rules = dict(max_seconds=0.3)
    solver = helpers.make_solver(SOBA, problem, 1 << 40, rules=rules, backend="jax", batch_size=16)
    rows = []
    solver.run(lambda: rows.append((solver.n_iter, solver.seconds)) or True)
    assert rows[0][0] == 0
    assert 0.3 <= rows[-1][1] < 0.8
    assert rows[-2][1] < 0.3

    rules = dict(max_samples=10_000)
    solver = helpers.make_solver(SOBA, problem, 1 << 40, rules=rules, backend="jax", batch_size=16)
    solver.run(lambda: True)
    per_iteration = 4 * 16
    assert 10_000 <= solver.ledger_totals.sum() <= 10_000 + 10 * per_iteration


# ---------------------------------------------------------------------- rows
def rows_of(n_iter, **fields):
    """Return the iteration counts of the rows of a run on a problem with these fields."""
    problem = dataclasses.replace(helpers.small_quadratic(), **fields)
    solver, rows = helpers.make_solver(SOBA, problem, n_iter, backend="torch", batch_size=16), []
    solver.run(lambda: rows.append(solver.n_iter) or True)
    return rows


def test_rows_are_at_most_as_many_as_the_problem_allows_start_and_end_included():
    assert rows_of(100, checkpoints_per_octave=1.0) == [0, 1, 2, 4, 8, 16, 32, 64, 100]
    assert rows_of(100, checkpoints_per_octave=1.0, max_checkpoints=6) == [0, 1, 2, 4, 8, 100]
    assert rows_of(100, checkpoints_per_octave=1.0, max_checkpoints=2) == [0, 100]


def test_run_that_is_stopped_from_outside_says_so(capsys):
    solver = helpers.make_solver(SOBA, helpers.small_quadratic(), 100, backend="torch", batch_size=16)
    solver.run(lambda: solver.n_iter < 8)
    assert "SOBA was stopped by benchopt's --timeout" in capsys.readouterr().err
    solver.run(lambda: solver.n_iter < 100)  # the budget was spent at the same time
    solver.run(lambda: True)
    assert not capsys.readouterr().err
