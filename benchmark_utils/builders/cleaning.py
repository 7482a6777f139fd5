"""Hyper-cleaning: which training rows x keeps, and problems whose lower level has no exact solution."""

import math

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.problem import Problem
from benchmark_utils.problem.variables import unflatten
from benchmark_utils.terms.links import MULTINOMIAL


def cleaner(clean, x):
    """Return what x, as a detector of clean rows, is worth: columns of the result.

    A row is kept where its weight sigmoid(x_i) is at least a half. Precision is the share of clean rows among the
    kept ones, recall the share of kept rows among the clean ones, F1 their harmonic mean.

    Parameters
    ----------
    clean : bool array of shape (n,)
    x : array of shape (n,)

    Returns
    -------
    dict of str to float
        "weights_auc", NaN where all rows are alike, and "cleaner_precision", "cleaner_recall", "cleaner_f1"; what is
        divided by zero is 0.
    """
    kept = np.asarray(x) >= 0
    hits = float(np.sum(kept & clean))
    precision, recall = hits / max(1, kept.sum()), hits / max(1, clean.sum())
    both = clean.any() and not clean.all()
    return {
        "weights_auc": float(roc_auc_score(clean, x)) if both else math.nan,
        "cleaner_precision": precision,
        "cleaner_recall": recall,
        "cleaner_f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
    }


def cleaning_without_solution(name, inner, outer, splits, inner_shape, *, predictions, clean, init, card, **options):
    """Build a hyper-cleaning problem whose z*(x) is not known: metrics are those of the solver's own z.

    Parameters
    ----------
    inner, outer : Term
        G, whose row i weighs sigmoid(x_i), and F.
    splits : dict of str to dict
        "features" and one-hot "targets" of "train", with the corrupted labels, "validation" and others.
    inner_shape : tuple of int, or dict of str to tuple of int
    predictions : callable
        ``predictions(z, rows)`` are the logits at a z of this shape.
    clean : bool array of shape (n,)
        Whether a training row is clean, for `cleaner`.
    init, card, **options
        Fields of `Problem`.
    """

    def metrics(z, x, solution):
        out, shaped = {}, unflatten(xp, z, inner_shape)
        for split, rows in splits.items():
            u, y = predictions(shaped, rows), rows["targets"]
            out[f"{split}_loss"] = float(np.mean(MULTINOMIAL.value(xp, u, y)))
            out[f"{split}_error"] = float(np.mean(u.argmax(axis=1) != y.argmax(axis=1)))
        return out | cleaner(clean, x)

    return Problem(
        name=name,
        inner=inner,
        outer=outer,
        splits=splits,
        inner_shape=inner_shape,
        outer_shape=(len(clean),),
        init=init,
        evaluator=None,
        card=card,
        metrics=metrics,
        **options,
    )
