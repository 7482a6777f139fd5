"""A small copy of the benchmark in which runs may be killed; processes are forked off one that has imported all."""

import multiprocessing
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

from benchopt.cli import benchopt

ROOT = Path(__file__).parents[1]

#: What the copy holds.
PARTS = ("objective.py", "benchmark_utils", "config.yml", "plots", "datasets/simulated.py", "solvers/soba.py")


class Copy:
    """A copy of the benchmark in a folder of its own; processes that run benchopt in it are forked off this one.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder):
        self.folder, self.number = folder, 0
        for part in PARTS:
            source, target = ROOT / part, folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, target)
        journal = folder / "benchmark_utils" / "running" / "journal.py"
        text = journal.read_text(encoding="utf-8")
        assert text.count("SAVE_EVERY = 60.0") == 1
        journal.write_text(text.replace("SAVE_EVERY = 60.0", "SAVE_EVERY = 0.0"), encoding="utf-8")

    def start(self, arguments, main=benchopt, largest=None):
        """Start a command in a process group of its own; return the process, whose ``log`` is what it prints."""
        self.number += 1
        log = self.folder / f"log{self.number}.txt"
        process = multiprocessing.get_context("fork").Process(target=self._child, args=(arguments, main, largest, log))
        process.start()
        process.log = log
        return process

    def _child(self, arguments, main, largest, log):
        os.setsid()
        os.chdir(self.folder)
        with open(log, "wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False, encoding="utf-8") for number in (1, 2))
        for name in [name for name in sys.modules if name.split(".")[0] == "benchmark_utils"]:
            del sys.modules[name]  # the copy has its own
        sys.path[:] = [str(self.folder), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]
        multiprocessing.current_process().name = "MainProcess"
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        if largest is not None:  # no file may be larger: what a full disk is to whoever writes
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        sys.argv = ["benchopt", *arguments]
        try:
            main(arguments)
        except Exception:  # as the interpreter does where it is not multiprocessing that ends the process
            sys.excepthook(*sys.exc_info())
            sys.exit(1)

    def run(self, arguments, **options):
        """Run a command to its end; return what it printed."""
        process = self.start(arguments, **options)
        process.join()
        return text_of(process.log)

    def results(self):
        """Return the paths of the result files."""
        return sorted((self.folder / "outputs").glob("*.parquet"))

    def forget(self, everything=True):
        """Delete the result files and, with ``everything``, what has been cached."""
        for name in ("outputs", *["__cache__"] * everything):
            path = self.folder / name
            path.unlink() if path.is_symlink() else shutil.rmtree(path, ignore_errors=True)


def text_of(path):
    """Return the text of a log."""
    return path.read_text(encoding="utf-8", errors="replace")
