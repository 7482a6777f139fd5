import numpy as np
from benchopt import BaseDataset
from sklearn.model_selection import train_test_split

from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.builders.poisoning import poisoning
from benchmark_utils.files import mnist
from benchmark_utils.files.labels import one_hot
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.parameters import NumericParameters, flag, number, seed, word

N_IMAGES, N_TEST = 60_000, 10_000


class Dataset(NumericParameters, BaseDataset):
    """Data poisoning of MNIST: noise on 9,000 of 45,000 training images that harms the classifier.

    G is the loss of multinomial logistic regression without intercept on the training images, of
    which ``poisoned`` carry noise x, plus ``ridge`` times the mean of z^2, and F is minus the loss
    on clean validation images: its minimiser is the attack. The noise of each image stays in the
    ball of ``radius``, and its pixels in 0..1. The start is no noise. Section 7.3 of R. Grazzi,
    M. Pontil and S. Salzo, "Bilevel optimization with a lower-level contraction: optimal sample
    complexity without warm-start", JMLR 24(167), 2023, arXiv:2202.03397.

    Parameters
    ----------
    train, validation, test : int
        Images; the first two are cut from the 60,000 training images of MNIST, stratified by
        class, and test are the first ones of its 10,000.
    poisoned : int
        Training images with noise, at most all of them.
    radius : float
        Euclidean radius for each image; an image of MNIST has a norm of about 9.
    ridge : float
        Coefficient of the mean of z^2, as published: ridge / 7,840 times ‖z‖^2.
    projection : {"exact", "sequential"}
        How solvers stay feasible: by the projection onto the intersection of ball and box, or, as
        published, onto the ball and then by clipping the pixels, which is no projection.
        Stationarity is measured with the first in any case.
    exact : {True, False}
        Whether every checkpoint solves for z*(x), h, its gradient and the gradient mapping.
    retrain : int
        Steps of gradient descent from zero by which every checkpoint trains a classifier anew on
        the poisoned images (columns ``*_retrained``): 1,000 were published, 0 leaves it out.
    checkpoints : int
        Most rows of a run, its start and its end included: each takes as long as ``exact`` and
        ``retrain`` do.
    seed : int
        Seed of the split; the poisoned images are the first of it.
    """

    name = "mnist_poisoning"
    parameters = {
        "train": [45_000],
        "validation": [15_000],
        "test": [10_000],
        "poisoned": [9_000],
        "radius": [5.0],
        "ridge": [0.1],
        "projection": ["exact"],
        "exact": [True],
        "retrain": [1000],
        "checkpoints": [6],
        "seed": [2],
    }
    test_parameters = {"train, validation, test, poisoned": [(600, 200, 200, 120)]}
    requirements = ["numpy", "scikit-learn", "filelock", "tqdm"]

    def prepare(self):
        mnist.fetch_files()

    @skipped_if_not_built
    def get_data(self):
        reason = (
            number("train", self.train, least=100, most=N_IMAGES - 100, whole=True)
            or number("validation", self.validation, least=100, most=N_IMAGES - self.train, whole=True)
            or number("test", self.test, least=1, most=N_TEST, whole=True)
            or number("poisoned", self.poisoned, least=1, most=self.train, whole=True)
            or number("radius", self.radius, above=0)
            or number("ridge", self.ridge, least=1e-8)
            or word("projection", self.projection, ("exact", "sequential"))
            or flag("exact", self.exact)
            or number("retrain", self.retrain, least=0, most=100_000, whole=True)
            or number("checkpoints", self.checkpoints, least=2, most=1000, whole=True)
            or seed("seed", self.seed)
        )
        if reason is not None:
            return dict(problem=None, reason=reason)
        images, labels, test_images, test_labels = mnist.load()
        train, validation = train_test_split(
            np.arange(N_IMAGES),
            train_size=self.train,
            test_size=self.validation,
            random_state=self.seed,
            stratify=labels,
        )
        splits = {
            "train": (images[train] / 255, one_hot(labels[train], 10)),
            "validation": (images[validation] / 255, one_hot(labels[validation], 10)),
            "test": (test_images[: self.test] / 255, one_hot(test_labels[: self.test], 10)),
        }
        card = Card(
            title="MNIST poisoning",
            formula=(
                f"G = 1/n sum_i CE(z; a_i + x_i, y_i) + {self.ridge} mean(z^2), "
                f"F = -1/m sum_j CE(z; a_j, y_j), ‖x_i‖ <= {self.radius}, 0 <= a_i + x_i <= 1"
            ),
            source=f"MNIST, mirror {mnist.URL}",
            licence="CC BY-SA 3.0 as Keras's documentation states it; the mirror states none",
            splits={name: len(targets) for name, (_, targets) in splits.items()},
            hashes=mnist.FILES,
            notes=(
                f"{self.poisoned:,} of the {self.train:,} training images carry noise; with the default sizes each "
                "solution of z*(x), h and its gradient takes 35 to 45 s of one core, training anew by 1,000 steps "
                "about 70 s, and the evaluator 1.6 GiB of memory, rows included"
            ),
        )
        problem = poisoning(
            "mnist_poisoning",
            splits,
            n_poisoned=self.poisoned,
            radius=self.radius,
            ridge=self.ridge / (images.shape[1] * 10),
            card=card,
            projection=self.projection,
            exact=self.exact,
            retrain=self.retrain,
            max_checkpoints=self.checkpoints,
            data_seed=self.seed,
            reference_tolerance=1e-9,
            adjoint_tolerance=1e-8,
        )
        return dict(problem=problem)
