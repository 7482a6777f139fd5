from benchopt import BaseDataset

from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.builders.few_shot import few_shot
from benchmark_utils.files import images_by_class
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.parameters import NumericParameters, flag, number, seed, word
from benchmark_utils.problem.tasks import why_too_many
from benchmark_utils.terms.features import ORDERS, Convolutions

#: Data -> (title, loader of a seed, pixels of a side, channels, images of a class, source, licence, hashes, classes)
DATA = {
    "omniglot": (
        "Omniglot", images_by_class.omniglot, 28, 1, 20, "https://github.com/brendenlake/omniglot",
        "MIT (the repository)",
        images_by_class.OMNIGLOT_FILES | {images_by_class.OMNIGLOT_RESIZED: images_by_class.OMNIGLOT_RESIZED_HASH},
        "1,100 / 100 / 423 characters, dealt out by the seed",
    ),
    "miniimagenet": (
        "miniImageNet", lambda seed: images_by_class.mini_imagenet(), 84, 3, 600, images_by_class.MINI_SOURCE,
        "ImageNet's terms: research only, not to be passed on", dict(images_by_class.MINI_FILES.values()),
        "64 / 16 / 20 classes of Ravi and Larochelle",
    ),
    "fc100": (
        "FC100", lambda seed: images_by_class.fc100(), 32, 3, 600, images_by_class.FC100_SOURCE,
        "not stated by the source; CIFAR-100 states none", dict(images_by_class.FC100_FILES.values()),
        "60 / 20 / 20 classes, no superclass in two parts",
    ),
}  # fmt: skip

#: The networks: Grazzi, Pontil, Salzo 2023, section 7.2, and Ji, Yang, Liang 2021 (learn2learn's).
NETWORKS = {
    "grazzi": dict(order=ORDERS[0], squashed=True),
    "ji": dict(order=ORDERS[1], squashed=False),
}


class Dataset(NumericParameters, BaseDataset):
    """Few-shot learning on images: x is a convolutional network shared by all tasks, z the last layer of one.

    A task is a handful of classes to tell apart. G of a task is the cross-entropy on its support images plus
    ``ridge`` / 2 ‖z‖^2, F that on its query images; tasks are drawn once from the training classes, and validation
    and test tasks from classes of their own. Section 7.2 of Grazzi, Pontil and Salzo (JMLR 24(167), 2023) and section
    5.1 of Ji, Yang and Liang (ICML 2021).

    Parameters
    ----------
    data : {"omniglot", "miniimagenet", "fc100"}
    n_tasks : int
        Tasks that are drawn once.
    n_ways, n_shots, n_queries : int
        Classes of a task, and support and query images of each.
    network : {"grazzi", "ji"}
        Blocks of convolution, ReLU, pooling, normalisation, then tanh; or of convolution, normalisation, ReLU,
        pooling.
    filters, blocks : int
        Filters of a convolution, and blocks.
    ridge : float
    warm : bool
        Whether the last layer of a task is kept until the task is drawn again, in a table of n_tasks last layers.
    n_evaluated : int
        Tasks of the fixed sets: of h, of the validation and of the test errors.
    test_steps : int
        Gradient steps, from zero, after which new tasks are tested (solvers that learn a start use their own).
    test_step : float
        Size of those steps.
    seed : int
        Seed of the tasks, and of the parts of Omniglot.
    """

    name = "fewshot"
    parameters = {
        "data": ["omniglot"], "n_tasks": [20000], "n_ways": [5], "n_shots": [5], "n_queries": [5],
        "network": ["grazzi"], "filters": [32], "blocks": [4], "ridge": [0.01], "warm": [False],
        "n_evaluated": [1000], "test_steps": [10], "test_step": [0.05], "seed": [0],
    }  # fmt: skip
    test_parameters = {"n_tasks": [70], "n_evaluated": [5], "filters": [2]}
    requirements = ["numpy", "scipy", "pillow", "psutil", "filelock", "tqdm"]

    @skipped_if_not_built
    def get_data(self):
        reason = (
            word("data", self.data, DATA)
            or number("n_tasks", self.n_tasks, least=1, whole=True)
            or number("n_ways", self.n_ways, least=2, most=20, whole=True)
            or number("n_shots", self.n_shots, least=1, most=DATA[self.data][4] - 1, whole=True)
            or number("n_queries", self.n_queries, least=1, most=DATA[self.data][4] - self.n_shots, whole=True)
            or word("network", self.network, NETWORKS)
            or number("filters", self.filters, least=1, most=1024, whole=True)
            or number("blocks", self.blocks, least=1, most=4, whole=True)
            or number("ridge", self.ridge, least=1e-8)
            or flag("warm", self.warm)
            or number("n_evaluated", self.n_evaluated, least=1, most=100_000, whole=True)
            or number("test_steps", self.test_steps, least=0, most=10_000, whole=True)
            or number("test_step", self.test_step, above=0)
            or seed("seed", self.seed)
        )
        if reason is not None:
            return dict(problem=None, reason=reason)
        title, load, side, channels, _, source, licence, hashes, classes = DATA[self.data]
        network = Convolutions(side, channels, self.filters, self.blocks, **NETWORKS[self.network])
        heads = network.n_features * self.n_ways
        images = self.n_ways * (self.n_shots + self.n_queries)
        table = why_too_many(self.n_tasks, heads, "The table of last layers (warm=True)", 4) if self.warm else None
        reason = table and f"{table} or warm=False."
        listed = why_too_many(self.n_tasks, images * (1 + self.n_ways), "The list", 8)
        reason = reason or (listed and f"{listed}.")
        if reason is not None:
            return dict(problem=None, reason=reason)
        card = Card(
            title=f"Few-shot {title}, {self.n_ways} ways, {self.n_shots} shots ({self.network}, {self.filters})",
            formula=(
                f"G_i = mean_j CE(z_i; f(a_ij), y_ij) + {self.ridge}/2 ‖z_i‖^2 on support images, "
                "F = 1/n sum_i mean_j CE(z_i; f(a_ij), y_ij) on query images, "
                f"f: {self.blocks} blocks {network.order}" + ", tanh" * network.squashed
            ),
            source=source,
            licence=licence,
            splits={"train": self.n_tasks, "validation": self.n_tasks, "new validation": self.n_evaluated,
                    "test": self.n_evaluated},
            hashes=hashes,
            notes=(
                f"rows are tasks: {self.n_ways} classes with {self.n_shots} support and {self.n_queries} query images "
                f"each; {classes} for training, validation and test, none in two; a table of all last layers takes "
                f"{4 * self.n_tasks * heads / 1e6:,.0f} MB in float32; h and its gradient are those of the first "
                f"{self.n_evaluated} tasks"
            ),
        )  # fmt: skip
        problem = few_shot(
            "fewshot", load(self.seed), network, card, n_tasks=self.n_tasks, ways=self.n_ways, shots=self.n_shots,
            queries=self.n_queries, ridge=self.ridge, warm=self.warm,
            n_evaluated=self.n_evaluated if self.n_evaluated < self.n_tasks else self.n_tasks,
            test_steps=self.test_steps, test_step=self.test_step, seed=self.seed,
        )  # fmt: skip
        return dict(problem=problem)
