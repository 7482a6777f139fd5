"""Builders shared by the data sets: classification data in, bilevel problem out.

Two families: *regularisation* (x holds log-penalties, per feature or per class) and *hyper-cleaning* (x holds one
weight for each training row, some of whose labels are wrong).
"""

import numpy as np

from benchmark_utils.builders.cleaning import cleaner
from benchmark_utils.builders.rows import classification_rows
from benchmark_utils.evaluation.glm import GLMEvaluator
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.not_built import NotBuilt
from benchmark_utils.problem.problem import Problem
from benchmark_utils.terms.glm import GLM
from benchmark_utils.terms.links import LINKS
from benchmark_utils.terms.penalties import NoPenalty, Ridge


def regularisation(name, splits, *, penalty, init, card, outer_size, n_classes=1, **options):
    """Build a problem whose outer variable is the logarithm of ridge penalties.

    Parameters
    ----------
    splits : dict
        ``{"train": (A, y), "validation": (A, y), "test": (A, y)}``; "test" may be absent. Binary labels are
        -1 and +1, multi-class labels one-hot rows; features any numbers, dense or scipy.sparse
        (`rows.classification_rows` says what is refused). Further splits are for the metrics.
    penalty : penalties.ExpRidge
    init : callable
        ``init(rng) -> (z0, x0)``.
    outer_size : int
        Number of penalties.
    n_classes : int
        1 for binary problems.
    **options
        Further fields of `Problem`, and ``reference_tolerance`` and ``adjoint_tolerance`` of the `GLMEvaluator`.
    """
    return _classification(name, splits, penalty, False, init, card, outer_size, n_classes, None, options)


def hyper_cleaning(name, splits, *, clean, ridge, init, card, n_classes, **options):
    """Build a data hyper-cleaning problem: row i of the training set weighs sigmoid(x_i).

    Parameters
    ----------
    splits : dict
        As in `regularisation`; the training targets hold the corrupted labels.
    clean : bool array of shape (n,)
        Whether the label of a training row is right; used by the metrics of `cleaning.cleaner` only.
    ridge : float
        Coefficient of ``‖z‖^2`` (not of its half).
    """
    n, clean = splits["train"][0].shape[0], np.asarray(clean, bool)
    if clean.shape != (n,):
        raise NotBuilt(f"clean of {name} has the shape {clean.shape}; it must say of each of {n} rows if it is clean.")
    of_x = lambda x: cleaner(clean, x)
    return _classification(name, splits, Ridge(2 * ridge), True, init, card, n, n_classes, of_x, options)


def _classification(name, splits, penalty, weighted, init, card, outer_size, n_classes, outer_metrics, options):
    link = "logistic" if n_classes == 1 else "multinomial"
    splits = classification_rows(name, splits, n_classes)
    inner = GLM(link, penalty, weighted, n_classes)
    outer = GLM(link, NoPenalty(), False, n_classes)
    n_features = splits["train"]["features"].shape[1]
    evaluator = GLMEvaluator(
        inner,
        outer,
        splits["train"],
        splits["validation"],
        tolerance=options.pop("reference_tolerance", 1e-12),
        adjoint_tolerance=options.pop("adjoint_tolerance", 1e-10),
    )

    def metrics(z, x, solution):
        out = {}
        for split, data in splits.items():
            out[f"{split}_loss"], out[f"{split}_error"] = loss_and_error(link, data, z.reshape(evaluator.shape))
        if "test" in splits:
            exact = loss_and_error(link, splits["test"], solution.z.reshape(evaluator.shape))
            out["test_loss_exact"], out["test_error_exact"] = exact
        return out if outer_metrics is None else out | outer_metrics(x)

    return Problem(
        name=name,
        inner=inner,
        outer=outer,
        splits=splits,
        inner_shape=(n_features,) if n_classes == 1 else (n_features, n_classes),
        outer_shape=(outer_size,),
        init=init,
        evaluator=evaluator,
        card=card,
        metrics=metrics,
        **options,
    )


def loss_and_error(link, data, z):
    """Return (mean loss, share of wrong predictions) of the linear model z on a split."""
    features, targets = data["features"], data["targets"]
    u = features @ z
    wrong = np.where(u >= 0, 1, -1) != targets if u.ndim == 1 else u.argmax(axis=1) != targets.argmax(axis=1)
    return float(np.mean(LINKS[link].value(xp, u, targets))), float(np.mean(wrong))
