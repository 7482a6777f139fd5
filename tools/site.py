"""Build the site of the benchmark: overall picture, a page for each problem, cards, benchopt's dashboards.

Usage: python -m tools.site [file.parquet ...] [--folder site]

Without files, those of outputs/reference are shown, or the newest of outputs/ where there is none. The site is a folder
of plain files: open site/index.html, or put it on any web server. Its pages load nothing from elsewhere.
"""

import argparse
import contextlib
import io
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import jinja2
import pandas as pd
import yaml
from benchopt.benchmark import Benchmark
from benchopt.plotting.generate_html import plot_benchmark_html

from benchmark_utils.files.whole import write_whole
from benchmark_utils.statistics.final import read_rows
from benchmark_utils.statistics.labels import short_names
from benchmark_utils.statistics.overall import field, where_known, widest
from tools import dashboard, site_cards, site_figures, site_tables, summary, web_libraries, write_utf8
from tools.figures import file_name

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "outputs" / "reference"
TEMPLATES = ROOT / "tools" / "templates"

#: Written into the folder of a site, so that another folder is never emptied by mistake.
MARK = ".made-by-tools-site"


class Result(NamedTuple):
    """The page of one data set under one set of rules."""

    title: str
    rules: str  # short name of the rules where there are several, else empty
    page: str
    dataset: str  # full names
    objective: str


def chosen_files(files):
    """Return the result files that are shown.

    Raises
    ------
    SystemExit
        If a file does not exist, two have one name, or there is none.
    """
    files = [Path(file) for file in files] or sorted(REFERENCE.glob("*.parquet")) or [summary.newest()]
    for file in files:
        if not file.is_file():
            raise SystemExit(f"there is no file {file}; give result files, such as outputs/*.parquet.")
    if len({file.name for file in files}) < len(files):
        raise SystemExit("two of the files have the same name; rename one, since each has a page of its name.")
    return files


def empty_folder(folder):
    """Make the folder of the site, or empty the one of an earlier site.

    Raises
    ------
    SystemExit
        If there is a folder that holds something else.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise SystemExit(f"{folder} holds something else than a site; give another folder with --folder.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


def results_of(df):
    """Return the `Result` of each data set and rules, in order."""
    datasets, rules = short_names(df, "dataset_name"), short_names(df, "objective_name")
    pairs = df[["dataset_name", "objective_name"]].drop_duplicates().sort_values(["dataset_name", "objective_name"])
    out = []
    for dataset, objective in pairs.itertuples(index=False):
        shown = rules[objective] if len(rules) > 1 else ""
        page = f"results/{file_name(*filter(None, (datasets[dataset], shown)))}.html"
        out.append(Result(datasets[dataset], shown, page, dataset, objective))
    return out


class Site:
    """Writes the pages of a site.

    Parameters
    ----------
    df : pandas.DataFrame
        Results of benchopt, of one or more files.
    files : list of Path
        Where they come from.
    folder : Path
        An empty folder.
    """

    def __init__(self, df, files, folder):
        self.df, self.files, self.folder = df, files, folder
        self.results = results_of(df)
        self.style = site_figures.styles(df)
        self.solvers, self.problems = site_cards.solver_cards(), site_cards.problem_card_list()
        self.documents = site_cards.documents()
        self.solver_pages = {card.name: card.page for card in self.solvers}
        pages = {f"{name}.md": f"{name}.html" for name in self.documents}
        pages |= {"solvers.md": "solvers/index.html", "problems.md": "problems/index.html"}
        self.renderer = site_cards.Renderer(pages)
        self.templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self.navigation = [("Overview", "index.html"), ("Problems", "problems/index.html")]
        self.navigation += [("Solvers", "solvers/index.html"), ("Dashboards", "dashboards/index.html")]
        named = [(text, f"{name}.html") for name, text in site_cards.DOCUMENTS.items() if name in self.documents]
        shown = {f"{name}.html" for name in site_cards.MAIN}
        self.navigation += [entry for entry in named if entry[1] in shown]
        self.more = [entry for entry in named if entry[1] not in shown]

    def write(self, page, template, title, section="", **values):
        """Write a page from a template."""
        path = self.folder / page
        path.parent.mkdir(parents=True, exist_ok=True)
        names = ", ".join(file.name for file in self.files)
        sources = f"Results of {names}" + (f", run on {dates(self.df)}." if dates(self.df) else ".")
        values |= {
            "root": "../" * page.count("/"), "here": page, "section": section, "title": title, "sources": sources,
            "navigation": self.navigation, "more": self.more, "solver_pages": self.solver_pages,
        }  # fmt: skip
        write_whole(path, self.templates.get_template(template).render(values))

    def write_assets(self):
        """Write what the pages load."""
        assets = self.folder / "assets"
        web_libraries.put_plotly(assets)
        for name in ("style.css", "site.js"):
            shutil.copyfile(TEMPLATES / "static" / name, assets / name)

    def write_index(self):
        """Write the overall picture."""
        df = widest(self.df)
        compared, names, tables = field(df), short_names(df), site_tables.overall_tables(df)
        best = list(compared.solvers)
        if tables and tables[0].rows:
            full = {short: name for name, short in names.items()}
            first = next(t for t in tables if t.key == site_tables.informative(tables))
            best = [full[row[0]] for row in first.rows] or best
        known = set(where_known(df, "objective_h_gap").dataset_name)
        shared = set(zip(df.dataset_name, df.objective_name, strict=True))
        shared = [result for result in self.results if (result.dataset, result.objective) in shared]
        self.write(
            "index.html", "index.html", "Overview", results=self.results, tables=[t for t in tables if t.rows],
            first=site_tables.informative(tables), profile=site_figures.profiles(df, self.style, best),
            compared=[names[name] for name in compared.solvers], cases=compared.cases, shared=shared,
            left_out=[(names[name], n) for name, n in compared.left_out.items()],
            targets=", ".join(f"{target:g}" for target in site_figures.TARGETS),
            unknown=list(dict.fromkeys(r.title for r in shared if known and r.dataset not in known)),
            n_solver_cards=len(self.solvers), n_problem_cards=len(self.problems),
        )  # fmt: skip

    def write_results(self):
        """Write the page of each data set and rules: curves, what targets cost, last values."""
        for result in self.results:
            chosen = self.df[(self.df.dataset_name == result.dataset) & (self.df.objective_name == result.objective)]
            tables, best = site_tables.leaderboards(chosen)
            cards = [card for card in self.problems if card.facts[0].split("[")[0] == site_tables.base(result.dataset)]
            drawn = site_figures.curves(chosen, self.style, best)
            self.write(
                result.page, "results.html", ", ".join(filter(None, (result.title, result.rules))), tables=tables,
                section="problems/index.html", first=site_tables.informative(tables), drawn=drawn, cards=cards,
                dataset=result.dataset, rules=result.objective, final=site_tables.final_table(chosen),
            )  # fmt: skip

    def write_cards(self):
        """Write the cards of solvers and problems, and their overviews."""
        ran = {card.page: [r for r in self.results if self.ran(card.name, r)] for card in self.solvers}
        stated = {
            card.page: [r for r in self.results if card.facts[0].split("[")[0] == site_tables.base(r.dataset)]
            for card in self.problems
        }
        columns = ["loop", "warm start", "backends", "requires", "samples of one iteration"]
        self.write_card_pages(
            self.solvers, "solvers/index.html", "Solvers", columns, ran, "Where it runs", "problem",
            "Every solver, with its paper, parameters, what it requires of a problem, and the measured cost of one "
            "outer iteration. Results name the problems of this site that it ran on.",
        )  # fmt: skip
        self.write_card_pages(
            self.problems, "problems/index.html", "Problems", ["in a run", "rows", "z, x"], stated,
            "Which solvers run on it", "solver",
            "Every problem, with its formula, sizes, measured constants and licence. Results lead to curves and "
            "leaderboards.",
        )  # fmt: skip

    def write_card_pages(self, cards, index, title, columns, results, runs_heading, runs_column, lead):
        """Write an overview of cards and the page of each."""
        self.write(
            index, "cards.html", title, cards=cards, lead=lead, results_of=results,
            columns=[title.lower().removesuffix("s"), *columns, "results"],
        )  # fmt: skip
        for card in cards:
            self.write(
                card.page, "card.html", card.name, section=index, card=card, results=results[card.page],
                facts=list(zip(columns, card.facts, strict=True)) if card.costs else [],  # a problem's are in its text
                runs_heading=runs_heading, runs_column=runs_column,
                body=self.renderer.html(card.markdown, "../", card.name),
            )  # fmt: skip

    def ran(self, method, result):
        """Return whether a method has runs on a data set under rules."""
        rows = self.df[(self.df.dataset_name == result.dataset) & (self.df.objective_name == result.objective)]
        return method in set(map(site_tables.base, rows.solver_name.unique()))

    def write_documents(self):
        """Write the documents that are shown whole, with their pictures."""
        site_cards.copy_pictures(self.folder)
        for name, text in self.documents.items():
            title, _, body = text.partition("\n")
            title = title.lstrip("# ")
            self.write(f"{name}.html", "document.html", title, body=self.renderer.html(body, "", title))

    def write_dashboards(self):
        """Write what `benchopt generate-results` makes of the files, with local copies of what it loads."""
        folder, benchmark = self.folder / "dashboards", Benchmark(ROOT)
        (folder / "outputs").mkdir(parents=True)
        config = yaml.safe_load((ROOT / "config.yml").read_text(encoding="utf-8"))
        rows = []
        with tempfile.TemporaryDirectory() as renamed, contextlib.redirect_stdout(io.StringIO()):
            # Links of benchopt's pages to files with blanks or dots in their names lead nowhere.
            files = [Path(renamed) / f"{file_name(file.stem)}.parquet" for file in self.files]
            for file, copy in zip(self.files, files, strict=True):
                shutil.copyfile(file, copy)
            plot_benchmark_html(files, benchmark, config=config, display=False, html_home=folder / "index.html")
        for file, copy in zip(self.files, files, strict=True):
            df, data = read_rows(file), f"outputs/{benchmark.name}_{copy.name}"
            rows.append({
                "name": file.name, "page": f"{benchmark.name}_{Path(data).stem}.html", "date": dates(df), "data": data,
                "problems": df.dataset_name.nunique(), "solvers": df.solver_name.nunique(),
            })  # fmt: skip
        dashboard.localise(folder)
        runs_page = f"{benchmark.name}.html"
        self.write("dashboards/index.html", "dashboards.html", "Dashboards", files=rows, runs_page=runs_page)


def dates(df):
    """Return the days on which results were run, as a text."""
    days = sorted(set(df.run_date.astype(str).str[:10])) if "run_date" in df.columns else []
    return " – ".join(dict.fromkeys((days[0], days[-1]))) if days else ""


def build(files, folder):
    """Build the site of result files in a folder.

    Raises
    ------
    SystemExit
        If there are no results, or the folder holds something else.
    """
    files = chosen_files(files)
    df = pd.concat([read_rows(file) for file in files], ignore_index=True)
    empty_folder(folder)
    site = Site(df, files, folder)
    for part in ("assets", "dashboards", "index", "results", "cards", "documents"):
        print(f"writing {part}", flush=True)
        getattr(site, f"write_{part}")()
    asked = {str(page): dashboard.asked_outside(page.read_text(encoding="utf-8")) for page in folder.rglob("*.html")}
    wrong = [f"{page}: {', '.join(addresses)}" for page, addresses in asked.items() if addresses]
    if wrong:
        raise SystemExit(f"these pages load something from elsewhere: {'; '.join(wrong)}")


def main(arguments=None):
    """Build the site that is asked for and print where it is."""
    parser = argparse.ArgumentParser(prog="python -m tools.site", description=__doc__.split("\n\n")[0])
    parser.add_argument("files", nargs="*", help="result files; those of outputs/reference where left out")
    parser.add_argument("--folder", type=Path, default=ROOT / "site")
    chosen = parser.parse_args(arguments)
    build(chosen.files, chosen.folder)
    print(f"the site: {chosen.folder / 'index.html'}")


if __name__ == "__main__":
    write_utf8()
    main()
