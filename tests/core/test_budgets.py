"""The run loop on programs that cost nothing: budgets, ledgers, ends of runs."""

import dataclasses
import types
import zlib

import numpy as np
import pytest

import helpers
from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.running import run as run_loop
from benchmark_utils.running.program import Launched
from benchmark_utils.running.rules import Rules


class Made:
    """A program whose iteration k costs ``cost(k)`` samples, and whose start costs ``start``."""

    longest = 1 << 30
    view = helpers.small_quadratic().view

    def __init__(self, cost, start=0, status=lambda done: "running", most=1 << 30):
        self.cost, self.start, self.status, self.most, self.done = cost, start, status, most, 0

    def begin(self):
        self.counts = self.start
        return Launched(None, None, None, None, 0)

    def advance(self, state, n):
        n = min(n, self.most)
        self.counts = sum(map(self.cost, range(self.done, self.done + n)))
        self.done += n
        return Launched(None, None, None, None, n)

    def wait(self, launched):
        counts = np.zeros(len(ORACLES), np.int64)
        counts[1] = self.counts
        return counts, self.status(self.done)


def run(program, **rules):
    """Run to the end and return (the rows' states, the last state)."""
    rows = []
    record = lambda state: rows.append(state) or True
    last = run_loop.run(program, run_loop.begin(program), Rules(**rules), record)
    return rows, last


class Clock:
    """A clock that only a `Made` program moves on, by ``pace(k)`` seconds for iteration k, and by each launch."""

    def __init__(self, monkeypatch, launch=0.0):
        self.now, self.launch, self.launches = 0.0, launch, 0
        monkeypatch.setattr(run_loop, "time", types.SimpleNamespace(perf_counter=lambda: self.now))

    def time(self, program, pace):
        advance = program.advance

        def timed(state, n):
            first = program.done
            launched = advance(state, n)
            self.now += self.launch + sum(map(pace, range(first, program.done)))
            self.launches += 1
            return launched

        program.advance = timed
        return program


#: How what an iteration costs grows with their number k.
GROWTHS = {
    "constant": lambda k: 1.0,
    "fourth root": lambda k: (k + 1) ** 0.25,
    "root": lambda k: (k + 1) ** 0.5,
    "linear": lambda k: k + 1,
    "in stairs": lambda k: 2.0 ** (k // 500),
    "now and then": lambda k: 1 + 50 * (zlib.crc32(str(k).encode()) % 40 == 0),
}


@pytest.mark.parametrize("growth", GROWTHS)
@pytest.mark.parametrize("budget", [10**6, 10**7])
def test_samples_are_hardly_overshot_where_iterations_become_dearer(growth, budget):
    cost = lambda k: int(64 * GROWTHS[growth](k))
    program = Made(cost)
    rows, last = run(program, max_samples=budget, max_iterations=200_000)
    assert cost(last.n_iter) < 0.02 * budget
    assert budget <= last.ledger.sum() <= 1.02 * budget
    assert last.ledger.sum() == sum(map(cost, range(last.n_iter)))
    assert rows[-1] is last
    assert [row.ledger.sum() for row in rows] == sorted({int(row.ledger.sum()) for row in rows})


@pytest.mark.parametrize("growth", GROWTHS)
def test_samples_are_hardly_overshot_where_no_row_comes_between(growth):
    cost = lambda k: int(64 * GROWTHS[growth](k))
    program = Made(cost)
    program.view = dataclasses.replace(program.view, max_checkpoints=4)
    rows, last = run(program, max_samples=10**7)
    assert len(rows) == 4
    assert 10**7 <= last.ledger.sum() <= 1.02 * 10**7


@pytest.mark.parametrize("growth", GROWTHS)
@pytest.mark.parametrize("budget", [0.5, 5.0, 60.0])
def test_seconds_are_hardly_overshot_where_iterations_become_slower(growth, budget, monkeypatch):
    clock = Clock(monkeypatch, launch=8e-4)
    pace = lambda k: 2e-5 * GROWTHS[growth](k)
    rows, last = run(clock.time(Made(lambda k: 1), pace), max_seconds=budget)
    assert pace(last.n_iter) < 0.02 * budget
    assert budget <= last.seconds <= 1.02 * budget
    assert clock.launches <= len(rows) + budget / run_loop.LOOK_EVERY + 40, "some launches a row, not more"


@pytest.mark.parametrize("pause", [0.05, 0.5])
def test_a_machine_that_is_three_times_slower_from_some_time_on_overshoots_little(pause, monkeypatch):
    clock = Clock(monkeypatch)
    pace = lambda k: 1e-4 * (3 if clock.now > 1 - pause else 1)
    _, last = run(clock.time(Made(lambda k: 1), pace), max_seconds=1.0)
    assert 1.0 <= last.seconds <= 1.02


@pytest.mark.parametrize(
    ("file", "budget", "parameters"),
    [
        ("bsgm", 500_000, dict(growth=1.0)),
        pytest.param("hoag", 20_000, dict(backend="torch"), marks=pytest.mark.slow),
        pytest.param("ba", 200_000, dict(step_size=0.1, neumann_step=0.2), marks=pytest.mark.slow),
        pytest.param("spaba", 200_000, dict(step_size=0.1), marks=pytest.mark.slow),
        pytest.param("srba", 200_000, dict(step_size=0.1), marks=pytest.mark.slow),
        pytest.param("optuna", 50_000, dict(backend="torch"), marks=pytest.mark.slow),
    ],
)
def test_solvers_whose_iterations_become_dearer_hardly_overshoot(file, budget, parameters):
    cls, parameters = helpers.solver_classes()[file], dict(backend="jax", batch_size=16) | parameters
    solver = helpers.make_solver(
        cls, helpers.small_quadratic(), np.inf, rules=dict(max_samples=budget), precision="float64", **parameters
    )
    solver.run(lambda: True)
    assert not solver.run_state.diverged
    assert budget <= solver.run_state.ledger.sum() <= 1.02 * budget


def test_the_ledger_holds_the_start_and_every_launch():
    rows, last = run(Made(lambda k: 10, start=7), max_iterations=20)
    assert [row.n_iter for row in rows] == [0, 1, 2, 3, 4, 6, 8, 11, 16, 20]
    assert [row.ledger.sum() for row in rows] == [7 + 10 * row.n_iter for row in rows]
    assert last.counts() == dict.fromkeys(ORACLES, 0) | {ORACLES[1]: 207}


def test_iterations_are_those_done_and_not_those_asked_for():
    rows, _ = run(Made(lambda k: 10, most=1), max_iterations=20)
    assert [row.ledger.sum() for row in rows] == [10 * row.n_iter for row in rows]
    assert rows[-1].n_iter == 20


@pytest.mark.parametrize("status", ["diverged", "exhausted"])
def test_a_run_ends_where_it_says_so(status):
    program = Made(lambda k: 10, status=lambda done: status if done >= 5 else "running")
    rows, last = run(program, max_iterations=1000)
    assert last.status == status
    assert last.diverged == (status == "diverged")
    assert last.n_iter == 6, "it is looked at where the row is"
    assert rows[-1] is last


def test_iterates_that_leave_the_numbers_end_the_run(backend):
    cls = helpers.solver_classes()["soba"]
    solver = helpers.make_solver(
        cls, helpers.small_quadratic(), 2000, backend=backend, batch_size=16, schedule="constant",
        step_size=50.0,
    )  # fmt: skip
    rows = []
    solver.run(lambda: rows.append(solver.run_state.n_iter) or True)
    result = solver.get_result()
    assert result["diverged"]
    assert result["n_iter"] == rows[-1] < 2000
