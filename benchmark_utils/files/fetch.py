"""Data files: found in benchopt's data path, fetched from the official source otherwise, always checked by hash."""

import bz2
import gzip
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

from benchopt.config import get_data_path
from filelock import FileLock
from tqdm import tqdm

from benchmark_utils.problem.not_built import NotBuilt

OPENERS = {".bz2": bz2.open, ".gz": gzip.open}

#: Seconds before a download that does not answer is given up.
TIMEOUT = 10

_failed = {}  # url -> (time of the failure, sentence): one attempt a minute in one process
_checked = set()  # (path, size, mtime) of the files whose hash was right

_ELSEWHERE = "set BENCHOPT_DATA_HOME, or data_home in benchopt's configuration, to a folder that can be used"


class DataUnavailable(NotBuilt):
    """A data set cannot be had; the message says what to put where."""


def folder_of(key):
    """Return the folder with the files of a data set, below benchopt's data home."""
    return Path(get_data_path(key))


def fetch(key, filename, url, digest, compressed=True, content_hash=None, archive_digest=None):
    """Return the path of a data file whose content has the stated hash.

    Parameters
    ----------
    key : str
        Folder below benchopt's data path (``data_home`` or ``data_paths`` of the configuration).
    filename, url : str
        Name of the file in that folder and its official address.
    digest : str
        Hash of the content, decompressed if ``compressed``: a sha256, or ``"md5:..."``.
    compressed : bool
        Whether to hash the decompressed content, by the ending ``.bz2`` or ``.gz``.
    content_hash : callable or None
        ``content_hash(path) -> str`` replaces the hash of the file's bytes, for archives that exist in several
        packings of one content.
    archive_digest : str or None
        Published sha256 of the file as it is downloaded; a file that has it needs no look at its content.

    Raises
    ------
    DataUnavailable
        If the file is absent and cannot be downloaded, is cut short, or has another hash.
    """
    path = folder_of(key) / filename
    if content_hash is None:
        content_hash = lambda path: _hash(path, digest, OPENERS[Path(filename).suffix] if compressed else open)

    def fault(path):
        """Return None, or what is wrong with a file."""
        try:
            if archive_digest is not None and _hash(path, archive_digest, open) == archive_digest:
                return None
            found = content_hash(path)
        except (OSError, EOFError, zlib.error) as error:
            return f"is cut short or not readable ({error})"
        kind, expected = _split(digest)
        state = f"has {kind} {_split(found)[1][:12]}…, expected {expected[:12]}…"
        return None if found == digest else f"{state}: the file was altered or is another version"

    try:
        if not path.exists():
            _download(url, path, fault)
        stat = path.stat()
    except OSError as error:
        raise DataUnavailable(f"{path} cannot be read ({error}); {_ELSEWHERE}.") from error
    mark = (str(path), stat.st_size, stat.st_mtime_ns)
    if mark not in _checked:
        wrong = fault(path)
        if wrong is not None:
            raise DataUnavailable(f"{path} {wrong}; delete it and fetch {url} again.")
        _checked.add(mark)
    return path


def _split(digest):
    return tuple(digest.split(":", 1)) if ":" in digest else ("sha256", digest)


def _hash(path, digest, opener):
    """Return the hash of a file in the notation of ``digest``."""
    kind, _ = _split(digest)
    state = hashlib.new(kind)
    with opener(path, "rb") as file:
        while piece := file.read(1 << 20):
            state.update(piece)
    return f"{kind}:{state.hexdigest()}" if ":" in digest else state.hexdigest()


# ---------------------------------------------------------------------- downloads
def _download(url, path, fault):
    when, sentence = _failed.get(url, (-1e9, ""))
    if time.monotonic() - when < 60:
        raise DataUnavailable(sentence)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several processes may want the file: one fetches it, the others wait and find it there.
        with FileLock(path.with_name(f".{path.name}.lock")):
            if not path.exists():
                download(url, path, fault)
        return
    except PermissionError as error:
        cause, sentence = error, f"{path} is not there and cannot be written ({error}); {_ELSEWHERE}."
    except DataUnavailable as error:
        cause, sentence = error, str(error)
    except Exception as error:  # whatever the network stack raises, the run goes on without this data set
        cause, sentence = (
            error,
            (
                f"{path.name} is not in {path.parent} and could not be downloaded ({type(error).__name__}: {error}); "
                f"download {url} by hand and put it at {path}, or point benchopt's data_home to a folder that has it."
            ),
        )
    _failed[url] = (time.monotonic(), sentence)
    raise DataUnavailable(sentence) from cause


def download(url, path, fault):
    """Fetch ``url`` to ``path`` with a progress bar; a broken download is taken up again where it stopped.

    What has arrived so far is kept beside ``path`` with the ending ``.part``, in this call and between calls. A
    file that was put together from pieces and is wrong is fetched once more as a whole.

    Parameters
    ----------
    url : str
    path : Path
    fault : callable
        ``fault(part) -> str or None`` says what is wrong with the complete file.

    Raises
    ------
    DataUnavailable
        If what the server sends is not the right file; it is not kept.
    OSError, http.client.HTTPException
        If the connection fails and nothing more comes.
    """
    part = path.with_name(f"{path.name}.part")
    for _ in range(2):
        in_pieces = _receive_all(url, part, path.name)
        wrong = fault(part)
        if wrong is None:
            os.replace(part, path)
            return
        part.unlink()
        if not in_pieces:
            break
    raise DataUnavailable(
        f"what {url} sends {wrong}; get {path.name} elsewhere and put it at {path}, or run again later."
    )


def _receive_all(url, part, name):
    """Bring ``part`` to its full length; return whether it came in several pieces, those of earlier calls included."""
    in_pieces = _size(part) > 0
    while True:
        size = _size(part)
        try:
            _receive(url, part, name)
            return in_pieces
        except (OSError, http.client.HTTPException):
            if _size(part) <= size:  # nothing came: no use in asking again
                raise
            in_pieces = True


def _size(path):
    return path.stat().st_size if path.exists() else 0


def _receive(url, part, name):
    """Append to ``part`` what is missing of it; raise if the connection ends early."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing beyond what is here
            raise
        if error.headers.get("Content-Range", "").endswith(f"/{have}"):
            return
        part.unlink()
        answer = urllib.request.urlopen(url, timeout=TIMEOUT)
    with answer:
        if not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have = 0  # the server sends the whole file
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        bar = tqdm(desc=name, total=total, initial=have, unit="B", unit_scale=True, unit_divisor=1024)
        with bar, open(part, "ab" if have else "wb") as file:
            while piece := answer.read1(1 << 16):
                file.write(piece)
                bar.update(len(piece))
    if total is not None and _size(part) < total:
        raise ConnectionError(f"the connection ended after {_size(part)} of {total} bytes")
