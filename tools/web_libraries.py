"""JavaScript and CSS libraries that benchopt's pages ask the network for, as local copies with their licences.

plotly.js comes with the plotly package. The others are packages of npm: fetched once by `npm pack`, compared with the
hash written here and kept in __cache__/web. Where npm or its registry is not at hand, pages do without them.
"""

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

import plotly

CACHE = Path(__file__).parents[1] / "__cache__" / "web"

#: Seconds that npm may take for one package.
PATIENCE = 60


class Library(NamedTuple):
    """One package of npm and what pages need of it."""

    version: str
    integrity: str  # of the archive, as npm writes it
    files: tuple  # paths in the package; the licence is one of them


#: The versions that benchopt 1.10 asks for.
LIBRARIES = {
    "gridjs": Library(
        "6.2.0",
        "sha512-EAGGfHjyEXWh12Txs6DjTGnWTo226wbowtMrLI+yNZQaJpvs0m7yDcyM7r+D4RA7rZQVj/cfmwEaRz/rlxg8LA==",
        ("dist/gridjs.umd.js", "dist/theme/mermaid.min.css", "LICENSE"),
    ),
    "jquery": Library(
        "3.5.1",
        "sha512-XwIBPqcMn57FxfT+Go5pzySnm4KWkT1Tv7gjrpT1srtf8Weynl6R273VJ5GjkRb51IzMp5nbaPjJXMWeju2MKg==",
        ("dist/jquery.min.js", "LICENSE.txt"),
    ),
    "jquery-ui-dist": Library(
        "1.12.1",
        "sha512-UnQQWIvxaP7s13FLx37WufEwDYLSXKpp9JHrqEYTP6GqQNM+RMVEwsJMoc163QlzEaAV5YVfWlgQU5FPjKBtSw==",
        ("jquery-ui.min.js", "jquery-ui.min.css", "LICENSE.txt")
        + tuple(
            f"images/ui-icons_{colour}_256x240.png"
            for colour in ("444444", "555555", "777620", "777777", "cc0000", "ffffff")
        ),
    ),
    "datatables.net": Library(
        "1.10.22",
        "sha512-ujn8GvkQIBYzYH54XY7OrI0Zb35TKRd9ABYfbnXgBfwTGIFT6UsmXrfHU5Yk+MSDoF0sDu2TB+31V6c+zUZ0Pw==",
        ("js/jquery.dataTables.min.js", "License.txt"),
    ),
    "datatables.net-dt": Library(
        "1.10.22",
        "sha512-JYqE8noge7YGOydsiyLsWtPUofOHFEMCeOwS47kpykWqDJyU6GE2E3JaEeDq6hokg39UQKDNIRFnsM7GhA/BGw==",
        ("css/jquery.dataTables.min.css", "License.txt")
        + tuple(f"images/sort_{which}.png" for which in ("asc", "asc_disabled", "both", "desc", "desc_disabled")),
    ),
}


class Unavailable(Exception):
    """A library cannot be had; the sentence says why."""


def put_plotly(folder):
    """Copy plotly.js to a folder of assets; return its name there."""
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(script, folder / script.name)
    return script.name


def put(name, folder):
    """Copy the files of a library to ``folder / name``.

    Raises
    ------
    Unavailable
        If its archive can neither be found in the cache nor be fetched.
    """
    with tarfile.open(archive(name)) as opened:
        for path in LIBRARIES[name].files:
            target = folder / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(opened.extractfile(f"package/{path}").read())


def archive(name):
    """Return the path of a library's archive, fetched where the cache does not have it.

    Raises
    ------
    Unavailable
        If npm is missing, fails, or brings something else.
    """
    library = LIBRARIES[name]
    kept = CACHE / f"{name}-{library.version}.tgz"
    if kept.exists() and intact(kept, library):
        return kept
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm is not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as beside:
        options = ["--ignore-scripts", "--fetch-retries=0", f"--fetch-timeout={1000 * PATIENCE}"]
        command = [npm, "pack", f"{name}@{library.version}", "--pack-destination", beside, "--silent", *options]
        try:
            done = subprocess.run(command, capture_output=True, cwd=beside, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"npm did not answer within {PATIENCE} s") from None
        fetched = list(Path(beside).glob("*.tgz"))
        if done.returncode or not fetched:
            raise Unavailable(f"`npm pack {name}@{library.version}` failed")
        if not intact(fetched[0], library):
            raise Unavailable(f"the archive of {name} is not the one whose hash is written in tools/web_libraries.py")
        fetched[0].replace(kept)
    return kept


def intact(path, library):
    """Return whether an archive has the hash that is written for it."""
    digest = hashlib.sha512(path.read_bytes()).digest()
    return library.integrity == "sha512-" + base64.b64encode(digest).decode()
