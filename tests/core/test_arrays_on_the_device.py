"""Arrays and programs on a device: precision, blocks, waiting, seconds of compilation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.backends import get_backend

SOBA = helpers.solver_classes()["soba"]


def test_products_in_compiled_jax_programs_are_of_the_highest_precision():
    bk, seen = get_backend("jax", "cpu", "float32"), []
    a = bk.asarray(np.ones((3, 3)))

    def product(a):
        seen.append(jax.config.jax_default_matmul_precision)
        return a @ a, (3,)

    bk.compile_once(product, a)
    assert seen[-1] == "highest"
    seen.clear()
    step = lambda state, hp, data, draws: (state._replace(z=product(state.z)[0]), (0,) * 6)
    carry = SOBA.state_class()(a, a, a, a, bk.counter())
    bk.compile_chunk(step, carry, (), (), (bk.asarray(np.zeros((1, 2))),))
    assert seen[-1] == "highest", "it is traced before, for its counts, and then to be compiled"


def test_products_under_torch_are_of_the_highest_precision():
    import torch

    get_backend("torch", "cpu", "float32")
    assert torch.get_float32_matmul_precision() == "highest"


def test_sync_waits_for_the_device():
    bk = get_backend("jax", "cpu", "float32")
    a = jnp.ones((400, 400))
    result = jax.jit(lambda a: jax.lax.fori_loop(0, 200, lambda k, b: b @ a / 400, a))(a)
    assert not result.is_ready(), "the work is too short to tell"
    bk.sync((result,))
    assert result.is_ready()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_arrays_have_the_precision_of_the_rules(precision, backend):
    """One problem is put on a device in both precisions, the other one before."""
    problem, other = helpers.small_quadratic(), {"float32": "float64", "float64": "float32"}
    for each in (other[precision], precision):
        common = dict(backend=backend, batch_size=16)
        solver = helpers.make_solver(SOBA, problem, 1, precision=each, **common)
        data = solver.program.data
        rows = [getattr(a, "blocks", a) for a in data["inner"].arrays.values()]  # some are kept by columns
        arrays = [*rows, data["outer"].weights, solver.bk.zeros((2,))]
        arrays.append(solver.bk.asarray(np.ones(2)))
        assert {str(a.dtype).removeprefix("torch.") for a in arrays} == {each}


def test_every_solver_has_the_blocks_that_it_asks_for(backend):
    problem = helpers.small_quadratic()
    for batch_size, shape in ((16, (5, 16)), (35, (2, 35)), ("full", (1, 70)), (16, (5, 16))):
        solver = helpers.make_solver(SOBA, problem, 1, backend=backend, batch_size=batch_size)
        assert tuple(solver.program.data["inner"].weights.shape) == shape


def test_seconds_of_compilation_are_those_of_the_start_and_of_the_iterations(backend, monkeypatch):
    cls = type(get_backend(backend, "cpu", "float64"))
    for method, seconds in (("compile_once", 100.0), ("compile_chunk", 1000.0)):
        compiled = getattr(cls, method)
        longer = lambda *a, f=compiled, s=seconds: (f(*a)[0], s)
        monkeypatch.setattr(cls, method, longer)
    solver = helpers.make_solver(SOBA, helpers.small_quadratic(), 1, backend=backend, batch_size=16)
    assert_allclose(solver.program.compile_time, 1100.0)
    helpers.at_start(solver, helpers.small_quadratic(), max_iterations=1)
    assert_allclose(solver.program.compile_time, 1100.0), "the second repetition compiles nothing"
