"""The site: what its pages say, and where their links lead."""

import json
import re
import subprocess
import sys
import urllib.parse
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from benchmark_utils.statistics.overall import field, overall, where_known, widest
from made_up_results import FIELD, SITE_SOLVERS, of_a_site, results
from tools import dashboard, site, site_cards, site_figures, site_tables

ROOT = Path(__file__).parents[2]


class Parsed(HTMLParser):
    """The links, identifiers and tables of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids, self.tables, self.headings = [], set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Note what a tag says."""
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        self.links += [attrs[name] for name in ("href", "src") if attrs.get(name)]
        if tag == "table":
            self.tables.append({"caption": False, "th": []})
        elif tag == "caption":
            self.tables[-1]["caption"] = True
        elif tag == "th":
            self.tables[-1]["th"].append(attrs.get("scope"))
        elif tag == "h1":
            self.headings.append(tag)


# ---------------------------------------------------------------------- pages
@pytest.mark.slow
def test_links_lead_to_pages_of_the_site(folder):
    for page in folder.rglob("*.html"):
        for link in Parsed(page).links:
            if link.startswith(("https://", "http://", "data:", "#")):
                continue
            path, _, anchor = urllib.parse.unquote(link).partition("#")
            target = (page.parent / path).resolve()
            assert target.is_file(), f"{page.name} links to {link}"
            assert folder.resolve() in target.parents, f"{page.name} links to {link}"
            assert not anchor or anchor in Parsed(target).ids, f"{page.name} links to {link}"


@pytest.mark.slow
def test_no_page_or_style_loads_anything_from_elsewhere(folder):
    for path in [*folder.rglob("*.html"), *folder.rglob("*.css")]:
        assert not dashboard.asked_outside(path.read_text(encoding="utf-8")), path


@pytest.mark.slow
def test_pages_have_one_title_and_tables_have_captions_and_scopes(own_pages):
    assert len(own_pages) > 60
    for page in own_pages:
        parsed = Parsed(page)
        assert len(parsed.headings) == 1, page
        for table in parsed.tables:
            assert table["caption"], page
            assert table["th"], page
            assert set(table["th"]) <= {"col", "row"}, page


@pytest.mark.slow
def test_the_overview_says_who_is_compared_and_who_is_left_out(folder):
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert re.search(r"<strong>4 configurations</strong>\s+run on all of the <strong>2 problems</strong>", text)
    assert "SOBA (jax); SOBA (torch); SABA (jax); SABA (torch)." in text
    assert "method 0 (torch) (1 of 2)" in text
    assert "h* is not known, so that h − h* is not compared, on breast_cancer." in text


@pytest.mark.slow
def test_every_solver_and_problem_has_a_card_and_results_lead_to_it(folder):
    assert len(list((folder / "solvers").glob("*.html"))) == len(site_cards.solver_cards()) + 1
    assert len(list((folder / "problems").glob("*.html"))) == len(site_cards.problem_card_list()) + 1
    text = (folder / "results" / "breast_cancer.html").read_text(encoding="utf-8")
    assert "../solvers/SOBA.html" in text
    assert "../problems/breast_cancer.html" in text
    card = (folder / "solvers" / "SOBA.html").read_text(encoding="utf-8")
    assert "https://arxiv.org/abs/2201.13409" in card
    assert "../results/simulated.html" in card


@pytest.mark.slow
def test_the_reproduction_page_is_there_with_its_pictures_if_the_document_is(folder, tmp_path, monkeypatch):
    exists = (ROOT / "docs" / "reproduction.md").exists()
    assert (folder / "reproduction.html").exists() == exists
    docs = tmp_path / "docs"
    (docs / "reproduction").mkdir(parents=True)
    (docs / "reproduction" / "a.png").write_bytes(b"")
    (docs / "reproduction.md").write_text(
        "# Figures again\n\n![one](reproduction/a.png) [rules](rules.md#columns) [code](../x.py)\n", encoding="utf-8"
    )
    monkeypatch.setattr(site_cards, "DOCS", docs)
    assert list(site_cards.documents()) == ["reproduction"]
    site_cards.copy_pictures(tmp_path / "site")
    assert (tmp_path / "site" / "reproduction" / "a.png").exists()
    text = (docs / "reproduction.md").read_text(encoding="utf-8")
    html = site_cards.Renderer({"rules.md": "rules.html"}).html(text, "", "")
    assert 'src="reproduction/a.png"' in html
    assert '<a href="rules.html#columns">rules</a> code' in html
    with pytest.raises(SystemExit, match="put it beside"):
        site_cards.Renderer({}).html("![one](https://example.org/a.png)", "", "")


# ---------------------------------------------------------------------- tables and figures
def test_ranks_over_all_problems_are_those_of_the_made_up_field():
    df = results(FIELD)
    board = overall(df, 1e-3)
    assert board.solver_name.tolist() == ["A", "B", "C"]
    assert board["rank"].tolist() == [1, 2, 3]
    assert board[["reached", "runs"]].to_numpy().tolist() == [[10, 10]] * 3
    assert (board.rank_low <= board["rank"]).all()
    assert (board["rank"] <= board.rank_high).all()


def test_solvers_that_lack_a_problem_are_left_out_and_counted():
    compared = field(of_a_site())
    assert compared.solvers == SITE_SOLVERS[:4]
    assert compared.left_out == dict.fromkeys(SITE_SOLVERS[4:], 1)
    assert len(compared.cases) == 2
    alone = of_a_site().query("dataset_name.str.startswith('breast') == (solver_name == @SITE_SOLVERS[0])")
    assert field(alone).solvers == []
    assert overall(alone, 1e-3).empty


def test_the_overall_picture_is_of_the_problems_that_most_configurations_share():
    """A, B and C on d and e, D and E on f and g, D on h too: three times two is more than two times two."""
    other = {(problem, solver, 0): [(1.0, 0), (1e-3, 5)] for problem in "fg" for solver in "DE"}
    df = results(FIELD | other | {("h", "D", 0): [(1.0, 0)]})
    assert set(widest(df).dataset_name) == {"d", "e"}
    assert widest(results(FIELD | {("e", "F", 0): [(1.0, 0)]})).dataset_name.nunique() == 2  # A, B and C ran on all
    more = {(problem, "F", 0): [(1.0, 0)] for problem in "def"}
    assert set(widest(results(FIELD | more)).dataset_name) == {"d", "e"}
    alone = results({(problem, solver, 0): [(1.0, 0)] for problem, solver in ("dA", "eB", "fA")})
    assert widest(alone) is alone


def test_problems_where_a_metric_is_not_known_are_left_out_of_it():
    assert set(where_known(of_a_site(), "objective_h_gap").dataset_name) == {"simulated[d=2]"}
    assert where_known(of_a_site(), "objective_no_such_column").empty
    assert list(site_tables.known_metrics(of_a_site())) == ["‖∇h‖²", "h − h*"]


def test_leaderboards_show_the_hardest_target_that_half_of_the_solvers_reached():
    tables, best = site_tables.leaderboards(of_a_site().query("dataset_name == 'simulated[d=2]'"))
    assert best == SITE_SOLVERS[:4]
    assert site_tables.informative(tables) == "h − h*|1e-06|samples"
    first = next(t for t in tables if t.key == "h − h*|0.01|samples")
    assert [row[0] for row in first.rows] == ["SOBA (jax)", "SOBA (torch)", "SABA (jax)", "SABA (torch)"]
    none = [t._replace(rows=[[row[0], "0 of 2", *row[2:]] for row in t.rows]) for t in tables]
    assert site_tables.informative(none) == "h − h*|0.01|samples"


def test_where_no_solver_ran_on_all_problems_the_profile_shows_some_at_first():
    df = of_a_site().query("solver_name == @SITE_SOLVERS[0] or dataset_name == 'breast_cancer[seed=0]'")
    df = df[(df.solver_name != SITE_SOLVERS[0]) | (df.dataset_name == "simulated[d=2]")]
    assert site_figures.profiles(df, site_figures.styles(df), [])["first"]


def test_runs_of_two_machines_have_leaderboards_of_their_own():
    df = of_a_site().query("dataset_name == 'simulated[d=2]' and solver_name in @SITE_SOLVERS[2:4]")
    df = pd.concat([df.assign(base_seed=0), df.assign(base_seed=1)])
    captions = {t.caption for t in site_tables.leaderboards(df)[0] if t.key == "h − h*|0.01|samples"}
    assert captions == {f"Samples until h − h* ≤ 0.01; seed {seed}" for seed in (0, 1)}


def test_a_method_has_one_colour_and_a_backend_one_dash():
    style = site_figures.styles(of_a_site())
    assert style[SITE_SOLVERS[0]]["colour"] == style[SITE_SOLVERS[1]]["colour"] != style[SITE_SOLVERS[2]]["colour"]
    assert [style[name]["dash"] for name in SITE_SOLVERS[:4]] == ["solid", "dash"] * 2
    twice = pd.DataFrame({"solver_name": ["A[backend=jax,s=1]", "A[backend=jax,s=2]"]})
    assert len({look["marker"] for look in site_figures.styles(twice).values()}) == 2


@pytest.mark.slow
def test_curves_are_those_of_the_dashboard(folder):
    (text,) = re.findall(
        r'(?s)<script type="application/json">(.*?)</script>',
        (folder / "results" / "simulated.html").read_text(encoding="utf-8"),
    )
    drawn = json.loads(text)
    data = drawn["figures"]["objective_h_gap|Oracle samples"]["data"]
    curves = {trace["meta"]["label"]: trace for trace in data if not trace["meta"].get("band")}
    assert curves["SOBA (torch)"]["x"] == [0, 20.5, 80.5]
    assert curves["SOBA (torch)"]["y"] == [1, 1e-3, 1e-7]
    assert sum(bool(trace["meta"].get("band")) for trace in data) == 2, "where there are repetitions"


# ---------------------------------------------------------------------- refusals
def test_a_folder_that_is_no_site_is_not_emptied(tmp_path):
    (tmp_path / "thesis.tex").write_text("", encoding="utf-8")
    with pytest.raises(SystemExit, match="something else than a site"):
        site.empty_folder(tmp_path)
    assert (tmp_path / "thesis.tex").exists()
    site.empty_folder(tmp_path / "new")
    (tmp_path / "new" / "old.html").write_text("", encoding="utf-8")
    site.empty_folder(tmp_path / "new")
    assert not (tmp_path / "new" / "old.html").exists()


def test_files_that_are_not_there_or_have_one_name_are_refused(tmp_path):
    with pytest.raises(SystemExit, match="there is no file"):
        site.chosen_files([tmp_path / "a.parquet"])
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.parquet").touch()
    with pytest.raises(SystemExit, match="same name"):
        site.chosen_files([tmp_path / "a" / "x.parquet", tmp_path / "b" / "x.parquet"])


def test_the_site_needs_no_framework():
    """The workflow that publishes it installs neither jax nor torch."""
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, *others):\n"
        "        if name.split('.')[0] in ('jax', 'torch', 'lineax', 'optax', 'optimistix', 'optuna', 'selenium'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import tools.site"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
