"""Features and labels of classification data, checked and converted in one place."""

import numpy as np

from benchmark_utils.files.labels import found
from benchmark_utils.problem.arrays import as_floats, why_not_finite
from benchmark_utils.problem.not_built import NotBuilt


def classification_rows(name, splits, n_classes):
    """Return the splits as dicts of float64 "features" (dense or CSR) and "targets".

    Parameters
    ----------
    name : str
        Of the problem, for the sentences.
    splits : dict of str to tuple (features, labels)
        Features of any numeric type and any format of scipy.sparse, shape (n, p). Labels: -1 and +1, shape (n,) or
        (n, 1), where ``n_classes`` is 1; else one-hot rows of shape (n, n_classes).
    n_classes : int

    Raises
    ------
    NotBuilt
        If features or labels are not of this form, are NaN or infinite, a split is empty, "train" or "validation" has
        one class only, or splits have different numbers of columns.
    """
    out = {}
    for split, (features, labels) in splits.items():
        of = f"of the {split} split of {name}"
        A, y = as_floats(features, f"the features {of}"), _targets(labels, n_classes, of)
        if A.ndim != 2 or 0 in A.shape:
            raise NotBuilt(f"the features {of} have the shape {A.shape}; rows and columns, (n, p), are wanted.")
        reason = why_not_finite(A, f"the features {of}")
        if reason is not None:
            raise NotBuilt(reason)
        if len(y) != A.shape[0]:
            raise NotBuilt(f"there are {len(y)} labels {of} but {A.shape[0]} rows; one label a row is wanted.")
        if split in ("train", "validation") and (y == y[:1]).all():
            raise NotBuilt(
                f"all labels {of} are the same; each of the two levels needs two classes: shuffle the rows before they "
                "are split, or stratify."
            )
        out[split] = {"features": A, "targets": y}
    widths = {split: rows["features"].shape[1] for split, rows in out.items()}
    if len(set(widths.values())) > 1:
        raise NotBuilt(f"the splits of {name} have different numbers of columns ({widths}); use the same features.")
    return out


def _targets(labels, n_classes, of):
    """Return labels as the link losses take them, float64."""
    raw = np.asarray(labels)
    if n_classes == 1:
        y = raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else raw
        if y.ndim != 1 or y.dtype.kind not in "iuf" or not np.isin(y, (-1, 1)).all():
            raise NotBuilt(
                f"the labels {of} must be -1 and +1, one a row; {found(y)}. `signs` of benchmark_utils/files/labels.py "
                "converts the labels of two classes."
            )
        return y.astype(np.float64)
    right = raw.ndim == 2 and raw.shape[1] == n_classes and raw.dtype.kind in "biuf"
    if right and np.isin(raw, (0, 1)).all() and (raw.sum(axis=1) == 1).all():
        return raw.astype(np.float64)
    raise NotBuilt(
        f"the labels {of} must be one-hot rows of shape (n, {n_classes}); {found(raw)}. `one_hot` and `encode` of "
        "benchmark_utils/files/labels.py make them."
    )
