"""Odd values of every parameter end in a run or a sentence; the tool that tries them sees when they do not."""

import random
import time

import pytest

from tools import odd_values, start_values
from tools.odd_values import VALUES, Bench, Trial, Worker, judged, places

#: Kinds that no parameter takes.
NONSENSE = ("nan", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("none", "dict", "empty", "list", "long")))


@pytest.fixture(scope="module")
def bench():
    """Return the problem on which values are tried; no file is loaded."""
    with pytest.MonkeyPatch.context() as patch:
        from benchmark_utils.files import fetch

        patch.setattr(fetch, "fetch", fetch.fetch)  # put back afterwards
        odd_values.load_nothing()
        yield Bench()


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_declined_by_name_for_every_parameter(bench, kind):
    rng = random.Random(kind)
    for place in places():
        trial = Trial(*place, kind, rng.choice(VALUES[kind]))
        word, sentence = bench.outcome(trial)
        assert judged(trial, word, sentence) == "sentence", f"{trial.label} = {trial.value!r}: {sentence}"
        assert len(sentence) < 500


def test_every_parameter_gets_every_kind_before_any_twice():
    n = len(places())
    trials = odd_values.drawn(n * len(VALUES), seed=1)
    pairs = {(trial.label, trial.kind) for trial in trials}
    assert len(pairs) == len(trials)
    assert odd_values.drawn(50, seed=1) == trials[:50]
    assert odd_values.drawn(50, seed=2) != trials[:50]


class Pretended(Worker):
    """A worker whose values do something wrong."""

    def start(self):
        """Start a process that hangs, fills the memory, ends or raises."""
        import multiprocessing

        import psutil

        context = multiprocessing.get_context("fork")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=misbehave, args=(other,), daemon=True)
        self.process.start()
        self.ps = psutil.Process(self.process.pid)


def misbehave(connection):
    """Do what a trial's value says."""
    while True:
        value = connection.recv().value
        if value == "hang":
            while True:
                pass
        if value == "sleep":
            time.sleep(100)
        if value == "memory":
            kept = bytearray(300_000_000)
            kept[::4096] = b"x" * len(kept[::4096])
            time.sleep(100)
        if value == "exit":
            raise SystemExit(3)
        connection.send(("run", None))


@pytest.mark.filterwarnings("ignore:.*fork.*")
@pytest.mark.slow
def test_hangs_memory_and_deaths_are_seen_and_the_next_value_is_tried(monkeypatch):
    monkeypatch.setattr(odd_values, "LIMIT_SECONDS", 1.5)  # touching the memory of a forked process takes a while
    monkeypatch.setattr(odd_values, "LIMIT_WALL", 4.0)
    worker = Pretended()
    worker.start()
    monkeypatch.setattr(odd_values, "LIMIT_BYTES", worker.ps.memory_info().rss + 200_000_000)
    for value, word in (("hang", "hang"), ("memory", "memory"), ("exit", "traceback"), ("sleep", "hang")):
        assert worker.outcome(Trial("solvers", "soba", "p", "made up", value))[0] == word
        assert worker.outcome(Trial("solvers", "soba", "p", "made up", "fine"))[0] == "run"
    worker.stop()


def test_a_sentence_must_name_the_parameter():
    trial = Trial("solvers", "soba", "step_size", "word", "x")
    assert judged(trial, "sentence", "step_size is 'x'; it must be a number.") == "sentence"
    assert judged(trial, "sentence", "something is wrong.") == "unclear"
    assert judged(trial, "sentence", None) == "unclear"


@pytest.mark.slow
def test_500_odd_values_run_or_are_declined():
    assert odd_values.main(["count=500"]) == 0


# ---------------------------------------------------------------------- start values
def test_the_table_of_start_values_tells_falling_from_rising(capsys, monkeypatch):
    assert start_values.main(["soba", "simulated", "iterations=50", "seconds=5"]) == 0
    assert " ok (" in capsys.readouterr().out
    soba = start_values.solver_classes()["soba"]
    huge = dict(soba.search_space, step_size=soba.search_space["step_size"]._replace(start=1e3))
    monkeypatch.setattr(soba, "search_space", huge)
    assert start_values.main(["soba", "simulated", "iterations=50", "seconds=5"]) == 1
    out = capsys.readouterr().out
    assert "diverged" in out
    assert "1 of 1 runs diverge" in out


@pytest.mark.slow
def test_no_solver_diverges_with_start_values_and_h_falls():
    assert start_values.main([]) == 0
