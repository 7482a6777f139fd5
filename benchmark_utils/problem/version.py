"""The version of a problem: a short hash over its formula, terms, arrays, shapes and start, to tell results apart.

Arrays are taken by numbers that hardly round (below), so that machines whose last bits differ agree.
"""

import dataclasses
import hashlib

import numpy as np
import scipy.sparse as sp

#: Digits of the version, hexadecimal.
LENGTH = 12

#: An array is known to this share of its norm.
RESOLUTION = 1e-7

#: Steps of two sequences that never come back to where they were.
STEPS = ((np.sqrt(5) - 1) / 2, np.sqrt(2) - 1)


def version_of(problem):
    """Return the version of a problem, `LENGTH` hexadecimal digits.

    It changes with the formula of the card, the terms and their parameters, any row of any split, shapes, the feasible
    set, tasks, the start, h*, and the shuffle of the rows; not with wording, the file of the data set or the backend.

    Parameters
    ----------
    problem : Problem
    """
    z0, x0 = problem.init(np.random.default_rng(0))
    facts = {
        "name": problem.name,
        "formula": problem.card.formula,
        "inner": described(problem.inner),
        "outer": described(problem.outer),
        "shapes": described((problem.inner_shape, problem.outer_shape)),
        "feasible set": described(problem.feasible_set),
        "tasks": described(problem.tasks),
        "mapping step": problem.gradient_mapping_step,
        "h star": None if problem.h_star is None else f"{problem.h_star:.5e}",
        "data seed": problem.data_seed,
        "rows recorded": (problem.checkpoints_per_octave, problem.max_checkpoints),
        "start": (fingerprint(z0), fingerprint(x0)),
    }
    arrays = {"feasible arrays": problem.feasible_arrays, "shared arrays": problem.shared_arrays} | problem.splits
    for split in sorted(arrays):
        facts |= {f"{split} {name}": fingerprint(array) for name, array in sorted(arrays[split].items())}
    text = "\n".join(f"{name}: {value}" for name, value in facts.items())
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def fingerprint(array):
    """Return a text of an array: its shape, its norm, and ``r . A c`` for fixed r and c as a multiple of the norm.

    A row or an entry that changes, is added or goes elsewhere changes the last number by far more than `RESOLUTION`,
    and rounding, by far less.

    Parameters
    ----------
    array : array or scipy.sparse matrix
        First axis: rows.
    """
    bytes_only = getattr(array, "dtype", None) == np.uint8  # images: no copy of all of them as floats
    if not (sp.issparse(array) or bytes_only):
        array = np.asarray(array, float)
    shape = array.shape
    if not sp.issparse(array):
        array = array.reshape(shape[0] if array.ndim else 1, -1)
    if bytes_only:
        norm = np.sqrt(sum(float((rows.astype(float) ** 2).sum()) for rows in _pieces(array)))
    else:
        norm = np.sqrt((array.data**2).sum()) if sp.issparse(array) else np.linalg.norm(array)
    if not norm > 0:
        return f"{shape} {norm}"
    r, c = (np.modf(np.arange(1.0, n + 1) * step)[0] - 0.5 for n, step in zip(array.shape, STEPS, strict=True))
    along = np.concatenate([rows.astype(float) @ c for rows in _pieces(array)]) if bytes_only else array @ c
    product = (r @ along) / norm
    return f"{shape} {norm:.6e} {int(np.round(product / RESOLUTION)) if np.isfinite(product) else product}"


def _pieces(array):
    """Return the rows of an array, a thousand at a time."""
    return [array[i : i + 1000] for i in range(0, len(array), 1000)]


def described(thing):
    """Return a text of a term, a set or a shape: names of classes, and what they were made with."""
    if dataclasses.is_dataclass(thing):
        fields = ((f.name, getattr(thing, f.name)) for f in dataclasses.fields(thing))
        return f"{type(thing).__name__}({', '.join(f'{name}={described(value)}' for name, value in fields)})"
    if isinstance(thing, dict):
        return f"{{{', '.join(f'{name}: {described(value)}' for name, value in sorted(thing.items()))}}}"
    if isinstance(thing, (list, tuple)):
        return f"({', '.join(map(described, thing))})"
    if isinstance(thing, (int, float, np.number)):
        return f"{float(thing):.10g}"
    if thing is None or isinstance(thing, str):
        return repr(thing)
    if isinstance(thing, np.ndarray):
        return fingerprint(thing)
    return getattr(thing, "__qualname__", type(thing).__qualname__)
