"""NumPy as an array namespace: what the float64 evaluation and measured constants compute with."""

import operator
import types

import numpy as np
import scipy.special


def _segment_sum(values, ids, n):
    out = np.zeros((n, *values.shape[1:]), values.dtype)
    np.add.at(out, ids, values)
    return out


def _add_rows(table, ids, rows):
    out = table.copy()
    np.add.at(out, ids, rows)
    return out


def until_still(function, start, n):
    """Return what ``function`` makes of an array, over and over, until nothing changes, at most ``n`` times."""
    for _ in range(n):
        new = function(start)
        if np.array_equal(new, start):
            break
        start = new
    return start


def _logsumexp(u, axis):  # twice as fast as SciPy's, which also sees to infinities and weights
    largest = u.max(axis=axis, keepdims=True)
    return np.log(np.exp(u - largest).sum(axis=axis)) + largest.squeeze(axis)


def _sum(a, axis=None):  # NumPy's own takes six times as long on rows of a few entries
    return np.einsum("ij->i", a) if a.ndim == 2 and axis == 1 else np.sum(a, axis=axis)


def _conv3x3(images, kernels):
    """Correlate images (b, h, w, channels) with kernels (3, 3, channels, out) bordered by zeros: (b, h, w, out)."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    h, w = images.shape[1:3]
    return sum(padded[:, i : i + h, j : j + w] @ kernels[i, j] for i in range(3) for j in range(3))


def _split_sizes(vector, sizes):
    return np.split(vector, np.cumsum(sizes)[:-1])


#: NumPy with the extensions that losses may use.
xp = types.SimpleNamespace(
    **{name: getattr(np, name) for name in dir(np) if not name.startswith("_")}
    | {
        "logsumexp": _logsumexp,
        "sum": _sum,
        "sigmoid": scipy.special.expit,
        "segment_sum": _segment_sum,
        "add_rows": _add_rows,
        "until_still": until_still,
        "split_sizes": _split_sizes,
        "conv3x3": _conv3x3,
        "matvec": operator.matmul,  # of SciPy's sparse matrices too
        "vecmat": operator.matmul,
        "to_device_of": lambda a, like: a,
    }
)
