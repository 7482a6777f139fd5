"""A copy of the project in a folder of its own, and programs run in it as a user would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: What every copy holds; solvers and data sets are named by the test.
PARTS = ("objective.py", "benchmark_utils", "config.yml", "plots", "tools", "configs")


def copied(folder, *more):
    """Copy the project's programs, and the files that are named, into a folder; return it."""
    for part in (*PARTS, *more):
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    return folder


def start(folder, *arguments, log="log"):
    """Start ``python -m`` with arguments in a folder, its output in a file there."""
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    with open(folder / log, "w", encoding="utf-8") as file:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", *arguments], cwd=folder, stdout=file, stderr=file, env=environment
        )


def call(folder, *arguments, timeout=600):
    """Run ``python -m`` with arguments in a folder to a good end; return what it printed."""
    process = start(folder, *arguments)
    try:
        status = process.wait(timeout)
    finally:
        process.kill()
    said = (folder / "log").read_text(encoding="utf-8", errors="replace")
    assert status == 0, said
    return said
