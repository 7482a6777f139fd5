"""The drill counts what is lost and doubled, and finds nothing."""

import pytest

pytest.importorskip("resource", reason="the drill needs a Unix")

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
def test_killed_and_stopped_runs_of_benchopt_lose_nothing(capsys):
    lost_and_doubled = drill.main(2, ["SIGTERM", "disk full in `tools.guarded plot`", "outputs/ cannot be written to"])
    assert lost_and_doubled == (0, 0), capsys.readouterr().out
