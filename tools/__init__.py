"""Small command-line programs over the project's files and results."""

import os
import sys


def write_utf8():
    """Let a program print every character, whatever the terminal's encoding is said to be."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")


def write_whole(path, text):
    """Write a text beside its file and rename it: whoever reads the file finds the old text or the new one, whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
