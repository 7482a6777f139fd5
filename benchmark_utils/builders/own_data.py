"""A table of features and labels in, a bilevel problem out: for data of one's own."""

import numpy as np
import scipy.sparse as sp

from benchmark_utils.builders.classification import regularisation
from benchmark_utils.files.labels import encode, one_hot
from benchmark_utils.problem.arrays import as_floats, why_not_finite
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.not_built import NotBuilt
from benchmark_utils.problem.parameters import number
from benchmark_utils.problem.parameters import seed as seeds
from benchmark_utils.terms.penalties import ExpRidge

#: Start of every log-penalty: exp(-2) = 0.135.
START = -2.0


def split_table(name, features, labels, *, validation=0.2, test=0.2, scale=True, signs=True, seed=0):
    """Number the classes, split the rows class by class at random and scale the features.

    Parameters
    ----------
    name : str
        Of the problem, for sentences.
    features : array_like or sparse matrix of shape (n, p)
        Of any numeric type and sparse format.
    labels : array_like of shape (n,) or (n, 1)
        Of any type: the smaller of two labels becomes -1 and the other +1; of more, the k-th becomes the k-th unit
        vector.
    validation, test : float
        Shares of each class, rounded to at least one row; without test rows where ``test`` is 0.
    scale : bool
        Whether dense features get mean 0 and deviation 1 on the training rows, and sparse ones, which stay sparse, are
        divided by their largest absolute training value.
    signs : bool
        False: two labels become unit vectors too, as networks want them.
    seed : int

    Returns
    -------
    splits : dict
        "train", "validation" and "test" to (features, targets), as `regularisation` takes them.
    classes : list
        The labels in their order.

    Raises
    ------
    NotBuilt
        If a share is no share, a class has too few rows, or the data are not what is asked for.
    """
    reason = number("validation", validation, above=0, below=1) or number("test", test, least=0, below=1 - validation)
    reason = reason or seeds("seed", seed)
    if reason is not None:
        raise NotBuilt(reason)
    A = as_floats(features, f"the features of {name}")
    codes, classes = encode(labels)
    if A.ndim != 2 or A.shape[0] != len(codes):
        raise NotBuilt(f"the features of {name} have the shape {A.shape}, but there are {len(codes)} labels.")
    reason = why_not_finite(A, f"the features of {name}")
    if reason is not None:
        raise NotBuilt(reason)
    ids = _stratified(name, codes, classes, validation, test, np.random.default_rng(seed))
    targets = 2.0 * codes - 1 if signs and len(classes) == 2 else one_hot(codes, len(classes))
    splits = {split: (A[rows], targets[rows]) for split, rows in ids.items()}
    if scale:
        of_train = _scaler(splits["train"][0])
        splits = {split: (of_train(rows), y) for split, (rows, y) in splits.items()}
    return splits, classes


def _stratified(name, codes, classes, validation, test, rng):
    """Return dict of split to row numbers in random order."""
    shares = {"validation": validation} | ({"test": test} if test > 0 else {})
    counts = np.bincount(codes)
    if counts.min() <= len(shares):
        rarest = classes[int(counts.argmin())]
        many = f" There are {len(classes)} classes: labels must be classes, not measurements." * (len(classes) > 20)
        raise NotBuilt(
            f"the class {rarest!r} of {name} has {counts.min()} row(s); each class needs at least {len(shares) + 1}, "
            f"one for each split: leave it out or give it more rows.{many}"
        )
    ids = {split: [] for split in ("train", *shares)}
    for k, count in enumerate(counts):
        rows = rng.permutation(np.flatnonzero(codes == k))
        for split, share in shares.items():
            taken = max(1, round(share * count))
            taken = min(taken, len(rows) - (len(shares) - list(shares).index(split)))
            ids[split].append(rows[:taken])
            rows = rows[taken:]
        ids["train"].append(rows)
    return {split: rng.permutation(np.concatenate(parts)) for split, parts in ids.items()}


def _scaler(train):
    """Return the function that scales features by the training rows; constant columns are only centred."""
    if sp.issparse(train):
        largest = np.abs(train).max(axis=0).toarray().ravel()
        inverse = sp.diags_array(1 / np.where(largest > 0, largest, 1))
        return lambda rows: sp.csr_array(rows @ inverse)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    deviation = np.where(deviation > 1e-12 * (1 + np.abs(mean)), deviation, 1)
    return lambda rows: (rows - mean) / deviation


def penalty_selection(name, features, labels, *, seed=0, card=None, validation=0.2, test=0.2, scale=True):
    """Build the selection of one ridge penalty a feature from a table, in one call.

    z are the weights of a logistic (two classes) or multinomial regression without intercept, x the logarithms of
    their penalties. A column of ones in the features is an intercept, which is then penalised too.

    Parameters
    ----------
    name, features, labels, validation, test, scale
        See `split_table`.
    seed : int
        Seed of the split and of the one shuffle of the rows.
    card : dict or None
        Further fields of `Card`: ``source``, ``licence``, ``hashes``.

    Returns
    -------
    Problem
    """
    splits, classes = split_table(
        name, features, labels, validation=validation, test=test, scale=scale, seed=seed
    )  # fmt: skip
    p, c = splits["train"][0].shape[1], 1 if len(classes) == 2 else len(classes)
    loss = "log(1 + exp(-y_i <a_i, z>))" if c == 1 else "CE(z; a_i, y_i)"
    penalty = "z_k^2" if c == 1 else "‖z_k‖^2"
    formula = f"G = 1/n sum_i {loss} + 1/2 sum_k exp(x_k) {penalty}, F = 1/m sum_j {loss.replace('_i', '_j')}"
    return regularisation(
        name, splits, penalty=ExpRidge(1.0), outer_size=p, n_classes=c, data_seed=seed,
        init=lambda rng: (np.zeros(p * c), np.full(p, START)), card=_card(name, formula, splits, classes, card),
    )  # fmt: skip


def _card(name, formula, splits, classes, facts):
    given = {"source": "data of the user", "licence": "not stated"} | (facts or {})
    labels = ", ".join(map(str, classes[:20])) + (", …" if len(classes) > 20 else "")
    return Card(
        title=name, formula=formula, splits={split: len(y) for split, (_, y) in splits.items()},
        notes=f"classes: {labels}", **given,
    )  # fmt: skip
