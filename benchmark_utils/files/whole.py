"""Files that are never torn: written beside their place and renamed."""

import contextlib
import glob
import os


@contextlib.contextmanager
def replacing(path):
    """Give a path beside ``path`` to write to, and put the file there in its place at the end; none is left on errors.

    Whoever reads ``path`` meanwhile finds the old file or the new one, whole.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def delete_torn(path):
    """Delete what processes that were killed while they wrote a file have left beside it."""
    for torn in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        torn.unlink(missing_ok=True)


def write_whole(path, text):
    """Write a text of UTF-8 to a file."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")
