"""What the compiled programs must not do: copy a table for one row, sum in trees, compile again."""

import re
import types

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.backends import why_unavailable
from benchmark_utils.backends.jax import products, program
from benchmark_utils.oracles.blocks import Partition
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
    assert sums_are_short(solver, None, solver.program.partitions, by_block=True)  # SRBA's full pass has short sums too
    many = {"inner": Partition.of(10_000, 4), "outer": Partition.of(16, 4)}
    assert sums_are_short(solver, None, many, by_block=True) is short  # but over 2,500 blocks


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


@pytest.mark.parametrize("n_points", [1, 2, 3])
@pytest.mark.parametrize("n_members", [2, 5, 16])
@pytest.mark.parametrize("shared", [True, False])
def test_rows_are_multiplied_by_the_points_of_all_members_at_once(n_points, n_members, shared):
    """Sums of numbers one by one, as for the two points of a single run, took eight times as long for 16 members."""
    rng = np.random.default_rng(0)
    shape = (64, 22) if shared else (n_members, 64, 22)
    A = rng.standard_normal(shape, np.float32)
    over = lambda f, axes: jax.vmap(f, in_axes=axes)
    cases = (
        (lambda A, Z: over(products.matvec, (None, 0))(A, Z), (n_members, n_points, 22), "ij,mkj->mki"),
        (lambda A, R: over(products.vecmat, (0, None))(R, A), (n_members, n_points, 64), "ij,mki->mkj"),
    )
    for function, of_vectors, sums in cases:
        vectors = rng.standard_normal(of_vectors, np.float32)
        together = over(function, (None if shared else 0, 0))
        exact = np.einsum(sums if shared else sums.replace("ij", "mij"), A, vectors)
        assert_allclose(together(A, vectors), exact, rtol=0, atol=1e-4)
        operations = str(jax.make_jaxpr(together)(A, vectors))
        assert operations.count("dot_general") == 1
        assert "reduce_sum" not in operations
