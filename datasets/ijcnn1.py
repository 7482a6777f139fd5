import numpy as np
from benchopt import BaseDataset
from sklearn.datasets import load_svmlight_file

from benchmark_utils.builders.classification import regularisation
from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.files.fetch import fetch
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.parameters import NumericParameters, word
from benchmark_utils.terms.penalties import ExpRidge

URL = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary/"
FILES = {  # name -> sha256 of the decompressed content
    "ijcnn1": "16506cad788cf7c9607454150ed1994788204bac2ff4c9cb3b320036b6950d3f",
    "ijcnn1.t": "e7b0bbd518641980dc322746c6bc59d019d3153934e6258e48f9d8cfae2c4bb8",
}

#: min h of the published split: `python -m tools.h_star ijcnn1` finds it from each of three starts, to 1e-15.
H_STAR = 0.2034981786164454


def init(rng):
    """Return the published start: z ~ N(0, I), x = log U(0, 1), elementwise."""
    return rng.standard_normal(22), np.log(rng.uniform(size=22))


class Dataset(NumericParameters, BaseDataset):
    """IJCNN1: per-feature ridge penalties of a logistic regression, 22 features.

    ``split="poster"`` is the published one: ``ijcnn1`` (49,990 rows) inner, all of ``ijcnn1.t`` (91,701 rows) outer.
    ``split="held_out"`` keeps the second half of ``ijcnn1.t`` as a test set. The start is drawn anew for each
    repetition, from its seed; the published code draws one start and uses it in all repetitions.
    """

    name = "ijcnn1"
    parameters = {"split": ["poster"]}
    requirements = ["numpy", "scikit-learn", "filelock", "tqdm"]

    def prepare(self):
        for name, sha256 in FILES.items():
            fetch("ijcnn1", f"{name}.bz2", f"{URL}{name}.bz2", sha256)

    @skipped_if_not_built
    def get_data(self):
        reason = word("split", self.split, ("poster", "held_out"))
        if reason is not None:
            return dict(problem=None, reason=reason)
        paths = [fetch("ijcnn1", f"{name}.bz2", f"{URL}{name}.bz2", sha256) for name, sha256 in FILES.items()]
        train, other = (load_svmlight_file(str(path), n_features=22) for path in paths)
        train, other = ((features.toarray(), labels) for features, labels in (train, other))
        if self.split == "poster":
            splits = {"train": train, "validation": other}
        else:
            half = len(other[1]) // 2
            splits = {
                "train": train,
                "validation": tuple(a[:half] for a in other),
                "test": tuple(a[half:] for a in other),
            }
        card = Card(
            title="IJCNN1",
            formula="G = 1/n sum_i log(1 + exp(-y_i <a_i, z>)) + 1/2 sum_k exp(x_k) z_k^2, "
            "F = 1/m sum_j log(1 + exp(-y_j <a_j, z>))",
            source="LIBSVM data page, binary/ijcnn1.bz2 and binary/ijcnn1.t.bz2",
            licence="not stated by the source",
            splits={name: len(labels) for name, (_, labels) in splits.items()},
            hashes=FILES,
            notes="the random start changes with the repetition (one start for all repetitions in the published code); "
            "h has its infimum at infinity in some coordinates, so ‖grad h‖ -> 0 does not imply h -> h*",
        )
        h_star = H_STAR if self.split == "poster" else None
        problem = regularisation(
            "ijcnn1", splits, penalty=ExpRidge(1.0), init=init, card=card, outer_size=22, h_star=h_star,
        )  # fmt: skip
        return dict(problem=problem)
