"""The tuner gives every solver the same, picks the winner, and looks at nothing that it must not look at."""

import dataclasses
import math
import types

import numpy as np
import optuna
import pytest
import yaml

import helpers
from benchmark_utils.running import search_space
from benchmark_utils.running.search_space import Choice, Int, Log
from benchmark_utils.tuning import protocol as protocols
from benchmark_utils.tuning import tuned_file
from benchmark_utils.tuning.protocol import Outcome, Protocol, around, at_the_edge, grid, ranked, structures
from benchmark_utils.tuning.study import BETWEEN, Tuning
from benchmark_utils.tuning.trials import run_configurations, score

SPACE = {
    "step_size": Log(1e-3, 1e3, start=0.1),
    "outer_ratio": Log(1e-3, 1e3, start=1.0),
    "n_steps": Int(1, 100, start=10),
    "kind": Choice.of("a", "b", start="a"),
}
#: Where the made-up solver is best.
WINNER = {"step_size": 10.0, "outer_ratio": 0.1}


class MadeUp:
    """A solver whose score is known without running it."""

    name, search_space = "Made up", SPACE


def known(cls, problem, structure, configurations, protocol, given, seeds=None):
    """Stand for `run_configurations`: the distance to the winner on a logarithmic scale; small steps diverge."""
    out, n = [], len(seeds or protocol.seeds())
    for values in configurations:
        value = sum(abs(math.log10(values[name] / WINNER[name])) for name in WINNER) + (
            (structure | values)["kind"] == "a"
        )
        scores = [math.inf if values["step_size"] < 1e-2 else value + 0.01 * i for i in range(n)]
        out.append(Outcome(structure | values, scores, int(protocol.max_samples) * n, 0.5))
    return out


def tuning(storage=None, run=known, **entries):
    """Return a Tuning of the made-up solver, its trials kept in memory unless a storage is named."""
    return Tuning(MadeUp, helpers.small_quadratic(), Protocol(**entries), storage, run=run)


@pytest.mark.parametrize("sampler", protocols.SAMPLERS)
def test_the_known_winner_is_picked_with_the_trials_of_the_protocol(sampler):
    tuned = tuning(sampler=sampler, n_trials=64, n_structures=4)
    tuned.go()
    outcomes = tuned.outcomes()
    assert len(outcomes) == 64 or sampler == "grid"
    chosen = tuned.finalists()[0]
    assert chosen.values == min(outcomes, key=lambda o: o.score).values
    assert chosen.values["kind"] == "b"
    assert abs(math.log10(chosen.values["step_size"] / WINNER["step_size"])) < 1
    assert outcomes[0].values == {name: s.start for name, s in SPACE.items()}, "the starts of the ranges come first"


def test_structures_get_equal_shares_and_differ():
    tuned = tuning(n_trials=30, n_rounds=1, n_structures=4)
    tuned.go()
    used = [tuple((o.values["n_steps"], o.values["kind"])) for o in tuned.outcomes()]
    assert sorted(used.count(s) for s in set(used)) == [7, 7, 8, 8]
    found = structures(SPACE, None, 300)
    assert len(found) == len({tuple(s.items()) for s in found}) <= 200
    assert {s["n_steps"] for s in structures(SPACE, None, 150)} > {1, 100}, "both ends are reached"


def test_later_rounds_stay_near_the_best_and_end_closer_to_the_winner():
    tuned, plain = tuning(n_trials=64), tuning(n_trials=64, n_rounds=1)
    for each in (tuned, plain):
        each.go()
    outcomes = tuned.outcomes()
    assert Protocol(n_trials=64).quotas() == [32, 16, 16]
    assert Protocol(n_trials=65, n_rounds=2).quotas() == [33, 32]
    for first, last, closer in ((32, 48, 4), (48, 64, 16)):
        best, later = ranked(outcomes[:first])[0].values, outcomes[first:last]
        assert {(o.values["n_steps"], o.values["kind"]) for o in later} == {(best["n_steps"], best["kind"])}
        for name in WINNER:
            logs = [math.log10(o.values[name]) for o in later]
            assert 0.8 * 6 / closer < max(logs) - min(logs) <= 6 / closer
            assert min(logs) - 1e-9 <= math.log10(best[name]) <= max(logs) + 6 / closer
    assert ranked(outcomes)[0].score < ranked(plain.outcomes())[0].score


def test_a_box_near_the_end_of_a_range_is_moved_inwards():
    centre = {"step_size": 1e3, "outer_ratio": 1e-3, "n_steps": 5, "kind": "b"}
    found = around(SPACE, centre, 16, closer=4)
    assert all(10**1.5 <= p["step_size"] <= 1e3 and 1e-3 <= p["outer_ratio"] <= 10**-1.5 for p in found)
    assert len({p["step_size"] for p in found}) == len(found) == 16


def test_points_fill_the_square_more_evenly_than_chance():
    tuned = tuning(n_trials=33, n_rounds=1, n_structures=1)
    tuned.go()
    points = np.array([[math.log10(o.values[n]) / 6 + 0.5 for n in WINNER] for o in tuned.outcomes()[1:]])
    cells = {(int(4 * a), int(4 * b)) for a, b in points}
    assert len(cells) == 16, "32 points of a Sobol sequence reach each of 16 cells"


def test_a_study_that_was_stopped_goes_on_where_it_was(tmp_path):
    storage, calls = f"sqlite:///{tmp_path / 'tuning.db'}", []

    def stopped(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return known(*args)

    with pytest.raises(KeyboardInterrupt):
        tuning(storage, stopped, n_trials=32).go()
    before = len(tuning(storage, n_trials=32).outcomes())
    assert 0 < before < 32
    taken_up = tuning(storage, n_trials=32)
    taken_up.go()
    assert len(taken_up.outcomes()) == 32
    again = tuning(storage, lambda *_: pytest.fail("ran more than the protocol says"), n_trials=32)
    again.go()
    assert optuna.get_all_study_names(storage) == [again.study.study_name]


def test_trials_of_a_dead_worker_are_run_again_and_those_of_a_living_one_waited_for(tmp_path, monkeypatch):
    storage, protocol = f"sqlite:///{tmp_path / 'tuning.db'}", Protocol(n_trials=8)
    begun = tuning(storage, n_trials=8)
    begun.study.enqueue_trial(begun.starts)
    begun._ask(0)  # and nothing is told
    waiting = tuning(storage, n_trials=8)
    waiting.go()
    assert len(waiting.outcomes()) == 7
    with pytest.raises(ValueError, match="7 of 8 trials have finished"):
        tuned_file.entry(MadeUp, helpers.small_quadratic(), protocol, waiting.outcomes(), waiting.finalists())
    monkeypatch.setattr("psutil.pid_exists", lambda process: False)
    again = tuning(storage, n_trials=8)
    again.go()
    assert len(again.outcomes()) == 8


def test_what_diverges_less_often_wins_then_the_lowest_median():
    a, b = Outcome({"k": 1}, [1.0, 5.0, 6.0], 1, 1.0), Outcome({"k": 2}, [0.0, 0.0, math.inf], 1, 1.0)
    c, d = Outcome({"k": 3}, [0.0, math.inf, math.inf], 1, 1.0), Outcome({"k": 4}, [4.0, 4.0, 4.0], 1, 1.0)
    assert ranked([a, b, c, d]) == [d, a, b], "c diverges more often than not"


def test_a_winner_by_luck_is_found_out_with_other_seeds():
    def lucky(cls, problem, structure, configurations, protocol, given, seeds=None):
        honest = known(cls, problem, structure, configurations, protocol, given, seeds)
        is_lucky = lambda o: o.values["step_size"] > 300
        of_chance = [-1.0] * protocol.n_seeds if seeds is None else [math.inf, *[-1.0] * (len(seeds) - 1)]
        return [o._replace(scores=of_chance) if is_lucky(o) else o for o in honest]

    tuned = tuning(run=lucky, n_trials=64)
    tuned.go()
    assert ranked(tuned.outcomes())[0].values["step_size"] > 300
    assert tuned.finalists()[0].values["step_size"] < 300
    tuned.run = lambda *_: pytest.fail("run again")
    assert len(tuned.finalists()) == 8 + BETWEEN, "those, and the points between the best and the safest of them"


def test_where_the_best_diverge_now_and_then_the_winner_is_as_near_to_them_as_is_safe():
    edge = 3.0  # beyond it one of ten runs diverges, which three seeds do not show

    def cliff(cls, problem, structure, configurations, protocol, given, seeds=None):
        honest = known(cls, problem, structure, configurations, protocol, given, seeds)
        falls = lambda o: seeds is not None and o.values["step_size"] > edge
        return [o._replace(scores=[math.inf, *o.scores[1:]]) if falls(o) else o for o in honest]

    tuned = tuning(run=cliff, n_trials=64)
    tuned.go()
    best, *_ = tuned.finalists()
    (start,) = cliff(MadeUp, None, {}, [tuned.starts], Protocol(), {}, range(10))
    assert best.n_failed == 0
    assert edge / 2 < best.values["step_size"] <= edge
    assert best.score < start.score - 1


def test_tuning_seeds_are_not_those_of_reported_runs():
    protocol = Protocol(n_seeds=100)
    assert min(protocol.seeds()) >= 2**32, "benchopt's are below 2^32"
    assert not set(protocol.seeds()) & set(protocol.final_seeds())


class Untouchable(dict):
    """Rows that must not be looked at."""

    def __getitem__(self, key):
        raise AssertionError("test data were looked at")

    items = values = keys = __iter__ = get = __getitem__


def guarded_problem():
    """Return the quadratic with test rows that raise, and metrics that do."""
    raises = lambda *_: pytest.fail("metrics were asked for")
    problem = dataclasses.replace(helpers.small_quadratic(), metrics=raises)
    object.__setattr__(problem, "splits", problem.splits | {"test": Untouchable()})
    return problem


def test_members_of_a_batch_score_what_single_runs_do_and_test_rows_are_not_looked_at():
    problem, cls = guarded_problem(), helpers.solver_classes()["soba"]
    protocol = Protocol(n_seeds=2, max_samples=4000, precision="float64")
    configurations = [{"step_size": s, "outer_ratio": r, "linear_ratio": 1.0} for s, r in ((0.02, 4.0), (1e4, 1e-4))]
    outcomes = run_configurations(cls, problem, {}, configurations, protocol, {"backend": "jax", "batch_size": 16})
    for i, seed in enumerate(protocol.seeds()):
        single = helpers.make_solver(
            cls, problem, math.inf, seed, "float64", rules=dict(max_samples=4000, device="cpu"), backend="jax",
            batch_size=16, **configurations[0],
        )  # fmt: skip
        single.run(lambda: True)
        result = single.get_result()
        assert abs(problem.evaluator.solve(result["x"]).h - outcomes[0].scores[i]) < 1e-9
    assert outcomes[1].score == math.inf, "divergence is the worst"
    assert 2 * 3900 < outcomes[0].samples <= 2 * 4400


def test_programs_are_compiled_once_for_all_calls_of_a_structure():
    problem, cls, kept = helpers.small_quadratic(), helpers.solver_classes()["soba"], {}
    protocol, given = Protocol(n_seeds=1, max_samples=2000), {"backend": "jax", "batch_size": 16}
    points = [{"step_size": 0.01 * (i + 1), "outer_ratio": 2.0, "linear_ratio": 1.0} for i in range(8)]
    run_configurations(cls, problem, {}, points, protocol, given, sweeps=kept)
    (sweep,) = kept.values()
    constant = run_configurations(cls, problem, {"schedule": "constant"}, points[:1], protocol, given, sweeps=kept)
    assert constant[0].scores != run_configurations(cls, problem, {}, points[:1], protocol, given)[0].scores
    assert len(kept) == 2, "a structure of its own"
    kept = {(): sweep}
    compiled, seconds = dict(sweep._compiled), sweep.program.compile_time
    again = run_configurations(cls, problem, {}, points, protocol, given, [7, 8], sweeps=kept)
    assert (kept, sweep._compiled, sweep.program.compile_time) == ({(): sweep}, compiled, seconds)
    alone = run_configurations(cls, problem, {}, points, protocol, given, [7, 8])
    assert [o.scores for o in again] == [o.scores for o in alone], "nothing of a call is left to the next"


def test_without_a_reference_the_score_is_F_at_the_own_z():
    problem = dataclasses.replace(helpers.small_quadratic(), evaluator=None)
    z, x = np.full(6, 0.3), np.full(4, -0.2)
    oracles = helpers.make_oracles(problem, "torch", "full")
    exact = float(oracles.value_outer(*map(oracles.bk.asarray, (z, x)), "full"))
    assert abs(score(problem, z, x) - exact) < 1e-12
    assert score(problem, np.full(6, np.nan), x) == math.inf


def test_the_file_holds_the_winner_its_provenance_and_what_was_there(tmp_path, monkeypatch):
    monkeypatch.setattr(search_space, "TUNED_FOLDER", tmp_path)
    problem, protocol = helpers.small_quadratic(), Protocol(n_trials=32)
    tuned = tuning(n_trials=32)
    tuned.go()
    values, record = tuned_file.entry(MadeUp, problem, protocol, tuned.outcomes(), tuned.finalists())
    tuned_file.write("known", "Other", {"step_size": 1.0}, {"trials": 1})
    path = tuned_file.write("known", "Made up", values, record)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(content["solvers"]) == set(content["tuned_with"]) == {"Other", "Made up"}
    record = content["tuned_with"]["Made up"]
    assert record["samples"] == (32 * 3 + 8 * 10) * 10**7, "every run is on the account"
    assert (record["trials"], len(record["seeds"]), record["protocol"]) == (32, 3, "qmc")
    assert record["score"] < record["score_at_the_start"]
    solver = types.SimpleNamespace(name="Made up", search_space=SPACE)
    view = types.SimpleNamespace(name="known", L=None)
    found, fallen_back = search_space.resolve(solver, dict.fromkeys(SPACE, "tuned"), view)
    assert found == values
    assert fallen_back == []
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == ["known.yml"], "no part is left"
    search_space.tuned_values.cache_clear()


def test_values_at_the_edge_of_their_range_are_named():
    assert at_the_edge(SPACE, {"step_size": 900.0, "outer_ratio": 1.0, "n_steps": 1, "kind": "a"}) == [
        "step_size",
        "n_steps",
    ]


def test_a_grid_spans_the_ranges():
    found = grid(SPACE, {"n_steps": 3, "kind": "a"}, 17)
    assert len(found) == 16
    assert all((point["n_steps"], point["kind"]) == (3, "a") for point in found)
    steps = sorted({point["step_size"] for point in found})
    assert (len(steps), steps[0], round(steps[-1], 6)) == (4, 1e-3, 1e3)


@pytest.mark.parametrize("bad", [dict(sampler="best"), dict(n_trials=0), dict(max_samples=math.inf), dict(n_seeds=1.5)])
def test_a_protocol_that_cannot_be_is_refused_by_name(bad):
    assert next(iter(bad)) in Protocol(**bad).why_bad()
