"""What fewer trials would have found is exact, and only trials that may come in any order are taken."""

import itertools
import math

import numpy as np
import optuna
import pytest

import helpers
from benchmark_utils.running.search_space import Choice, Log
from benchmark_utils.tuning.protocol import Outcome, Protocol
from benchmark_utils.tuning.sensitivity import best_after, expected_minimum, good_values, quantile_of_minimum
from benchmark_utils.tuning.study import Tuning, finished
from tools import sensitivity

SCORES = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0]


@pytest.mark.parametrize("k", range(1, len(SCORES) + 1))
def test_the_least_of_k_draws_is_that_of_all_draws_written_out(k):
    least = sorted(min(drawn) for drawn in itertools.combinations(SCORES, k))
    assert expected_minimum(SCORES, k) == pytest.approx(np.mean(least), rel=1e-12)
    for share in (0.1, 0.5, 0.9):
        enough = next(s for i, s in enumerate(least) if (i + 1) / len(least) >= share - 1e-12)
        assert quantile_of_minimum(SCORES, k, share) == enough


def test_failures_count_as_infinite_as_long_as_they_may_be_all_that_is_drawn():
    scores = [2.0, math.inf, 1.0, math.inf]
    assert expected_minimum(scores, 1) == expected_minimum(scores, 2) == math.inf
    assert expected_minimum(scores, 3) == pytest.approx(1 * 3 / 4 + 2 * 1 / 4)
    assert quantile_of_minimum(scores, 1, 0.5) == 2.0
    assert quantile_of_minimum(scores, 1, 0.9) == math.inf
    assert quantile_of_minimum(scores, 2, 0.9) == math.inf


def test_many_trials_are_no_trouble():
    scores = np.arange(5000.0)
    assert expected_minimum(scores, 1) == pytest.approx(2499.5)
    # of n whole numbers from 0: (n - k) / (k + 1)
    assert expected_minimum(scores, 1000) == pytest.approx(4000 / 1001, rel=1e-9)


def test_the_start_of_the_ranges_comes_first():
    first, others = 2.5, [3.0, 1.0, 2.0]
    assert best_after(first, others, 1) == (2.5,) * 4
    assert best_after(first, others, 2)[0] == pytest.approx((2.5 + 1 + 2) / 3)
    orders = [min(first, *order[:2]) for order in itertools.permutations(others)]
    assert best_after(first, others, 3)[0] == pytest.approx(np.mean(orders))
    assert best_after(first, others, 4) == (1.0,) * 4


def test_the_best_quarter_leaves_out_what_diverged():
    outcomes = [
        Outcome({"a": a}, [score], 1, 0.0) for a, score in enumerate([5.0, math.inf, 1.0, 2.0, 9.0, 3.0, 4.0, 8.0])
    ]
    assert good_values(outcomes, "a") == [2, 3]
    assert good_values(outcomes[1:2], "a") == []


# ---------------------------------------------------------------------- studies
class MadeUp:
    """A solver whose score is known without running it."""

    name = "Made up"
    search_space = {"step_size": Log(1e-3, 1e3, start=0.1), "kind": Choice.of("a", "b", start="a")}


def known(cls, problem, structure, configurations, protocol, given, seeds=None):
    """Stand for `run_configurations`: large steps diverge."""
    score = lambda v: (
        math.inf if v["step_size"] > 100 else 1 + abs(math.log10(v["step_size"])) + (structure["kind"] == "a")
    )
    return [Outcome(structure | values, [score(values)] * 3, 1, 0.0) for values in configurations]


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """Return the URL of a storage with a study of each sampler's name."""
    url = f"sqlite:///{tmp_path_factory.mktemp('study') / 'tuning.db'}"
    with pytest.MonkeyPatch.context() as patch:
        for sampler, name, n in (("qmc", "Made up", 12), ("tpe", "Other", 2)):
            patch.setattr(MadeUp, "name", name)
            protocol = Protocol(sampler=sampler, n_trials=n, n_rounds=2, n_structures=2)
            Tuning(MadeUp, helpers.small_quadratic(), protocol, url, run=known).go()
    return url


def test_only_the_first_round_counts(storage):
    tuned = sensitivity.read(storage, "made UP", "simulated")
    every = finished(optuna.load_study(study_name=optuna.get_all_study_names(storage)[0], storage=storage))
    assert [i for i, _ in every].count(1) == 6
    assert tuned.outcomes == [o for i, o in every if i == 0]
    assert tuned.outcomes[0].values == {"step_size": 0.1, "kind": "a"}
    trials, best = tuned.curve()
    assert (trials[0], trials[-1], len(best)) == (1, 6, 6)
    assert (np.diff(best[:, 2]) <= 0).all()
    assert best[-1, 0] == pytest.approx(min(o.score for o in tuned.outcomes))


def test_what_cannot_be_told_is_refused_with_a_sentence(storage):
    with pytest.raises(
        SystemExit, match=r"there is no study of SOBA on simulated; run .* There are: Made up simulated"
    ):
        sensitivity.read(storage, "SOBA", "simulated")
    with pytest.raises(SystemExit, match="another sampler than qmc or random"):
        sensitivity.read(storage, "Other", "simulated")
    with pytest.raises(SystemExit, match="run `python -m tools.tune` first"):
        sensitivity.main(["SOBA", "simulated", "--storage", "sqlite:////nowhere/tuning.db"])


def test_tables_are_printed_and_figures_and_a_page_written(storage, tmp_path, capsys):
    sensitivity.main(
        ["Made up", "simulated", "--storage", storage, "--folder", str(tmp_path / "out"), "--format", "svg"]
    )
    printed = capsys.readouterr().out
    assert "Made up       1" in printed
    assert {path.name for path in (tmp_path / "out").iterdir()} > {"simulated.html", "simulated_trials.svg"}
    assert "kind (0: a, 1: b)" in "".join(p.read_text(encoding="utf-8") for p in (tmp_path / "out").glob("*.svg"))
    page = (tmp_path / "out" / "simulated.html").read_text(encoding="utf-8")
    assert page.count('class="plotly-graph-div"') == 3
    assert "<script src=" not in page, "it is read offline"
