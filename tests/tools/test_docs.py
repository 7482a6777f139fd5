"""The generated documents are what the files and the ledgers say now."""

import re

import numpy as np
import pytest

import helpers
from benchmark_utils.running.host import HostSolver
from tools import docs, matrix, problem_cards

CLASSES = docs.solver_classes()
REMEDY = "run `python -m tools.docs`"


def renew(file_stem):
    """Return the sentence for a solver whose entry or row is missing or old."""
    return f"run `python -m tools.docs solvers {file_stem}` and `python -m tools.matrix {file_stem}`, which renew docs/"


def cells(row):
    """Return the cells of a table row; numbers marked ~ as numbers, since other machines may round differently."""
    values = (cell.strip() for cell in row.strip("|").split("|"))
    return [float(value[1:]) if re.fullmatch(r"~\d+", value) else value for value in values]


SHOWN = {"add_a_solver": ["solvers/template_solver.py"]}
SHOWN["add_a_problem"] = ["datasets/template_dataset.py", "datasets/template_problem.py"]


@pytest.mark.parametrize("path", docs.GUIDES, ids=lambda path: path.stem)
def test_guides_show_the_files_as_they_are(path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"<!-- begin (\S+) -->", text) == SHOWN[path.stem], "the markers of the templates are gone"
    assert docs.guide(path) == text, REMEDY


def test_page_lists_every_solver_in_order():
    text = docs.SOLVERS.read_text(encoding="utf-8")
    entries = docs.read_entries(text)
    missing = [stem for stem, cls in CLASSES.items() if cls.name not in entries]
    assert not missing, renew(" ".join(missing))
    assert list(entries) == [cls.name for cls in CLASSES.values()], REMEDY
    assert docs.page(entries.values()) == text, REMEDY


def slow_unless(names, quick):
    """Return the names as cases of a test, those that are not quick marked slow."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("file_stem", slow_unless(CLASSES, ("soba", "saba", "spaba", "ttsa", "amigo", "hoag")))
def test_page_says_what_the_ledger_says(file_stem):
    cls = CLASSES[file_stem]
    entries = docs.read_entries(docs.SOLVERS.read_text(encoding="utf-8"))
    if cls.name not in entries:  # a new solver; test_page_lists_every_solver_in_order fails until it is there
        pytest.skip(renew(file_stem))
    overview, costs, section = entries[cls.name]
    now = docs.entry(file_stem, cls)
    assert (overview, section) == (now[0], now[2]), renew(file_stem)
    for written, measured in zip(cells(costs), cells(now[1]), strict=True):
        if isinstance(written, float):
            assert written == pytest.approx(measured, rel=0.25), renew(file_stem)
        else:
            assert written == measured, renew(file_stem)


@pytest.mark.parametrize(
    ("file_stem", "start", "cost", "warm"),
    [
        ("soba", 0, 4 * 64, ("z", "v")),
        ("saba", 640 + 512, 4 * 64, ("z", "v")),
        # one iteration in nine passes over everything, the others take a small batch at two points
        ("spaba", 640 + 512, (3 * 640 + 512 + 8 * 2 * 4 * 64) / 9, ("z", "v")),
        # one product of a length drawn from 0 to 49
        ("ttsa", 0, (1 + 24.5 + 1 + 1) * 64, ("z",)),
        ("stocbio", 0, (10 + 50 + 1 + 1) * 64, ("z",)),
        ("aid_cg", 0, (10 + 10 + 1) * 640 + 512, ("z",)),
    ],
)
def test_measured_costs_and_warm_starts_are_those_counted_by_hand(file_stem, start, cost, warm):
    measured = docs.measure(CLASSES[file_stem])
    assert (measured.start.sum(), measured.warm) == (start, warm)
    assert measured.cost.sum() == pytest.approx(cost, rel=1e-12)


def test_a_cold_start_is_seen():
    assert docs.warm_starts(ready(warm_start="none")) == ()
    assert docs.warm_starts(ready(warm_start="z")) == ("z",)
    assert docs.warm_starts(ready(warm_start="z_and_v")) == ("z", "v")


def ready(**parameters):
    """Return BSGM after some iterations with other parameters."""
    solver = docs.measuring_solver(CLASSES["bsgm"], 3, **parameters)
    solver.run(lambda: True)
    return solver


def test_host_solvers_say_which_starts_are_warm():
    for cls in CLASSES.values():
        if issubclass(cls, HostSolver):
            assert set(cls.warm_starts) <= {"z", "v"}


# ---------------------------------------------------------------------- rules
def spelled_out(name):
    """Return the names that ``a_{b,c}_{d,e}`` stands for."""
    found = re.search(r"\{(.+?)\}", name)
    if not found:
        return {name}
    return {n for part in found[1].split(",") for n in spelled_out(name.replace(found[0], part, 1))}


@pytest.mark.parametrize("name", ["simulated", "breast_cancer", "digits_cleaning"])
def test_rules_name_every_column_and_no_other(name):
    text = (helpers.ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    listed = set().union(*(spelled_out(column) for column in re.findall(r"`objective_(\S+?)`", text)))
    objective, problem = helpers.objective_class().get_instance(diagnose=True), helpers.dataset_problem(name)
    objective.set_data(problem)
    rules = {"diagnose": True}
    solver = helpers.make_solver(helpers.solver_classes()["soba"], problem, 2, backend="torch", rules=rules)
    solver.run(lambda: True)
    columns = set(objective.evaluate_result(**solver.get_result()))
    assert columns <= listed
    if name == "digits_cleaning":
        others = {"h_gap", "clean_train_loss", "clean_train_error"}  # of simulated and mnist_cleaning
        others |= {f"{split}_{what}_exact" for split in ("train", "validation") for what in ("loss", "error")}
        others |= {"at_local_minimum", "at_global_minimum", "lower_level_solved"}  # of pbgd_toy
        assert listed - columns == others, "written down, but no column of any problem"


# ---------------------------------------------------------------------- problems and the matrix
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
CHECK = "| ∇h against central differences"
QUICK = ["breast_cancer", "digits_cleaning", "ijcnn1", "simulated"]

#: Of those, the ones that are measured in seconds.
IN_SECONDS = ["breast_cancer", "simulated"]


def loaded(name):
    """Return the list of (call, Problem) of a data set, or skip where its data cannot be had."""
    variants = problem_cards.VARIANTS.get(name, [{}])
    return [(problem_cards.call(name, v), helpers.dataset_problem(name, **v)) for v in variants]


def test_problem_page_shows_every_data_set_in_order():
    page = problem_cards.read_page()
    assert list(page) == sorted(page), "run `python -m tools.problem_cards`"
    variants = {name: len(problem_cards.VARIANTS.get(name, [{}])) for name in problem_cards.names()}
    assert {name: sum(call.split("[")[0] == name for call in page) for name in variants} == variants
    assert problem_cards.PAGE.read_text(encoding="utf-8") == "\n".join([problem_cards.HEADER, *page.values()])


@pytest.mark.parametrize("name", slow_unless(QUICK, IN_SECONDS))
def test_problem_page_says_what_is_measured(name):
    page = problem_cards.read_page()
    for call, problem in loaded(name):
        written, measured = (text.splitlines() for text in (page[call], problem_cards.section(call, problem)))
        for a, b in zip(written, measured, strict=True):
            assert NUMBER.sub("", a) == NUMBER.sub("", b) or a.startswith(CHECK)
            if a.startswith(CHECK):
                assert all(float(NUMBER.findall(line)[-1]) < 1e-5 for line in (a, b))
                continue
            values = ([float(n.replace(",", "")) for n in NUMBER.findall(line)] for line in (a, b))
            assert next(values) == pytest.approx(next(values), rel=0.02), "run `python -m tools.problem_cards`"


@pytest.mark.parametrize("name", slow_unless(problem_cards.names(), QUICK))
def test_problem_page_states_the_card_and_the_value_at_the_start(name):
    page = problem_cards.read_page()
    for call, problem in loaded(name):
        assert f"| z, x | {problem.inner_size:,} and {problem.outer_size:,} entries |" in page[call]
        for text in (problem.card.formula, problem.card.source, problem.card.licence, problem.card.notes):
            assert text in page[call]
        for digest in problem.card.hashes.values():
            assert digest.rpartition(":")[2] in page[call]
        if name in QUICK or problem.evaluator is None:
            continue  # all of its numbers are measured above, or there is no exact solution
        solution = problem.evaluator.solve(problem.init(np.random.default_rng(0))[1])
        found = (abs(solution.h), np.linalg.norm(solution.gradient))
        (line,) = (line for line in page[call].splitlines() if line.startswith("| h(x₀)"))
        assert [float(n) for n in NUMBER.findall(line.rpartition("| ")[2])] == pytest.approx(found, rel=0.01)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.slow] * any(dear in n for dear in ("newsgroups20", "mnist_", "covtype")))
        for n in problem_cards.names()
        if n not in matrix.LEFT_OUT
    ],
)
def test_matrix_says_which_solver_declines_which_problem(name):
    table = matrix.read_page()
    gone = {solver for solver, _ in table} - {cls.name for cls in CLASSES.values()}
    assert not gone, f"without a file: {gone}; run `python -m tools.matrix` with the stem of any solver"
    for call, problem in loaded(name):
        for stem, cls in CLASSES.items():
            for backend in matrix.BACKENDS:
                now = helpers.why_skipped(cls, problem, backend=backend)
                written = table[cls.name, call][backend]
                if "GiB" in f"{now} {written}":
                    continue  # depends on the memory of the machine
                assert written in ([now] if now else matrix.OUTCOMES), renew(stem)


def test_matrix_is_read_back_as_it_was_written():
    table = matrix.read_page()
    assert matrix.page(table) == matrix.PAGE.read_text(encoding="utf-8")
