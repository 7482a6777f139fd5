"""Class labels as arrays."""

import numpy as np


def one_hot(labels, n_classes):
    """Return labels 0..n_classes-1 as rows of the identity, float64 of shape (n, n_classes)."""
    return np.eye(n_classes)[np.asarray(labels, int)]
