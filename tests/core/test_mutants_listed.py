"""Every deliberate fault of tests/mutants can still be planted, and the file stays a program."""

import subprocess
import sys

import pytest

from helpers import ROOT
from mutants import FAULTS, Fault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_fits_the_file_as_it_is(fault):
    reason = fault.why_not_planted(ROOT)
    assert reason is None, reason
    text = (ROOT / fault.file).read_text(encoding="utf-8")
    planted = fault.planted(text)
    assert planted != text
    compile(planted, fault.file, "exec")


#: Prints the lists of tests that select none, one process for all of them.
SELECT = """
import contextlib, io, shlex, sys, pytest
for tests in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        code = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *shlex.split(tests)])
    if code:
        print(tests, code, output.getvalue()[-500:])
"""


@pytest.mark.slow
def test_every_list_of_tests_selects_one():
    lists = sorted({fault.tests for fault in FAULTS})
    done = subprocess.run(
        [sys.executable, "-c", SELECT, *lists, "tests/core/test_clock.py -k no_such_test"],
        cwd=ROOT, capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert done.stdout.startswith("tests/core/test_clock.py -k no_such_test 5"), done.stdout


def test_names_are_different():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_a_fault_whose_text_is_gone_or_not_alone_says_so(tmp_path):
    (tmp_path / "a.py").write_text("b = (\n    c,\n    d,\n)\nc = 1\nbc = 1\n", encoding="utf-8")
    fault = Fault("layer.what", "a.py", "b = (c, d)", "b = (d, c)", "")
    assert fault.why_not_planted(tmp_path) is None, "line breaks and the last comma do not matter"
    assert fault.planted((tmp_path / "a.py").read_text(encoding="utf-8")) == "b = (d, c)\nc = 1\nbc = 1\n"
    for old, sentence in (
        ("b = (d)", "fault layer.what: 'b = (d)' occurs 0 times in a.py, not once."),
        ("c", "fault layer.what: 'c' occurs 2 times in a.py, not once."),
    ):
        assert fault._replace(old=old).why_not_planted(tmp_path) == sentence
    gone = fault._replace(file="gone.py").why_not_planted(tmp_path)
    assert gone == "fault layer.what: there is no file gone.py."
