import math

import numpy as np
from benchopt import BaseDataset
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmark_utils.builders.classification import hyper_cleaning
from benchmark_utils.builders.cleaning import cleaning_without_solution
from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.files import mnist
from benchmark_utils.files.labels import one_hot
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.parameters import NumericParameters, number, seed, some_wrong, word
from benchmark_utils.problem.variables import size_of
from benchmark_utils.terms.glm import GLM
from benchmark_utils.terms.network import Network

TRAIN, VALIDATION = 20000, 5000

#: Rows of version "pbgd", and units of its network.
SHEN, UNITS = {"train": 5000, "validation": 5000, "test": 10000}, 300


def dagreou(images, labels, corruption, seed, noise="uniform"):
    """Split, scale and corrupt as in Dagréou et al. 2022: labels replaced by uniform draws, pixels standardised.

    Returns
    -------
    train, validation : tuple (float64 rows, labels)
        With the true labels.
    noisy : int array of shape (TRAIN,)
        Training labels after corruption; a draw may be the true label.
    scale : callable
        Maps raw pixels to features.
    """
    stream = np.random.RandomState(seed)  # split and labels from one legacy stream, as published
    train, val, y_train, y_val = train_test_split(
        images, labels, train_size=TRAIN, test_size=VALIDATION, random_state=stream
    )
    replaced = stream.rand(TRAIN) < corruption
    noisy = y_train.copy()
    noisy[replaced] = stream.randint(0, 10, replaced.sum())
    scaler = StandardScaler().fit(train.astype(np.float64))
    scale = lambda rows: scaler.transform(rows.astype(np.float64))
    return (scale(train), y_train), (scale(val), y_val), noisy, scale


def ji(images, labels, corruption, seed, noise="shift"):
    """Split, scale and corrupt as Ji et al. 2021 mean to: once; a column of ones for the intercept.

    Exactly ``floor(corruption TRAIN)`` labels are corrupted: shifted by 1..9 modulo 10 ("shift", always wrong), or
    replaced by a uniform draw ("uniform"). See `dagreou` for what is returned.
    """
    stream = np.random.default_rng(seed)
    y_train = labels[:TRAIN]
    wrong = stream.permutation(TRAIN)[: math.floor(corruption * TRAIN + 1e-6)]
    noisy = y_train.copy()
    if noise == "shift":
        noisy[wrong] = (noisy[wrong] + stream.integers(1, 10, size=len(wrong))) % 10
    else:
        noisy[wrong] = stream.integers(0, 10, size=len(wrong))

    def scale(rows):
        return np.hstack([(rows / 255 - mnist.MEAN) / mnist.DEVIATION, np.ones((len(rows), 1))])

    return (scale(images[:TRAIN]), y_train), (scale(images[-VALIDATION:]), labels[-VALIDATION:]), noisy, scale


def shen(images, labels, corruption, seed, noise="uniform"):
    """Return the split and the labels of the released code of Shen and Chen 2023: all from the training file.

    Exactly ``floor(corruption n)`` rows are polluted: their labels are replaced by uniform draws from the ten digits,
    a tenth of which is right (the code makes a list without the right one, and does not use it).

    Returns
    -------
    parts : dict of str to tuple (features, labels)
        "train", "validation" and "test", pixels in 0..1, true labels.
    noisy : int array of shape (n,)
        Training labels after corruption.
    polluted : bool array of shape (n,)
    """
    rng, start, parts = np.random.default_rng(seed), 0, {}
    order = rng.permutation(len(labels))
    for name, size in SHEN.items():
        rows = order[start : start + size]
        parts[name], start = (images[rows] / 255, labels[rows]), start + size
    noisy, polluted = parts["train"][1].copy(), np.zeros(SHEN["train"], bool)
    polluted[rng.permutation(len(noisy))[: math.floor(corruption * len(noisy) + 1e-6)]] = True
    noisy[polluted] = rng.integers(0, 10, size=polluted.sum())
    return parts, noisy, polluted


#: Version -> (builder, kinds of noise, coefficient of ‖z‖^2, initial x, standard deviation of the initial z)
VERSIONS = {
    "dagreou": (dagreou, ("uniform",), 0.2, -2.0, 0.0),
    "ji": (ji, ("shift", "uniform"), 0.001, 0.0, (2 / 10) ** 0.5),
}

#: Version -> kinds of noise.
KINDS = {version: facts[1] for version, facts in VERSIONS.items()} | {"pbgd": ("uniform",)}

#: Version -> models of the lower level.
MODELS = {"dagreou": ("linear",), "ji": ("linear",), "pbgd": ("linear", "network")}

LICENCE = "CC BY-SA 3.0 as Keras's documentation states it; the mirror states none"

#: What the page says of version "ji".
NOT_REPRODUCIBLE = (
    "the published curves cannot be reproduced: the released code corrupts the stored labels again at each call, so "
    "that its noise accumulates (a share of .1 is .4 after five calls); here labels are corrupted once"
)


class Dataset(NumericParameters, BaseDataset):
    """Hyper-cleaning of MNIST: one weight sigmoid(x_i) for each training row, 5,000 clean outer rows.

    Three published versions. ``dagreou``: random split, each label replaced with probability ``corruption`` by a
    uniform draw (.5, .7, .9 were published), 0.2 ‖z‖^2, standardised pixels, x = -2 at the start. ``ji``: the first
    20,000 and last 5,000 images of the file, a share ``corruption`` of the labels corrupted (.1, .2, .4 were
    published), 0.001 ‖z‖^2, an intercept, x = 0 and a random z at the start. Labels are corrupted once, by ``seed``;
    the released code of "ji" does so again at each call, so its noise accumulates and its published curves cannot be
    reproduced. These two have 20,000 training rows and a linear model. ``pbgd``: 5,000 training rows of which a share
    ``corruption`` is polluted (.5 was published), 5,000 outer and 10,000 test rows, all from the training file, with a
    linear model or a network of 300 sigmoid units, no penalty, x = 0 and a random z at the start, as in the released
    code of H. Shen and T. Chen, "On penalty-based bilevel gradient descent method", ICML 2023, arXiv:2302.05185. G
    has no unique minimiser there, so that there is no exact solution: the metrics are those of the solver's own z, and
    those of x as a detector of rows that are not polluted.

    Parameters
    ----------
    version : {"dagreou", "ji", "pbgd"}
    corruption : float
        Share of the training labels that is corrupted, between 0 and 1, not included.
    noise : {"as_published", "shift", "uniform"}
        How a label of "ji" is corrupted: shifted by 1..9 modulo 10, as the released code does, or replaced by a
        uniform draw, which may be right, as one may read the paper. "as_published": "shift" for "ji". Labels of
        "dagreou" are always replaced.
    model : {"linear", "network"}
        Model of the lower level; "network" for "pbgd" only.
    seed : int
        Seed of the split and of the corruption.
    """

    name = "mnist_cleaning"
    parameters = {
        "version": ["dagreou"], "corruption": [0.5], "noise": ["as_published"], "model": ["linear"], "seed": [32],
    }  # fmt: skip
    requirements = ["numpy", "scikit-learn", "filelock", "tqdm"]

    def prepare(self):
        mnist.fetch_files()

    @skipped_if_not_built
    def get_data(self):
        reason = (
            word("version", self.version, MODELS)
            or number("corruption", self.corruption, above=0, below=1)
            or word("noise", self.noise, ("as_published", *KINDS[self.version]))
            or word("model", self.model, MODELS[self.version])
            or seed("seed", self.seed)
        )
        if reason is not None:
            return dict(problem=None, reason=reason)
        return self._penalty_free() if self.version == "pbgd" else self._linear()

    def _linear(self):
        """Return the data of the versions with a ridge."""
        images, labels, test_images, y_test = mnist.load()
        build, kinds, ridge, x_start, deviation = VERSIONS[self.version]
        noise = kinds[0] if self.noise == "as_published" else self.noise
        (train, y_train), (val, y_val), noisy, scale = build(images, labels, self.corruption, self.seed, noise)
        clean = noisy == y_train
        reason = some_wrong(self.corruption, clean)
        if reason is not None:
            return dict(problem=None, reason=reason)
        splits = {
            "train": (train, one_hot(noisy, 10)),
            "validation": (val, one_hot(y_val, 10)),
            "test": (scale(test_images), one_hot(y_test, 10)),
            "clean_train": (train, one_hot(y_train, 10)),  # for the metrics only
        }
        p = train.shape[1] * 10
        notes = [f"{int((~clean).sum()):,} of the {TRAIN:,} training labels are wrong"]
        notes += [NOT_REPRODUCIBLE] if self.version == "ji" else []
        card = Card(
            title=f"MNIST hyper-cleaning ({self.version}, {self.corruption:g})",
            formula=f"G = 1/n sum_i sigmoid(x_i) CE(z; a_i, y_i) + {ridge} ‖z‖^2, F = 1/m sum_j CE(z; a_j, y_j)",
            source=f"MNIST, mirror {mnist.URL}",
            licence=LICENCE,
            splits={name: len(splits[name][1]) for name in ("train", "validation", "test")},
            hashes=mnist.FILES,
            notes="; ".join(notes),
        )
        problem = hyper_cleaning(
            "mnist_cleaning", splits, clean=clean, ridge=ridge, n_classes=10, card=card,
            init=lambda rng: (deviation * rng.standard_normal(p), np.full(TRAIN, x_start)), data_seed=self.seed,
            reference_tolerance=1e-9, adjoint_tolerance=1e-8,
        )  # fmt: skip
        return dict(problem=problem)

    def _penalty_free(self):
        """Return the data of version "pbgd"."""
        images, labels, _, _ = mnist.load()
        parts, noisy, polluted = shen(images, labels, self.corruption, self.seed)
        reason = some_wrong(self.corruption, ~polluted)
        if reason is not None:
            return dict(problem=None, reason=reason)
        wrong, parts["train"] = int(np.sum(noisy != parts["train"][1])), (parts["train"][0], noisy)
        linear, n_pixels = self.model == "linear", images.shape[1]
        one = lambda a: np.hstack([a, np.ones((len(a), 1))]) if linear else a  # an intercept
        splits = {name: {"features": one(a), "targets": one_hot(y, 10)} for name, (a, y) in parts.items()}
        if linear:
            shape, predictions = (n_pixels + 1, 10), lambda z, rows: rows["features"] @ z
            inner, outer = GLM("multinomial", weighted=True, n_classes=10), GLM("multinomial", n_classes=10)
            bounds = np.full(size_of(shape), n_pixels**-0.5)
        else:
            shape = {"W1": (n_pixels, UNITS), "b1": (UNITS,), "W2": (UNITS, 10), "b2": (10,)}
            inner, outer = Network(weighted=True, units="sigmoid"), Network(units="sigmoid")
            predictions = lambda z, rows: outer.predictions(xp, z, rows)
            sizes = {name: size_of(s) for name, s in shape.items()}
            bounds = np.concatenate([np.full(n, (UNITS if "2" in k else n_pixels) ** -0.5) for k, n in sizes.items()])
        card = Card(
            title=f"MNIST hyper-cleaning (pbgd, {self.model}, {self.corruption:g})",
            formula="G = 1/n sum_i sigmoid(x_i) CE(net(z; a_i), y_i), F = 1/m sum_j CE(net(z; a_j), y_j), "
            + ("net(z; a) = <a, z>" if linear else "net(z; a) = sigmoid(a W1 + b1) W2 + b2"),
            source=f"MNIST, mirror {mnist.URL}",
            licence=LICENCE,
            splits=SHEN,
            hashes=mnist.FILES,
            notes=(
                f"{int(polluted.sum()):,} of the {SHEN['train']:,} training rows are polluted, {wrong:,} labels are "
                "wrong; G has no unique minimiser"
            ),
        )
        problem = cleaning_without_solution(
            "mnist_cleaning", inner, outer, splits, shape, predictions=predictions, clean=~polluted, card=card,
            init=lambda rng: (rng.uniform(-bounds, bounds), np.zeros(SHEN["train"])), data_seed=self.seed,
        )  # fmt: skip
        return dict(problem=problem)
