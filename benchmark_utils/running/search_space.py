"""Search ranges of hyper-parameters, and the values that a run uses: given, tuned, or the start of the range."""

import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmark_utils.oracles.draws import SAMPLING
from benchmark_utils.problem.parameters import as_float, as_number, shown

#: Word that stands for the tuned value of a parameter, or the start of its range where none has been tuned.
TUNED = "tuned"

#: Greatest value of an integer, unless a solver's ``most`` says otherwise: integers are lengths of loops inside an
#: outer iteration, and budgets are looked at between iterations.
LONGEST = 10_000

#: Greatest value of an integer that counts outer iterations, for ``most``.
ITERATIONS = 2**31 - 1

#: Folder with one file of tuned values for each problem.
TUNED_FOLDER = Path(__file__).parents[2] / "tuned"


#: Word for a start that is chosen from the problem: one over its measured L, see `View.L`.
INVERSE_L = "1/L"

#: Word for a start just below the measured strong convexity of G, see `View.mu`.
BELOW_MU = "mu"

#: What the words stand for where L and mu have not been measured.
UNMEASURED, UNMEASURED_MU = 0.5, 1e-3

#: Allowed words of parameters that mean the same in every solver.
SHARED_CHOICES = {"sampling": SAMPLING}


class Log(NamedTuple):
    """A positive number, searched on a logarithmic scale; it reaches the step as a traced number."""

    low: float
    high: float
    start: Any  # a number, or the word "1/L" or "mu"


class Int(NamedTuple):
    """An integer, both ends included; it is part of the structure of the program."""

    low: int
    high: int
    start: int


class Choice(NamedTuple):
    """One of several words; it is part of the structure of the program."""

    options: tuple
    start: Any

    @classmethod
    def of(cls, *options, start):
        """Build it from its words."""
        return cls(options, start)


@functools.cache
def tuned_values(problem_name):
    """Return dict of solver name to dict of tuned values for a problem; empty where ``tuned/`` has no file for it."""
    path = TUNED_FOLDER / f"{problem_name}.yml"
    if not path.exists():
        return {}
    return yaml.safe_load(path.read_text(encoding="utf-8")).get("solvers", {})


def why_bad_number(name, value):
    """Return a sentence if a hyper-parameter is not a finite number that is not negative, else None."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good or not math.isfinite(as_float(value)) or value < 0:
        return f"{name} is {shown(value)}; it must be a finite number that is not negative, or '{TUNED}'."
    if value == 0 and name in ("step_size", "outer_ratio"):
        return f"{name} is 0, so nothing would move; give it a positive number."
    return None


def why_bad_integer(name, value, least, most=LONGEST):
    """Return a sentence if a structural integer is not a whole number from ``least`` to ``most``, else None."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return None
    return f"{name} is {shown(value)}; it must be a whole number, at least {least} and at most {most:,}."


def start_of(space, view):
    """Return the number, or the word, at which a range starts on a problem."""
    if not isinstance(space, Log) or space.start not in (INVERSE_L, BELOW_MU):
        return space.start
    if space.start == INVERSE_L:
        wanted = 1 / view.L if view.L else UNMEASURED
    else:
        wanted = 0.95 * view.mu if view.mu is not None and view.mu > 0 else UNMEASURED_MU
    return min(max(float(f"{wanted:.2g}"), space.low), space.high)


def resolve(solver_class, given, view):
    """Return the values that a run uses.

    Parameters
    ----------
    solver_class : type
        With ``parameters``, ``search_space``, ``choices``, ``least`` and ``most``.
    given : dict of str to object
        Parameters as given by the user.
    view : View
        Of the problem.

    Returns
    -------
    values : dict of str to object
    fallen_back : list of str
        Names that were to be tuned and take the start of their range.
    """
    tuned = tuned_values(view.name).get(solver_class.name, {})
    values, fallen_back = {}, []
    for name, value in given.items():
        if name in solver_class.search_space and value == TUNED:
            fallen_back += [] if name in tuned else [name]
            value = tuned[name] if name in tuned else start_of(solver_class.search_space[name], view)
        values[name] = as_number(value)
    return values, fallen_back


def why_bad_values(solver_class, values):
    """Return a sentence about the first value that cannot be right, or None; see `resolve`."""
    for name, value in values.items():
        default = solver_class.parameters[name][0]
        space, words = solver_class.search_space.get(name), solver_class.choices.get(name, SHARED_CHOICES.get(name))
        if isinstance(space, Choice) and words is None:
            words = space.options
        bounds = solver_class.least.get(name, 1), solver_class.most.get(name, LONGEST)
        whole = isinstance(space, Int) or (isinstance(default, int) and not isinstance(default, bool))
        if name in ("backend", "batch_size", "outer_batch_size"):
            continue
        if words is not None and value not in words:
            if int in words and isinstance(value, (int, float)):
                reason = why_bad_integer(name, value, *bounds)
            else:
                options = ", ".join("a whole number" if w is int else repr(w) for w in words)
                reason = f"{name} is {shown(value)}; choose one of {options}."
        elif words is not None:
            reason = None
        elif whole:
            reason = why_bad_integer(name, value, *bounds)
        else:
            reason = why_bad_number(name, value)
        if reason is not None:
            return reason
    return None


def hyper_parameter_names(solver_class):
    """Return the names of the traced hyper-parameters, sorted: those of the search space on a logarithmic scale."""
    return sorted(name for name, space in solver_class.search_space.items() if isinstance(space, Log))
