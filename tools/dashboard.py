"""Make the pages in outputs/ readable without the internet: plotly.js is served from a local copy.

benchopt's pages load plotly.js from a content network. This tool copies the plotly.js that comes with the plotly
package (2.x, as the pages need) into outputs/assets/ and points the pages to it. The table view still asks the
network for its grid library.

Usage: python -m tools.dashboard [folder]
"""

import re
import shutil
import sys
from pathlib import Path

import plotly

from benchmark_utils.files.whole import write_whole
from tools import write_utf8

OUTPUTS = Path(__file__).parents[1] / "outputs"
PLOTLY_URL = re.compile(r"https://cdn\.plot\.ly/plotly-[\d.]+\.min\.js")


def localise(folder):
    """Point every page of a folder to a local plotly.js; return the pages changed."""
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    target = folder / "assets" / script.name
    changed = []
    for page in folder.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        new = PLOTLY_URL.sub(f"assets/{script.name}", text)
        if new != text:
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(script, target)
            write_whole(page, new)
            changed.append(page)
    return changed


if __name__ == "__main__":
    write_utf8()
    for changed_page in localise(Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUTS):
        print(f"readable offline: {changed_page}")
