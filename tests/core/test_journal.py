"""A killed run goes on from its file: every row once, at its own time; then the file is gone."""

import functools
import time

import pytest
from numpy.testing import assert_allclose, assert_equal

import helpers
from benchmark_utils.running.journal import Journal

N_ITER, ROWS = 9, [0, 1, 2, 3, 4, 6, 8, 9]


class Killed(Exception):
    """The process of the run is gone."""


class Runner:
    """What benchopt does with a solver and the objective, as far as a run is concerned."""

    def __init__(self, folder, key="one", backend="torch", name="soba"):
        problem, cls = helpers.small_quadratic(), helpers.solver_classes()[name]
        common = dict(backend=backend, batch_size=16)
        self.solver = helpers.make_solver(cls, problem, N_ITER, precision="float64", **common)
        self.objective = helpers.objective_class().get_instance()
        self.objective.set_data(problem)
        journal = Journal(key, folder, every=0.0)
        self.objective.journal = self.solver.journal = journal
        self.rows, self.times, self.kill_after = [], [], None

    def __call__(self):
        self.time_iter += time.perf_counter() - self.time_callback
        self.times.append(self.time_iter)
        self.rows.append(self.objective.evaluate_result(**self.solver.get_result()))
        time.sleep(0.02)  # what the evaluation takes is on no clock
        if len(self.rows) == self.kill_after:
            raise Killed
        self.time_callback = time.perf_counter()
        return True

    def run(self, kill_after=None):
        """Run, to the end or until a row has been recorded."""
        self.kill_after, self.time_iter, self.time_callback = kill_after, 0.0, time.perf_counter()
        self.solver.run(self)
        return self


def killed(*args, after, **kwargs):
    """Return a runner whose run has been killed."""
    runner = Runner(*args, **kwargs)
    with pytest.raises(Killed):
        runner.run(after)
    return runner


@pytest.mark.parametrize("after", [1, 5, 7])
def test_a_killed_run_that_goes_on_has_the_rows_of_one_that_was_not(after, backend, tmp_path):
    whole = Runner(tmp_path / "whole", backend=backend).run()
    first = killed(tmp_path / "killed", backend=backend, after=after)
    assert len(list((tmp_path / "killed").iterdir())) == 1
    second = Runner(tmp_path / "killed", backend=backend).run()
    assert [row["n_iter"] for row in second.rows] == ROWS
    for row, expected in zip(second.rows, whole.rows, strict=True):
        for name in set(expected) - {"compile_time", "spent_seconds", "peak_memory"}:  # of two processes
            same = assert_equal if isinstance(expected[name], str) else functools.partial(assert_allclose, rtol=1e-12)
            same(row[name], expected[name], err_msg=name)
    assert_allclose(second.times[:after], first.times, rtol=0, atol=0.005)
    assert second.times == sorted(second.times)
    assert not any((tmp_path / "killed").iterdir()), "a run that has ended leaves no file"


def test_a_run_may_be_killed_twice(tmp_path):
    killed(tmp_path, after=3)
    killed(tmp_path, after=6)
    assert [row["n_iter"] for row in Runner(tmp_path).run().rows] == ROWS


def test_a_file_is_taken_up_by_the_same_run_alone(tmp_path):
    def opened(key="one", solver="SOBA[step_size=1]", code="a"):
        journal = Journal(key, tmp_path, every=0.0)
        journal.open(solver, code)
        return journal

    opened().record({"n_iter": 0}, 0.25, lambda: "state", None)
    assert opened().load() == {
        "state": "state",
        "rows": [({"n_iter": 0}, 0.25)],
        "warm_start": None,
    }
    for other in (dict(key="two"), dict(solver="SOBA[step_size=2]"), dict(code="b")):
        assert opened(**other).load() is None, other


def test_short_runs_write_nothing_and_damaged_files_are_set_aside(tmp_path, capsys):
    journal = Journal("one", tmp_path, every=60.0)
    journal.open("SOBA", "a")
    journal.record({}, 0.0, lambda: pytest.fail("asked for the state"), None)
    assert not any(tmp_path.iterdir())
    journal.path.write_bytes(b"torn")
    assert journal.load() is None
    assert "cannot be read" in capsys.readouterr().err
    assert not journal.path.exists()


def test_what_a_run_that_was_killed_while_it_wrote_has_left_is_deleted(tmp_path):
    journal = Journal("one", tmp_path, every=0.0)
    journal.open("SOBA", "a")
    journal.path.with_name(f".{journal.path.name}.123.tmp").write_bytes(b"torn")
    (tmp_path / "another.123.tmp").write_bytes(b"torn")
    journal.open("SOBA", "a")
    assert [path.name for path in tmp_path.iterdir()] == ["another.123.tmp"]
