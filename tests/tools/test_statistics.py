"""Statistics of runs: hand-computed examples, and intervals that cover what they should."""

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import helpers
from benchmark_utils.statistics import comparison, intervals, profiles, ranks, targets
from made_up_results import FIELD, results

inf, nan = np.inf, np.nan


CURVES = {
    ("d", "A", 0): [(1.0, 0), (0.1, 10), (0.01, 20), (0.02, 40)],
    ("d", "A", 1): [(1.0, 0), (0.2, 10), (0.05, 20), (0.01, 40)],
    ("d", "A", 2): [(1.0, 0), (nan, 15)],  # diverged
    ("d", "B", 0): [(1.0, 0), (0.5, 100)],
}


def test_the_first_row_at_the_target_counts_and_failures_are_kept():
    runs = targets.runs_to_target(results(CURVES), 0.01).set_index(["solver_name", "idx_rep"])
    assert runs.loc[("A", 0), "cost"] == 20
    assert runs.loc[("A", 1), "cost"] == 40
    assert list(runs.reached) == [True, True, False, False]
    assert runs.loc[("A", 2), "cost"] == inf
    assert runs.loc[("A", 2), "spent"] == 15
    assert runs.loc[("B", 0), "spent"] == 100
    in_seconds = targets.runs_to_target(results(CURVES), 1.1e-2, "objective_value", "time")
    assert in_seconds.cost.tolist() == [0.1, 0.2, inf, inf]


def test_expected_cost_charges_the_failures():
    table = targets.table(targets.runs_to_target(results(CURVES), 0.01)).set_index("solver_name")
    assert table.loc["A", "expected"] == (20 + 40 + 15) / 2
    assert (table.loc["A", "runs"], table.loc["A", "reached"]) == (3, 2)
    assert_allclose(table.loc["A", "rate"], 2 / 3)
    assert table.loc["A", "median"] == 40
    assert table.loc["A", "median_high"] == inf
    assert table.loc["B", "expected"] == inf
    assert np.isnan(table.loc["B", "expected_low"]), "one run has no interval"


def test_data_sets_rules_and_machines_are_rows_of_their_own():
    twice = pd.concat([results(CURVES, **{"system-processor": cpu}) for cpu in ("x", "y")])
    other = results(CURVES, **{"system-processor": "x"}).assign(objective_name="Bilevel[max_seconds=9]")
    table = targets.table(targets.runs_to_target(pd.concat([twice, other]), 0.01))
    assert len(table) == 3 * 2
    assert (table.runs <= 3).all()


def test_without_the_column_nothing_is_reached():
    runs = targets.runs_to_target(results(CURVES).drop(columns="objective_h_gap"), 0.01)
    assert not runs.reached.any()


def test_a_performance_profile_equals_the_one_by_hand():
    costs = np.array([[1.0, 2.0], [4.0, 1.0], [3.0, inf], [inf, inf]])
    ratios = profiles.performance_ratios(costs)
    assert_array_equal(ratios, [[1, 2], [4, 1], [1, inf], [inf, inf]])
    assert_array_equal(profiles.share_within(ratios, [1, 2, 4]), [[0.5, 0.5, 0.75], [0.25, 0.5, 0.5]])
    assert_array_equal(profiles.steps_of(ratios), [1, 2, 4])
    assert_array_equal(profiles.performance_ratios([[0.0, 0.0, 3.0, inf]]), [[1, 1, inf, inf]])
    assert_array_equal(profiles.share_within(costs, [1, 3]), [[0.25, 0.5], [0.25, 0.5]])


def test_ranks_follow_the_medians_and_share_ties():
    costs = [[[1, 2, 3], [4, 5, 6], [inf, inf, inf], [inf]], [[5, 5, 5], [1, 1, 1], [9, 9, 9], [inf]]]
    mean, low, high = ranks.rank_intervals(costs, resamples=200)
    assert_array_equal(mean, [1.5, 1.5, 3.25, 3.75])
    assert (low <= mean).all()
    assert (mean <= high).all()
    with pytest.raises(ValueError, match="every solver needs a run"):
        ranks.rank_intervals([[[1.0], []]])


def test_solvers_that_are_far_apart_have_ranks_apart_and_equal_ones_have_not():
    rng = np.random.default_rng(0)
    costs = [[rng.lognormal(m, 0.3, 10) for m in (0.0, 3.0, 3.0)] for _ in range(3)]
    mean, low, high = ranks.rank_intervals(costs)
    assert high[0] < low[1]
    assert high[0] < low[2]
    assert low[1] <= high[2]
    assert low[2] <= high[1]
    assert mean[0] == 1


def share_covered(interval, truth, draw, n=300):
    """Return how often an interval holds the truth."""
    found = [interval(draw(np.random.default_rng(seed))) for seed in range(n)]
    return np.mean([low <= truth <= high for _, low, high in found])


def test_intervals_cover_what_they_say(monkeypatch):
    monkeypatch.setattr(intervals.resampled, "__defaults__", (False, 400, 0))
    share = share_covered(lambda k: intervals.of_share(int(k), 20), 0.7, lambda rng: rng.binomial(20, 0.7))
    assert 0.91 < share < 0.99
    share = share_covered(intervals.of_median, 1.0, lambda rng: rng.lognormal(0, 1, 20))
    assert 0.90 < share < 0.99

    def runs(rng):  # a run costs 1 on average and succeeds with probability 0.6: expected cost 1 / 0.6
        return rng.exponential(1.0, 30), rng.random(30) < 0.6

    share = share_covered(lambda r: intervals.of_ratio(targets.expected_cost, *r), 1 / 0.6, runs)
    assert 0.88 < share < 0.99


def test_an_interval_of_infinite_costs_is_infinite_not_nan():
    value, low, high = intervals.of_median([1.0, inf, inf, inf])
    assert (value, high) == (inf, inf)
    assert low in (1.0, inf)


def test_the_leaderboard_picks_the_known_winner():
    board = comparison.leaderboard(results(FIELD), 1e-3)
    for _, case in board.groupby("dataset_name"):
        assert list(case.solver_name) == ["A", "B", "C"]
        assert list(case["rank"]) == [1, 2, 3]
        assert list(case["median"]) == [30, 90, 270]
        assert list(case["expected"]) == [30, 90, 270]
    shown = comparison.readable(board, results(FIELD))
    assert shown.reached.tolist() == ["5 of 5"] * 6
    assert shown["rank"][0].startswith("1 [1, ")


def test_the_profile_compares_solvers_that_ran_on_everything():
    df = results({**FIELD, ("d", "D", 0): [(1.0, 0), (1e-9, 1)]})
    solvers, steps, shares = comparison.profile_curves(df, comparison.TARGETS, "objective_h_gap", "objective_n_samples")
    assert solvers == ["A", "B", "C"], "D ran on one data set alone"
    assert_array_equal(steps, [1, 3, 9])
    assert_array_equal(shares, [[1, 1, 1], [0, 1, 1], [0, 0, 1]])


@pytest.mark.parametrize("name", ["cost_to_target", "performance_profile"])
def test_plots_draw_every_option(name):
    plot, df = helpers.load(helpers.ROOT / "plots" / f"{name}.py").Plot(), results(FIELD)
    df["p_solver_backend"] = "jax"
    options = {"dataset": ["d"], "objective": ["Bilevel"]} | {k: v for k, v in plot.options.items() if v is not ...}
    options = {k: v(df) if callable(v) else v for k, v in options.items() if k in plot.options}
    for values in itertools.product(*options.values()):
        chosen = dict(zip(options, values, strict=True))
        assert plot.plot(df, **chosen)
        assert plot.get_metadata(df, **chosen)["title"]
