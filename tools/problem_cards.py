"""Write docs/problems.md: the problems with their formulas, sizes and measured constants.

Usage: python -m tools.problem_cards [name ...]

Without names all data sets are measured (a quarter of an hour); with names, the sections of those are renewed.
Sections of data sets that cannot be had stay as they are.
"""

import re
import sys
from pathlib import Path

from benchopt.benchmark import Benchmark

from benchmark_utils.evaluation import constants
from benchmark_utils.files.whole import write_whole
from tools import write_utf8

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "problems.md"

#: Data sets shown with other parameters than their defaults; an empty dict stands for the defaults.
VARIANTS = {
    "mnist_cleaning": [
        {},
        {"version": "ji", "corruption": 0.2},
        {"version": "pbgd"},
        {"version": "pbgd", "model": "network"},
    ],
    # Central differences of 1,000 tasks and 32 filters would take an hour.
    "fewshot": [{"n_evaluated": 20, "filters": 8}],
}

HEADER = """# The problems

Written by `python -m tools.problem_cards`; measured in float64 at the start x₀ of seed 0. CE(z; a, y) is the
cross-entropy of softmax(⟨a, z⟩), z* minimises G, and h(x) = F(z\\*(x)). Checkpoints report h and the test error
at z\\*(x) (`objective_h`, `objective_test_error_exact`) beside the loss and the error at the solver's own z
(`objective_outer_loss`, `objective_test_error`): where G is badly conditioned these are different curves.
With tasks, a row is a task and z is that of one task.
"""


def names():
    """Return the data sets of the project."""
    return sorted(path.stem for path in (ROOT / "datasets").glob("*.py") if not path.stem.startswith("template"))


def call(name, parameters):
    """Return how a run names a data set with these parameters."""
    return name + ("[" + ",".join(f"{k}={v}" for k, v in parameters.items()) + "]" if parameters else "")


def problems(name, part=None):
    """Yield ``(call, Problem)`` of a data set, one for each variant.

    Parameters
    ----------
    name : str
    part : dict, optional
        Further parameters of the problem, which the call does not show.

    Raises
    ------
    SystemExit
        If its data cannot be had.
    """
    (cls,) = Benchmark(ROOT).check_dataset_patterns([name], class_only=True)
    for parameters in VARIANTS.get(name, [{}]):
        data = cls.get_instance(**parameters, **(part or {})).get_data()
        if data["problem"] is None:
            raise SystemExit(data["reason"])
        yield call(name, parameters), data["problem"]


def section(call, problem):
    """Return the Markdown section of a problem, measured now."""
    return constants.section(call, problem, constants.measure(problem), constants.gradient_check(problem))


def read_page():
    """Return dict of call to section of the page as it is."""
    if not PAGE.exists():
        return {}
    parts = re.split(r"(?m)^(?=## )", PAGE.read_text(encoding="utf-8"))[1:]
    return {re.search(r"(?m)^`(.+)`$", part)[1]: part.rstrip("\n") + "\n" for part in parts}


def main(chosen):
    """Renew the sections of the chosen data sets; those that cannot be had here keep theirs."""
    page = {call: text for call, text in read_page().items() if call.split("[")[0] in names()}
    for name in chosen or names():
        try:
            page |= {call: section(call, problem) for call, problem in problems(name)}
        except SystemExit as error:  # its data cannot be had
            print(f"{name}: left as it is. {error}")
            continue
        write_whole(PAGE, "\n".join([HEADER, *(page[call] for call in sorted(page))]))
        print(f"{name}: written")


if __name__ == "__main__":
    write_utf8()
    main(sys.argv[1:])
