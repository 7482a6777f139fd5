"""What is wrong with a problem, in a sentence, before it costs anything: its rows, its start and its terms."""

import numpy as np
import scipy.sparse as sp

from benchmark_utils.problem.arrays import as_floats, why_not_finite
from benchmark_utils.problem.not_built import NotBuilt
from benchmark_utils.problem.variables import unflatten

#: Rows on which the terms are tried.
TRIED = 2


def why_not_usable(problem, levels, xp):
    """Return a sentence saying why a problem cannot be used, or None.

    Parameters
    ----------
    problem : benchmark_utils.problem.problem.Problem
    levels : dict of str to str
        "inner" and "outer" to the split that holds their rows.
    xp : array namespace
        NumPy's, in which the terms are tried on two rows.
    """
    for level, split in levels.items():
        if not isinstance(problem.splits.get(split), dict) or not problem.splits[split]:
            return (
                f"{problem.name} has no arrays of the split '{split}', the rows of the {level} level; splits must be "
                "{'train': {'features': ..., 'targets': ...}, 'validation': {...}}, with 'test' and others beside them."
            )
    for level in levels:
        reason = _why_bad_rows(problem, level)
        if reason is not None:
            return reason
    return _why_bad_start(problem) or _why_bad_terms(problem, xp)


def _why_bad_rows(problem, level):
    rows = problem.rows(level)
    for name, array in rows.items():
        what = f"the {level} array '{name}' of {problem.name}"
        try:
            as_floats(array, what)
        except NotBuilt as error:
            return str(error)
        if array.shape[0] == 0:
            return f"{what} has no rows; give each level at least one, or other shares to the splits."
    lengths = {name: array.shape[0] for name, array in rows.items()}
    if len(set(lengths.values())) > 1:
        return (
            f"the {level} arrays of {problem.name} have different numbers of rows ({lengths}); every array of a level "
            "needs one entry a row."
        )
    reasons = (why_not_finite(array, f"the {level} array '{name}' of {problem.name}") for name, array in rows.items())
    return next((reason for reason in reasons if reason is not None), None)


def _why_bad_start(problem):
    where = f"init of {problem.name}"
    try:
        start = problem.init(np.random.default_rng(0))
        z0, x0 = (np.asarray(a, np.float64) for a in start)
    except Exception as error:
        return f"{where} cannot be used ({_said(error)}); it must be init(rng) -> (z0, x0), two vectors."
    for name, vector, size in (("z0", z0, problem.inner_size), ("x0", x0, problem.outer_size)):
        shape = problem.inner_shape if name == "z0" else problem.outer_shape
        if vector.shape != (size,):
            return (
                f"{where} returns {name} of shape {vector.shape}; the problem's shape {shape} has {size} entries, so "
                f"{name} must be flat, of shape ({size},)."
            )
        if not np.isfinite(vector).all():
            return f"{where} returns a {name} that is not finite; a run starts there."
    return None


def _why_bad_terms(problem, xp):
    """Try G (or Phi) and F on two rows, in NumPy."""
    for level in ("inner", "outer"):
        term, rows = getattr(problem, level), {name: array[:TRIED] for name, array in problem.rows(level).items()}
        n = next(iter(rows.values())).shape[0]
        z0, x0 = problem.init(np.random.default_rng(0))
        x = unflatten(xp, np.asarray(x0, np.float64), problem.outer_shape)
        z, tasks = np.asarray(z0, np.float64), problem.tasks is not None
        z = unflatten(xp, np.tile(z, (n, 1)) if tasks else z, problem.inner_shape, leading=tasks)
        what = f"{type(term).__name__}.sample_values, the {level} term of {problem.name},"
        try:
            with np.errstate(all="ignore"):
                values = term.sample_values(xp, z, x, {**rows, "ids": np.arange(n), **problem.shared_arrays})
                penalty = term.penalty(xp, z, x)
        except Exception as error:
            return f"{what} fails on {n} rows at the start: {_said(error)}. Rows have {_shapes(rows)}."
        values = np.asarray(values)
        if values.shape[:1] != (n,) or (values.ndim > 1 and not term.is_map):
            return (
                f"{what} returns the shape {values.shape} for {n} rows; it must return the loss of each row, shape "
                f"({n},)."
            )
        if np.ndim(penalty) > 0:
            return f"{type(term).__name__}.penalty returns the shape {np.shape(penalty)}; it must return one number."
    return None


def _said(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _shapes(rows):
    return ", ".join(f"'{name}' {'(sparse) ' * sp.issparse(a)}{a.shape}" for name, a in rows.items())
