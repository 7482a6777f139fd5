"""The drill counts what is lost and doubled, and finds nothing."""

import subprocess
import sys

import pytest

pytest.importorskip("resource", reason="the drill needs a Unix")

from helpers import ROOT
from tools import drill

CURVES = {("SOBA", 0): "stop_val,value\n0,1.0\n1,0.5\n", ("SOBA", 1): "stop_val,value\n0,1.0\n1,0.4\n"}


def test_nothing_is_lost_where_all_is_there():
    assert drill.count(CURVES, CURVES) == (0, 0)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({("SOBA", 1): None}, (1, 0)),
        ({("SOBA", 1): "stop_val,value\n0,1.0\n"}, (1, 0)),
        ({("SOBA", 1): "stop_val,value\n0,1.0\n1,0.4\n1,0.4\n"}, (1, 1)),
        ({("SOBA", 1): "stop_val,value\n0,1.0\n1,0.3\n"}, (1, 0)),
        ({("SOBA", 2): "stop_val,value\n0,1.0\n"}, (0, 1)),
    ],
)
def test_curves_that_are_absent_torn_changed_or_doubled_are_counted(changed, expected):
    found = {key: rows for key, rows in (CURVES | changed).items() if rows is not None}
    assert drill.count(found, CURVES) == expected


@pytest.mark.slow
def test_killed_and_stopped_runs_of_benchopt_lose_nothing():
    faults = ("SIGTERM", "disk full in `tools.guarded plot`", "outputs/ cannot be written to")
    # A process of its own: runs are forked off it, and JAX, which tests before this one have started, has threads.
    command = [sys.executable, "-m", "tools.drill", "--kills", "2", "--faults", *faults]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kills and 3 other faults: 0 curves lost, 0 doubled" in done.stdout
