"""Images by class for few-shot learning: Omniglot, miniImageNet and FC100, from the files in which they are published.

Each loader returns dict of "train", "validation" and "test" to ``(images, labels)``: bytes of shape
(n, side, side, channels), and whole numbers of shape (n,). No class is in two of the parts.
"""

import functools
import io
import pickle
import tarfile
import zipfile

import numpy as np
from PIL import Image

from benchmark_utils.files.fetch import DataUnavailable, fetch, folder_of

#: Omniglot as its authors publish it (105 x 105): the MD5 sums are torchvision's.
OMNIGLOT_URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
OMNIGLOT_FILES = {
    "images_background.zip": "md5:68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation.zip": "md5:6b91aef0f799c5bb55b94e3f2daec811",
}
#: The same images, resized to 28 x 28, in one archive: used where it is there.
OMNIGLOT_RESIZED = "omniglot_resized.tar.gz"
OMNIGLOT_RESIZED_HASH = "d818a0010fc0621591966142986d27df9663acabce78b56b10826b5564ceb4bc"
#: Pixels of a side, drawings of a character, and characters of the three parts.
SIDE, DRAWINGS = 28, 20
CHARACTERS = {"train": 1100, "validation": 100, "test": 423}

#: The files of Ren et al. (ICLR 2018) with the classes of Ravi and Larochelle; the MD5 sums are PaddleFSL's.
MINI_FILES = {
    "train": ("mini-imagenet-cache-train.pkl", "md5:069993a77e65a83bbf8f8de4c9dcca68"),
    "validation": ("mini-imagenet-cache-val.pkl", "md5:f87ddf9b5211920dd73520274371eb6a"),
    "test": ("mini-imagenet-cache-test.pkl", "md5:12158d649fd08945294de4ad38cda81d"),
}
MINI_SOURCE = "https://github.com/renmengye/few-shot-ssl-public"

#: The files of Lee et al. (MetaOptNet); the MD5 sums are PaddleFSL's.
FC100_FILES = {
    "train": ("FC100_train.pickle", "md5:1a740ab9aa52ed9397704b38ea19cc6e"),
    "validation": ("FC100_val.pickle", "md5:1968510800c5d75a96ca948572cc4dfc"),
    "test": ("FC100_test.pickle", "md5:c2dc7b564f5576cf3f04bf0f39ecc9ff"),
}
FC100_SOURCE = "https://github.com/kjunelee/MetaOptNet"


# ---------------------------------------------------------------------- Omniglot
def omniglot(seed):
    """Return Omniglot, 1,623 characters drawn by 20 people, strokes 255; characters are dealt out by ``seed``.

    Raises
    ------
    DataUnavailable
    """
    characters = read_drawings(*omniglot_files())
    few = {name: len(images) for name, images in characters.items() if len(images) != DRAWINGS}
    if len(characters) != sum(CHARACTERS.values()) or few:
        raise DataUnavailable(
            f"the Omniglot files have {len(characters)} characters, {len(few)} of them not drawn {DRAWINGS} times; "
            f"expected {sum(CHARACTERS.values())} with {DRAWINGS} drawings each: delete the files and fetch them again."
        )
    images = [characters[name] for name in sorted(characters)]
    order, out, first = np.random.default_rng(seed).permutation(len(images)), {}, 0
    for part, count in CHARACTERS.items():
        chosen = order[first : first + count]
        out[part] = np.concatenate([images[k] for k in chosen]), np.repeat(chosen, DRAWINGS)
        first += count
    return out


def omniglot_files():
    """Return the paths of the archives: the resized one where it is there, else the two of the authors."""
    if (folder_of("omniglot") / OMNIGLOT_RESIZED).exists():
        return [fetch("omniglot", OMNIGLOT_RESIZED, OMNIGLOT_URL, OMNIGLOT_RESIZED_HASH, compressed=False)]
    return [
        fetch("omniglot", name, OMNIGLOT_URL + name, digest, compressed=False)
        for name, digest in OMNIGLOT_FILES.items()
    ]


@functools.lru_cache(maxsize=1)
def read_drawings(*paths):
    """Return dict of "alphabet/character" to bytes of shape (drawings, 28, 28, 1), from archives of PNG files.

    Larger images are resized by taking the nearest pixel, which is what Pillow does with images of one bit and how the
    archive of 28 x 28 pixels was made.
    """
    out = {}
    for path in paths:
        for name, content in _members(path):
            if name.endswith(".png"):
                out.setdefault("/".join(name.split("/")[-3:-1]), {})[name.split("/")[-1]] = _drawing(content)
    return {name: np.stack([drawings[k] for k in sorted(drawings)]) for name, drawings in out.items()}


def _members(path):
    """Yield (name, content) of the files of a .zip or .tar.gz archive."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if not name.endswith("/"):
                    yield name, archive.read(name)
        return
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile():
                yield member.name, archive.extractfile(member).read()


def _drawing(content):
    """Return a PNG of dark strokes as bytes of shape (28, 28, 1), strokes 255."""
    image = Image.open(io.BytesIO(content))
    if image.size != (SIDE, SIDE):
        image = image.convert("1").resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return 255 - np.asarray(image.convert("L"))[:, :, None]


# ---------------------------------------------------------------------- pickles of arrays
class _ArraysOnly(pickle.Unpickler):
    """A pickle may run anything; this one makes arrays and plain containers."""

    def find_class(self, module, name):
        if (module.startswith("numpy") and name in ("_reconstruct", "ndarray", "dtype", "_frombuffer")) or (
            (module, name) == ("_codecs", "encode")
        ):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no array")


def read_pickle(path):
    """Return the dict in a pickle of arrays, of Python 2 or 3; raises `DataUnavailable` for anything else."""
    try:
        with open(path, "rb") as file:
            content = _ArraysOnly(file, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError) as error:
        raise DataUnavailable(f"{path} is no pickle of arrays ({error}); delete it and get it again.") from error
    return {k.decode() if isinstance(k, bytes) else k: v for k, v in content.items()}


def mini_imagenet(files=None):
    """Return miniImageNet, 64, 16 and 20 classes of 600 images, 84 x 84 x 3.

    A file is a pickle of a dict: "image_data", bytes of shape (n, 84, 84, 3), and "class_dict", dict of class to the
    numbers of its images.

    Parameters
    ----------
    files : dict of str to (str, str), optional
        Part to the name of its file and its hash; those of the published files where left out.
    """
    out, first = {}, 0
    for part, (name, digest) in (files or MINI_FILES).items():
        content = read_pickle(_by_hand("miniimagenet", name, digest, MINI_SOURCE))
        images, members = np.asarray(content["image_data"]), content["class_dict"]
        labels = np.full(len(images), -1)
        for k, ids in enumerate(members.values(), start=first):
            labels[np.asarray(ids, int)] = k
        first += len(members)
        out[part] = _checked(name, images, labels)
    return out


def fc100(files=None):
    """Return FC100 (CIFAR-100's superclasses dealt out), 60, 20 and 20 classes of 600 images, 32 x 32 x 3.

    A file is a pickle of a dict: "data", bytes of shape (n, 32, 32, 3), and "labels", one whole number an image.

    Parameters
    ----------
    files : dict of str to (str, str), optional
        As of `mini_imagenet`.
    """
    out = {}
    for part, (name, digest) in (files or FC100_FILES).items():
        content = read_pickle(_by_hand("fc100", name, digest, FC100_SOURCE))
        out[part] = _checked(name, np.asarray(content["data"]), np.asarray(content["labels"], int))
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if set(out[one][1]) & set(out[other][1]):
            raise DataUnavailable(f"the parts {one} and {other} of FC100 share classes; get its files again.")
    return out


def _checked(name, images, labels):
    if images.dtype != np.uint8 or images.ndim != 4 or labels.shape != (len(images),) or (labels < 0).any():
        raise DataUnavailable(
            f"{name} holds {images.dtype} images of shape {images.shape} and {labels.shape[0]} labels, "
            f"{int((labels < 0).sum())} of them missing; expected bytes of shape (n, side, side, channels) with a "
            "label each."
        )
    return images, labels


def _by_hand(key, name, digest, source):
    """Return the path of a file that users fetch themselves: its hosts ask a person for a confirmation."""
    path = folder_of(key) / name
    if not path.exists():
        raise DataUnavailable(
            f"{path} is not there, and it cannot be fetched by a program; follow the link to it at {source} and put it "
            "there, or set BENCHOPT_DATA_HOME, or data_home in benchopt's configuration, to a folder that has it."
        )
    return fetch(key, name, source, digest, compressed=False)
