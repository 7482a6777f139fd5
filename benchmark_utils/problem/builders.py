"""Builders shared by the data sets: classification data in, bilevel problem out.

Two families: *regularisation* (x holds log-penalties, per feature or per class) and *hyper-cleaning* (x holds one
weight for each training row, some of whose labels are wrong).
"""

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmark_utils.backends.numpy_namespace import xp
from benchmark_utils.losses import GLM_LOSSES
from benchmark_utils.problem import Level, Problem
from benchmark_utils.reference import GLMReference


def one_hot(labels, n_classes):
    """Return labels 0..n_classes-1 as rows of the identity, float64."""
    return np.eye(n_classes)[np.asarray(labels, int)]


def regularisation(name, splits, *, penalty, init, card, outer_size, n_classes=1, **options):
    """Build a problem whose outer variable is the logarithm of ridge penalties.

    Parameters
    ----------
    splits : dict
        ``{"train": (A, y), "validation": (A, y), "test": (A, y)}``; "test" may be absent. Binary labels are
        -1 and +1, multi-class labels one-hot rows. Features may be scipy.sparse. Further splits are for the
        metrics.
    penalty : tuple (name, scale)
        See `losses.penalty_weights`.
    init : callable
        ``init(rng) -> (z0, x0)``.
    outer_size : int
        Number of penalties.
    n_classes : int
        1 for binary problems.
    **options
        Further fields of `Problem`, and ``reference_tolerance`` and ``adjoint_tolerance`` of the `GLMReference`.
    """
    return _classification(name, splits, penalty, None, init, card, outer_size, n_classes, None, options)


def hyper_cleaning(name, splits, *, clean, ridge, init, card, n_classes, **options):
    """Build a data hyper-cleaning problem: row i of the training set weighs sigmoid(x_i).

    Parameters
    ----------
    splits : dict
        As in `regularisation`; the training targets hold the corrupted labels.
    clean : bool array of shape (n,)
        Whether the label of a training row is right; used by the AUC metric only.
    ridge : float
        Coefficient of ``‖z‖^2`` (not of its half).
    """
    n = splits["train"][0].shape[0]
    auc = lambda x: {"weights_auc": float(roc_auc_score(clean, x))}
    return _classification(name, splits, ("constant", 2 * ridge), "sigmoid", init, card, n, n_classes, auc, options)


def _classification(name, splits, penalty, sample_weights, init, card, outer_size, n_classes, outer_metrics, options):
    loss = "logistic" if n_classes == 1 else "multinomial"
    level = lambda split, **kwargs: Level(
        loss, dict(zip(("features", "targets"), splits[split], strict=True)), n_classes=n_classes, **kwargs
    )
    inner = level("train", penalty=penalty, sample_weights=sample_weights)
    n_features = splits["train"][0].shape[1]
    reference = GLMReference(
        inner,
        level("validation"),
        tolerance=options.pop("reference_tolerance", 1e-12),
        adjoint_tolerance=options.pop("adjoint_tolerance", 1e-10),
    )

    def metrics(z, x, solution):
        out = {}
        for split, data in splits.items():
            out[f"{split}_loss"], out[f"{split}_error"] = _loss_and_error(loss, data, z.reshape(reference.shape))
        if "test" in splits:
            exact = _loss_and_error(loss, splits["test"], solution.z.reshape(reference.shape))
            out["test_loss_exact"], out["test_error_exact"] = exact
        return out if outer_metrics is None else out | outer_metrics(x)

    return Problem(
        name=name,
        inner=inner,
        outer=level("validation"),
        inner_shape=(n_features,) if n_classes == 1 else (n_features, n_classes),
        outer_shape=(outer_size,),
        init=init,
        reference=reference,
        card=card,
        metrics=metrics,
        **options,
    )


def _loss_and_error(loss, data, z):
    """Return (mean loss, share of wrong predictions) of the linear model z on (features, targets)."""
    features, targets = data
    u = features @ z
    wrong = np.where(u >= 0, 1, -1) != targets if u.ndim == 1 else u.argmax(axis=1) != targets.argmax(axis=1)
    return float(np.mean(GLM_LOSSES[loss].value(xp, u, targets))), float(np.mean(wrong))
