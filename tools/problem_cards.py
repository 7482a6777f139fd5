"""Write docs/problems.md: the problems with their formulas, sizes and measured constants.

Usage: python -m tools.problem_cards [name ...]

Without names all data sets are measured (some minutes); with names, the sections of those data sets are renewed.
"""

import re
import sys
from pathlib import Path

import numpy as np
from benchopt.benchmark import Benchmark

from benchmark_utils import cards

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "problems.md"

#: Data sets shown with other parameters than their defaults; an empty dict stands for the defaults.
VARIANTS = {"mnist_cleaning": [{}, {"version": "ji", "corruption": 0.2}]}

#: Multiplications of one product with the features, beyond which differences of h take too long.
CHECKED_SIZE = 3_000_000

HEADER = """# The problems

Written by `python -m tools.problem_cards`; measured in float64 at the start x₀ of seed 0. CE(z; a, y) is the
cross-entropy of softmax(⟨a, z⟩), z* minimises G, and h(x) = F(z\\*(x)). Checkpoints report h and the test error
at z\\*(x) (`objective_h`, `objective_test_error_exact`) beside the loss and the error at the solver's own z
(`objective_outer_loss`, `objective_test_error`): where G is badly conditioned these are different curves.
"""


def names():
    """Return the data sets of the project."""
    return sorted(path.stem for path in (ROOT / "datasets").glob("*.py") if not path.stem.startswith("template"))


def problems(name):
    """Yield ``(call, Problem)`` of a data set, one for each variant; ``call`` is how a run names it.

    Raises
    ------
    SystemExit
        If its data cannot be had.
    """
    (cls,) = Benchmark(ROOT).check_dataset_patterns([name], class_only=True)
    for parameters in VARIANTS.get(name, [{}]):
        data = cls.get_instance(**parameters).get_data()
        if data["problem"] is None:
            raise SystemExit(data["reason"])
        call = name + ("[" + ",".join(f"{k}={v}" for k, v in parameters.items()) + "]" if parameters else "")
        yield call, data["problem"]


def section(call, problem):
    """Return the Markdown section of a problem, measured now."""
    features = problem.inner.arrays.get("features", np.zeros(0))
    small = getattr(features, "nnz", features.size) * problem.inner.n_classes <= CHECKED_SIZE
    return cards.section(call, problem, cards.measure(problem), cards.gradient_check(problem) if small else None)


def read_page():
    """Return dict of call to section of the page as it is."""
    if not PAGE.exists():
        return {}
    parts = re.split(r"(?m)^(?=## )", PAGE.read_text())[1:]
    return {re.search(r"(?m)^`(.+)`$", part)[1]: part.rstrip("\n") + "\n" for part in parts}


def main(chosen):
    """Renew the sections of the chosen data sets."""
    page = {} if not chosen else read_page()
    for name in chosen or names():
        page |= {call: section(call, problem) for call, problem in problems(name)}
        PAGE.write_text("\n".join([HEADER, *(page[call] for call in sorted(page))]))
        print(f"{name}: written")


if __name__ == "__main__":
    main(sys.argv[1:])
