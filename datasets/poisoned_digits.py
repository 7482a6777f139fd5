from benchopt import BaseDataset

from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.builders.poisoning import poisoning
from benchmark_utils.files import digits
from benchmark_utils.files.labels import one_hot
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.parameters import NumericParameters, number, seed

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
        splits = {name: (features, one_hot(labels, digits.N_CLASSES)) for name, (features, labels) in parts.items()}
        n_poisoned = round(self.poisoned * TRAIN)
        card = Card(
            title="Digits poisoning",
            formula=(
                f"G = 1/n sum_i CE(z; a_i + x_i, y_i) + {self.ridge} ‖z‖^2, "
                f"F = -1/m sum_j CE(z; a_j, y_j), ‖x_i‖ <= {self.radius}, 0 <= a_i + x_i <= 1"
            ),
            source=digits.SOURCE,
            licence=digits.LICENCE,
            splits={name: len(targets) for name, (_, targets) in splits.items()},
            notes=f"{n_poisoned:,} of the {TRAIN:,} training images carry noise",
        )
        problem = poisoning(
            "poisoned_digits",
            splits,
            n_poisoned=n_poisoned,
            radius=self.radius,
            ridge=self.ridge,
            card=card,
            data_seed=self.seed,
        )
        return dict(problem=problem)
