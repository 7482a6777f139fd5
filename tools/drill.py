"""Kill `benchopt run` at random moments, and plant other faults, and count the curves that are lost or doubled.

    python -m tools.drill [--kills 50] [--faults NAME ...] [--seed 0]        # some ten minutes on a busy core

In a copy of the benchmark with a few small runs, every row of which is written down. Each kill falls at a random
moment of a run of the same command, which goes on with what the one before has left; whenever all curves are there,
they are compared with those of a run that was left alone, and it begins anew. After each of the other faults the
curves that had finished must be in the file that the sentence on the screen, or the next run, leads to.
"""

import argparse
import contextlib
import difflib
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchopt.cli import benchopt
from benchopt.results import read_results

from benchmark_utils.backends import MODULES
from tools import guarded, write_utf8
from tools.benchmark_copy import Copy, text_of

#: Six curves; budgets in samples, so that the rows of every run are the same.
RUN = [
    "run", ".", "-d", "simulated", "-o", "Bilevel[max_samples=60000,max_seconds=inf]", "--output", "drill",
    "-s", "SOBA[backend=torch,batch_size=64,step_size=[0.01,0.015,0.02,0.025,0.03,0.035]]", "--no-display",
]  # fmt: skip

#: What benchopt prints where a curve has finished.
DONE = "mdone"

#: What tells curves and rows apart, and what two runs of the same command share.
CURVE, ROW, SAME = (
    ["solver_name", "idx_rep"],
    "stop_val",
    ["objective_value", "objective_n_samples", "objective_n_iter"],
)


def guarded_main(arguments):
    """Run a command as `python -m tools.guarded` does, without collecting by itself."""
    sys.exit(guarded.main(arguments))


def curves(path):
    """Return dict of curve to its rows, as text."""
    df = read_results(path)
    return {key: rows[[ROW, *SAME]].to_csv(index=False) for key, rows in df.groupby(CURVE, sort=True)}


def count(found, expected):
    """Return (lost, doubled): curves that are absent or other than expected; rows that are there twice."""
    lost = sum(found.get(key) != rows for key, rows in expected.items())
    doubled = sum(len(rows.splitlines()) - len(set(rows.splitlines())) for rows in found.values())
    return lost, doubled + len(set(found) - set(expected))


def differences(found, expected):
    """Return a text that shows how curves differ from those expected."""
    lines = []
    for key, rows in expected.items():
        if key not in found:
            lines.append(f"{key} is absent")
        elif found[key] != rows:
            lines += [str(key), *difflib.unified_diff(rows.splitlines(), found[key].splitlines(), lineterm="", n=0)]
    return "\n".join(lines)


def stop(process, number, group=True):
    """Send a signal, unless the process has ended; return whether it was sent."""
    if not process.is_alive():
        return False
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(process.pid, number)
    return True


def kill_at_random(copy, expected, n_kills, seconds, seed, report):
    """Kill ``n_kills`` runs within ``seconds`` of their start; return (lost, doubled)."""
    rng, kills, total = random.Random(seed), 0, [0, 0]
    while kills < n_kills:
        copy.forget()
        had = 0
        while not copy.results():
            process = copy.start([*RUN, "--no-plot"])
            if kills < n_kills:
                process.join(rng.uniform(0, seconds))
                kills += stop(process, signal.SIGKILL)
            process.join()
            printed = text_of(process.log)
            cached, done = printed.count("(cached)"), printed.count(DONE)
            if process.exitcode == 0 and cached < had:
                report(f"curves that had finished were run again: {had} finished, {cached} in the cache")
                total[0] += had - cached
            had = max(had, done)
        found = copy.results()
        assert len(found) == 1, found
        lost, doubled = count(curves(found[0]), expected)
        left = list((copy.folder / "__cache__" / "unfinished_runs").glob("*"))
        report(f"{kills:3} kills: lost {lost}, doubled {doubled}, files left by the journal {len(left)}")
        if lost + doubled:
            report(f"{differences(curves(found[0]), expected)}\n{text_of(process.log)[-3000:]}")
        total = [total[0] + lost, total[1] + doubled + len(left)]
    return total


def wait_for(process, text, times=1):
    """Wait until a process has printed a text some times, or has ended."""
    while process.is_alive() and (not process.log.exists() or text_of(process.log).count(text) < times):
        time.sleep(0.01)


def collected(copy, printed, expected):
    """Return (lost, doubled) of what the sentence of a run that ended early leads to."""
    if "--collect" not in printed:
        return len(expected), 0
    done = printed.count(DONE)
    if not copy.results():
        copy.run([*RUN, "--no-plot", "--collect"])
    found = curves(copy.results()[-1]) if copy.results() else {}
    changed, doubled = count(found, {key: expected[key] for key in found})
    return changed + max(0, done - len(found)), doubled


def interrupted(number, main=benchopt, jobs=()):
    """Return a fault: a signal after two curves have finished."""

    def fault(copy, expected):
        process = copy.start([*RUN, "--no-plot", *jobs], main=main)
        wait_for(process, DONE, 2)
        stop(process, number, group=False)
        process.join()
        return collected(copy, text_of(process.log), expected)

    return fault


def worker_killed(copy, expected):
    """Kill a worker of loky after two curves have finished."""
    import psutil

    process = copy.start([*RUN, "--no-plot", "-j", "2"])
    wait_for(process, DONE, 2)
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        for child in children:
            if "loky" in " ".join(child.cmdline()) and "resource_tracker" not in " ".join(child.cmdline()):
                child.kill()
                break
    process.join()
    return collected(copy, text_of(process.log), expected)


def disk_full_at_the_end(copy, expected):
    """Let the result file be too large for the disk; what is cached, a curve a file, is not."""
    return collected(copy, copy.run([*RUN, "--no-plot"], largest=40_000), expected)


def disk_full_when_plotting(arguments, main):
    """Return a fault: the result file is written again, by a plot, on a full disk."""

    def fault(copy, expected):
        copy.run([*RUN, "--no-plot"])
        (path,) = copy.results()
        copy.run(arguments, main=main, largest=path.stat().st_size // 2)
        return count(curves(path), expected)

    return fault


def outputs_not_writable(copy, expected):
    """Let outputs/ be a folder that nobody can write to: the run must not begin."""
    (copy.folder / "outputs").symlink_to("/proc")
    printed = copy.run([*RUN, "--no-plot"])
    begun = "cannot be written to" not in printed or printed.count(DONE) or "Traceback" in printed
    copy.forget()
    copy.run([*RUN, "--no-plot"])
    lost, doubled = count(curves(copy.results()[0]), expected)
    return lost + bool(begun), doubled


def outputs_missing(copy, expected):
    """Delete outputs/ while the run is under way."""
    process = copy.start([*RUN, "--no-plot"])
    wait_for(process, DONE, 2)
    shutil.rmtree(copy.folder / "outputs", ignore_errors=True)
    process.join()
    if copy.results():
        return count(curves(copy.results()[0]), expected)
    return collected(copy, text_of(process.log), expected)


def two_at_once(copy, expected):
    """Run the same command twice at the same time."""
    processes = [copy.start([*RUN, "--no-plot"]) for _ in range(2)]
    for process in processes:
        process.join()
    found = [count(curves(path), expected) for path in copy.results()]
    return sum(lost for lost, _ in found) + len(expected) * (2 - len(found)), sum(doubled for _, doubled in found)


FAULTS = {
    "SIGINT": interrupted(signal.SIGINT),
    "SIGTERM": interrupted(signal.SIGTERM),
    "SIGTERM, two workers": interrupted(signal.SIGTERM, jobs=("-j", "2")),
    "a worker killed": worker_killed,
    "disk full when the result is written": disk_full_at_the_end,
    "disk full in `benchopt run`, when it plots": disk_full_when_plotting(RUN, benchopt),
    "disk full in `tools.guarded plot`": disk_full_when_plotting(["plot", ".", "--no-display"], guarded_main),
    "outputs/ cannot be written to": outputs_not_writable,
    "outputs/ deleted": outputs_missing,
    "two runs at once": two_at_once,
}


def main(kills, faults, seed=0, report=print):
    """Do the drill and return (lost, doubled)."""
    importlib.import_module(f"benchmark_utils.backends.{MODULES['torch']}")  # once, for all processes that are forked
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        copy = Copy(Path(folder))
        began = time.perf_counter()
        printed = copy.run([*RUN, "--no-plot"])
        seconds = time.perf_counter() - began
        assert copy.results(), printed
        expected = curves(copy.results()[0])
        report(f"{len(expected)} curves, {seconds:.1f} s where nothing goes wrong")
        total = kill_at_random(copy, expected, kills, seconds, seed, report)
        for name in faults:
            copy.forget()
            lost, doubled = FAULTS[name](copy, expected)
            report(f"{name}: lost {lost}, doubled {doubled}")
            total = [total[0] + lost, total[1] + doubled]
    return tuple(total)


if __name__ == "__main__":
    write_utf8()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--faults", nargs="*", choices=FAULTS, default=list(FAULTS), metavar="NAME",
                        help="; ".join(FAULTS).replace("%", "%%"))  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    n_lost, n_doubled = main(options.kills, options.faults, options.seed)
    print(f"{options.kills} kills and {len(options.faults)} other faults: "
          f"{n_lost} curves lost, {n_doubled} doubled")  # fmt: skip
    sys.exit(n_lost + n_doubled > 0)
