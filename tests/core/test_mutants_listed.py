"""Every deliberate fault of tests/mutants can still be planted, and the file stays a program."""

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
