"""Whether a term says rightly that its value depends on x; methods that move along grad_x F alone ask."""

import numpy as np
import pytest

import helpers
from benchmark_utils.terms.glm import GLM
from benchmark_utils.terms.scaled import Scaled


@pytest.mark.parametrize("name", ["quadratic", "classes", "breast_cancer", "poisoned_digits", "network_cleaning"])
def test_the_gradient_in_x_is_zero_where_a_term_does_not_use_x_and_only_there(name):
    small = {"quadratic": helpers.small_quadratic, "classes": helpers.small_classes}
    problem = small[name]() if name in small else helpers.dataset_problem(name)
    oracles, rng = helpers.make_oracles(problem, "torch", "full"), np.random.default_rng(0)
    z, x = (
        oracles.bk.asarray(0.1 * rng.standard_normal(n)) for n in (problem.view.inner_size, problem.view.outer_size)
    )
    of_F, of_G = oracles.grad_outer(z, x, "full")[1], oracles.grad_inner_x(z, x, "full")
    assert bool((of_F != 0).any()) == problem.outer.uses_x
    assert bool((of_G != 0).any()) == problem.inner.uses_x
    assert problem.inner.uses_x, "else there is nothing to learn"


def test_a_scaled_term_uses_x_where_its_term_does():
    assert Scaled(GLM("logistic", weighted=True), -1.0).uses_x
    assert not Scaled(GLM("logistic"), -1.0).uses_x
