"""The run loop on programs that cost nothing: budgets, ledgers, ends of runs."""

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


@pytest.mark.parametrize("budget", [10**6, 10**7])
@pytest.mark.parametrize(("power", "excess"), [(0, 0.001), (0.25, 0.03), (0.5, 0.05), (1, 0.15)])
def test_samples_are_hardly_overshot_where_iterations_become_dearer(power, excess, budget):
    cost = lambda k: int(100 * (k + 1) ** power)
    program = Made(cost)
    rows, last = run(program, max_samples=budget, max_iterations=200_000)
    assert budget <= last.ledger.sum() <= (1 + excess) * budget
    assert last.ledger.sum() == sum(map(cost, range(last.n_iter)))
    assert rows[-1] is last
    assert [row.ledger.sum() for row in rows] == sorted({int(row.ledger.sum()) for row in rows})


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
