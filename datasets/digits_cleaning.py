import numpy as np
from benchopt import BaseDataset
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from benchmark_utils.builders.classification import hyper_cleaning
from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.files.labels import one_hot
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.parameters import NumericParameters, number, seed, some_wrong


class Dataset(NumericParameters, BaseDataset):
    """Hyper-cleaning of scikit-learn's digits: one weight sigmoid(x_i) for each of 1,000 training rows.

    Each training label is replaced, with probability ``corruption``, by a uniform draw from the ten classes, once,
    by the data seed. 400 clean rows are outer, the other 397 test. Pixels are scaled to 0..1.
    """

    name = "digits_cleaning"
    parameters = {"corruption": [0.5], "ridge": [0.01], "seed": [0]}
    requirements = ["numpy", "scikit-learn"]

    @skipped_if_not_built
    def get_data(self):
        reason = (
            number("corruption", self.corruption, above=0, below=1)
            or number("ridge", self.ridge, least=1e-8, most=1e8)
            or seed("seed", self.seed)
        )
        if reason is not None:
            return dict(problem=None, reason=reason)
        features, labels = load_digits(return_X_y=True)
        train, rest, y_train, y_rest = train_test_split(
            features / 16, labels, train_size=1000, random_state=self.seed, stratify=labels
        )
        val, test, y_val, y_test = train_test_split(
            rest, y_rest, train_size=400, random_state=self.seed, stratify=y_rest
        )
        rng = np.random.default_rng(self.seed)
        replaced = rng.random(1000) < self.corruption
        noisy = np.where(replaced, rng.integers(0, 10, size=1000), y_train)
        clean = noisy == y_train
        reason = some_wrong(self.corruption, clean)
        if reason is not None:
            return dict(problem=None, reason=reason)
        splits = {
            "train": (train, one_hot(noisy, 10)),
            "validation": (val, one_hot(y_val, 10)),
            "test": (test, one_hot(y_test, 10)),
        }
        card = Card(
            title="Digits hyper-cleaning",
            formula=f"G = 1/n sum_i sigmoid(x_i) CE(z; a_i, y_i) + {self.ridge} ‖z‖^2, F = 1/m sum_j CE(z; a_j, y_j)",
            source="scikit-learn's bundled copy of the UCI Optical Recognition of Handwritten Digits data",
            licence="CC BY 4.0 (UCI)",
            splits={name: len(y) for name, (_, y) in splits.items()},
            notes=f"{int((~clean).sum())} of the 1,000 training labels are wrong",
        )
        problem = hyper_cleaning(
            "digits_cleaning", splits, clean=clean, ridge=self.ridge, n_classes=10, card=card,
            init=lambda rng: (np.zeros(640), np.full(1000, -2.0)), data_seed=self.seed,
        )  # fmt: skip
        return dict(problem=problem)
