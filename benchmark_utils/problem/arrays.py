"""Arrays of rows as every backend takes them: float64, dense or CSR; what cannot be one gets a sentence."""

import numpy as np
import scipy.sparse as sp

from benchmark_utils.problem.not_built import NotBuilt


def as_floats(array, what):
    """Return an array of rows as float64, dense or as a `scipy.sparse.csr_array`; not copied where it is one.

    Integers and booleans become floats, every format of scipy.sparse becomes CSR with duplicate entries summed.

    Parameters
    ----------
    array : array_like or scipy.sparse matrix or array
        First axis: rows.
    what : str
        What the array is, for the sentence: "the features of the train split of mine".

    Raises
    ------
    NotBuilt
        If the entries are no real numbers, or there is no axis of rows.
    """
    if sp.issparse(array):
        if array.dtype.kind not in "biuf":
            raise NotBuilt(_not_numbers(what, array.dtype))
        if array.ndim != 2:
            raise NotBuilt(f"{what} is sparse with {array.ndim} axis; rows need two: use array.reshape((n, -1)).")
        rows = sp.csr_array(array, dtype=np.float64)
        if not rows.has_canonical_format:
            rows = rows.copy()  # what the user has stays as it is
            rows.sum_duplicates()
        return rows
    try:
        array = np.asarray(array)
    except (ValueError, TypeError) as error:  # rows of different lengths
        raise NotBuilt(f"{what} is no array ({error}); give rows of one length.") from error
    if array.dtype.kind == "O":
        array = _from_objects(array, what)
    if array.dtype.kind not in "biuf":
        raise NotBuilt(_not_numbers(what, array.dtype))
    if array.ndim == 0:
        raise NotBuilt(f"{what} is the single number {array}; give an array whose first axis are the rows.")
    return np.ascontiguousarray(array, dtype=np.float64)


def _from_objects(array, what):
    """Return an array of objects, such as the columns of a table of mixed types, as float64."""
    try:
        return array.astype(np.float64)
    except (ValueError, TypeError):
        for place, value in np.ndenumerate(array):
            try:
                float(value)
            except (ValueError, TypeError):
                raise NotBuilt(
                    f"{what} has {value!r} at {_place(place)}; it must hold numbers only: leave text out or encode it."
                ) from None
        raise


def _not_numbers(what, dtype):
    return f"{what} has the type {dtype}; it must hold real numbers: leave other columns out or encode them."


def _place(place):
    names = ("row", "column", *(f"axis {k}," for k in range(2, len(place))))
    return ", ".join(f"{name} {int(i)}" for name, i in zip(names, place, strict=False))


def why_not_finite(array, what):
    """Return a sentence that counts the entries that are NaN or infinite and says where the first one is, or None.

    Parameters
    ----------
    array : float array or CSR array
    what : str
        What the array is.
    """
    sparse = sp.issparse(array)
    values = array.data if sparse else array
    finite = np.isfinite(values)
    if finite.all():
        return None
    first = np.unravel_index(np.argmin(finite), finite.shape)
    value = values[first]
    if sparse:
        row = int(np.searchsorted(array.indptr, first[0], side="right")) - 1
        first = (row, int(array.indices[first[0]]))
    count = int(finite.size - np.count_nonzero(finite))
    return (
        f"{count} of the {finite.size} entries of {what} are NaN or infinite, the first ({value}) at {_place(first)} "
        "(counted from 0); clean the data, or delete a file that was fetched so that it is fetched again."
    )
