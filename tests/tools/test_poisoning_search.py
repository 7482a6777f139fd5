"""The random search of the poisoning experiment: what is drawn is as published, and the best are by validation."""

import re

import numpy as np
import pandas as pd
import pytest
import yaml

from helpers import ROOT, solver_classes
from tools import poisoning_search as search

NUMBER = re.compile(r"(\w+)=([\d.e+-]+)(?=[,\]])")


def values(solver):
    """Return dict of parameter to number of a solver as it is written in a configuration."""
    return {name: float(text) for name, text in NUMBER.findall(solver)}


@pytest.mark.parametrize("method", search.METHODS)
def test_draws_are_in_the_published_ranges_and_spread_over_them(method):
    drawn = [values(solver) for solver in search.configurations(method, 300)]
    steps = np.array([v["step_size"] for v in drawn])
    outer_steps = steps / [v["outer_ratio"] for v in drawn]
    pairs = [(steps, search.STEP), (outer_steps, search.OUTER_STEP)]
    if "neumann_step" in drawn[0]:
        pairs.append((np.array([v["neumann_step"] for v in drawn]), search.STEP))
    for name in {"n_inner_steps", "n_neumann_steps", "n_linear_steps", "n_steps"} & set(drawn[0]):
        lengths = np.array([v[name] for v in drawn])
        if lengths.max() > 1:  # else fixed by the method
            pairs.append((lengths, search.LENGTH))
    for drawn_values, (low, high) in pairs:
        place = np.log(drawn_values / low) / np.log(high / low)  # uniform on (0, 1)
        assert place.min() > -0.02, "lengths are cut to integers, ratios written with three digits"
        assert place.max() < 1.01
        assert abs(place.mean() - 0.5) < 4 / np.sqrt(12 * 300)


@pytest.mark.parametrize("method", search.METHODS)
def test_every_drawn_configuration_is_one_of_its_solver(method):
    cls = next(cls for cls in solver_classes().values() if cls.name == method)
    for solver in search.configurations(method, 3):
        name, inside = solver.rstrip("]").split("[")
        given = dict(part.split("=") for part in inside.split(","))
        assert name == method
        assert set(given) <= set(cls.parameters)
        assert (given["batch_size"], given["outer_batch_size"]) == ("90", "full")


def test_a_longer_search_begins_with_a_shorter_one_and_goes_on_where_it_ended():
    for method in search.METHODS:
        assert search.configurations(method, 5)[:3] == search.configurations(method, 3)
        assert search.configurations(method, 2, after=3) == search.configurations(method, 5)[3:]
        assert len(set(search.configurations(method, 5))) == 5


def test_a_search_that_goes_on_takes_the_methods_in_turn_and_has_a_name_of_its_own():
    config = yaml.safe_load(search.draw(2, after=6))
    assert [solver.split("[")[0] for solver in config["solver"]] == 2 * list(search.METHODS)
    assert config["output"] == "poisoning_table_3_search_7_8"
    assert yaml.safe_load(search.draw("2", "90"))["output"] == "poisoning_table_3_search_sampled"
    assert "outer_batch_size=90," in search.draw(1, "90")


def test_the_published_search_is_what_the_tool_writes():
    published = (ROOT / "configs" / "papers" / "poisoning_table_3_search.yml").read_text(encoding="utf-8")
    n = len(yaml.safe_load(published)["solver"]) // len(search.METHODS)
    assert published == search.draw(n)


def test_the_best_are_chosen_by_validation_and_runs_that_diverged_count_for_nothing():
    rows = []

    def run(solver, validation, test, diverged=0):
        for k in (0, 1):  # only the last row counts
            rows.append(dict(
                solver_name=solver, stop_val=k, objective_diverged=k * diverged,
                objective_validation_error_retrained=validation if k else 0.9,
                objective_test_error_retrained=test if k else 0.9,
            ))  # fmt: skip

    run("A[s=1]", 0.2, 0.5)
    run("A[s=2]", 0.4, 0.3)
    run("A[s=3]", 0.3, 0.1)
    run("A[s=4]", 0.8, 0.8, diverged=1)
    run("A[s=5]", np.nan, np.nan)
    run("B[s=1]", 0.5, 0.2)
    run("C[s=1]", 0.6, 0.6, diverged=1)
    table = search.rank(pd.DataFrame(rows), 2)
    assert table["method"].tolist() == ["B", "A", "C"]
    assert table["solver"].tolist()[:2] == ["B[s=1]", "A[s=2]"]
    assert table[["runs", "finite"]].to_numpy().tolist() == [[1, 1], [5, 3], [1, 0]]
    np.testing.assert_allclose(table["test"][:2], [80, 70])
    assert table["test, best k"][1] == "80.00 ± 10.00"
    assert table["validation, best k"][1] == "65.00 ± 5.00"
