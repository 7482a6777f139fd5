"""The suite itself: what makes it quick is in force."""

import pytest


def test_tests_of_a_solver_stay_in_one_process(request, stem):
    """A version of pytest that does not fit xdist's drops the groups, and each process compiles every solver."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("one process, or without --dist loadgroup")
    assert request.node.nodeid.endswith(f"@{stem}")
