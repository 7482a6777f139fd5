"""The compiled torch backend runs the same algorithms; compilation takes 10-25 s, so one small problem."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers


@pytest.mark.parametrize("algorithm", ["soba", "saba", "stocbio", "amigo"])
def test_compiled_torch_agrees_with_jax(algorithm):
    cls, problem = helpers.solver_classes()[algorithm], helpers.small_quadratic()
    short = {"n_inner_steps": 3, "n_neumann_steps": 3, "n_linear_steps": 3, "batch_size": 16}
    a = helpers.run(cls, problem, 100, backend="jax", **short)
    b = helpers.run(cls, problem, 100, backend="torch-compiled", **short)
    for name in ("z", "x", "d_x", "x_before"):
        assert_allclose(a[name], b[name], rtol=0, atol=1e-9 * max(1, np.abs(a[name]).max()), err_msg=name)
    assert helpers.counts(a) == helpers.counts(b)


def test_random_lengths_are_refused_with_a_sentence():
    class Random(helpers.solver_classes()["soba"]):
        static_graph = False

    skip, reason = Random.get_instance(backend="torch-compiled", batch_size=16).skip(problem=helpers.small_quadratic())
    assert skip
    assert "torch-compiled cannot unroll; use jax or torch" in reason
