"""The suite itself: what makes it quick is in force."""

import helpers


def test_tests_of_a_solver_stay_in_one_process(request, stem):
    """A version of pytest that does not fit xdist's drops the groups, and each process compiles every solver."""
    assert stem in helpers.step_solvers()
    if hasattr(request.config, "workerinput"):
        assert request.node.nodeid.endswith(f"@{stem}")
