"""Data files: found in benchopt's data path, fetched from the official source otherwise, always checked by hash."""

import bz2
import gzip
import hashlib
import time
from pathlib import Path

import pooch
from benchopt.config import get_data_path

OPENERS = {".bz2": bz2.open, ".gz": gzip.open}

#: Seconds before a download that does not answer is given up.
TIMEOUT = 10

_failed = {}  # url -> (time of the failure, sentence): one attempt a minute in one process
_checked = set()  # (path, size, mtime) of the files whose hash was right


class DataUnavailable(Exception):
    """A data set cannot be had; the message says what to put where."""


def fetch(key, filename, url, sha256, compressed=True):
    """Return the path of a data file whose content has the stated hash.

    Parameters
    ----------
    key : str
        Folder below benchopt's data path (``data_home`` or ``data_paths`` of the configuration).
    filename, url : str
        Name of the file in that folder and its official address.
    sha256 : str
        Hash of the content, decompressed if ``compressed``.
    compressed : bool
        Whether to hash the decompressed content, by the ending ``.bz2`` or ``.gz``.

    Raises
    ------
    DataUnavailable
        If the file is absent and cannot be downloaded, is cut short, or has another hash.
    """
    path = Path(get_data_path(key)) / filename
    if not path.exists():
        _download(url, path)
    stat = path.stat()
    mark = (str(path), stat.st_size, stat.st_mtime_ns)
    if mark not in _checked:
        _check(path, url, sha256, compressed)
        _checked.add(mark)
    return path


def _download(url, path):
    when, sentence = _failed.get(url, (-1e9, ""))
    if time.monotonic() - when < 60:
        raise DataUnavailable(sentence)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        downloader = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)
        pooch.retrieve(url, None, fname=path.name, path=path.parent, downloader=downloader)
    except Exception as error:  # whatever the network stack raises, the run goes on without this data set
        sentence = (
            f"{path.name} is not in {path.parent} and could not be downloaded ({type(error).__name__}); download {url} "
            f"by hand and put it at {path}, or point benchopt's data_home to a folder that has it."
        )
        _failed[url] = (time.monotonic(), sentence)
        raise DataUnavailable(sentence) from error


def _check(path, url, sha256, compressed):
    digest = hashlib.sha256()
    opener = OPENERS[path.suffix] if compressed else open
    try:
        with opener(path, "rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except (OSError, EOFError) as error:
        sentence = f"{path} is cut short or not readable ({error}); delete it and fetch {url} again."
        raise DataUnavailable(sentence) from error
    if digest.hexdigest() != sha256:
        raise DataUnavailable(
            f"{path} has sha256 {digest.hexdigest()[:12]}…, expected {sha256[:12]}…: the file was altered or is "
            f"another version; delete it and fetch {url} again."
        )
