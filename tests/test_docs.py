"""The generated documents are what the files and the ledgers say now."""

import re

import pytest

from benchmark_utils.host_solver import HostSolver
from tools import docs

CLASSES = docs.solver_classes()
REMEDY = "run `python -m tools.docs`"


def cells(row):
    """Return the cells of a table row; numbers marked ~ as numbers, since other machines may round differently."""
    values = (cell.strip() for cell in row.strip("|").split("|"))
    return [float(value[1:]) if re.fullmatch(r"~\d+", value) else value for value in values]


def test_guide_shows_the_files_as_they_are():
    assert docs.guide() == docs.GUIDE.read_text(), REMEDY


def test_page_lists_every_solver_in_order():
    text = docs.SOLVERS.read_text()
    entries = docs.read_entries(text)
    assert list(entries) == [cls.name for cls in CLASSES.values()], REMEDY
    assert docs.page(entries.values()) == text, REMEDY


@pytest.mark.parametrize("file_stem", CLASSES)
def test_page_says_what_the_ledger_says(file_stem):
    cls = CLASSES[file_stem]
    overview, costs, section = docs.read_entries(docs.SOLVERS.read_text())[cls.name]
    now = docs.entry(file_stem, cls)
    assert (overview, section) == (now[0], now[2]), REMEDY
    for written, measured in zip(cells(costs), cells(now[1]), strict=True):
        if isinstance(written, float):
            assert written == pytest.approx(measured, rel=0.25), REMEDY
        else:
            assert written == measured, REMEDY


@pytest.mark.parametrize(
    ("file_stem", "start", "cost", "warm"),
    [
        ("soba", 0, 4 * 64, ("z", "v")),
        ("saba", 3 * 640 + 512, 4 * 64, ("z", "v")),
        ("stocbio", 0, (10 + 10 + 1 + 1) * 64, ("z",)),
        ("aid_cg", 0, (10 + 10 + 1) * 640 + 512, ("z",)),
    ],
)
def test_measured_costs_and_warm_starts_are_those_counted_by_hand(file_stem, start, cost, warm):
    measured = docs.measure(CLASSES[file_stem])
    assert (measured[0].sum(), measured[1].sum(), measured[2]) == (start, cost, warm)


def test_a_cold_start_is_seen():
    assert docs.warm_starts(ready(warm_start="none")) == ()
    assert docs.warm_starts(ready(warm_start="z")) == ("z",)
    assert docs.warm_starts(ready(warm_start="z_and_v")) == ("z", "v")


def ready(**parameters):
    """Return BSGM after some iterations with other parameters."""
    cls = type("Solver", (CLASSES["bsgm"],), {})
    cls.parameters = cls.parameters | {name: [value] for name, value in parameters.items()}
    solver = docs.ready_solver(cls, 3)
    solver.run(lambda: True)
    return solver


def test_differences_must_be_numbered_in_order():
    assert docs.numbered("1. nothing known.") == ["nothing known."]
    assert docs.numbered("1. steps t^{-1/2} of 1.5;\n 2. more (see eq. 3).") == [
        "steps t^{-1/2} of 1.5.",
        "more (see eq. 3).",
    ]
    for text in ("nothing", "1. one; 3. three", "2. two"):
        with pytest.raises(ValueError, match="numbered"):
            docs.numbered(text)


def test_host_solvers_say_which_starts_are_warm():
    for cls in CLASSES.values():
        if issubclass(cls, HostSolver):
            assert set(cls.warm_starts) <= {"z", "v"}
