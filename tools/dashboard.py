"""Make benchopt's pages readable without the internet: whatever they load is served from a folder beside them.

plotly.js comes with the plotly package (2.x, as the pages need), the grid of the table view and what the list of runs
needs from npm; where npm is not at hand the table view is a plain HTML table, the list of runs cannot be sorted, and a
sentence says so. Icons become words, and the fonts are those of the reader's machine.

Usage: python -m tools.dashboard [folder]
"""

import re
import shutil
import sys
from pathlib import Path

from benchmark_utils.files.whole import write_whole
from tools import web_libraries, write_utf8

ROOT = Path(__file__).parents[1]
OUTPUTS = ROOT / "outputs"
PLAIN_GRID = ROOT / "tools" / "templates" / "static" / "plain_grid.js"
ASSETS = "assets"

#: Addresses that pages load -> (library, path in it).
FROM_NPM = {
    r"cdn\.jsdelivr\.net/npm/gridjs@.*\.js": ("gridjs", "dist/gridjs.umd.js"),
    r"cdn\.jsdelivr\.net/npm/gridjs@.*\.css": ("gridjs", "dist/theme/mermaid.min.css"),
    r"code\.jquery\.com/jquery-.*\.js": ("jquery", "dist/jquery.min.js"),
    r".*/jqueryui/.*\.js": ("jquery-ui-dist", "jquery-ui.min.js"),
    r".*/jqueryui/.*\.css": ("jquery-ui-dist", "jquery-ui.min.css"),
    r"cdn\.datatables\.net/.*\.js": ("datatables.net", "js/jquery.dataTables.min.js"),
    r"cdn\.datatables\.net/.*\.css": ("datatables.net-dt", "css/jquery.dataTables.min.css"),
}
PLOTLY = r"cdn\.plot\.ly/plotly-[\d.]+\.min\.js"

#: Decoration, left out: fonts, icons and the moving name of benchopt.
DECORATION = r"fonts\.(googleapis|gstatic)\.com.*|.*font-?awesome.*|.*animejs.*"

#: What the moving name asks of its library.
STILL = "<script>window.anime = {timeline: () => ({add() { return this; }})};</script>"

#: Icons -> words.
ICONS = {
    "home": "Home", "plus-circle": "Details", "chart-line": "Open", "download": "Download", "trash": "Delete",
    "level-up-alt": "↑", "globe": "Code", "github-square": "Code",
}  # fmt: skip

LOADED = re.compile(
    r"""<script\b[^>]*\bsrc\s*=\s*["']?(?:https?:)?//(?P<script>[^"'\s>]+)[^>]*>\s*</script>"""
    r"""|<link\b[^>]*\bhref\s*=\s*["']?(?:https?:)?//(?P<link>[^"'\s>]+)[^>]*>"""
)
ICON = re.compile(r"""<i class=["'](?:fa|fas|fab|fa-solid) fa-([a-z-]+)["']>\s*</i>""")

#: Anything that a browser fetches by itself from another place.
OUTSIDE = re.compile(
    r"""<(?:script|link|img|iframe|source|audio|video|object|embed)\b[^>]*\b(?:src|href|data|srcset)\s*=\s*["']?"""
    r"""((?:https?:)?//[^"'\s>]+)|@import\s+(?:url\()?["']?((?:https?:)?//[^"'\s)]+)"""
    r"""|url\(\s*["']?((?:https?:)?//[^"'\s)]+)"""
)


def asked_outside(text):
    """Return the addresses outside its folder that a page, or a style sheet, makes a browser fetch."""
    return ["".join(found) for found in OUTSIDE.findall(text)]


class Localiser:
    """Puts copies of libraries into the assets of a folder as its pages turn out to need them.

    Parameters
    ----------
    folder : Path
        The folder of the pages.
    """

    def __init__(self, folder):
        self.folder = folder
        self.put, self.missing = {}, {}

    def have(self, library):
        """Return whether a library lies, or can be put, in the assets."""
        if library not in self.put:
            try:
                web_libraries.put(library, self.folder / ASSETS)
            except web_libraries.Unavailable as why:
                self.missing[library] = str(why)
            self.put[library] = library not in self.missing
        return self.put[library]

    def tag(self, found):
        """Return what takes the place of a tag that loads something from the network."""
        address = found["script"] or found["link"]
        form = '<script src="{}"></script>' if found["script"] else '<link href="{}" rel="stylesheet">'
        if re.fullmatch(PLOTLY, address):
            return form.format(f"{ASSETS}/{web_libraries.put_plotly(self.folder / ASSETS)}")
        if re.fullmatch(DECORATION, address):
            return STILL if "animejs" in address else ""
        for pattern, (library, path) in FROM_NPM.items():
            if re.fullmatch(pattern, address):
                if self.have(library):
                    return form.format(f"{ASSETS}/{library}/{path}")
                if library == "gridjs" and found["script"]:
                    shutil.copyfile(PLAIN_GRID, self.assets() / PLAIN_GRID.name)
                    return form.format(f"{ASSETS}/{PLAIN_GRID.name}")
                return ""
        return found[0]

    def assets(self):
        """Return the folder of the assets, made where it is not there."""
        (self.folder / ASSETS).mkdir(parents=True, exist_ok=True)
        return self.folder / ASSETS

    def page(self, text):
        """Return the text of a page with local copies of all that it loads."""
        text = LOADED.sub(self.tag, text)
        text = ICON.sub(lambda icon: ICONS.get(icon[1], ""), text)
        if "$(function" in text and not all(map(self.have, ("jquery", "jquery-ui-dist", "datatables.net"))):
            text = without_jquery(text)
        return text


def without_jquery(text):
    """Return benchopt's list of runs as a plain table: nothing is folded away, nothing waits for a script."""
    text = re.sub(r"(?s)<script type=\"text/javascript\">(?:(?!</script>).)*\$\(function.*?</script>", "", text)
    text = re.sub(r'(<div id=subinfo\d+) style="display:none;"', r"\1", text)
    scripted = ("<button data-idx=.*?</button>", "<select id=select_.*?</select>", "<label for=select_.*?</label>")
    return re.sub(f"(?s){'|'.join(scripted)}", "", text)


def localise(folder):
    """Give every page of a folder local copies of what it loads; return the pages changed.

    Raises
    ------
    SystemExit
        If a page asks the network for something that this tool does not know.
    """
    localiser, changed = Localiser(folder), []
    for page in sorted(folder.glob("*.html")):
        text = page.read_text(encoding="utf-8")
        new = localiser.page(text)
        left = asked_outside(new)
        if left:
            raise SystemExit(
                f"{page} loads {', '.join(left)}, which tools/dashboard.py does not know; another version of benchopt? "
                "Add it to FROM_NPM or DECORATION there."
            )
        if new != text:
            write_whole(page, new)
            changed.append(page)
    for library, why in localiser.missing.items():
        print(f"without {library}: {why}. Its pages work, with plain tables; with npm, make them again to have it.")
    return changed


if __name__ == "__main__":
    write_utf8()
    for changed_page in localise(Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUTS):
        print(f"readable offline: {changed_page}")
