"""A run that is killed at random moments, and taken up again each time, records what an uninterrupted one does."""

import json
import multiprocessing
import os
import random
import sys
import time

import killed_run
import pytest

#: Kills, and the seconds in which one of them falls after the run has begun to save.
KILLS, WITHIN = 20, 0.6

#: Processes are forked off one that has imported everything and has started no framework.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["killed_run"])


def start(*arguments):
    """Start a run in a process of its own."""
    process = PROCESSES.Process(target=killed_run.run, args=arguments)
    process.start()
    return process


@pytest.mark.slow
def test_killed_at_random_moments_a_run_records_what_an_uninterrupted_one_does(tmp_path, backend, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # for the process that the others are forked off
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    process = start(whole, backend, 1e9, 0.0)
    process.join(300)
    assert process.exitcode == 0
    rng, kills = random.Random(0), 0
    while not (killed / "rows.json").exists():
        alive = killed / "alive"
        alive.unlink(missing_ok=True)
        process = start(killed, backend, 0.0, 0.05)
        while process.is_alive() and not alive.exists():
            time.sleep(0.005)
        if kills < KILLS:
            time.sleep(WITHIN * rng.random())
            process.kill()
            kills += 1
        process.join(300)
        assert process.exitcode in (0, -9)
    expected, got = (json.loads((folder / "rows.json").read_text(encoding="utf-8")) for folder in (whole, killed))
    assert kills >= KILLS / 2, "the run ended before it was killed often enough to tell"
    assert json.dumps(got) == json.dumps(expected)
    assert not list(killed.glob("*.pkl")), "the file of a finished run is deleted"
