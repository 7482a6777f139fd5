"""What is done for the results of a `benchopt run` that cannot end as it should.

benchopt keeps every finished curve in its cache and writes the result file when all curves are there. A run that is
stopped, killed or out of disk space before leaves no file, though nothing that had finished is lost. `watch` says so
and prints the command that collects it; result files are written beside and renamed, so that none is ever torn.
"""

import multiprocessing
import os
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

#: Least space, in bytes, on the disk of the result files for a run to begin.
LEAST_FREE = 16 * 2**20

#: Most bytes of one group of rows of a result file: a column of one cannot hold 2**31 (40 last points of 7 million
#: numbers do).
GROUP_BYTES = 2**30

#: Options of `benchopt run` that collecting must not have; True where a value follows.
NOT_COLLECTED = {"-j": True, "--n-jobs": True, "--parallel-config": True, "--pdb": False, "--profile": False}


def command():
    """Return the arguments of the `benchopt run` that this process is, or None: in workers, tests and scripts."""
    program, *arguments = sys.argv or [""]
    is_run = "benchopt" in program and arguments[:1] == ["run"]
    return arguments if is_run and multiprocessing.current_process().name == "MainProcess" else None


def collecting(arguments):
    """Return the arguments that write what a run with these arguments has finished, or None with ``--no-cache``.

    Forced solvers become chosen ones: benchopt looks into its cache for those alone.
    """
    out, left = [], list(arguments)
    while left:
        argument = left.pop(0)
        name, given, value = argument.partition("=")
        if name == "--no-cache":
            return None
        if name in NOT_COLLECTED:
            if NOT_COLLECTED[name] and not given:
                left = left[1:]
            continue
        if name in ("-f", "--force-solver"):
            argument = f"--solver={value}" if given else "-s"
        if argument != "--collect":
            out.append(argument)
    return [*out, "--collect"]


def how_to_collect(arguments):
    """Return the sentence that says where the finished curves of a run are."""
    collect = collecting(arguments)
    if collect is None:
        return "With --no-cache nothing is kept: run without it to be able to collect what had finished."
    return (
        "The curves that had finished are kept in the cache. To write them to a result file:\n"
        f"    {shlex.join(['benchopt', *collect])}\n"
        "The same command without --collect goes on with the others."
    )


def why_not_writable(folder):
    """Return a sentence if no result file can be written to a folder, which need not exist yet; else None."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        why = f"cannot be written to ({error.strerror or error})"
    else:
        if free >= LEAST_FREE:
            return None
        why = f"is on a disk with {free / 2**20:.1f} MiB left"
    return f"{folder} {why}; make room, or choose another file: --output /elsewhere/name.parquet --no-plot."


# ---------------------------------------------------------------------- files
class WholeFiles:
    """pyarrow.parquet for benchopt, whose `write_table` never leaves a torn file: it writes beside and renames.

    Parameters
    ----------
    parquet : module
        pyarrow.parquet.
    """

    def __init__(self, parquet):
        self._parquet, self._read = parquet, set()

    def __getattr__(self, name):
        return getattr(self._parquet, name)

    def read_table(self, path, **options):
        """Read a table; benchopt writes a file anew only after it has read it."""
        self._read.add(Path(path))
        return self._parquet.read_table(path, **options)

    def write_table(self, table, path, **options):
        """Write a table; a file that cannot be written for the first time goes to the temporary folder instead."""
        path = Path(path)
        try:
            self._write(table, path, options)
        except OSError as error:
            if path in self._read:
                raise  # benchopt says what it was about; the file is as it was
            why = f"\n{path} could not be written ({error})"
            folder = None
            try:
                folder = Path(tempfile.mkdtemp(prefix="benchopt-"))
                self._write(table, folder / path.name, options)
            except OSError:
                if folder is not None:
                    folder.rmdir()
                raise SystemExit(f"{why}. {how_to_collect(command() or ['run', '.'])}") from error
            raise SystemExit(f"{why}; the results are in {folder / path.name}.") from error

    def _write(self, table, path, options):
        path.parent.mkdir(parents=True, exist_ok=True)  # it may have been deleted since the run began
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            self._parquet.write_table(table, beside, **{"row_group_size": rows_of_group(table)} | options)
            self._rename(beside, path)
        finally:
            beside.unlink(missing_ok=True)

    def _rename(self, beside, path):
        """Rename a file; one of another run, that has come to bear the name meanwhile, is not overwritten."""
        name, number = path, 0
        while path not in self._read:
            try:
                os.link(beside, name)
            except FileExistsError:
                number += 1
                name = path.with_name(f"{path.stem}_{number}{path.suffix}")
                continue
            except OSError:  # a file system without links
                break
            if number:
                print(f"Another run has written {path}; these results are in {name}.", file=sys.stderr)
            return
        os.replace(beside, name)


def rows_of_group(table):
    """Return how many rows of a table go into one group of its file, None where all may."""
    if table.nbytes <= GROUP_BYTES:
        return None
    from pyarrow import compute, types

    binary = [column for column in table.columns if types.is_large_binary(column.type)]
    most = max((compute.max(compute.binary_length(column)).as_py() or 0 for column in binary), default=0)
    return max(1, GROUP_BYTES // most) if most else None


def keep_files_whole():
    """Let benchopt write its result files through `WholeFiles`, in this process."""
    from benchopt.results import parquet

    if not isinstance(parquet.pq, WholeFiles):
        parquet.pq = WholeFiles(parquet.pq)


# ---------------------------------------------------------------------- ends before the end
class Stop:
    """Handler of SIGINT and SIGTERM: says how to collect what has finished, then stops as Ctrl-C does."""

    def __init__(self, arguments):
        self.arguments = arguments

    def __call__(self, number, frame):
        signal.signal(number, signal.SIG_DFL)  # the second time it ends at once
        say(f"stopped by {signal.Signals(number).name}", self.arguments)
        raise KeyboardInterrupt


class Failed:
    """Handler of what ends the process with a traceback, such as a worker that was killed."""

    def __init__(self, arguments, before):
        self.arguments, self.before = arguments, before

    def __call__(self, kind, error, traceback):
        self.before(kind, error, traceback)
        if issubclass(kind, KeyboardInterrupt):  # `Stop` has said so
            return
        say(f"ended by {kind.__name__}", self.arguments)


def say(what, arguments):
    """Write to the standard error at once, whatever the streams of Python are doing."""
    os.write(2, f"\nThe run was {what}. {how_to_collect(arguments)}\n".encode())


def watch(folder=None):
    """Guard the `benchopt run` that this process is, if it is one; once.

    Parameters
    ----------
    folder : Path, optional
        Where the result file will be.

    Raises
    ------
    SystemExit
        With a sentence, if the folder cannot be written to.
    """
    arguments = command()
    if arguments is None or isinstance(sys.excepthook, Failed):
        return
    keep_files_whole()
    if "--collect" in arguments:  # it writes a file, and runs nothing that could be stopped
        return
    reason = why_not_writable(folder) if folder is not None else None
    if reason is not None:
        raise SystemExit(f"\n{reason}")
    sys.excepthook = Failed(arguments, sys.excepthook)
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, Stop(arguments))
