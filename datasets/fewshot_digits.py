import numpy as np
from benchopt import BaseDataset

from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.builders.few_shot import drawn_tasks
from benchmark_utils.evaluation.multinomial import MultinomialEvaluator
from benchmark_utils.files import digits
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.parameters import NumericParameters, flag, number, seed
from benchmark_utils.problem.problem import Problem
from benchmark_utils.problem.tasks import Tasks
from benchmark_utils.problem.variables import size_of, unflatten
from benchmark_utils.terms.last_layer import LastLayer

TRAIN, TEST = 1200, 597
WAYS, TEST_TASKS = 5, 50


def episodes(rng, images, labels, n_tasks, shots, queries):
    """Draw few-shot tasks of five digits; see `drawn_tasks`, whose numbers of images become pixels here."""
    parts = drawn_tasks(rng, labels, n_tasks, WAYS, shots, queries)
    return [part | {"images": images[part["images"]]} for part in parts]


class Dataset(NumericParameters, BaseDataset):
    """Few-shot learning on scikit-learn's digits: each task is five digits to tell apart.

    x is a network of two layers of tanh units, shared by all tasks; z is the last layer of one
    task, a multinomial regression on its features. G of a task is the loss on its support
    images plus ``ridge`` / 2 ‖z‖^2, F the loss on its query images. Tasks are drawn out of
    1,200 images, 50 test tasks out of the other 597. After section 7.2 of Grazzi, Pontil and
    Salzo (JMLR 24(167), 2023), on miniImageNet there (5 ways, 5 shots, ridge 0.01); ten digits
    are too few for test tasks with classes of their own.

    Parameters
    ----------
    n_tasks : int
        Number of tasks.
    shots, queries : int
        Support and query images of each digit of a task.
    units, features : int
        Units of the first layer, and of the second, whose values are the features.
    ridge : float
    warm : bool
        Whether the last layer of a task is kept until the task is drawn again.
    seed : int
        Seed of the split and of the tasks.
    """

    name = "fewshot_digits"
    parameters = {
        "n_tasks": [200], "shots": [5], "queries": [5], "units": [32], "features": [16],
        "ridge": [0.01], "warm": [True], "seed": [0],
    }  # fmt: skip
    requirements = ["numpy", "scikit-learn"]

    @skipped_if_not_built
    def get_data(self):
        reason = (
            number("n_tasks", self.n_tasks, least=1, most=20000, whole=True)
            or number("shots", self.shots, least=1, most=25, whole=True)
            or number("queries", self.queries, least=1, most=25, whole=True)
            or number("units", self.units, least=1, most=1000, whole=True)
            or number("features", self.features, least=1, most=100, whole=True)
            or number("ridge", self.ridge, least=1e-8)
            or flag("warm", self.warm)
            or seed("seed", self.seed)
        )
        if reason is not None:
            return dict(problem=None, reason=reason)
        parts, rng = (
            digits.split(self.seed, train=TRAIN, test=TEST),
            np.random.default_rng(self.seed),
        )
        train, validation = episodes(rng, *parts["train"], self.n_tasks, self.shots, self.queries)
        support, query = episodes(rng, *parts["test"], TEST_TASKS, self.shots, self.queries)
        splits = {
            "train": train,
            "validation": validation,
            "test_support": support,
            "test": query,
        }
        shapes = {
            "W1": (digits.N_PIXELS, self.units),
            "b1": (self.units,),
            "W2": (self.units, self.features),
            "b2": (self.features,),
        }
        inner, outer, inner_shape = LastLayer(self.ridge), LastLayer(), (self.features, WAYS)
        evaluator = MultinomialEvaluator(
            inner, outer, train, validation, inner_shape, shapes,
            ridge=self.ridge, tolerance=1e-10,
        )  # fmt: skip

        def init(rng):
            x = [
                rng.standard_normal(size_of(shape)) / np.sqrt(shape[0]) if len(shape) == 2 else np.zeros(shape)
                for shape in shapes.values()
            ]
            return np.zeros(size_of(inner_shape)), np.concatenate(x)

        def metrics(z, x, solution):
            at_tasks = solution.z.reshape(-1, *inner_shape)
            at_test = evaluator.minimisers(x, support)
            out = {}
            for split, at in (("validation", at_tasks), ("test", at_test)):
                rows, shaped = splits[split], unflatten(xp, x, shapes)
                predicted = (outer.features(xp, shaped, rows) @ at).argmax(axis=2)
                out[f"{split}_loss_exact"] = float(np.mean(outer.sample_values(xp, at, shaped, rows)))
                wrong = predicted != rows["targets"].argmax(axis=2)
                out[f"{split}_error_exact"] = float(np.mean(wrong))
            return out

        card = Card(
            title="Few-shot digits",
            formula=(
                f"G_i = mean_j CE(z_i; f(a_ij), y_ij) + {self.ridge}/2 ‖z_i‖^2 on support images, "
                "F = 1/n sum_i mean_j CE(z_i; f(a_ij), y_ij) on query images, "
                "f(a) = tanh(tanh(a W1 + b1) W2 + b2)"
            ),
            source=digits.SOURCE,
            licence=digits.LICENCE,
            splits={"train": self.n_tasks, "validation": self.n_tasks, "test": TEST_TASKS},
            notes=(
                f"rows are tasks: {WAYS} digits with {self.shots} support and {self.queries} "
                "query images each; test tasks have images of their own"
            ),
        )
        problem = Problem(
            name="fewshot_digits",
            inner=inner,
            outer=outer,
            splits=splits,
            inner_shape=inner_shape,
            outer_shape=shapes,
            init=init,
            evaluator=evaluator,
            card=card,
            metrics=metrics,
            tasks=Tasks(warm=self.warm),
            data_seed=self.seed,
        )
        return dict(problem=problem)
