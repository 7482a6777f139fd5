"""What a method asks of a problem is found by listening to its step, in loops and branches."""

import pytest

import helpers
from benchmark_utils.running.requirements import asked_by_step

IMPLICIT = {"grad_inner", "hvp", "cross", "grad_outer"}
ASKED = {
    "soba": IMPLICIT,
    "saba": IMPLICIT | {"full_pass"},  # in init
    "srba": IMPLICIT | {"full_pass"},  # in one branch
    "stocbio": IMPLICIT,
    "aid_cg": IMPLICIT | {"symmetric_hvp"},
    "stable": IMPLICIT | {"symmetric_hvp", "dense"},
    "f2sa": {"grad_inner", "grad_inner_x", "grad_outer"},
    "pzobo": {"grad_inner", "grad_outer"},
    "hozog": {"grad_inner", "value_outer", "value"},
}


@pytest.mark.parametrize("file", ASKED)
def test_methods_ask_for_what_their_steps_use(file):
    solver = helpers.resolved(helpers.solver_classes()[file], batch_size=16)
    assert solver.required() == ASKED[file]


@pytest.mark.parametrize(("file", "full"), [("saba", False), ("srba", True), ("pnpbo", True)])
def test_what_a_step_asks_for_in_a_branch_is_told_from_what_the_start_asks_for(file, full):
    solver = helpers.resolved(helpers.solver_classes()[file], batch_size=16)
    assert ("full_pass" in asked_by_step(solver, start=False)) is full


def test_values_of_the_inner_loss_are_asked_for_where_an_option_needs_them():
    cls = helpers.solver_classes()["bome"]
    without, needs = (helpers.resolved(cls, barrier=b).required() for b in cls.choices["barrier"])
    assert {"value_inner", "value"} in (without - needs, needs - without)


def test_fixed_points_offer_no_values_and_no_symmetry():
    offers = helpers.fixed_point_problem().view.offers
    assert not {"value_inner", "grad_inner_x", "symmetric_hvp"} & offers
    assert helpers.small_quadratic().view.offers >= offers
