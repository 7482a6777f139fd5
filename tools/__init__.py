"""Small command-line programs over the project's files and results."""

import sys


def write_utf8():
    """Let a program print every character, whatever the terminal's encoding is said to be."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")
