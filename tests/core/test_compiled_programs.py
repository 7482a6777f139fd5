"""What the compiled programs must not do: copy a table for one row, sum in trees, compile again."""

import re
import types

import pytest

import helpers
from benchmark_utils.backends import why_unavailable
from benchmark_utils.backends.jax import program
from benchmark_utils.running.requirements import sums_are_short


@pytest.fixture
def compiled(monkeypatch):
    """The text of every program that JAX compiles."""
    texts, compile_program = [], program.compile_program

    def kept(jitted, args, short_sums=False):
        compiled, seconds = compile_program(jitted, args, short_sums)
        texts.append(compiled.as_text())
        return compiled, seconds

    monkeypatch.setattr(program, "compile_program", kept)
    return texts


def test_replacing_a_row_copies_no_table(compiled):
    """`tools.loop_speed` would show it as 18 us for 66 numbers; here no operation of the loop copies a whole table."""
    problem = helpers.small_quadratic(n=96, m=80)
    solver = helpers.make_solver(helpers.step_solvers()["saba"], problem, 9, backend="jax", batch_size=8)
    solver.run(lambda: True)
    carry = solver.run_state.carry
    tables = [table.shape for name, table in carry._asdict().items() if name.endswith("_table")]
    assert tables
    loop = compiled[-1]
    for rows, columns in tables:
        assert f"[{rows},{columns}]" in loop
        assert not re.search(rf"\[{rows},{columns}\]\S* copy\(", loop.split("ENTRY")[0])


@pytest.mark.parametrize(("file", "short"), [("soba", True), ("saba", True), ("srba", False)])
def test_sums_are_short_where_no_iteration_makes_a_full_pass(file, short):
    """SABA makes one at the start, which is another program; SRBA makes them in a branch."""
    solver = helpers.make_solver(helpers.step_solvers()[file], helpers.small_quadratic(), 3, batch_size=16)
    assert sums_are_short(solver, None, solver.program.partitions) is short
    forgotten = types.SimpleNamespace(warm=False)  # tasks that start anew in every iteration
    assert sums_are_short(solver, forgotten, solver.program.partitions) is (file == "soba")


@pytest.mark.slow
def test_compiled_torch_compiles_its_loop_once_and_stops_anywhere():
    reason = why_unavailable("torch-compiled", "cpu", "float64")
    if reason is not None:
        pytest.skip(reason)
    from torch._dynamo.utils import counters

    cls, problem = helpers.step_solvers()["soba"], helpers.small_quadratic()
    counters.clear()
    runs = {}
    for backend in ("torch", "torch-compiled"):
        solver = helpers.make_solver(cls, problem, 100, backend=backend, batch_size=16, step_size=0.1,
                                     precision="float64")  # fmt: skip
        states = [helpers.begin(solver)] + [helpers.advance(solver, n) for n in (1, 2, 3, 4, 5, 8, 11)]
        runs[backend] = [(state.n_iter, *state.ledger, *map(float, state.carry.x)) for state in states]
    assert counters["stats"]["unique_graphs"] == 1
    for a, b in zip(*runs.values(), strict=True):
        assert a == pytest.approx(b, abs=1e-12)
