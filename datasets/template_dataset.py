from benchopt import BaseDataset

from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.builders.own_data import penalty_selection
from benchmark_utils.files.tables import read_table
from benchmark_utils.problem.parameters import NumericParameters, seed

# Your file: CSV (with a header or without), LIBSVM (.svm), NumPy (.npz with X and y) or a sparse
# matrix saved by scipy.sparse.save_npz. A relative path starts at the root of the project.
FILE = "data/mine.csv"
# The label's column, by name or position (-1: the last); of an .npz file, the name of its array.
# Labels in a file of their own: read_table(FILE, labels="data/labels.npy").
LABEL = -1


class Dataset(NumericParameters, BaseDataset):
    """My data: one ridge penalty a feature of a logistic or multinomial regression is learned.

    Say here what the rows and the labels are and where they come from.
    """

    name = "template"  # your name for it, used by no other data set
    # Every value is part of the result's name: `-d "template[seed=[0,1,2]]"` runs three splits.
    parameters = {"seed": [0]}
    requirements = ["numpy", "scipy", "scikit-learn", "pandas"]

    # What cannot be built (no file, text in a column, a NaN, one class only) is skipped with a
    # sentence, and no other data set's results are lost.
    @skipped_if_not_built
    def get_data(self):
        reason = seed("seed", self.seed)  # a sentence, or None: before the file is read
        if reason is not None:
            return dict(problem=None, reason=reason)
        table = read_table(FILE, label=LABEL)
        problem = penalty_selection(
            self.name,
            table.features,
            table.labels,
            # 60 % of each class is inner (G), 20 % outer (F) and 20 % test.
            validation=0.2,
            test=0.2,
            scale=True,
            seed=self.seed,
            card={"source": "where the file comes from", "hashes": table.hashes},
        )
        return dict(problem=problem)
