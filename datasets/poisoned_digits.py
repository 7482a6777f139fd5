import numpy as np
from benchopt import BaseDataset

from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.evaluation.multinomial import MultinomialEvaluator
from benchmark_utils.files import digits
from benchmark_utils.files.labels import one_hot
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.parameters import NumericParameters, number, seed
from benchmark_utils.problem.problem import Problem
from benchmark_utils.problem.sets import NoisyImages
from benchmark_utils.terms.glm import GLM
from benchmark_utils.terms.links import MULTINOMIAL
from benchmark_utils.terms.penalties import Ridge
from benchmark_utils.terms.poisoned import Poisoned
from benchmark_utils.terms.scaled import Scaled

TRAIN, VALIDATION, TEST = 1000, 400, 397


class Dataset(NumericParameters, BaseDataset):
    """Data poisoning of scikit-learn's digits: noise on training images that harms the classifier.

    Of 1,000 training images a share ``poisoned`` carries noise x, one row an image. G is the
    loss of multinomial logistic regression on them plus ``ridge`` ‖z‖^2 and F is minus the loss
    on 400 clean validation images: its minimiser is the attack. The noise of each image stays
    in the ball of ``radius``, and its pixels in 0..1. The start is no noise. 397 images are
    test. After section 7.3 of Grazzi, Pontil and Salzo (JMLR 24(167), 2023), on MNIST there.

    Parameters
    ----------
    poisoned : float
        Share of the training images, above 0 and at most 1.
    radius : float
        Euclidean radius for each image; a digit has a norm of about 3.8.
    ridge : float
        Coefficient of ‖z‖^2 (not of its half).
    seed : int
        Seed of the split; the poisoned images are the first of it.
    """

    name = "poisoned_digits"
    parameters = {"poisoned": [0.2], "radius": [2.0], "ridge": [0.01], "seed": [0]}
    requirements = ["numpy", "scikit-learn"]

    @skipped_if_not_built
    def get_data(self):
        reason = (
            number("poisoned", self.poisoned, least=1 / TRAIN, most=1)
            or number("radius", self.radius, above=0)
            or number("ridge", self.ridge, least=1e-8)
            or seed("seed", self.seed)
        )
        if reason is not None:
            return dict(problem=None, reason=reason)
        parts = digits.split(self.seed, train=TRAIN, validation=VALIDATION, test=TEST)
        splits = {
            name: {"features": features, "targets": one_hot(labels, digits.N_CLASSES)}
            for name, (features, labels) in parts.items()
        }
        n_poisoned = round(self.poisoned * TRAIN)
        inner = Poisoned("multinomial", Ridge(2 * self.ridge), n_classes=digits.N_CLASSES)
        outer = Scaled(GLM("multinomial", n_classes=digits.N_CLASSES), -1.0)
        inner_shape = (digits.N_PIXELS, digits.N_CLASSES)
        outer_shape = (n_poisoned, digits.N_PIXELS)
        evaluator = MultinomialEvaluator(
            inner, outer, splits["train"], splits["validation"], inner_shape, outer_shape,
            ridge=2 * self.ridge, tasks=False,
        )  # fmt: skip

        def metrics(z, x, solution):
            out = {}
            for end, at in (("", z), ("_exact", solution.z)):
                for split in ("validation", "test"):
                    loss, error = _loss_and_error(splits[split], np.reshape(at, inner_shape))
                    out |= {f"{split}_loss{end}": loss, f"{split}_error{end}": error}
            return out

        card = Card(
            title="Digits poisoning",
            formula=(
                f"G = 1/n sum_i CE(z; a_i + x_i, y_i) + {self.ridge} ‖z‖^2, "
                f"F = -1/m sum_j CE(z; a_j, y_j), ‖x_i‖ <= {self.radius}, 0 <= a_i + x_i <= 1"
            ),
            source=digits.SOURCE,
            licence=digits.LICENCE,
            splits={name: len(rows["targets"]) for name, rows in splits.items()},
            notes=f"{n_poisoned:,} of the {TRAIN:,} training images carry noise",
        )
        problem = Problem(
            name="poisoned_digits",
            inner=inner,
            outer=outer,
            splits=splits,
            inner_shape=inner_shape,
            outer_shape=outer_shape,
            init=lambda rng: (np.zeros(np.prod(inner_shape)), np.zeros(np.prod(outer_shape))),
            evaluator=evaluator,
            card=card,
            metrics=metrics,
            feasible_set=NoisyImages(self.radius),
            feasible_arrays={"images": splits["train"]["features"][:n_poisoned]},
            data_seed=self.seed,
        )
        return dict(problem=problem)


def _loss_and_error(rows, z):
    """Return (mean loss, share of wrong predictions) of the linear model z."""
    u, y = rows["features"] @ z, rows["targets"]
    wrong = u.argmax(axis=1) != y.argmax(axis=1)
    return float(np.mean(MULTINOMIAL.value(xp, u, y))), float(np.mean(wrong))
