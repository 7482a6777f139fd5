"""The compiled torch backend runs the same algorithms; compilation takes 10-25 s, so one small problem."""

import pytest

import helpers


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["soba", "saba", "stocbio", "amigo"])
def test_compiled_torch_agrees_with_jax(algorithm):
    cls, problem = helpers.solver_classes()[algorithm], helpers.small_quadratic()
    short = {"n_inner_steps": 3, "n_neumann_steps": 3, "n_linear_steps": 3, "batch_size": 16}
    a = helpers.run(cls, problem, 100, backend="jax", **short)
    b = helpers.run(cls, problem, 100, backend="torch-compiled", **short)
    helpers.assert_agree(a, b, atol=1e-9, scaled=True)


def test_random_lengths_are_refused_with_a_sentence():
    class Random(helpers.solver_classes()["soba"]):
        static_graph = False

    reason = helpers.why_skipped(Random, helpers.small_quadratic(), backend="torch-compiled", batch_size=16)
    assert "torch-compiled cannot unroll; use jax or torch" in reason
