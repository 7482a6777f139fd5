"""The site: what its pages say, where their links lead, and that a browser without a network shows every view."""

import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
import urllib.parse
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import made_up_results
from benchmark_utils.statistics.overall import field, overall, where_known
from tools import dashboard, site, site_cards, site_figures, site_tables, web_libraries

ROOT = Path(__file__).parents[2]

#: Twelve configurations on one problem, more than a figure shows at first; the first four on a second problem too.
NAMES = [f"{method}[backend={backend}]" for method in ("SOBA", "SABA") for backend in ("jax", "torch")]
NAMES += [f"method {k}[backend=torch]" for k in range(8)]
PROBLEMS = {"breast_cancer[seed=0]": NAMES, "simulated[d=2]": NAMES[:4]}


def results():
    """Return made-up results: solver k takes k + 1 times the samples of the first; h* is known on one problem.

    Only SOBA has two repetitions: intervals are what takes time.
    """
    curves = {
        (dataset, solver, rep): [(1.0, 0), (1e-3, 10 * (k + 1) + rep), (1e-7, 40 * (k + 1) + rep)]
        for dataset, solvers in PROBLEMS.items()
        for k, solver in enumerate(solvers)
        for rep in range(2 if k < 2 else 1)
    }
    df = made_up_results.results(curves, objective_compile_time=0.0, objective_diverged=0, run_date="2026-01-02T03:04")
    df["objective_hypergrad_error"] = 0.5 * df.objective_value
    df["p_solver_backend"] = df.solver_name.str.extract(r"backend=([\w-]+)")
    df.loc[df.dataset_name.str.startswith("breast"), "objective_h_gap"] = float("nan")
    return df


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of a site of made-up results."""
    folder = tmp_path_factory.mktemp("pages")
    file = folder / "made up.parquet"
    results().to_parquet(file)
    site.build([file], folder / "site")
    return folder / "site"


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


def own_pages(folder):
    """Return the pages of the site that are not benchopt's."""
    return [page for page in folder.rglob("*.html") if page.parent.name != "dashboards" or page.name == "index.html"]


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
def test_pages_have_one_title_and_tables_have_captions_and_scopes(folder):
    pages = own_pages(folder)
    assert len(pages) > 60
    for page in pages:
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
    df = made_up_results.results(made_up_results.FIELD)
    board = overall(df, 1e-3)
    assert board.solver_name.tolist() == ["A", "B", "C"]
    assert board["rank"].tolist() == [1, 2, 3]
    assert board[["reached", "runs"]].to_numpy().tolist() == [[10, 10]] * 3
    assert (board.rank_low <= board["rank"]).all()
    assert (board["rank"] <= board.rank_high).all()


def test_solvers_that_lack_a_problem_are_left_out_and_counted():
    compared = field(results())
    assert compared.solvers == NAMES[:4]
    assert compared.left_out == dict.fromkeys(NAMES[4:], 1)
    assert len(compared.cases) == 2
    alone = results().query("dataset_name.str.startswith('breast') == (solver_name == @NAMES[0])")
    assert field(alone).solvers == []
    assert overall(alone, 1e-3).empty


def test_problems_where_a_metric_is_not_known_are_left_out_of_it():
    assert set(where_known(results(), "objective_h_gap").dataset_name) == {"simulated[d=2]"}
    assert where_known(results(), "objective_no_such_column").empty
    assert list(site_tables.known_metrics(results())) == ["‖∇h‖²", "h − h*"]


def test_leaderboards_show_the_hardest_target_that_half_of_the_solvers_reached():
    tables, best = site_tables.leaderboards(results().query("dataset_name == 'simulated[d=2]'"))
    assert best == NAMES[:4]
    assert site_tables.informative(tables) == "h − h*|1e-06|samples"
    first = next(t for t in tables if t.key == "h − h*|0.01|samples")
    assert [row[0] for row in first.rows] == ["SOBA (jax)", "SOBA (torch)", "SABA (jax)", "SABA (torch)"]
    none = [t._replace(rows=[[row[0], "0 of 2", *row[2:]] for row in t.rows]) for t in tables]
    assert site_tables.informative(none) == "h − h*|0.01|samples"


def test_runs_of_two_machines_have_leaderboards_of_their_own():
    df = results().query("dataset_name == 'simulated[d=2]'")
    df = pd.concat([df.assign(base_seed=0), df.assign(base_seed=1)])
    captions = {t.caption for t in site_tables.leaderboards(df)[0] if t.key == "h − h*|0.01|samples"}
    assert captions == {f"Samples until h − h* ≤ 0.01; seed {seed}" for seed in (0, 1)}


def test_a_method_has_one_colour_and_a_backend_one_dash():
    style = site_figures.styles(results())
    assert style[NAMES[0]]["colour"] == style[NAMES[1]]["colour"] != style[NAMES[2]]["colour"]
    assert [style[name]["dash"] for name in NAMES[:4]] == ["solid", "dash"] * 2
    twice = pd.DataFrame({"solver_name": ["A[backend=jax,s=1]", "A[backend=jax,s=2]"]})
    assert len({look["marker"] for look in site_figures.styles(twice).values()}) == 2
    assert len(set(site_figures.colours(range(60)).values())) == 60


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


# ---------------------------------------------------------------------- libraries of benchopt's pages
LIST = '<i class="fa fa-download"></i><div id=subinfo0 style="display:none;">x</div><button data-idx=0>y</button>'
PAGE = f"""
<script defer src="https://use.fontawesome.com/releases/v5.0.10/js/all.js" crossorigin="anonymous"></script>
<link rel="preconnect" href="https://fonts.gstatic.com" crossorigin>
<script
  src="https://code.jquery.com/jquery-3.5.1.min.js"
  crossorigin="anonymous"></script>
<script src="https://cdn.plot.ly/plotly-2.12.1.min.js"></script>
<script src="https://cdn.jsdelivr.net/npm/gridjs@6.2.0/dist/gridjs.umd.js"></script>
{LIST}<script type="text/javascript">
$(function () {{ fold(); }});
</script>"""


def no_npm(monkeypatch, tmp_path):
    """Take npm and its cache away."""
    monkeypatch.setattr(web_libraries, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(web_libraries.shutil, "which", lambda name: None)


def test_without_npm_tables_are_plain_and_a_sentence_says_why(tmp_path, monkeypatch, capsys):
    no_npm(monkeypatch, tmp_path)
    (tmp_path / "a.html").write_text(PAGE, encoding="utf-8")
    assert dashboard.localise(tmp_path) == [tmp_path / "a.html"]
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert re.findall(r'src="(.*?)"', text) == ["assets/plotly.min.js", "assets/plain_grid.js"]
    assert (tmp_path / "assets" / "plain_grid.js").exists()
    assert "Download<div id=subinfo0>x</div>" in text, "what is folded away by a script is shown"
    assert "$(function" not in text
    assert "without gridjs: npm is not installed" in capsys.readouterr().out
    assert dashboard.localise(tmp_path) == [], "nothing is left to change"


def test_an_archive_with_another_hash_is_not_used(tmp_path, monkeypatch):
    no_npm(monkeypatch, tmp_path)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "gridjs-6.2.0.tgz").write_bytes(b"something else")
    with pytest.raises(web_libraries.Unavailable):
        web_libraries.put("gridjs", tmp_path)
    npm = tmp_path / "npm"
    npm.write_text('#!/bin/sh\necho other > "$4/gridjs-6.2.0.tgz"\n', encoding="utf-8")
    npm.chmod(0o755)
    monkeypatch.setattr(web_libraries.shutil, "which", lambda name: str(npm))
    with pytest.raises(web_libraries.Unavailable, match="not the one whose hash"):
        web_libraries.put("gridjs", tmp_path)


def test_an_address_that_nobody_knows_is_an_error(tmp_path):
    (tmp_path / "a.html").write_text('<script src="https://example.org/new.js"></script>', encoding="utf-8")
    with pytest.raises(SystemExit, match="does not know"):
        dashboard.localise(tmp_path)


# ---------------------------------------------------------------------- in a browser
@pytest.fixture(scope="module")
def browser():
    """Return Chromium without a network and without windows, or skip where there is none."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    programs = [
        next(filter(None, map(shutil.which, names)), None)
        for names in (("chromium", "chromium-browser", "google-chrome"), ("chromedriver",))
    ]
    if not all(programs):
        pytest.skip("there is no Chromium with its driver (Debian: apt-get install chromium chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = programs[0]
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(programs[1]))
    yield driver
    driver.quit()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *arguments):
        """Say nothing."""


@pytest.fixture(params=["file", "http"])
def address(request, folder):
    """Return where the site is to be read: as files, or from a web server of this machine."""
    if request.param == "file":
        yield folder.resolve().as_uri() + "/"
        return
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    ) as server:  # fmt: skip
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def check_logs(browser, address):
    """Fail where a page complained, or asked for something outside the site."""
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [message for message in severe if "favicon.ico" not in message]
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:", "about:"))]


def wait(browser, script, what):
    """Wait until a script returns something true; return it."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 20).until(lambda _: browser.execute_script("return " + script), what)


#: Chooses every option of every list of an element in turn; calls check() after each; returns what it did not like.
EVERY_CHOICE = """
const wrong = [];
for (const select of [...arguments[0].querySelectorAll("select")]) {
  for (const option of [...select.options].reverse()) {
    select.value = option.value;
    select.dispatchEvent(new Event("change", {bubbles: true}));
    if (!(%s)) wrong.push([...arguments[0].querySelectorAll("select")].map((s) => s.value).join("|"));
  }
}
return wrong;
"""
DRAWN = "arguments[0].querySelectorAll('.scatterlayer .trace path.js-line').length > 0"
ONE_SHOWN = "arguments[0].querySelectorAll('.choice:not([hidden]) tbody tr').length > 0"


@pytest.mark.slow
def test_every_page_shows_every_view_without_a_network(browser, address, folder):
    from selenium.webdriver.common.by import By

    for page in own_pages(folder):
        browser.get(address + page.relative_to(folder).as_posix())
        assert browser.find_element(By.TAG_NAME, "h1").text
        for figure in browser.find_elements(By.CSS_SELECTOR, "figure.interactive"):
            assert browser.execute_script(EVERY_CHOICE % DRAWN, figure) == [], page
        for group in browser.find_elements(By.CSS_SELECTOR, ".switched"):
            assert browser.execute_script(EVERY_CHOICE % ONE_SHOWN, group) == [], page
            assert len(browser.find_elements(By.CSS_SELECTOR, ".choice:not([hidden])")) == 1, page
        check_logs(browser, address)


@pytest.mark.slow
def test_no_page_is_wider_than_a_telephone(browser, folder):
    size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for page in own_pages(folder):
            browser.get(page.resolve().as_uri())
            assert browser.execute_script("return document.documentElement.scrollWidth") <= 400, page
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_a_figure_of_many_curves_shows_the_best_and_the_others_when_they_are_ticked(browser, folder):
    from selenium.webdriver.common.by import By

    browser.get((folder / "results" / "breast_cancer.html").resolve().as_uri())
    shown = lambda: len(browser.find_elements(By.CSS_SELECTOR, ".scatterlayer .trace path.js-line"))
    buttons = {b.text: b for b in browser.find_elements(By.CSS_SELECTOR, ".legend button")}
    assert list(buttons) == ["all 12", "none", "the best 10"]
    for text, n in (("all 12", 12), ("none", 0), ("the best 10", 10)):
        buttons[text].click()
        wait(browser, f"document.querySelectorAll('.legend input:checked').length === {n}", text)
        assert shown() == n
    browser.find_element(By.CSS_SELECTOR, ".legend input:not(:checked)").click()
    assert shown() == 11


@pytest.mark.slow
@pytest.mark.parametrize("npm", [True, False])
def test_every_view_of_the_dashboards_works_without_a_network(browser, address, folder, npm, tmp_path, monkeypatch):
    if not npm:
        no_npm(monkeypatch, tmp_path)
        if address.startswith("http"):
            pytest.skip("the same pages as files show it")
        whole = folder / "dashboards"
        folder = tmp_path / "site"
        shutil.copytree(whole, folder / "dashboards", ignore=shutil.ignore_patterns("assets"))
        for page in (folder / "dashboards").glob("*.html"):  # as benchopt wrote them
            text = page.read_text(encoding="utf-8")
            text = re.sub("assets/gridjs/dist/gridjs.umd.js", "https://cdn.jsdelivr.net/npm/gridjs@6/gridjs.js", text)
            text = re.sub("assets/gridjs/.*?css", "https://cdn.jsdelivr.net/npm/gridjs@6/gridjs.css", text)
            text = re.sub("assets/plotly.min.js", "https://cdn.plot.ly/plotly-2.12.1.min.js", text)
            text = re.sub("assets/jquery/.*?js", "https://code.jquery.com/jquery-3.5.1.min.js", text)
            text = re.sub("assets/jquery-ui-dist/.*?js", "https://x.org/jqueryui/a.js", text)
            text = re.sub("assets/jquery-ui-dist/.*?css", "https://x.org/jqueryui/a.css", text)
            text = re.sub("assets/datatables.*?js\"", "https://cdn.datatables.net/a.js\"", text)
            text = re.sub("assets/datatables.*?css", "https://cdn.datatables.net/a.css", text)
            page.write_text(text, encoding="utf-8")
        dashboard.localise(folder / "dashboards")
        address = folder.resolve().as_uri() + "/"
    elif not (folder / "dashboards" / "assets" / "gridjs").exists():
        pytest.skip("the packages of npm could not be had; the plain tables are tested")
    pages = [page for page in (folder / "dashboards").glob("*.html") if page.name != "index.html"]
    assert len(pages) == 2, "the list of runs, and the page of the file"
    for page in pages:
        browser.get(address + "dashboards/" + urllib.parse.quote(page.name))
        if not browser.execute_script("return typeof setState === 'function'"):
            wait(browser, "document.querySelectorAll('#summary tbody tr').length === 1", "the list of runs")
            check_logs(browser, address)
            continue
        for view in range(1, 5):
            browser.execute_script(f"setConfig(document.getElementsByClassName('view')[{view}])")
            wait(browser, f"({IS_DRAWN})()", f"view {view}")
        for kind in browser.execute_script("return [...document.getElementById('plot_kind').options].map(o => o.value)"):
            browser.execute_script("setState({plot_kind: arguments[0]})", kind)
            for name, at_first, values in browser.execute_script(LISTS, kind):
                # The value it had comes last, so that the other lists go through theirs beside it.
                for value in sorted(values, key=lambda value: value == at_first):
                    browser.execute_script("setState({[arguments[0]]: arguments[1]})", name, value)
                    if (name, value) == ("bilevel_curves_metric", "objective_h_gap"):
                        continue  # not known on one of the problems
                    wait(browser, f"({IS_DRAWN})()", f"{kind}, {name} = {value}")
        check_logs(browser, address)


#: Whether the chart or the table of benchopt's page shows something.
IS_DRAWN = (
    "() => [...document.querySelectorAll('#plot_container .scatterlayer path.js-line, #table_container tbody tr')]"
    ".some((e) => e.offsetParent !== null || e.getBoundingClientRect().width > 0)"
)
#: The lists of a kind of chart on benchopt's page: name, value, all values.
LISTS = (
    "return [...document.querySelectorAll(`select[id^=change_${arguments[0]}_]`)]"
    ".map((s) => [s.id.replace('change_', ''), s.value, [...s.options].map((o) => o.value)])"
)
