"""The MNIST files of handwritten digits, in LeCun's idx format."""

import gzip

import numpy as np

from benchmark_utils.files.fetch import DataUnavailable, fetch

URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {  # name -> published MD5 sum of the compressed file
    "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
}

#: Mean and standard deviation of the training pixels divided by 255, as published and commonly used.
MEAN, DEVIATION = 0.1307, 0.3081


def fetch_files():
    """Return dict of file name to path; raises `DataUnavailable`."""
    return {name: fetch("mnist", name, URL + name, md5, compressed=False) for name, md5 in FILES.items()}


def load():
    """Return (train images, train labels, test images, test labels): uint8, shapes (n, 784) and (n,)."""
    images, labels, test_images, test_labels = (read_idx(path) for path in fetch_files().values())
    return images.reshape(len(images), -1), labels, test_images.reshape(len(test_images), -1), test_labels


def read_idx(path):
    """Read an array of unsigned bytes from a gzipped idx file."""
    with gzip.open(path, "rb") as file:
        content = file.read()
    n_axes = content[3]
    shape = np.frombuffer(content, ">i4", n_axes, 4)
    if content[:3] != b"\0\0\x08" or len(content) != 4 + 4 * n_axes + int(np.prod(shape)):
        raise DataUnavailable(f"{path} is not an idx file of bytes, or its size is not what its header says.")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * n_axes).reshape(shape)
