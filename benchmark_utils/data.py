"""Data files: found in benchopt's data path, fetched from the official source otherwise, always checked by hash."""

import bz2
import gzip
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchopt.config import get_data_path
from tqdm import tqdm

OPENERS = {".bz2": bz2.open, ".gz": gzip.open}

#: Seconds before a download that does not answer is given up.
TIMEOUT = 10

_failed = {}  # url -> (time of the failure, sentence): one attempt a minute in one process
_checked = set()  # (path, size, mtime) of the files whose hash was right


class DataUnavailable(Exception):
    """A data set cannot be had; the message says what to put where."""


def fetch(key, filename, url, digest, compressed=True, content_hash=None):
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

    Raises
    ------
    DataUnavailable
        If the file is absent and cannot be downloaded, is cut short, or has another hash.
    """
    path = Path(get_data_path(key)) / filename
    if content_hash is None:
        content_hash = lambda path: _hash(path, digest, OPENERS[Path(filename).suffix] if compressed else open)

    def check(path, name):
        try:
            found = content_hash(path)
        except (OSError, EOFError) as error:
            sentence = f"{name} is cut short or not readable ({error}); delete it and fetch {url} again."
            raise DataUnavailable(sentence) from error
        if found != digest:
            kind, expected = _split(digest)
            raise DataUnavailable(
                f"{name} has {kind} {_split(found)[1][:12]}…, expected {expected[:12]}…: the file was altered or is "
                f"another version; delete it and fetch {url} again."
            )

    if not path.exists():
        _download(url, path, check)
    stat = path.stat()
    mark = (str(path), stat.st_size, stat.st_mtime_ns)
    if mark not in _checked:
        check(path, path)
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
def _download(url, path, check):
    when, sentence = _failed.get(url, (-1e9, ""))
    if time.monotonic() - when < 60:
        raise DataUnavailable(sentence)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        download(url, path, check)
    except DataUnavailable:
        raise
    except Exception as error:  # whatever the network stack raises, the run goes on without this data set
        sentence = (
            f"{path.name} is not in {path.parent} and could not be downloaded ({type(error).__name__}); download {url} "
            f"by hand and put it at {path}, or point benchopt's data_home to a folder that has it."
        )
        _failed[url] = (time.monotonic(), sentence)
        raise DataUnavailable(sentence) from error


def download(url, path, check):
    """Fetch ``url`` to ``path`` with a progress bar; a broken download is taken up again where it stopped.

    What has arrived so far is kept beside ``path`` with the ending ``.part``, in this call and between calls. A
    process works on a part of its own, so that two of them never write to one file. ``check(part, name)`` raises
    if the complete file is not the right one; it is then removed.
    """
    kept = path.with_name(f"{path.name}.part")
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    _take_over(kept, part)
    try:
        size = -1
        while True:
            try:
                _receive(url, part, path.name)
                break
            except (OSError, http.client.HTTPException):
                if _size(part) <= max(size, 0):  # nothing came: no use in asking again
                    raise
                size = _size(part)
        try:
            check(part, f"what {url} sent")
        except Exception:
            part.unlink()
            raise
        os.replace(part, path)
    finally:
        if part.exists():
            os.replace(part, kept)


def _take_over(kept, part):
    """Rename to ``part`` what an earlier attempt has left, if no other process is at work on it."""
    base = kept.name.removesuffix(".part")
    # A live download writes, or gives up, within the time-out: a part that is older has lost its process.
    orphans = [p for p in kept.parent.glob(f"{base}.*.part") if time.time() - p.stat().st_mtime > 2 * TIMEOUT]
    for candidate in (kept, *orphans):
        try:
            os.rename(candidate, part)
            return
        except FileNotFoundError:
            pass


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
            while piece := answer.read(1 << 16):
                file.write(piece)
                bar.update(len(piece))
    if total is not None and _size(part) < total:
        raise ConnectionError(f"the connection ended after {_size(part)} of {total} bytes")
