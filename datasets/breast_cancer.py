import numpy as np
from benchopt import BaseDataset
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmark_utils.builders.classification import regularisation
from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.parameters import NumericParameters, seed
from benchmark_utils.terms.penalties import ExpRidge


class Dataset(NumericParameters, BaseDataset):
    """Breast cancer (bundled with scikit-learn): per-feature ridge penalties of a logistic regression.

    60 % of the rows are inner, 20 % outer, 20 % test; features are scaled by the inner rows' mean and deviation.
    """

    name = "breast_cancer"
    parameters = {"seed": [0]}
    requirements = ["numpy", "scikit-learn"]

    @skipped_if_not_built
    def get_data(self):
        reason = seed("seed", self.seed)
        if reason is not None:
            return dict(problem=None, reason=reason)
        features, labels = load_breast_cancer(return_X_y=True)
        labels = 2.0 * labels - 1
        rest, test, y_rest, y_test = train_test_split(
            features, labels, test_size=0.2, random_state=self.seed, stratify=labels
        )
        train, val, y_train, y_val = train_test_split(
            rest, y_rest, test_size=0.25, random_state=self.seed, stratify=y_rest
        )
        scale = StandardScaler().fit(train).transform
        splits = {
            "train": (scale(train), y_train),
            "validation": (scale(val), y_val),
            "test": (scale(test), y_test),
        }
        card = Card(
            title="Breast cancer",
            formula="G = 1/n sum_i log(1 + exp(-y_i <a_i, z>)) + 1/2 sum_k exp(x_k) z_k^2, "
            "F = 1/m sum_j log(1 + exp(-y_j <a_j, z>))",
            source="scikit-learn's bundled copy of the UCI Breast Cancer Wisconsin (Diagnostic) data",
            licence="CC BY 4.0 (UCI)",
            splits={name: len(y) for name, (_, y) in splits.items()},
        )
        problem = regularisation(
            "breast_cancer", splits, penalty=ExpRidge(1.0), outer_size=30, card=card, data_seed=self.seed,
            init=lambda rng: (np.zeros(30), np.full(30, -2.0)),
        )  # fmt: skip
        return dict(problem=problem)
