"""Scikit-learn's digits: 1,797 images of 8 x 8 pixels that come with the package."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

#: Number of images, pixels of an image and classes.
N_IMAGES, N_PIXELS, N_CLASSES = 1797, 64, 10

SOURCE = (
    "scikit-learn's bundled copy of the UCI Optical Recognition of Handwritten Digits data "
    "(https://archive.ics.uci.edu/dataset/80)"
)
LICENCE = "CC BY 4.0 (UCI)"


def split(seed, **sizes):
    """Return the images and labels cut into stratified random parts.

    Parameters
    ----------
    seed : int
        Seed of the cuts.
    **sizes : int
        Images of each part but the last, whose size is ignored: it takes what is left.

    Returns
    -------
    dict of str to tuple (features, labels)
        Features in 0..1, shape (n, 64), float64; labels 0..9, shape (n,), int.
    """
    rest, labels = load_digits(return_X_y=True)
    rest, parts = rest / 16, {}
    *names, last = sizes
    for name in names:
        part, rest, part_labels, labels = train_test_split(
            rest, labels, train_size=sizes[name], random_state=seed, stratify=labels
        )
        parts[name] = part, part_labels
    return parts | {last: (rest, labels)}
