"""Class labels as arrays."""

import numpy as np

from benchmark_utils.problem.not_built import NotBuilt

#: Labels that a sentence shows.
SHOWN = 6


def one_hot(labels, n_classes):
    """Return labels 0..n_classes-1 as rows of the identity, float64 of shape (n, n_classes).

    Raises
    ------
    NotBuilt
        If a label is another number.
    """
    codes = np.asarray(labels)
    wanted = f"the {n_classes} labels wanted here are the integers 0 to {n_classes - 1}"
    if codes.ndim != 1 or codes.dtype.kind not in "biuf" or not np.isin(codes, np.arange(n_classes)).all():
        raise NotBuilt(f"{wanted}; {found(codes)}. `encode` of benchmark_utils/files/labels.py numbers any labels.")
    return np.eye(n_classes)[codes.astype(int)]


def signs(labels):
    """Return labels of two classes as -1 (the smaller one) and +1, float64 of shape (n,).

    Raises
    ------
    NotBuilt
        If there are not two classes.
    """
    codes, classes = encode(labels)
    if len(classes) != 2:
        raise NotBuilt(f"two classes are wanted; {found(labels)}. For more use `encode` and `one_hot`.")
    return 2.0 * codes - 1


def encode(labels):
    """Number the classes of labels of any type: integers, booleans, text.

    Parameters
    ----------
    labels : array_like of shape (n,) or (n, 1)

    Returns
    -------
    codes : int array of shape (n,)
        0 for the smallest label, 1 for the next.
    classes : list
        The labels in increasing order.

    Raises
    ------
    NotBuilt
        If a label is missing, there is more than one in a row, or there is only one class.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise NotBuilt(f"the labels have the shape {labels.shape}; give one label a row, shape (n,).")
    if labels.dtype.kind == "O":
        # Text and missing entries of a table: what is not one type becomes text.
        missing = np.array([v is None or v != v for v in labels], bool)
        numbers = all(isinstance(v, (int, float, np.number)) for v in labels[~missing])
    else:
        missing = np.isnan(labels) if labels.dtype.kind in "fc" else np.zeros(len(labels), bool)
        numbers = True
    if missing.any():
        raise NotBuilt(
            f"{int(missing.sum())} of the {len(labels)} labels are missing, the first in row {int(missing.argmax())} "
            "(counted from 0); leave such rows out."
        )
    if not numbers:
        labels = labels.astype(str)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise NotBuilt(f"{found(labels)}; a classifier needs at least two classes.")
    return codes.astype(int), classes.tolist()


def found(labels):
    """Return words that say which labels there are."""
    labels = np.asarray(labels)
    if labels.dtype.kind == "O":
        labels = labels.astype(str)
    classes = np.unique(labels)
    if labels.ndim != 1:
        return f"found labels of shape {labels.shape}"
    shown = ", ".join(f"{v!r}" if isinstance(v, str) else f"{v}" for v in classes[:SHOWN].tolist())
    more = f" and {len(classes) - SHOWN} more" if len(classes) > SHOWN else ""
    return f"found {shown}{more}" if len(classes) else "found none"
