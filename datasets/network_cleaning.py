import numpy as np
from benchopt import BaseDataset

from benchmark_utils.builders.cleaning import cleaning_without_solution
from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.files import digits
from benchmark_utils.files.labels import one_hot
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.parameters import NumericParameters, number, seed, some_wrong
from benchmark_utils.problem.variables import size_of
from benchmark_utils.terms.network import Network

TRAIN, VALIDATION, TEST = 1000, 400, 397


class Dataset(NumericParameters, BaseDataset):
    """Hyper-cleaning of scikit-learn's digits with a small network instead of a linear model.

    Training row i weighs sigmoid(x_i); with probability ``corruption`` its label is replaced by
    a uniform draw from the ten digits, once, by the data seed. The lower level, a network with
    one layer of tanh units, is not convex, so z*(x) is not known: there is no evaluator, and
    the metrics are those of the solver's own z. 400 clean rows are outer, 397 test.

    Parameters
    ----------
    corruption : float
        Between 0 and 1, not included.
    units : int
        Units of the network.
    ridge : float
        Coefficient of ‖z‖^2 (not of its half), biases included.
    seed : int
        Seed of the split and of the corruption.
    """

    name = "network_cleaning"
    parameters = {"corruption": [0.5], "units": [16], "ridge": [0.001], "seed": [0]}
    requirements = ["numpy", "scikit-learn"]

    @skipped_if_not_built
    def get_data(self):
        reason = (
            number("corruption", self.corruption, above=0, below=1)
            or number("units", self.units, least=1, most=10000, whole=True)
            or number("ridge", self.ridge, least=0, most=1e8)
            or seed("seed", self.seed)
        )
        if reason is not None:
            return dict(problem=None, reason=reason)
        parts = digits.split(self.seed, train=TRAIN, validation=VALIDATION, test=TEST)
        labels, rng = parts["train"][1], np.random.default_rng(self.seed)
        replaced = rng.random(TRAIN) < self.corruption
        noisy = np.where(replaced, rng.integers(0, digits.N_CLASSES, size=TRAIN), labels)
        clean = noisy == labels
        reason = some_wrong(self.corruption, clean)
        if reason is not None:
            return dict(problem=None, reason=reason)
        parts["train"] = parts["train"][0], noisy
        splits = {
            name: {"features": features, "targets": one_hot(y, digits.N_CLASSES)}
            for name, (features, y) in parts.items()
        }
        shapes = {
            "W1": (digits.N_PIXELS, self.units),
            "b1": (self.units,),
            "W2": (self.units, digits.N_CLASSES),
            "b2": (digits.N_CLASSES,),
        }
        inner, outer = Network(2 * self.ridge, weighted=True), Network()

        def init(rng):
            z = [
                rng.standard_normal(size_of(shape)) / np.sqrt(shape[0]) if len(shape) == 2 else np.zeros(shape)
                for shape in shapes.values()
            ]
            return np.concatenate(z), np.zeros(TRAIN)

        card = Card(
            title="Digits hyper-cleaning with a network",
            formula=(
                f"G = 1/n sum_i sigmoid(x_i) CE(net(z; a_i), y_i) + {self.ridge} ‖z‖^2, "
                "F = 1/m sum_j CE(net(z; a_j), y_j), net(z; a) = tanh(a W1 + b1) W2 + b2"
            ),
            source=digits.SOURCE,
            licence=digits.LICENCE,
            splits={name: len(rows["targets"]) for name, rows in splits.items()},
            notes=f"{int((~clean).sum())} of the {TRAIN:,} labels are wrong; G is not convex",
        )
        problem = cleaning_without_solution(
            "network_cleaning", inner, outer, splits, shapes,
            predictions=lambda z, rows: outer.predictions(xp, z, rows), clean=clean, init=init, card=card,
            data_seed=self.seed,
        )  # fmt: skip
        return dict(problem=problem)
