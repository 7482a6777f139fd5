"""What had finished in a run that ends before its end is not lost, and a sentence says how to get it."""

import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from benchopt.results import parquet, read_results, save_results
from benchopt.results.parquet import update_metadata

from benchmark_utils.running import guard
from helpers import ROOT

RUN = ["run", ".", "-d", "simulated", "-s", "SOBA"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        (["-j", "2"], []),
        (["--n-jobs=2"], []),
        (["--parallel-config", "dask.yml", "-r", "3"], ["-r", "3"]),
        (["-f", "AmIGO"], ["-s", "AmIGO"]),
        (["--collect"], []),
        (["--force-solver=AmIGO", "--output", "a"], ["--solver=AmIGO", "--output", "a"]),
    ],
)
def test_what_has_finished_is_collected_by_the_same_command_without_what_is_for_running(given, expected):
    assert guard.collecting([*RUN, *given]) == [*RUN, *expected, "--collect"]


def test_without_a_cache_nothing_is_promised():
    assert guard.collecting([*RUN, "--no-cache"]) is None
    assert "nothing is kept" in guard.how_to_collect([*RUN, "--no-cache"])


def test_only_the_process_that_is_a_benchopt_run_is_guarded(monkeypatch):
    for argv, expected in (
        (["/bin/benchopt", *RUN], RUN),
        (["/lib/benchopt/__main__.py", *RUN], RUN),
        (["/bin/benchopt", "plot", "."], None),
        (["/bin/benchopt", *RUN, "--collect"], [*RUN, "--collect"]),
        (["/bin/pytest", "run"], None),
    ):
        monkeypatch.setattr(sys, "argv", argv)
        assert guard.command() == expected, argv
    monkeypatch.setattr(sys, "argv", ["/bin/benchopt", *RUN])
    monkeypatch.setattr(guard.multiprocessing.current_process(), "_name", "LokyProcess-1")
    assert guard.command() is None, "a worker"


def test_folders_that_cannot_hold_a_result_are_told_before_the_run(tmp_path, monkeypatch):
    assert guard.why_not_writable(tmp_path / "new") is None
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "cannot be written to" in guard.why_not_writable(tmp_path / "file")
    assert "cannot be written to" in guard.why_not_writable("/proc")
    monkeypatch.setattr(guard, "LEAST_FREE", 1 << 62)
    sentence = guard.why_not_writable(tmp_path)
    assert "MiB left" in sentence
    assert "--output" in sentence


# ---------------------------------------------------------------------- files
class Disk:
    """pyarrow.parquet on a disk that is full after 100 bytes, in the folders whose name has "full" in it."""

    def __getattr__(self, name):
        return getattr(pyarrow.parquet, name)

    def write_table(self, table, path, **options):
        if "full" in str(path):
            path.write_bytes(b"0" * 100)
            raise OSError(28, "No space left on device")
        pyarrow.parquet.write_table(table, path, **options)


@pytest.fixture
def table():
    return pd.DataFrame({"a": [1, 2], "run_date": "today"})


def use(monkeypatch, disk=pyarrow.parquet):
    monkeypatch.setattr(parquet, "pq", guard.WholeFiles(disk))


def test_benchopt_writes_through_the_guard(monkeypatch, tmp_path, table):
    monkeypatch.setattr(parquet, "pq", pyarrow.parquet)
    guard.keep_files_whole()
    guard.keep_files_whole()
    assert isinstance(parquet.pq, guard.WholeFiles)
    assert not isinstance(parquet.pq._parquet, guard.WholeFiles)
    path = save_results(table, tmp_path / "a.parquet")
    update_metadata(path, {"plots": ["table"]})
    assert parquet.get_metadata(path) == {"plots": ["table"]}
    assert list(read_results(path)["a"]) == [1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_a_file_that_is_written_again_on_a_full_disk_is_as_it_was(monkeypatch, tmp_path, table):
    use(monkeypatch)
    (tmp_path / "full").mkdir()
    path = save_results(table, tmp_path / "full" / "a.parquet")
    before = path.read_bytes()
    use(monkeypatch, Disk())
    with pytest.raises(OSError, match="No space left"):
        update_metadata(path, {"plots": ["table"]})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["a.parquet"]


def test_a_result_that_does_not_fit_goes_elsewhere_or_a_sentence_tells_how_to_collect_it(monkeypatch, tmp_path, table):
    for name in ("full", "room", "full_too"):
        (tmp_path / name).mkdir()
    use(monkeypatch, Disk())
    monkeypatch.setattr(sys, "argv", ["/bin/benchopt", *RUN])
    monkeypatch.setattr(guard.tempfile, "tempdir", str(tmp_path / "room"))
    with pytest.raises(SystemExit, match="the results are in .*room"):
        save_results(table, tmp_path / "full" / "a.parquet")
    (path,) = (tmp_path / "room").glob("*/a.parquet")
    assert list(read_results(path)["a"]) == [1, 2]
    monkeypatch.setattr(guard.tempfile, "tempdir", str(tmp_path / "full_too"))
    with pytest.raises(SystemExit, match="benchopt run . -d simulated -s SOBA --collect"):
        save_results(table, tmp_path / "full" / "a.parquet")
    assert not [*(tmp_path / "full").iterdir(), *(tmp_path / "full_too").iterdir()], "nothing torn is left"


def test_two_runs_that_save_at_once_under_one_name_keep_both_files(monkeypatch, tmp_path, table, capsys):
    use(monkeypatch)
    monkeypatch.setattr("benchopt.results.uniquify_fname", lambda path: path)  # both have looked, neither has written
    for values in ([1], [2], [3]):
        save_results(pd.DataFrame({"a": values, "run_date": "today"}), tmp_path / "new" / "a.parquet")
    found = {path.name: list(read_results(path)["a"]) for path in (tmp_path / "new").iterdir()}
    assert found == {"a.parquet": [1], "a_1.parquet": [2], "a_2.parquet": [3]}
    assert "a_2.parquet" in capsys.readouterr().err


def test_results_whose_last_points_fill_more_than_one_group_of_rows_are_read_back_as_they_were(monkeypatch, tmp_path):
    use(monkeypatch)
    monkeypatch.setattr(guard, "GROUP_BYTES", 4000)
    points = [None if k % 2 else {"x": np.full(100, float(k))} for k in range(20)]  # some 900 bytes each
    path = save_results(pd.DataFrame({"final_results": points, "run_date": "today"}), tmp_path / "a.parquet")
    assert 4 <= pyarrow.parquet.ParquetFile(path).num_row_groups <= 10
    found = list(read_results(path)["final_results"])
    assert [None if point is None else point["x"].tolist() for point in found] == [
        None if point is None else point["x"].tolist() for point in points
    ]


# ---------------------------------------------------------------------- signals
CHILD = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
sys.argv = ["/bin/benchopt", "run", ".", "-s", "SOBA", "-j", "2"]
from benchmark_utils.running import guard
guard.watch(sys.path[0])
guard.watch(sys.path[0])
{}
"""


def ends(code, number=None):
    """Run code in a guarded process; return (exit status, its standard error)."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(code)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    if number is not None:
        process.stdout.readline()
        os.kill(process.pid, number)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


SLEEP = "print('ready', flush=True)\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    sys.exit(1)"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_how_to_collect_and_stops_as_ctrl_c_does(number):
    status, errors = ends(SLEEP, number)
    assert status in (1, -signal.SIGINT), "Python ends in one of these ways after a KeyboardInterrupt"
    assert errors.count("benchopt run . -s SOBA --collect") == 1
    assert number.name in errors


def test_collecting_writes_through_the_guard_and_says_nothing_when_it_is_stopped():
    code = "from benchopt.results import parquet; print(type(parquet.pq).__name__, sys.excepthook.__class__.__name__)"
    child = CHILD.format(code).replace('"-j", "2"', '"--collect"')
    run = subprocess.run([sys.executable, "-c", child], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert run.stdout.split() == ["WholeFiles", "builtin_function_or_method"]


def test_a_collection_that_fails_is_not_tried_again(monkeypatch):
    from tools import guarded

    def fail(*arguments, **options):
        raise RuntimeError("broken file")

    monkeypatch.setattr(guarded.benchopt, "main", fail)
    monkeypatch.setattr(guarded.subprocess, "run", lambda *arguments, **options: pytest.fail("tried again"))
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setattr(parquet, "pq", parquet.pq)
    with pytest.raises(RuntimeError, match="broken file"):
        guarded.main([*RUN, "--collect"])


def test_a_run_that_fails_says_how_to_collect_below_the_traceback():
    status, errors = ends("raise RuntimeError('a worker is gone')")
    assert status == 1
    assert errors.index("a worker is gone") < errors.index("benchopt run . -s SOBA --collect")
    assert errors.count("--collect\n") == 1
