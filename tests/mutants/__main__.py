"""Plant the faults one at a time and say which of them the tests see.

Usage: python -m tests.mutants [--jobs N] [--list] [names...]

Each list of tests runs once on a clean copy first, where it must be green. One line a fault: red
(seen), GREEN (not seen), or why nothing can be said. The exit status is 1 unless all were seen
whose tests run here; tests that are skipped for want of data say nothing.
"""

import argparse
import collections
import sys
import tempfile
import time
from pathlib import Path

from . import FAULTS
from .copies import ROOT, import_frameworks, make_copy, run_all


def chosen(names):
    """Return the faults that names stand for; ends with a sentence where one stands for none."""
    for name in names:
        if not any(fault.name.startswith(name) for fault in FAULTS):
            raise SystemExit(f"no fault is called {name}; --list shows all.")
    return [f for f in FAULTS if not names or f.name.startswith(tuple(names))]


def one_line(text):
    """Return a text without its line breaks."""
    return " ".join(text.split())


def told(fault, clean, outcome=None):
    """Return (status, sentence) of a fault from the clean run of its tests and its own run."""
    if clean.status == "skipped":
        return "skipped", f"`{fault.tests}` is skipped here"
    if clean.status != "green":
        return "BROKEN", f"`{fault.tests}` is {clean.status} without the fault"
    if outcome.status in ("red", "green"):
        return outcome.status.replace("green", "GREEN"), f"{fault.file}: {one_line(fault.new)}"
    return "BROKEN", f"`{fault.tests}` is {outcome.status} with the fault"


def main(arguments=None):
    """Run the faults and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="faults, or beginnings of their names")
    parser.add_argument("--jobs", type=int, default=1, choices=(1, 2), help="runs at a time")
    parser.add_argument("--list", action="store_true", help="name the faults and run nothing")
    parser.add_argument("--output", action="store_true", help="show what pytest said where not red")
    given = parser.parse_args(arguments)
    faults = chosen(given.names)
    if given.list:
        print("\n".join(f"{f.name:44} {f.file}: {one_line(f.new)}" for f in faults))
        return 0
    gone = [sentence for f in faults if (sentence := f.why_not_planted(ROOT))]
    if gone:
        print("\n".join(gone))
        return 1
    began = time.monotonic()
    import_frameworks()
    with tempfile.TemporaryDirectory(prefix="mutants_") as folder:
        copies = [make_copy(Path(folder) / f"copy_{k}") for k in range(given.jobs)]
        counts = run(faults, copies, given.output)
    total = ", ".join(f"{number} {status}" for status, number in counts.items())
    print(f"\n{len(faults)} faults in {time.monotonic() - began:.0f} s: {total}")
    return int(bool(counts["GREEN"] or counts["BROKEN"]))


def run(faults, copies, show):
    """Run the clean targets and the faults, print a line for each, and return the counts."""
    clean, counts = {}, collections.Counter()

    def line(fault, outcome=None):
        status, sentence = told(fault, clean[fault.tests], outcome)
        counts[status] += 1
        seconds = outcome.seconds if outcome else 0.0
        print(f"{status:8}{seconds:6.1f} s  {fault.name:44}  {sentence}", flush=True)
        if show and status != "red":
            print((outcome or clean[fault.tests]).output)

    targets = dict.fromkeys(fault.tests for fault in faults)
    for tests, outcome in run_all([(tests, tests, None) for tests in targets], copies):
        clean[tests] = outcome
        if outcome.status != "green":
            print(f"clean copy: `{tests}` is {outcome.status}", flush=True)
    rest = []
    for fault in faults:
        if clean[fault.tests].status == "green":
            rest.append((fault, fault.tests, fault))
        else:
            line(fault)
    for fault, outcome in run_all(rest, copies):
        line(fault, outcome)
    return counts


if __name__ == "__main__":
    sys.exit(main())
