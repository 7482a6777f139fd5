"""Tables of one's own: CSV, LIBSVM, NumPy and sparse files as features and labels."""

import csv
import hashlib
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.datasets import load_svmlight_file

from benchmark_utils.problem.not_built import NotBuilt

ROOT = Path(__file__).parents[2]

#: Endings of the file name -> what is read.
KINDS = ".csv, .tsv and .txt (with a header or without), .svm, .libsvm and .svmlight, .npz (NumPy or scipy.sparse)"


class Table(NamedTuple):
    """Features and labels as a file has them."""

    features: Any  # (n, p), dense or CSR
    labels: Any  # (n,), of any type
    hashes: dict  # file name -> sha256


def read_table(path, label=-1, labels=None):
    """Read a file of features and labels.

    Parameters
    ----------
    path : str or Path
        A relative path starts at the root of the project. Endings: `KINDS`.
    label : str or int
        Of text tables: the label's column, by name or by position; -1 is the last one. Of ``.npz`` files of NumPy: the
        name of its array, "y" where a position is given; the features are "X".
    labels : str or Path, optional
        ``.npy`` or text file with one label a line, for files without labels, such as those of
        ``scipy.sparse.save_npz``.

    Raises
    ------
    NotBuilt
        If the file is not there, is not of the kind its ending says, or has no such column.
    """
    path = located(path)
    readers = dict.fromkeys((".csv", ".tsv", ".txt"), _read_text)
    readers |= dict.fromkeys((".svm", ".libsvm", ".svmlight"), _read_libsvm) | {".npz": _read_npz}
    if path.suffix.lower() not in readers:
        raise NotBuilt(f"{path} ends in {path.suffix!r}; what can be read is {KINDS}.")
    try:
        features, found = readers[path.suffix.lower()](path, label if labels is None else None)
    except NotBuilt:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, pd.errors.ParserError, csv.Error) as error:
        text = " ".join(str(error).split())
        raise NotBuilt(f"{path} cannot be read as {path.suffix}: {type(error).__name__}: {text}") from error
    hashes = {path.name: digest(path)}
    if labels is not None:
        beside = located(labels)
        found = _read_labels(beside)
        hashes[beside.name] = digest(beside)
    if found is None:
        raise NotBuilt(f"{path} has no labels; pass labels=..., a .npy or text file with one label a row.")
    return Table(features, found, hashes)


def located(path):
    """Return the full path of a file that is there; a relative path starts at the root of the project."""
    path = ROOT / Path(path).expanduser()
    if not path.is_file():
        raise NotBuilt(f"there is no file {path}; put it there, or write its full path into the data set's file.")
    return path


def digest(path):
    """Return the sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_text(path, label):
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            line = file.readline()
    except UnicodeDecodeError as error:
        raise NotBuilt(f"{path} is not UTF-8 ({error}); save it again with that encoding.") from error
    separator = max(",;\t ", key=line.count)
    cells = [cell.strip().strip('"') for cell in line.strip().split(separator)]
    header = None if all(map(_is_number, cells)) else 0
    table = pd.read_csv(path, sep=separator, header=header, encoding="utf-8-sig", skipinitialspace=True)
    if table.empty:
        raise NotBuilt(f"{path} has no rows.")
    if label is None:
        return _columns_of_numbers(path, table), None
    name = _column(path, table, label)
    return _columns_of_numbers(path, table.drop(columns=name)), table[name].to_numpy()


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _column(path, table, label):
    """Return the label's column by name, or by position."""
    if label in table.columns and not (isinstance(label, int) and label < 0):
        return label
    if isinstance(label, int) and -len(table.columns) <= label < len(table.columns):
        return table.columns[label]
    names = ", ".join(map(str, table.columns[:12])) + (", …" if len(table.columns) > 12 else "")
    raise NotBuilt(f"{path} has no column {label!r}; its {len(table.columns)} columns are {names}.")


def _columns_of_numbers(path, table):
    """Return the columns as float64; a column of text is named."""
    if not len(table.columns):
        raise NotBuilt(f"{path} has no column beside the label.")
    first = table[table.columns[0]]
    if str(first.name).startswith("Unnamed") and np.array_equal(first.to_numpy(), np.arange(len(table))):
        raise NotBuilt(
            f"the first column of {path} has no name and counts the rows; write the file without it (index=False)."
        )
    for name in table.columns:
        kind = table[name].dtype
        if pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind):
            continue
        text = pd.to_numeric(table[name], errors="coerce").isna() & table[name].notna()
        shown = table[name][text].iloc[0] if text.any() else table[name].iloc[0]
        raise NotBuilt(
            f"the column {name!r} of {path} holds text, such as {shown!r}; leave it out, or encode it as numbers, "
            "with one column a category."
        )
    return table.to_numpy(dtype=np.float64)


def _read_libsvm(path, label):
    features, labels = load_svmlight_file(str(path))
    return sp.csr_array(features), labels if label is not None else None


def _read_npz(path, label):
    # Opened here: NumPy leaves a file that is cut short open.
    with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
        names = list(file)
        if "format" in names and "shape" in names:
            return sp.csr_array(sp.load_npz(path)), None
        if "X" not in names:
            raise NotBuilt(f"{path} has the arrays {', '.join(names)}; the features must be called X, the labels y.")
        key = label if isinstance(label, str) else "y"
        if label is not None and key not in names:
            raise NotBuilt(f"{path} has no array {key!r}, only {', '.join(names)}.")
        return file["X"], file[key] if label is not None else None


def _read_labels(path):
    if path.suffix.lower() == ".npy":
        try:
            return np.load(path, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise NotBuilt(f"{path} cannot be read as .npy: {error}") from error
    lines = path.read_text(encoding="utf-8-sig").split()
    return np.array(lines, float) if all(map(_is_number, lines)) else np.array(lines)
