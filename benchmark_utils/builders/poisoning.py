"""Builder of data poisoning: images in, bilevel problem out whose x is noise on some of the training images."""

import numpy as np

from benchmark_utils.evaluation.poisoned import NoisyRows, PoisonedEvaluator
from benchmark_utils.evaluation.retraining import loss_and_error, retrained
from benchmark_utils.problem.problem import Problem
from benchmark_utils.problem.sets import NoisyImages
from benchmark_utils.terms.glm import GLM
from benchmark_utils.terms.penalties import Ridge
from benchmark_utils.terms.poisoned import Poisoned
from benchmark_utils.terms.scaled import Scaled


def poisoning(name, splits, *, n_poisoned, radius, ridge, card, projection="exact", exact=True, retrain=0, **options):
    """Build a data-poisoning problem: noise on training images harms a multinomial regression.

    G is the regularised loss on the training images, the first ``n_poisoned`` of them with noise x, and F is minus
    the loss on the clean validation images. The start is z = 0 and no noise.

    Parameters
    ----------
    splits : dict
        "train", "validation" and "test": (images in 0..1, float64, shape (n, pixels), one-hot rows).
    n_poisoned : int
        Images that carry noise.
    radius : float
        Euclidean radius of the noise of each image; its pixels stay in 0..1.
    ridge : float
        Coefficient of ``‖z‖^2`` (not of its half); positive.
    projection : {"exact", "sequential"}
        See `NoisyImages`.
    exact : bool
        Whether z*(x), h and its gradient are found at every checkpoint.
    retrain : int
        Steps of gradient descent by which every checkpoint trains anew on the poisoned images (`retrained`), columns
        ``*_retrained``; 0: none.
    **options
        Further fields of `Problem`, and ``reference_tolerance`` and ``adjoint_tolerance`` of the evaluator.
    """
    rows = {split: {"features": images, "targets": targets} for split, (images, targets) in splits.items()}
    train, (pixels, n_classes) = rows["train"], (splits["train"][0].shape[1], splits["train"][1].shape[1])
    inner = Poisoned("multinomial", Ridge(2 * ridge), n_classes=n_classes)
    outer = Scaled(GLM("multinomial", n_classes=n_classes), -1.0)
    shape = (pixels, n_classes)
    tolerances = {"tolerance": "reference_tolerance", "adjoint_tolerance": "adjoint_tolerance"}
    tolerances = {name: options.pop(option) for name, option in tolerances.items() if option in options}
    noisy = NoisyRows(train["features"], n_poisoned, exact) if exact or retrain else None
    evaluator = None
    if exact:
        evaluator = PoisonedEvaluator(inner, outer, noisy, train, rows["validation"], **tolerances)
    attack = Attack(noisy, rows, ridge, retrain) if retrain else None

    def metrics(z, x, solution):
        weights = {"": None if z is None else z, "_exact": None if solution is None else solution.z}
        weights = {end: np.reshape(at, shape) for end, at in weights.items() if at is not None}
        if attack is not None:
            weights["_retrained"] = attack.weights(x)
        out = {}
        for end, at in weights.items():
            for split in ("validation", "test"):
                loss, error = loss_and_error(rows[split]["features"], rows[split]["targets"], at)
                out |= {f"{split}_loss{end}": loss, f"{split}_error{end}": error}
        return out

    n_noise = n_poisoned * pixels
    return Problem(
        name=name,
        inner=inner,
        outer=outer,
        splits=rows,
        inner_shape=shape,
        outer_shape=(n_poisoned, pixels),
        init=lambda rng: (np.zeros(pixels * n_classes), np.zeros(n_noise)),
        evaluator=evaluator,
        card=card,
        metrics=metrics,
        feasible_set=NoisyImages(radius, projection),
        feasible_arrays={"images": train["features"][:n_poisoned]},
        **options,
    )


class Attack:
    """Classifiers trained anew on poisoned images; those of the start and of the latest x are kept.

    Parameters
    ----------
    noisy : NoisyRows
    rows : dict of str to dict of arrays
        The splits of the problem.
    ridge : float
        Coefficient of ``‖z‖^2``.
    n_steps : int
        Steps of training.
    """

    def __init__(self, noisy, rows, ridge, n_steps):
        self.noisy, self.targets, self.ridge, self.n_steps = noisy, rows["train"]["targets"], ridge, n_steps
        self.kept = {}

    def weights(self, x):
        """Return the weights after training on the images with noise x, float64, shape (pixels, classes)."""
        key = "latest" if np.any(x) else "start"
        if key not in self.kept or not np.array_equal(self.kept[key][0], x):
            self.noisy.place(np.asarray(x, np.float64))
            W = retrained(self.noisy.single, self.targets, self.ridge, self.n_steps)
            self.kept[key] = np.array(x), W.astype(np.float64)
        return self.kept[key][1]
