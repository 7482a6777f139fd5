import gzip

import numpy as np
from benchopt import BaseDataset
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmark_utils.builders.classification import regularisation
from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.files.fetch import fetch
from benchmark_utils.files.labels import one_hot
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.parameters import NumericParameters, seed
from benchmark_utils.terms.penalties import ExpRidge

FILE = {
    "key": "covtype",
    "filename": "covtype.data.gz",
    "url": "https://ndownloader.figshare.com/files/5976039",  # scikit-learn's copy
    "digest": "0a9371cef7c964b5475d6053cc3e0894a5aa6f65ad1ed3ecb01c45aa96217945",  # of the decompressed text
    "archive_digest": "614360d0257557dd1792834a85a1cdebfadc3c4f30b011d56afee7ffb5b15771",  # published, of the .gz
}
FEATURES, CLASSES = 54, 7


def read():
    """Return (features, labels 0..6) in the order of the file: float64 (581012, 54), int (581012,)."""
    with gzip.open(fetch(**FILE), "rb") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.int16)
    return table[:, :FEATURES].astype(np.float64), table[:, FEATURES].astype(int) - 1


class Dataset(NumericParameters, BaseDataset):
    """Forest cover types: per-class ridge penalties of a multinomial logistic regression, 54 features, 7 classes.

    A fifth of the rows is test, a fifth of the rest outer, the other 371,847 inner; features are scaled by the
    inner rows' mean and deviation. No intercept. The split of the published benchmark is that of seed 2442.
    """

    name = "covtype"
    parameters = {"seed": [2442]}
    requirements = ["numpy", "scikit-learn", "filelock", "tqdm"]

    def prepare(self):
        fetch(**FILE)

    @skipped_if_not_built
    def get_data(self):
        reason = seed("seed", self.seed)
        if reason is not None:
            return dict(problem=None, reason=reason)
        features, labels = read()
        stream = np.random.RandomState(self.seed)  # both splits from one legacy stream, as published
        rest, test, y_rest, y_test = train_test_split(features, labels, test_size=0.2, random_state=stream)
        train, val, y_train, y_val = train_test_split(rest, y_rest, test_size=0.2, random_state=stream)
        scale = StandardScaler().fit(train).transform
        splits = {
            "train": (scale(train), one_hot(y_train, CLASSES)),
            "validation": (scale(val), one_hot(y_val, CLASSES)),
            "test": (scale(test), one_hot(y_test, CLASSES)),
        }
        card = Card(
            title="Covtype",
            formula="G = 1/n sum_i CE(z; a_i, y_i) + 1/2 sum_c exp(x_c) ‖z_c‖^2, F = 1/m sum_j CE(z; a_j, y_j)",
            source="UCI Machine Learning Repository, Covertype; scikit-learn's copy (`sklearn.datasets.fetch_covtype`)",
            licence="CC BY 4.0 (UCI)",
            splits={name: len(y) for name, (_, y) in splits.items()},
            hashes={"covtype.data.gz": FILE["archive_digest"], "covtype.data": FILE["digest"]},
        )
        problem = regularisation(
            "covtype", splits, penalty=ExpRidge(1.0, per="class"), outer_size=CLASSES, n_classes=CLASSES, card=card,
            init=lambda rng: (np.zeros(FEATURES * CLASSES), np.full(CLASSES, -2.0)), data_seed=self.seed,
            reference_tolerance=1e-10, adjoint_tolerance=1e-8, checkpoints_per_octave=2.0, max_checkpoints=40,
        )  # fmt: skip
        return dict(problem=problem)
