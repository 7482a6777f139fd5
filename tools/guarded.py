"""Run a benchopt command so that no result is lost, whatever ends it.

    python -m tools.guarded run . -d ijcnn1 -s SOBA
    python -m tools.guarded plot .

It takes the arguments of `benchopt`. Before a run begins, the folder of the result file is tried; files are written
beside and renamed, those that `benchopt plot` writes again included; SIGTERM stops a run as Ctrl-C does; and what had
finished when a run is stopped, or one of its workers killed, is collected into a result file at once.
"""

import subprocess
import sys
from pathlib import Path

import click
from benchopt.cli import benchopt

from benchmark_utils.running import guard
from tools import write_utf8

#: Exit status of a run that was stopped.
STOPPED = 130


def output_folder(arguments):
    """Return the folder of the result file of `benchopt run` with these arguments.

    The benchmark is the first argument that is a folder with an objective; the current folder where there is none.
    """
    for name, value in zip(arguments, arguments[1:] + [""], strict=True):
        given = name.removeprefix("--output=") if name.startswith("--output=") else value
        if name.startswith("--output") and "/" in given:
            return Path(given).parent
    folders = [Path(a) for a in arguments[1:] if (Path(a) / "objective.py").exists()]
    return (folders or [Path()])[0] / "outputs"


def main(arguments):
    """Run a benchopt command and return its exit status."""
    sys.argv = ["benchopt", *arguments]
    guard.keep_files_whole()
    is_run = guard.command() is not None and "--collect" not in arguments
    if is_run:
        guard.watch(output_folder(arguments))
    try:
        return benchopt.main(arguments, standalone_mode=False) or 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        status = STOPPED
    except Exception as error:
        if not is_run:
            raise
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    collect = guard.collecting(arguments) if is_run else None
    if collect is not None:
        subprocess.run([sys.executable, "-m", "tools.guarded", *collect], check=False)
    return status


if __name__ == "__main__":
    write_utf8()
    sys.exit(main(sys.argv[1:]))
