"""Pages of the site that are made of the documents: cards of solvers and problems, and documents shown whole."""

import re
import shutil
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

from tools import docs, matrix, problem_cards
from tools.figures import file_name

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

#: Documents shown whole -> what the navigation calls them; those that are not there are left out.
DOCUMENTS = {
    "reproduction": "Reproduction", "statistics": "Statistics", "rules": "Rules", "notation": "Notation",
}  # fmt: skip
MAIN = ("reproduction", "statistics")


class Card(NamedTuple):
    """One card, of a solver or a problem."""

    name: str
    page: str  # its path in the site
    facts: list  # cells of its row in the overview
    costs: list  # (oracle, text) of what an iteration costs; empty for problems
    markdown: str  # body without its heading
    runs: list  # (name, page or "", text): where the solver runs, or which solvers run on the problem


class Renderer:
    """Turns Markdown into HTML whose links stay inside the site.

    Parameters
    ----------
    pages : dict
        Name of a document, such as "notation.md", to its page in the site. Links to other files become text.
    """

    def __init__(self, pages):
        self.pages = pages
        self.markdown = MarkdownIt("commonmark", {"html": False}).enable("table")

    def html(self, text, root, caption):
        """Return the HTML of a text.

        Parameters
        ----------
        text : str
            Markdown.
        root : str
            What leads from the page to the top of the site, such as "../".
        caption : str
            Caption of the tables before the first heading; later ones are named by their headings.
        """
        text = re.sub(r"(?s)<!--.*?-->", "", text)
        tokens = self.markdown.parse(text)
        for k, token in enumerate(tokens):
            if token.type == "heading_open":
                caption = tokens[k + 1].content
                token.attrSet("id", slug(caption))
            elif token.type == "th_open":
                token.attrSet("scope", "col")
            elif token.type == "table_open":
                token.meta["caption"] = caption
            elif token.type == "inline":
                token.children = list(self.inside(token.children, root))
        html = self.markdown.renderer.render(tokens, self.markdown.options, {})
        captions = iter([token.meta["caption"] for token in tokens if token.type == "table_open"])
        html = re.sub("<table>", lambda _: opened_table(next(captions)), html)
        html = re.sub(r"(?s)<thead>\s*<tr>\s*(?:<th[^>]*></th>\s*)+</tr>\s*</thead>(.*?</table>)", rows_named, html)
        html = html.replace("</table>", "</table></div>")
        return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>', html)

    def inside(self, tokens, root):
        """Yield the tokens of a line; links out of the site become text, pictures are those of the site."""
        linked = []
        for token in tokens:
            if token.type == "link_open":
                address = self.address(token.attrGet("href"), root)
                linked.append(address is not None)
                if address is None:
                    continue
                token.attrSet("href", address)
            elif token.type == "link_close" and not linked.pop():
                continue
            elif token.type == "image":
                token.attrSet("loading", "lazy")
                if not is_local(token.attrGet("src")):
                    raise SystemExit(
                        f"the picture {token.attrGet('src')} lies outside docs/, and pages load nothing from "
                        "elsewhere; put it beside the document."
                    )
            yield token

    def address(self, href, root):
        """Return where a link of a document leads in the site, or None where that is nowhere."""
        if href.startswith(("https://", "http://", "#")):
            return href
        path, hash_, anchor = href.partition("#")
        if Path(path).name in self.pages and not path.startswith("../"):
            return root + self.pages[Path(path).name] + hash_ + anchor
        return None


def is_local(source):
    """Return whether the source of a picture is a file below its document."""
    return not re.match(r"[a-z]+:|/|\.\./", source)


def slug(heading):
    """Return the anchor of a heading, as on code hosts."""
    return re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")


def opened_table(caption):
    """Return the beginning of a table that scrolls by itself, with a caption for screen readers."""
    caption = re.sub(r"[`*\\]", "", caption).replace("&", "&amp;").replace("<", "&lt;")
    return f'<div class="scroll" tabindex="0"><table><caption class="unseen">{caption}</caption>'


def rows_named(found):
    """Return a table whose headings are empty with its first column as headings of the rows."""
    return re.sub(r"(<tr>\s*)<td([^>]*)>(.*?)</td>", r'\1<th scope="row"\2>\3</th>', found[1])


def solver_cards():
    """Return the cards of all solvers, from docs/solvers.md and docs/matrix.md."""
    entries = docs.read_entries((DOCS / "solvers.md").read_text(encoding="utf-8"))
    outcomes, pages = matrix.read_page(), {call: problem_page(call) for call in problem_cards.read_page()}
    cards = []
    for name, (overview, costs, section) in entries.items():
        runs = [(call, pages.get(call, ""), said(o)) for (solver, call), o in outcomes.items() if solver == name]
        cells = [cell.strip() for cell in costs.strip("|").split("|")][1:]
        columns = (*docs.COLUMNS, "sum", "start")
        cards.append(
            Card(
                name=name, page=f"solvers/{file_name(name)}.html",
                facts=[cell.strip() for cell in overview.strip("|").split("|")][1:] + [cells[columns.index("sum")]],
                costs=list(zip(columns, cells, strict=True)), markdown=without_heading(section), runs=runs,
            )
        )  # fmt: skip
    return cards


def problem_card_list():
    """Return the cards of all problems, from docs/problems.md and docs/matrix.md."""
    outcomes, cards = matrix.read_page(), []
    for call, section in problem_cards.read_page().items():
        title = re.match(r"## (.+)", section)[1]
        rows = re.search(r"(?m)^\| rows \| (.+?) \|$", section)
        size = re.search(r"(?m)^\| z, x \| (.+?) \|$", section)
        runs = [
            (solver, f"solvers/{file_name(solver)}.html", said(o)) for (solver, c), o in outcomes.items() if c == call
        ]
        cards.append(Card(
            name=title, page=problem_page(call),
            facts=[call, *(found[1] if found else "–" for found in (rows, size))], costs=[],
            markdown=without_heading(section), runs=runs,
        ))  # fmt: skip
    return cards


def problem_page(call):
    """Return the page of a problem's card."""
    return f"problems/{file_name(call)}.html"


def without_heading(section):
    """Return a Markdown section without its first line."""
    return section.partition("\n")[2].strip()


def said(outcomes):
    """Return what became of one iteration on each backend as a text, one sentence where all say the same."""
    if not outcomes:
        return matrix.NOT_TRIED
    if len(set(outcomes.values())) == 1 and next(iter(outcomes.values())) not in matrix.OUTCOMES:
        return next(iter(outcomes.values()))
    return "; ".join(f"{backend}: {what}" for backend, what in outcomes.items())


def documents():
    """Return dict of name to text of the documents that are shown whole and are there."""
    paths = {name: DOCS / f"{name}.md" for name in DOCUMENTS}
    return {name: path.read_text(encoding="utf-8") for name, path in paths.items() if path.exists()}


def copy_pictures(folder):
    """Copy the pictures of the reproduction page beside it."""
    pictures = DOCS / "reproduction"
    if pictures.is_dir():
        shutil.copytree(pictures, folder / "reproduction", dirs_exist_ok=True)
